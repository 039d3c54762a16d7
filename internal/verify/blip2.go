package verify

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/blip2"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
	"github.com/gollava/gollava/vit"
)

func loadBLIP2(r *Report) *connector.VLM {
	return must(blip2.Load(r.Checkpoint, blip2.LoadOptions{DType: nn.As(tensor.Float32)}))
}

// blip2Batch reads the batch under a prefix ("in." or "in.gen."). Images and instructions that it does not have are
// those of the main batch.
func blip2Batch(r *Report, in string) connector.Batch {
	from := func(name string) string {
		if r.has(in + name) {
			return in
		}
		return "in."
	}
	text := r.batch(in)
	b := connector.Batch{IDs: text.ids, Mask: text.mask, Labels: text.labels,
		Pixels: r.tensor(from("pixel_values") + "pixel_values")}
	if at := from("qformer_input_ids"); r.has(at + "qformer_input_ids") {
		q := r.batch(at + "qformer_")
		n := lengths(q)
		for i, row := range rowsOf(q.ids) {
			b.Instructions = append(b.Instructions, row[:n[i]])
		}
	}
	return b
}

// blip2Model checks BLIP-2 and InstructBLIP: features, logits, loss, gradients, generated ids and the recorded runs.
func blip2Model(r *Report, m *connector.VLM) {
	for _, p := range nn.Params(m) {
		p.SetTrainable(true)
	}
	b := blip2Batch(r, "in.")
	check(m.Check(b))
	x := m.Connector.(*blip2.Connector)
	features := vit.Features(m.Vision, b.Pixels, m.Config().Select)
	r.output("vision", x.Norm.Forward(features))
	r.output("query_output", x.Instruct(b.Instructions).(*blip2.Connector).Query(features))
	r.output("image_features", m.Tokens(b))
	r.masked("logits", llm.Logits(m.Language, m.Hidden(b)), scored(b))
	loss := m.Loss(b)
	r.loss("loss", loss)
	r.backward(loss, m, named(blip2.Canonical))
	r.generations(false, func(o llm.Options) (llm.Generated, error) {
		return m.Generate(context.Background(), blip2Batch(r, "in.gen."), o)
	})
	follow(r, func(string, training) train.Model[connector.Batch] { return loadBLIP2(r) }, []connector.Batch{b},
		named(blip2.Canonical))
}

// scored marks the logits that are recorded: those of real tokens, or of a decoder's own labels.
func scored(b connector.Batch) []int32 {
	if b.Labels == nil || slices.Equal(b.Labels.Shape(), b.IDs.Shape()) {
		return b.Mask
	}
	mask := make([]int32, b.Labels.Len())
	for i, l := range b.Labels.IntData() {
		if l != tensor.IgnoreIndex {
			mask[i] = 1
		}
	}
	return mask
}

func loadQFormer(r *Report) *blip2.QFormer {
	var c blip2.QFormerConfig
	readJSON(filepath.Join(r.Checkpoint, "config.json"), &c)
	m := must(blip2.NewQFormer(nil, c))
	check(nn.WithWeights(r.Checkpoint, false, func(w *nn.Weights) error {
		return nn.Load(m, w, nn.LoadOptions{DType: nn.As(tensor.Float32)})
	}))
	return m
}

// qformer checks the Q-Former alone in its three uses.
func qformer(r *Report, m *blip2.QFormer) {
	queries, text, image := r.tensor("in.query_embeds"), r.tensor("in.text_embeds"), r.tensor("in.encoder_hidden_states")
	mask := batch{ids: r.tensor("in.attention_mask"), mask: r.ints("in.attention_mask")}
	seen := batch{ids: r.tensor("in.encoder_attention_mask"), mask: r.ints("in.encoder_attention_mask")}
	q, _ := m.Forward(blip2.Input{Queries: queries, Image: image, ImageLengths: lengths(seen)})
	_, t := m.Forward(blip2.Input{Text: text, Lengths: lengths(mask)})
	bothQ, bothT := m.Forward(blip2.Input{Queries: queries, Text: text, Lengths: lengths(mask), Image: image})
	both := tensor.Concat(1, bothQ, bothT)
	r.output("query", q)
	r.masked("text", t, mask.mask)
	var all []int32 // the mask, with ones for the queries before each row
	for _, row := range rowsOf(mask.ids) {
		all = append(append(all, slices.Repeat([]int32{1}, queries.Dim(1))...), row...)
	}
	r.masked("both", both, all)
	r.backward(cotangent(r, "query", q).Add(cotangent(r, "text", t)).Add(cotangent(r, "both", both)), m, nil)
}

