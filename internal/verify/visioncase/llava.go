package visioncase

import (
	"context"
	"fmt"
	"strings"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/internal/verify"
	"github.com/gollava/gollava/internal/verify/traincase"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/lora"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// canonical is llava.Canonical; buffers keep their names.
func canonical(name string) string {
	if c, ok := llava.Canonical(name); ok {
		return c
	}
	return name
}

func (k *check) load() (*connector.VLM, error) {
	return llava.Load(k.dir, llava.LoadOptions{Tower: k.mmproj, DType: verify.InBlocks})
}

// pictures are those of a batch: the views one after another, the pictures' sizes where they are shown as tiles, and how many each sample has.
type pictures struct {
	pixels *tensor.Tensor // [V, 3, S, S]
	sizes  []imaging.Size
	views  []int // of each picture
	counts []int // of each sample
}

// sizes are those of the pictures under a prefix, if they are recorded.
func (k *check) sizes(in string) (list []imaging.Size) {
	if !k.Has(in + "image_sizes") {
		return nil
	}
	for _, hw := range k.Rows(in + "image_sizes") {
		if len(hw) != 2 {
			return nil
		}
		list = append(list, imaging.Size{W: int(hw[1]), H: int(hw[0])})
	}
	return list
}

// pictures reads those under a prefix ("in.").
func (k *check) pictures(in string) (p pictures, err error) {
	x := k.Tensor(in + "pixel_values")
	if k.Err != nil {
		return p, k.Err
	}
	if x.Rank() < 4 {
		return p, fmt.Errorf("%spixel_values %v: needs [images, 3, H, W], or views of them", in, x.Shape())
	}
	for range x.Dim(0) {
		p.views = append(p.views, 1)
	}
	if p.pixels = x; x.Rank() == 5 { // [images, views, 3, S, S], filled up with zeros to the most views
		most, rest := x.Dim(1), x.Shape()[2:]
		if p.views = k.Views; len(p.views) != x.Dim(0) {
			return p, fmt.Errorf("views_per_image %v for %d pictures", p.views, x.Dim(0))
		}
		var parts []*tensor.Tensor
		for i, n := range p.views {
			if n < 1 || n > most {
				return p, fmt.Errorf("views_per_image %v: at most %d are there", p.views, most)
			}
			parts = append(parts, x.Slice(0, i, i+1).Slice(1, 0, n).Reshape(append([]int{n}, rest...)...))
		}
		p.pixels = tensor.Concat(0, parts...)
		if p.sizes = k.sizes(in); p.sizes != nil && len(p.sizes) != len(p.views) {
			return p, fmt.Errorf("%simage_sizes has %d rows for %d pictures", in, len(p.sizes), len(p.views))
		}
	}
	if k.Has(in + "images_per_sample") {
		for _, n := range k.Ints(in + "images_per_sample") {
			p.counts = append(p.counts, int(n))
		}
	}
	return p, k.Err
}

// batch reads a batch under a prefix in which every feature has its token, and gives it the pictures.
func (k *check) batch(in string, p pictures) (connector.Batch, error) {
	b := connector.Batch{IDs: k.Tensor(in + "input_ids"), Mask: k.Ints(in + "attention_mask"), Pixels: p.pixels,
		Sizes: p.sizes, Pictures: p.counts}
	if k.Has(in + "labels") {
		b.Labels = k.Tensor(in + "labels")
	}
	if k.Has(in + "position_ids") {
		b.Positions = k.Ints(in + "position_ids")
	}
	if k.Err != nil {
		return b, k.Err
	}
	if b.IDs.Rank() != 2 || len(b.Mask) != b.IDs.Len() {
		return b, fmt.Errorf("%sattention_mask has %d values for input_ids %v", in, len(b.Mask), b.IDs.Shape())
	}
	if k.Image != nil { // the original layout has no token of its own for features
		for i, id := range b.IDs.IntData() {
			if id == *k.Image {
				b.IDs.IntData()[i] = chat.ImageIndex
			}
		}
	}
	return b, nil
}

// samples reads a batch under a prefix in which every picture has one −200.
func (k *check) samples(in string, p pictures) ([]connector.Sample, error) {
	ids := k.Rows(in + "input_ids")
	mask := k.RowsLike(in+"attention_mask", ids)
	var labels [][]int32
	if k.Has(in + "labels") {
		labels = k.RowsLike(in+"labels", ids)
	}
	if k.Err != nil {
		return nil, k.Err
	}
	var out []connector.Sample
	picture, view := 0, 0
	for row := range ids {
		s := connector.Sample{Name: fmt.Sprint(row)}
		for i, id := range ids[row] {
			if mask[row][i] == 0 {
				continue
			}
			s.IDs = append(s.IDs, id)
			if labels != nil {
				s.Labels = append(s.Labels, labels[row][i])
			}
			if id != chat.ImageIndex {
				continue
			}
			if picture == len(p.views) {
				return nil, fmt.Errorf("%s: more places than pictures", in)
			}
			n := p.views[picture]
			v := p.pixels.Slice(0, view, view+n)
			x := connector.Image{Pixels: imaging.Pixels{N: n, H: v.Dim(2), W: v.Dim(3), Data: v.Data()}}
			if p.sizes != nil {
				x.Size = p.sizes[picture]
			}
			s.Images = append(s.Images, x)
			picture, view = picture+1, view+n
		}
		out = append(out, s)
	}
	return out, nil
}

// LLaVA checks the tasks llava and llava_next: a model in the layouts of transformers.
func LLaVA(dir string) ([]verify.Row, error) { return each(dir, joined) }

func joined(k *check) error {
	m, err := k.load()
	if err != nil {
		return err
	}
	if err := k.everything(m); err != nil {
		return err
	}
	if !k.first {
		return nil
	}
	for _, sub := range k.Projectors {
		dir, err := verify.Inside(k.Dir, sub)
		if err != nil {
			return err
		}
		for _, p := range nn.Params(m.Connector) {
			clear(p.Data()) // so that only what is read counts
		}
		if err := llava.LoadProjector(m, dir, llava.LoadOptions{DType: verify.InBlocks}); err != nil {
			return err
		}
		k.Prefix = sub + ": "
		if err := k.everything(m); err != nil {
			return err
		}
		k.Prefix = ""
	}
	return nil
}

// everything compares features, logits, loss, gradients and generated ids of a batch with one token for each feature, and the logits of the same
// samples spliced.
func (k *check) everything(m *connector.VLM) error {
	p, err := k.pictures("in.")
	if err != nil {
		return err
	}
	b, err := k.batch("in.", p)
	if err != nil {
		return err
	}
	if err := m.Check(b); err != nil {
		return err
	}
	k.Output("image_features", m.Tokens(b))
	k.Masked("logits", llm.Logits(m.Language, m.Hidden(b)), b.Mask)
	loss := m.Loss(b)
	k.Loss("loss", loss)
	loss.Backward()
	k.Gradients(m, canonical)
	for _, t := range nn.Params(m) {
		t.ZeroGrad()
	}
	if k.Has("in.original.input_ids") {
		s, err := k.samples("in.original.", p)
		if err != nil {
			return err
		}
		spliced, err := m.Splice(s, false)
		if err != nil {
			return err
		}
		z := llm.Logits(m.Language, m.Hidden(spliced))
		k.Add(verify.Absolute("spliced logits", verify.Pick(verify.Widen(z.Data()), spliced.Mask),
			verify.Pick(k.Numbers("out.logits"), b.Mask), k.Tolerance.Out))
		k.Add(verify.Absolute("spliced loss", []float64{float64(m.Loss(spliced).Item())}, k.Numbers("out.loss"),
			k.Tolerance.Loss))
	}
	for _, name := range verify.Sorted(k.Generation) {
		if err := k.generate(m, name, p); err != nil {
			return err
		}
	}
	return nil
}

// generate compares the ids that a recorded generation made.
func (k *check) generate(m *connector.VLM, name string, p pictures) error {
	b, err := k.batch("in.gen.", p)
	if err != nil {
		return err
	}
	return k.continued(m, name, b)
}

// continued compares what a recorded generation made of a batch.
func (k *check) continued(m *connector.VLM, name string, b connector.Batch) error {
	o, err := k.Generation[name].Options()
	if err != nil {
		return fmt.Errorf("generation %s: %w", name, err)
	}
	out, err := m.Generate(context.Background(), b, o)
	if err != nil {
		return err
	}
	k.Add(verify.IDs("generated ids, "+name, verify.Padded(out.IDs, int32(o.PAD)), k.Rows("out.gen."+name)))
	return nil
}

// LLaVAOriginal checks the task llava_original: a model in the layout of LLaVA's own repository.
func LLaVAOriginal(dir string) ([]verify.Row, error) { return each(dir, llavaOriginal) }

func llavaOriginal(k *check) error {
	m, wrapped, names, err := k.loadOriginal()
	if err != nil {
		return err
	}
	p, err := k.pictures("in.")
	if err != nil {
		return err
	}
	s, err := k.samples("in.original.", p)
	if err != nil {
		return err
	}
	b, err := m.Splice(s, false)
	if err != nil {
		return err
	}
	k.Output("image_features", m.Tokens(b))
	k.Masked("logits", llm.Logits(m.Language, m.Hidden(b)), b.Mask)
	_, T := b.IDs.Dims2()
	var labels [][]int32
	for i := range len(s) {
		labels = append(labels, b.Labels.IntData()[i*T:(i+1)*T])
	}
	k.Add(verify.IDs("labels after the splice", labels, k.Rows("out.labels")))
	loss := m.Loss(b)
	k.Loss("loss", loss)
	if len(k.Under("grad.")) > 0 {
		loss.Backward()
		k.Gradients(wrapped, names)
	}
	if len(k.Runs) == 0 {
		return nil
	}
	var batches []connector.Batch
	for i := 0; k.Has(fmt.Sprintf("in.batch.%d.input_ids", i)); i++ {
		in := fmt.Sprintf("in.batch.%d.", i)
		p, err := k.pictures(in)
		if err != nil {
			return err
		}
		s, err := k.samples(in, p)
		if err != nil {
			return err
		}
		b, err := m.Splice(s, false)
		if err != nil {
			return err
		}
		batches = append(batches, b)
	}
	for _, name := range verify.Sorted(k.Runs) {
		m, err := k.load()
		if err != nil {
			return err
		}
		if err := traincase.Follow(k.Report, name, k.Runs[name], m, batches, canonical); err != nil {
			return err
		}
	}
	return nil
}

// loadOriginal reads the checkpoint, on top of a plain language model if the case has one. wrapped is what holds the parameters, whose names
// names translates the recorded ones into.
func (k *check) loadOriginal() (m *connector.VLM, wrapped any, names func(string) string, err error) {
	if k.Base == "" {
		m, err = k.load()
		return m, m, canonical, err
	}
	base, err := verify.Inside(k.Dir, k.Base)
	if err != nil {
		return nil, nil, nil, err
	}
	m, err = llava.Load(k.dir, llava.LoadOptions{Base: base, DType: verify.InBlocks})
	if err != nil {
		return nil, nil, nil, err
	}
	if _, err := lora.Load(m, k.dir, llava.Namings(m)...); err != nil {
		return nil, nil, nil, err
	}
	return m, m, func(name string) string { return canonical(strings.TrimPrefix(name, "base_model.model.")) }, nil
}
