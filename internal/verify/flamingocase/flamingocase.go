// Package flamingocase checks Flamingo against the reconstruction of OpenFlamingo and against transformers' IDEFICS: the
// tasks flamingo and idefics.
package flamingocase

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
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
	Task        string
	Checkpoints []string
	Image       int `json:"image_token_id"`
	Generation  map[string]verify.Generation
	Runs        map[string]traincase.Recorded
	Tolerance   verify.Tolerance
}

// Run checks a folder and returns a row for each result. Differences are no errors; a folder that cannot be read is.
func Run(dir string) (rows []verify.Row, err error) {
	var c caseFile
	if err := verify.ReadJSON(filepath.Join(dir, "case.json"), &c); err != nil {
		return nil, err
	}
	e, err := verify.Open(dir, "expected.safetensors")
	if err != nil {
		return nil, err
	}
	defer e.Close()
	for _, sub := range c.Checkpoints {
		folder, err := verify.Inside(dir, sub)
		if err != nil {
			return rows, err
		}
		k := &check{caseFile: c, dir: folder, e: e}
		if caught := tensor.Catch(func() { err = k.everything() }); caught != nil {
			err = caught
		}
		if err == nil {
			err = e.Err
		}
		rows = append(rows, k.rows...)
		if err != nil {
			e.Err = nil
			rows = append(rows, verify.Failed(sub+": load and compute", err))
		}
	}
	return rows, nil
}

// check is a case at work on one of its checkpoints.
type check struct {
	caseFile
	dir  string
	e    *verify.Expected
	rows []verify.Row
}

func (k *check) add(rows ...verify.Row) { k.rows = append(k.rows, rows...) }

func (k *check) load(allPrevious bool) (model, error) {
	m, err := flamingo.Load(k.dir, flamingo.LoadOptions{Image: k.Image, DType: verify.InBlocks, AllPrevious: allPrevious})
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
	b = batch{ids: k.e.Tensor(in + "input_ids"), mask: k.e.Ints(in + "attention_mask")}
	if k.e.Has(in + "labels") {
		b.labels = k.e.Tensor(in + "labels")
	}
	name, from := "pixel_values", "in."
	if k.Task == "flamingo" {
		name = "vision"
	}
	if k.e.Has(in + name) {
		from = in
	}
	x := k.e.Tensor(from + name)
	if k.e.Err != nil {
		return b, k.e.Err
	}
	if x.Rank() != 5 {
		return b, fmt.Errorf("%s%s has shape %v: five dimensions are needed", from, name, x.Shape())
	}
	if s := x.Shape(); k.Task == "flamingo" { // [B, images, frames, patches, D]
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
	out, features := k.Tolerance.Out, "out.image_features"
	if k.Task == "flamingo" {
		features = "out.media"
	}
	k.add(verify.Absolute("tokens of images", verify.Widen(m.tokens(b).Data()), k.e.Numbers(features), out),
		k.e.Logits("logits", "out.logits", m.logits(b), b.mask, out))
	loss := m.Loss(b)
	k.add(verify.Absolute("loss", []float64{float64(loss.Item())}, k.e.Numbers("out.loss"), k.Tolerance.Loss))
	loss.Backward()
	grads := map[string]*tensor.Tensor{}
	for name, p := range nn.Params(m) {
		grads[name] = p.Grad()
	}
	k.add(k.e.Gradients(k.Tolerance, func(name string) *tensor.Tensor { return grads[canonical(name)] })...)
	for _, in := range []string{"in.", "in.gen."} {
		if err := k.rules(m, in); err != nil {
			return err
		}
	}
	if err := k.variants(b); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(k.Generation)) {
		if err := k.generate(m, name); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(k.Runs)) {
		fresh, err := k.load(false)
		if err != nil {
			return err
		}
		rows, err := traincase.Follow(k.e, name, k.Runs[name], fresh, []batch{b}, canonical, k.Tolerance)
		if err != nil {
			return err
		}
		k.add(rows...)
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
	if k.Task == "flamingo" && b.labels != nil {
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
		k.add(verify.IDs("labels of documents", got, want))
	}
	if !k.e.Has(in + "image_attention_mask") {
		return nil
	}
	want := k.e.Tensor(in + "image_attention_mask") // [B, T, images]
	if k.e.Err != nil {
		return k.e.Err
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
	k.add(verify.IDs(in+"image_attention_mask", got, rows))
	return nil
}

// variants compares the logits of the same weights with all images in sight, and with closed gates, where images must
// not change a bit.
func (k *check) variants(b batch) error {
	if k.e.Has("out.all_previous.logits") {
		m, err := k.load(true)
		if err != nil {
			return err
		}
		k.add(k.e.Logits("all_previous: logits", "out.all_previous.logits", m.logits(b), b.mask, k.Tolerance.Out))
	}
	if !k.e.Has("out.zero_gates.logits") {
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
	k.add(k.e.Logits("zero_gates: logits", "out.zero_gates.logits", closed, b.mask, k.Tolerance.Out))
	in := m.input(b)
	in.Context = nil
	bare := llm.Logits(m.VLM.Language, m.VLM.Language.Hidden(in))
	k.add(verify.Absolute("zero_gates: logits without images", verify.Widen(closed.Data()), verify.Widen(bare.Data()), 0))
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
		k.add(verify.IDs("generated ids, "+name+", "+how, verify.Padded(got.IDs, int32(o.PAD)), k.e.Rows("out.gen."+name)))
	}
	return nil
}
