package verify

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/lora"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
)

// loadLLaVA reads a checkpoint, on top of a plain language model if it is an adapter.
func loadLLaVA(r *Report) *connector.VLM {
	o := llava.LoadOptions{Tower: r.MMProj, DType: inBlocks}
	if r.Base != "" {
		o.Base = inside(r.Dir, r.Base)
	}
	m := must(llava.Load(r.Checkpoint, o))
	if r.Base != "" {
		must(lora.Load(m, r.Checkpoint, llava.Namings(m)...))
	}
	return m
}

// canonical translates names in LLaVA's files, and in PEFT's around them, into the model's.
func canonical(name string) string {
	return named(llava.Canonical)(strings.TrimPrefix(name, "base_model.model."))
}

// pictures are those of a batch: the views one after another, the images' sizes where they are shown as tiles, and how
// many images each sample has.
type pictures struct {
	pixels *tensor.Tensor // [V, 3, S, S]
	sizes  []imaging.Size
	views  []int // of each image
	counts []int // of each sample
}

// sizes are those of the images under a prefix, if they are recorded.
func sizes(r *Report, in string) (list []imaging.Size) {
	if !r.has(in + "image_sizes") {
		return nil
	}
	for _, hw := range r.table(in + "image_sizes") {
		if len(hw) != 2 {
			return nil
		}
		list = append(list, imaging.Size{W: int(hw[1]), H: int(hw[0])})
	}
	return list
}

// readPictures reads those under a prefix ("in.").
func readPictures(r *Report, in string) (p pictures) {
	x := r.tensor(in + "pixel_values")
	if x.Rank() < 4 {
		failf("%spixel_values %v: needs [images, 3, H, W], or views of them", in, x.Shape())
	}
	for range x.Dim(0) {
		p.views = append(p.views, 1)
	}
	if p.pixels = x; x.Rank() == 5 { // [images, views, 3, S, S], filled up with zeros to the most views
		most, rest := x.Dim(1), x.Shape()[2:]
		if p.views = r.Views; len(p.views) != x.Dim(0) {
			failf("views_per_image %v for %d pictures", p.views, x.Dim(0))
		}
		var parts []*tensor.Tensor
		for i, n := range p.views {
			if n < 1 || n > most {
				failf("views_per_image %v: at most %d are there", p.views, most)
			}
			parts = append(parts, x.Slice(0, i, i+1).Slice(1, 0, n).Reshape(append([]int{n}, rest...)...))
		}
		p.pixels = tensor.Concat(0, parts...)
		if p.sizes = sizes(r, in); p.sizes != nil && len(p.sizes) != len(p.views) {
			failf("%simage_sizes has %d rows for %d pictures", in, len(p.sizes), len(p.views))
		}
	}
	if r.has(in + "images_per_sample") {
		for _, n := range r.ints(in + "images_per_sample") {
			p.counts = append(p.counts, int(n))
		}
	}
	return p
}

// llavaBatch reads a batch under a prefix in which every feature has its token, and gives it the pictures.
func llavaBatch(r *Report, in string, p pictures) connector.Batch {
	b := r.batch(in)
	if r.Image != nil { // the original layout has no token of its own for features
		for i, id := range b.ids.IntData() {
			if id == *r.Image {
				b.ids.IntData()[i] = chat.ImageIndex
			}
		}
	}
	return connector.Batch{IDs: b.ids, Mask: b.mask, Labels: b.labels, Positions: b.positions, Pixels: p.pixels,
		Sizes: p.sizes, Pictures: p.counts}
}

