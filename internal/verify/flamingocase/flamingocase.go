// Package flamingocase checks Flamingo against the reconstruction of OpenFlamingo and against transformers' IDEFICS:
// the tasks flamingo and idefics.
package flamingocase

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/flamingo"
	"github.com/gollava/gollava/internal/verify"
	"github.com/gollava/gollava/internal/verify/traincase"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// caseFile is case.json.
type caseFile struct {
	Folders    []string `json:"checkpoints"`
	Image      int      `json:"image_token_id"`
	Generation map[string]verify.Generation
	Runs       map[string]traincase.Recorded
}

// Flamingo checks the task flamingo.
func Flamingo(dir string) ([]verify.Row, error) { return each(dir, true) }

// IDEFICS checks the task idefics.
func IDEFICS(dir string) ([]verify.Row, error) { return each(dir, false) }

func each(dir string, features bool) ([]verify.Row, error) {
	return verify.Check(dir, func(r *verify.Report, c caseFile) error {
		return r.Checkpoints(c.Folders, func(dir string) error { return (&check{r, c, dir, features}).everything() })
	})
}

// check is a case at work on one of its checkpoints.
type check struct {
	*verify.Report
	caseFile
	dir      string
	features bool // images are given as the tower's features
}

func (k *check) load(allPrevious bool) (model, error) {
	m, err := flamingo.Load(k.dir, flamingo.LoadOptions{Image: k.Image, DType: verify.InBlocks,
		AllPrevious: allPrevious})
	return model{m}, err
}

// batch is interleaved text, and images of which a row may have more than marks.
type batch struct {
	ids, labels, features, pixels *tensor.Tensor
	mask                          []int32
	images                        []int // of each row
}

// batch reads the one under a prefix ("in."); without images of its own it has those of the main batch.
func (k *check) batch(in string) (b batch, err error) {
	b = batch{ids: k.Tensor(in + "input_ids"), mask: k.Ints(in + "attention_mask")}
	if k.Has(in + "labels") {
		b.labels = k.Tensor(in + "labels")
	}
	name, from := "pixel_values", "in."
	if k.features {
		name = "vision"
	}
	if k.Has(in + name) {
		from = in
	}
	x := k.Tensor(from + name)
	if k.Err != nil {
		return b, k.Err
	}
	if x.Rank() != 5 {
		return b, fmt.Errorf("%s%s has shape %v: five dimensions are needed", from, name, x.Shape())
	}
	if s := x.Shape(); k.features { // [B, images, frames, patches, D]
		b.features = x.Reshape(s[0]*s[1]*s[2], s[3], s[4])
	} else { // [B, images, 3, S, S]
		b.pixels = x.Reshape(s[0]*s[1], s[2], s[3], s[4])
	}
	b.images = slices.Repeat([]int{x.Dim(1)}, x.Dim(0))
	return b, nil
}

// model trains as the recorded runs did.
type model struct {
	VLM *connector.VLM `param:",inline"`
}

// tokens are those of all images, [N·L, D].
func (m model) tokens(b batch) *tensor.Tensor {
	return m.VLM.Tokens(connector.Batch{IDs: b.ids, Pixels: b.pixels, Features: b.features})
}

func (m model) input(b batch) llm.Input {
	x := m.VLM.Connector.(connector.Attended)
	start, end, positions, ok := llm.Extent(b.mask, b.ids.Dim(0))
	if !ok {
		tensor.Fail("Extent", "the attention mask has a hole")
	}
	return llm.Input{Embeds: m.VLM.Language.Embed(b.ids), Start: start, End: end, Positions: positions,
		Context: x.Context(b.ids, m.tokens(b), b.images)}
}

func (m model) logits(b batch) *tensor.Tensor {
	return llm.Logits(m.VLM.Language, m.VLM.Language.Hidden(m.input(b))) // [B, T, V]
}

// Loss is the mean cross-entropy of the next supervised token.
func (m model) Loss(b batch) *tensor.Tensor { return llm.Loss(m.VLM.Language, m.input(b), b.labels) }

// canonical is flamingo.Canonical; buffers have no name.
func canonical(name string) string {
	c, _ := flamingo.Canonical(name)
	return c
}

