package blip2case

import (
	"context"
	"fmt"
	"slices"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/blip2"
	"github.com/gollava/gollava/internal/verify"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
	"github.com/gollava/gollava/vit"
)

// canonical is blip2.Canonical; buffers keep their names.
func canonical(name string) string {
	if c, ok := blip2.Canonical(name); ok {
		return c
	}
	return name
}

func (k *check) load() (*connector.VLM, error) {
	return blip2.Load(k.dir, blip2.LoadOptions{DType: nn.As(tensor.Float32)})
}

// batch reads the batch under a prefix ("in." or "in.gen."). Pictures and instructions that it does not have are those
// of the main batch.
func (k *check) batch(in string) (connector.Batch, error) {
	b := connector.Batch{IDs: k.Tensor(in + "input_ids"), Mask: k.Ints(in + "attention_mask")}
	at := func(name string) string {
		if !k.Has(in + name) {
			return "in." + name
		}
		return in + name
	}
	b.Pixels = k.Tensor(at("pixel_values"))
	if k.Has(in + "labels") {
		b.Labels = k.Tensor(in + "labels")
	}
	if ids := at("qformer_input_ids"); k.Has(ids) {
		mask := k.Tensor(at("qformer_attention_mask"))
		rows := k.Rows(ids)
		if k.Err != nil {
			return b, k.Err
		}
		n, err := lengths(mask)
		if err != nil {
			return b, err
		}
		if len(n) != len(rows) {
			return b, fmt.Errorf("%sqformer_attention_mask has %d rows for %d", in, len(n), len(rows))
		}
		for i, row := range rows {
			b.Instructions = append(b.Instructions, row[:n[i]])
		}
	}
	return b, k.Err
}

// Joined checks the tasks blip2 and instructblip.
func Joined(dir string) ([]verify.Row, error) { return each(dir, joined) }

// joined checks BLIP-2 and InstructBLIP: features, logits, loss, gradients, generated ids and the recorded runs.
func joined(k *check) error {
	m, err := k.load()
	if err != nil {
		return err
	}
	for _, p := range nn.Params(m) {
		p.SetTrainable(true)
	}
	b, err := k.batch("in.")
	if err != nil {
		return err
	}
	if err := m.Check(b); err != nil {
		return err
	}
	x := m.Connector.(*blip2.Connector)
	features := vit.Features(m.Vision, b.Pixels, m.Config().Select)
	k.Output("vision", x.Norm.Forward(features))
	k.Output("query_output", x.Instruct(b.Instructions).(*blip2.Connector).Query(features))
	k.Output("image_features", m.Tokens(b))
	k.Masked("logits", llm.Logits(m.Language, m.Hidden(b)), scored(b))
	loss := m.Loss(b)
	k.Loss("loss", loss)
	loss.Backward()
	k.Gradients(m, canonical)
	for _, name := range verify.Sorted(k.Generation) {
		if err := k.generate(m, name); err != nil {
			return err
		}
	}
	return follow(k, func() (train.Model[connector.Batch], error) { return k.load() }, b, canonical)
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

// generate compares the ids that a recorded generation made.
func (k *check) generate(m *connector.VLM, name string) error {
	o, err := k.Generation[name].Options()
	if err != nil {
		return fmt.Errorf("generation %s: %w", name, err)
	}
	b, err := k.batch("in.gen.")
	if err != nil {
		return err
	}
	out, err := m.Generate(context.Background(), b, o)
	if err != nil {
		return err
	}
	k.Add(verify.IDs("generated ids, "+name, verify.Padded(out.IDs, int32(o.PAD)), k.Rows("out.gen."+name)))
	return nil
}
