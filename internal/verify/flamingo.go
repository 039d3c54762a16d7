package verify

import (
	"context"
	"slices"
	"strings"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/flamingo"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
)

// interleaved trains a Flamingo or an IDEFICS as the recorded runs did.
type interleaved struct {
	VLM *connector.VLM `param:",inline"`
}

func loadInterleaved(r *Report) interleaved { return loadSeeing(r, false) }

// loadSeeing reads the model; allPrevious: text sees all images before it.
func loadSeeing(r *Report, allPrevious bool) interleaved {
	return interleaved{must(flamingo.Load(r.Checkpoint,
		flamingo.LoadOptions{Image: r.ImageID, DType: inBlocks, AllPrevious: allPrevious}))}
}

// interleavedBatch is text with images, of which a row may have more than marks.
type interleavedBatch struct {
	batch
	features, pixels *tensor.Tensor // a Flamingo's images are the tower's features
	images           []int          // of each row
}

// readInterleaved reads the batch under a prefix ("in."); without images of its own it has those of the main batch.
func readInterleaved(r *Report, in string) interleavedBatch {
	b := interleavedBatch{batch: r.batch(in)}
	at, features := "in.", r.has("in.vision")
	name := "pixel_values"
	if features {
		name = "vision"
	}
	if r.has(in + name) {
		at = in
	}
	x := r.tensor(at + name)
	if x.Rank() != 5 {
		failf("%s%s has shape %v: five dimensions are needed", at, name, x.Shape())
	}
	if s := x.Shape(); features { // [B, images, frames, patches, D]
		b.features = x.Reshape(s[0]*s[1]*s[2], s[3], s[4])
	} else { // [B, images, 3, S, S]
		b.pixels = x.Reshape(s[0]*s[1], s[2], s[3], s[4])
	}
	b.images = slices.Repeat([]int{x.Dim(1)}, x.Dim(0))
	return b
}

// tokens are those of all images, [N·L, D].
func (m interleaved) tokens(b interleavedBatch) *tensor.Tensor {
	return m.VLM.Tokens(connector.Batch{IDs: b.ids, Pixels: b.pixels, Features: b.features})
}

func (m interleaved) input(b interleavedBatch) llm.Input {
	in := b.batch.input(m.VLM.Language)
	in.Context = m.VLM.Connector.(connector.Attended).Context(b.ids, m.tokens(b), b.images)
	return in
}

func (m interleaved) logits(b interleavedBatch) *tensor.Tensor {
	return llm.Logits(m.VLM.Language, m.VLM.Language.Hidden(m.input(b))) // [B, T, V]
}

// Loss is the mean cross-entropy of the next supervised token.
func (m interleaved) Loss(b interleavedBatch) *tensor.Tensor {
	return llm.Loss(m.VLM.Language, m.input(b), b.labels)
}

// flamingoModel checks Flamingo and IDEFICS: features, logits, loss, gradients, what each position sees, the labels of
// web documents, generated ids and the recorded runs.
func flamingoModel(r *Report, m interleaved) {
	canonical := named(flamingo.Canonical)
	b := readInterleaved(r, "in.")
	if b.features != nil {
		r.output("media", m.tokens(b))
	} else {
		r.output("image_features", m.tokens(b))
	}
	r.masked("logits", m.logits(b), b.mask)
	loss := m.Loss(b)
	r.loss("loss", loss)
	r.backward(loss, m, canonical)
	for _, in := range []string{"in.", "in.gen."} {
		rules(r, m, in)
	}
	variants(r, b)
	r.generations(true, func(o llm.Options) (llm.Generated, error) {
		b := readInterleaved(r, "in.gen.")
		in := m.input(b)
		in.Context.States = in.Context.States.Detach()
		p := llm.Prompts{Embeds: in.Embeds.Detach(), Mask: b.mask, Context: in.Context}
		return llm.Generate(context.Background(), m.VLM.Language, p, o)
	})
	follow(r, func(string, training) train.Model[interleavedBatch] { return loadInterleaved(r) },
		[]interleavedBatch{b}, canonical)
}

// rules compares what follows from the ids: which image each position sees, and the labels of web documents.
func rules(r *Report, m interleaved, in string) {
	b := readInterleaved(r, in)
	T := b.ids.Dim(1)
	if b.features != nil && b.labels != nil {
		var got [][]int32
		for i, ids := range rowsOf(b.ids) {
			labels := flamingo.DocumentLabels(ids, flamingo.ConfigOf(m.VLM))
			for t := range labels {
				if b.mask[i*T+t] == 0 {
					labels[t] = tensor.IgnoreIndex
				}
			}
			got = append(got, labels)
		}
		r.add(sameIDs("labels of documents", got, rowsOf(b.labels)))
	}
	want := r.maybe(in + "image_attention_mask") // [B, T, images]
	if want == nil {
		return
	}
	images := want.Dim(2)
	if want.Len() != len(b.mask)*images || slices.ContainsFunc(b.images, func(n int) bool { return n != images }) {
		failf("%simage_attention_mask is %v for input_ids %v and %v images", in, want.Shape(), b.ids.Shape(), b.images)
	}
	one := tensor.New(b.ids.Dim(0)*images, 1) // one token an image
	x := m.VLM.Connector.(connector.Attended).Context(b.ids, one, b.images)
	var got, rows [][]int32
	for i, real := range b.mask {
		if real == 0 {
			continue
		}
		see := make([]int32, images)
		for s := x.From[i]; s < x.To[i]; s++ {
			see[s] = 1
		}
		got, rows = append(got, see), append(rows, want.IntData()[i*images:(i+1)*images])
	}
	r.add(sameIDs(in+"image_attention_mask", got, rows))
}

// variants compares the logits of the same weights with all images in sight, and with closed gates, where images must
// not change a bit.
func variants(r *Report, b interleavedBatch) {
	if r.has("out.all_previous.logits") {
		r.masked("all_previous.logits", loadSeeing(r, true).logits(b), b.mask)
	}
	if !r.has("out.zero_gates.logits") {
		return
	}
	m := loadInterleaved(r)
	for name, p := range nn.Params(m.VLM.Connector) {
		if strings.HasSuffix(name, "_gate") || strings.Contains(name, ".alpha_") {
			p.Fill(0)
		}
	}
	closed := m.logits(b)
	r.masked("zero_gates.logits", closed, b.mask)
	bare := llm.Logits(m.VLM.Language, m.VLM.Language.Hidden(b.batch.input(m.VLM.Language)))
	r.add(absolute("zero_gates: logits without images", widen(closed.Data()), widen(bare.Data()), 0))
}