// spliced reads a batch under a prefix in which every image has one −200, and splices it.
func spliced(r *Report, m *connector.VLM, in string, p pictures) connector.Batch {
	b := r.batch(in)
	if b.labels != nil && b.labels.Len() != b.ids.Len() {
		failf("%slabels have other dimensions than input_ids", in)
	}
	var samples []connector.Sample
	picture, view, T := 0, 0, b.ids.Dim(1)
	for row, ids := range rowsOf(b.ids) {
		s := connector.Sample{Name: fmt.Sprint(row)}
		for t, id := range ids {
			if b.mask[row*T+t] == 0 {
				continue
			}
			s.IDs = append(s.IDs, id)
			if b.labels != nil {
				s.Labels = append(s.Labels, b.labels.IntData()[row*T+t])
			}
			if id != chat.ImageIndex {
				continue
			}
			if picture == len(p.views) {
				failf("%s: more places than pictures", in)
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
		samples = append(samples, s)
	}
	return must(m.Splice(samples, false))
}

// llavaModel checks a model in the layouts of transformers, and projectors alone with the rest of it.
func llavaModel(r *Report, m *connector.VLM) {
	llavaOutputs(r, m)
	if r.Checkpoint != inside(r.Dir, r.Checkpoints[0].Model) {
		return
	}
	for _, sub := range r.Projectors {
		for _, p := range nn.Params(m.Connector) {
			clear(p.Data()) // so that only what is read counts
		}
		check(llava.LoadProjector(m, inside(r.Dir, sub), llava.LoadOptions{DType: inBlocks}))
		r.Prefix = sub + ": "
		llavaOutputs(r, m)
	}
}

// llavaOutputs compares features, logits, loss, gradients and generated ids of a batch with one token for each feature,
// and the logits of the same samples spliced.
func llavaOutputs(r *Report, m *connector.VLM) {
	p := readPictures(r, "in.")
	b := llavaBatch(r, "in.", p)
	check(m.Check(b))
	r.output("image_features", m.Tokens(b))
	r.masked("logits", llm.Logits(m.Language, m.Hidden(b)), b.Mask)
	loss := m.Loss(b)
	r.loss("loss", loss)
	r.backward(loss, m, canonical)
	for _, t := range nn.Params(m) {
		t.ZeroGrad()
	}
	if r.has("in.original.input_ids") {
		s := spliced(r, m, "in.original.", p)
		z := llm.Logits(m.Language, m.Hidden(s))
		r.within("spliced logits", pick(widen(z.Data()), s.Mask), pick(r.numbers("out.logits"), b.Mask),
			r.Tolerance.Out)
		r.within("spliced loss", []float64{float64(m.Loss(s).Item())}, r.numbers("out.loss"), r.Tolerance.Loss)
	}
	r.generations(false, func(o llm.Options) (llm.Generated, error) {
		return m.Generate(context.Background(), llavaBatch(r, "in.gen.", p), o)
	})
}

// llavaOriginal checks a model in the layout of LLaVA's own repository.
func llavaOriginal(r *Report, m *connector.VLM) {
	b := spliced(r, m, "in.original.", readPictures(r, "in."))
	r.output("image_features", m.Tokens(b))
	r.masked("logits", llm.Logits(m.Language, m.Hidden(b)), b.Mask)
	r.add(sameIDs("labels after the splice", rowsOf(b.Labels), r.table("out.labels")))
	loss := m.Loss(b)
	r.loss("loss", loss)
	if len(r.under("grad.")) > 0 {
		r.backward(loss, m, canonical)
	}
	var batches []connector.Batch
	for i := 0; r.has(fmt.Sprintf("in.batch.%d.input_ids", i)); i++ {
		in := fmt.Sprintf("in.batch.%d.", i)
		batches = append(batches, spliced(r, m, in, readPictures(r, in)))
	}
	follow(r, func(string, training) train.Model[connector.Batch] { return loadLLaVA(r) }, batches, canonical)
}

// llavaGGUF checks a model whose two files are in GGUF: features, the logits of supervised tokens and the loss, what
// the vision part's file says, and that the model computes the same after it was written and read again.
func llavaGGUF(r *Report, m *connector.VLM) {
	b := llavaBatch(r, "in.", readPictures(r, "in."))
	check(m.Check(b))
	features, loss := m.Tokens(b), m.Loss(b)
	r.output("image_features", features)
	r.output("supervised_logits", supervised(llm.Logits(m.Language, m.Hidden(b)), b.Labels))
	r.loss("loss", loss)
	if r.Described.MMProj != "" {
		r.add(ggufSaid(inside(r.Dir, r.Described.MMProj), r.MMProj))
	}
	temporary(func(dir string) {
		must(llava.SaveGGUF(filepath.Join(dir, "model.gguf"), &connector.Assistant{Model: m}, llm.GGUFOptions{Type: "f32"}))
		again := must(llava.Load(dir, llava.LoadOptions{}))
		r.castWeights(again)
		r.within("features, written and read again", widen(again.Tokens(b).Data()), widen(features.Data()),
			r.Tolerance.Out)
		r.within("loss, written and read again", widen(again.Loss(b).Data()), widen(loss.Data()), r.Tolerance.Loss)
	})
}

// supervised picks from logits [B, T, V] the rows t whose next token has a label: [N, V].
func supervised(logits, labels *tensor.Tensor) *tensor.Tensor {
	B, T, V := logits.Dims3()
	var rows []int32
	for i, label := range labels.IntData() {
		if i%T > 0 && label >= 0 {
			rows = append(rows, int32(i-1))
		}
	}
	return tensor.Gather(logits.Reshape(B*T, V), tensor.WrapInts(rows, len(rows)))
}