// blip2Pairs reads the batch of images and captions.
func blip2Pairs(r *Report) blip2.Pairs {
	text := r.batch("in.")
	return blip2.Pairs{Pixels: r.tensor("in.pixel_values"), IDs: text.ids, Lengths: lengths(text)}
}

func loadRetrieval(r *Report) *blip2.Retrieval {
	return must(blip2.LoadRetrieval(r.Checkpoint, blip2.LoadOptions{DType: nn.As(tensor.Float32)}))
}

// retrieval checks similarities and match logits.
func retrieval(r *Report, m *blip2.Retrieval) {
	b := blip2Pairs(r)
	if c := m.Config(); c.Image >= 0 { // placeholders stand before the text
		Q, T := c.NumQueryTokens, b.IDs.Dim(1)
		if Q >= T {
			failf("%d placeholders in texts of %d tokens", Q, T)
		}
		b.IDs = b.IDs.Slice(1, Q, T)
		for i := range b.Lengths {
			b.Lengths[i] -= int32(Q)
		}
	}
	image := m.Image(b)
	images, texts := m.EmbedImage(image), m.EmbedText(b.IDs, b.Lengths)
	sim, match := blip2.Similarity(images, texts), m.MatchLogits(image, b.IDs, b.Lengths)
	r.output("itc.image_embeds", images)
	r.output("itc.text_embeds", texts)
	r.output("itc.logits_per_image", sim)
	r.output("itm.logits", match)
	r.backward(cotangent(r, "itc", sim).Add(cotangent(r, "itm", match)), m, nil)
}

// stage1 checks the three losses, their gradients and the recorded run, of the checkpoint in transformers' names and of
// those in LAVIS's.
func stage1(r *Report, c blip2.Config) {
	if r.DEC != nil {
		c.QFormer.DEC = *r.DEC
	}
	if r.Extra != "" {
		if _, err := os.Stat(filepath.Join(r.Checkpoint, r.Extra)); err != nil {
			check(errors.Join(errors.New("extra"), err))
		}
	}
	stage1Losses(r, c, r.Checkpoint)
	prefix := r.Prefix
	for _, sub := range r.Also {
		dir := inside(r.Checkpoint, sub)
		found, err := filepath.Glob(filepath.Join(dir, "*.pth"))
		if err != nil || len(found) != 1 {
			failf("%s: %d files end in .pth, one is wanted", dir, len(found))
		}
		r.Prefix = prefix + sub + ": "
		stage1Losses(r, c, found[0])
	}
}

func readStage1(r *Report) blip2.Config { return must(blip2.ReadRetrievalConfig(r.Checkpoint)) }

// stage1Losses checks the weights in path.
func stage1Losses(r *Report, c blip2.Config, path string) {
	load := func() *blip2.Stage1 {
		return must(blip2.LoadStage1(c, path, blip2.LoadOptions{DType: nn.As(tensor.Float32)}))
	}
	m := load()
	r.castWeights(m)
	for name, p := range nn.Params(m) {
		p.SetTrainable(!strings.HasPrefix(name, "vision_model.") || strings.Contains(name, "post_layernorm"))
	}
	b := blip2Pairs(r)
	b.NegativeImages, b.NegativeTexts = r.ints("in.negative_image"), r.ints("in.negative_text")
	t := m.Terms(b)
	r.output("sim_i2t", t.Similarity)
	r.near("odds.negative_text", slices.Concat(t.TextOdds...), r.Tolerance.Out)
	r.near("odds.negative_image", slices.Concat(t.ImageOdds...), r.Tolerance.Out)
	r.output("itm_logits", t.Match)
	r.masked("itg_logits", m.WordLogits(t.States), r.ints("in.attention_mask"))
	r.loss("loss_itc", t.ITC)
	r.loss("loss_itm", t.ITM)
	r.loss("loss_itg", t.ITG)
	loss := m.Loss(b)
	r.loss("loss", loss)
	r.backward(loss, m, nil)
	follow(r, func(string, training) train.Model[blip2.Pairs] { return load() }, []blip2.Pairs{b}, nil)
}