func (k *check) everything() error {
	m, err := k.load(false)
	if err != nil {
		return err
	}
	b, err := k.batch("in.")
	if err != nil {
		return err
	}
	features := "image_features"
	if k.features {
		features = "media"
	}
	k.Output(features, m.tokens(b))
	k.Masked("logits", m.logits(b), b.mask)
	loss := m.Loss(b)
	k.Loss("loss", loss)
	loss.Backward()
	k.Gradients(m, canonical)
	for _, in := range []string{"in.", "in.gen."} {
		if err := k.rules(m, in); err != nil {
			return err
		}
	}
	if err := k.variants(b); err != nil {
		return err
	}
	for _, name := range verify.Sorted(k.Generation) {
		if err := k.generate(m, name); err != nil {
			return err
		}
	}
	for _, name := range verify.Sorted(k.Runs) {
		fresh, err := k.load(false)
		if err != nil {
			return err
		}
		if err := traincase.Follow(k.Report, name, k.Runs[name], fresh, []batch{b}, canonical); err != nil {
			return err
		}
	}
	return nil
}

// rules compares what follows from the ids: which image each position sees, and the labels of web documents.
func (k *check) rules(m model, in string) error {
	b, err := k.batch(in)
	if err != nil {
		return err
	}
	B, T := b.ids.Dims2()
	if k.features && b.labels != nil {
		var got, want [][]int32
		for i := range B {
			labels := flamingo.DocumentLabels(b.ids.IntData()[i*T:(i+1)*T], flamingo.ConfigOf(m.VLM))
			for t := range labels {
				if b.mask[i*T+t] == 0 {
					labels[t] = tensor.IgnoreIndex
				}
			}
			got, want = append(got, labels), append(want, b.labels.IntData()[i*T:(i+1)*T])
		}
		k.Add(verify.IDs("labels of documents", got, want))
	}
	if !k.Has(in + "image_attention_mask") {
		return nil
	}
	want := k.Tensor(in + "image_attention_mask") // [B, T, images]
	if k.Err != nil {
		return k.Err
	}
	images := want.Dim(2)
	x := m.VLM.Connector.(connector.Attended).Context(b.ids, tensor.New(B*images, 1), b.images) // one token an image
	var got, rows [][]int32
	for i := range B * T {
		if b.mask[i] == 0 {
			continue
		}
		see := make([]int32, images)
		for s := x.From[i]; s < x.To[i]; s++ {
			see[s] = 1
		}
		got, rows = append(got, see), append(rows, want.IntData()[i*images:(i+1)*images])
	}
	k.Add(verify.IDs(in+"image_attention_mask", got, rows))
	return nil
}

// variants compares the logits of the same weights with all images in sight, and with closed gates, where images must
// not change a bit.
func (k *check) variants(b batch) error {
	if k.Has("out.all_previous.logits") {
		m, err := k.load(true)
		if err != nil {
			return err
		}
		k.Masked("all_previous.logits", m.logits(b), b.mask)
	}
	if !k.Has("out.zero_gates.logits") {
		return nil
	}
	m, err := k.load(false)
	if err != nil {
		return err
	}
	for name, p := range nn.Params(m.VLM.Connector) {
		if strings.HasSuffix(name, "_gate") || strings.Contains(name, ".alpha_") {
			p.Fill(0)
		}
	}
	closed := m.logits(b)
	k.Masked("zero_gates.logits", closed, b.mask)
	in := m.input(b)
	in.Context = nil
	bare := llm.Logits(m.VLM.Language, m.VLM.Language.Hidden(in))
	k.Add(verify.Absolute("zero_gates: logits without images", verify.Widen(closed.Data()), verify.Widen(bare.Data()),
		0))
	return nil
}

// generate compares the ids that a recorded generation made, with a cache and without.
func (k *check) generate(m model, name string) error {
	b, err := k.batch("in.gen.")
	if err != nil {
		return err
	}
	o, err := k.Generation[name].Options()
	if err != nil {
		return fmt.Errorf("generation %s: %w", name, err)
	}
	in := m.input(b)
	in.Context.States = in.Context.States.Detach()
	p := llm.Prompts{Embeds: in.Embeds.Detach(), Mask: b.mask, Context: in.Context}
	for _, how := range []string{"cached", "recomputed"} {
		if o.NoCache = how == "recomputed"; o.NoCache && o.Beams > 1 {
			continue
		}
		got, err := llm.Generate(context.Background(), m.VLM.Language, p, o)
		if err != nil {
			return err
		}
		k.Add(verify.IDs("generated ids, "+name+", "+how, verify.Padded(got.IDs, int32(o.PAD)),
			k.Rows("out.gen."+name)))
	}
	return nil
}
