package llava

import (
	"context"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/tensor/tensortest"
)

// reference is what testdata/make.py recorded of a model.
type reference struct {
	t *testing.T
	*nn.Weights
}

func openReference(t *testing.T, name string) reference {
	w, err := nn.OpenWeights(filepath.Join("testdata", name, "expected.safetensors"))
	require.NoError(t, err)
	t.Cleanup(func() { w.Close() })
	return reference{t, w}
}

func (r reference) get(name string) *tensor.Tensor {
	x, err := r.Read(name, tensor.Float32)
	require.NoError(r.t, err)
	return x
}

func (r reference) ints(name string) *tensor.Tensor {
	x, err := r.Read(name, tensor.Int32)
	require.NoError(r.t, err)
	return x
}

func (r reference) rows(name string) [][]int32 {
	x := r.ints(name)
	n, w := x.Dims2()
	rows := make([][]int32, n)
	for i := range rows {
		rows[i] = x.IntData()[i*w : (i+1)*w]
	}
	return rows
}

// views are the pictures' views, one after another; views says how many of the stored ones each picture has.
func (r reference) views(views []int) (pixels *tensor.Tensor, sizes []imaging.Size) {
	x := r.get("in.pixel_values")
	if views == nil {
		return x, nil
	}
	var parts []*tensor.Tensor
	for i, n := range views {
		parts = append(parts, x.Slice(0, i, i+1).Slice(1, 0, n).Reshape(n, 3, 8, 8))
	}
	for _, hw := range r.rows("in.image_sizes") {
		sizes = append(sizes, imaging.Size{W: int(hw[1]), H: int(hw[0])})
	}
	return tensor.Concat(0, parts...), sizes
}

// batch has one token for each feature.
func (r reference) batch(in string, views []int) connector.Batch {
	b := connector.Batch{IDs: r.ints(in + "input_ids"), Mask: r.ints(in + "attention_mask").IntData()}
	for i, id := range b.IDs.IntData() {
		if id == 23 { // the original layout has no id for it
			b.IDs.IntData()[i] = chat.ImageIndex
		}
	}
	if r.Has(in + "labels") {
		b.Labels = r.ints(in + "labels")
	}
	for _, n := range r.ints("in.images_per_sample").IntData() {
		b.Pictures = append(b.Pictures, int(n))
	}
	b.Pixels, b.Sizes = r.views(views)
	return b
}

// samples have one place for each picture.
func (r reference) samples(views []int) []connector.Sample {
	pixels, sizes := r.views(views)
	ids, mask, labels := r.rows("in.original.input_ids"), r.rows("in.original.attention_mask"), r.rows("in.original.labels")
	var out []connector.Sample
	picture, view := 0, 0
	for i := range ids {
		var s connector.Sample
		for t, id := range ids[i] {
			if mask[i][t] == 0 {
				continue
			}
			s.IDs, s.Labels = append(s.IDs, id), append(s.Labels, labels[i][t])
			if id == chat.ImageIndex {
				n := 1
				var x connector.Image
				if views != nil {
					n, x.Size = views[picture], sizes[picture]
				}
				x.Pixels = imaging.Pixels{N: n, H: 8, W: 8, Data: pixels.Slice(0, view, view+n).Data()}
				s.Images = append(s.Images, x)
				picture, view = picture+1, view+n
			}
		}
		out = append(out, s)
	}
	return out
}

// logits compares those of a batch with the recorded ones where there is text or picture.
func (r reference) logits(m *connector.VLM, b connector.Batch) {
	r.t.Helper()
	got, want := llm.Logits(m.Language, m.Hidden(b)), r.get("out.logits")
	B, T := b.IDs.Dims2()
	V := got.Dim(2)
	mask := r.ints("in.attention_mask").IntData()
	var a, w []float32
	for i := range B * T {
		if b.Mask[i] != 0 {
			a = append(a, got.Data()[i*V:(i+1)*V]...)
		}
	}
	for i, real := range mask {
		if real != 0 {
			w = append(w, want.Data()[i*V:(i+1)*V]...)
		}
	}
	tensortest.Close(r.t, tensor.Wrap(a, len(a)), tensor.Wrap(w, len(w)), 1e-4, 0)
}

// everything compares features, logits, loss, gradients and generated ids.
func (r reference) everything(m *connector.VLM, views []int) {
	r.t.Helper()
	b := r.batch("in.", views)
	tensortest.Close(r.t, m.Tokens(b), r.get("out.image_features"), 1e-4, 0)
	r.logits(m, b)
	loss := m.Loss(b)
	require.InDelta(r.t, r.get("out.loss").Item(), loss.Item(), 1e-4)
	loss.Backward()
	grads := map[string]*tensor.Tensor{}
	for name, p := range nn.Params(m) {
		grads[name] = p.Grad()
	}
	compared := 0
	for _, n := range r.Names() {
		if tail, ok := strings.CutPrefix(n, "grad."); ok {
			name, _ := Canonical(tail)
			require.NotNil(r.t, grads[name], name)
			want, off := 0.0, 0.0
			for i, w := range r.get(n).Data() {
				d := float64(grads[name].Data()[i] - w)
				off, want = off+d*d, want+float64(w)*float64(w)
			}
			require.LessOrEqual(r.t, math.Sqrt(off), 1e-3*math.Sqrt(want), name)
			compared++
		}
	}
	require.GreaterOrEqual(r.t, compared, 5)
	for _, p := range nn.Params(m) {
		p.ZeroGrad()
	}

	spliced, err := m.Splice(r.samples(views), false)
	require.NoError(r.t, err)
	r.logits(m, spliced)
	require.InDelta(r.t, r.get("out.loss").Item(), m.Loss(spliced).Item(), 1e-4)

	out, err := m.Generate(context.Background(), r.batch("in.gen.", views), llm.Options{MaxNewTokens: 6, EOS: []int{}})
	require.NoError(r.t, err)
	require.Equal(r.t, r.rows("out.gen.greedy"), out.IDs)
}

func TestEveryLayout(t *testing.T) {
	r := openReference(t, "llava")
	for _, layout := range []string{"transformers-5", "transformers-4", "transformers-4.52-native", "transformers-5-native", "original", "original-with-tower", "original-bin"} {
		t.Run(layout, func(t *testing.T) {
			r.t = t
			m, err := Load(filepath.Join("testdata", "llava", layout), LoadOptions{})
			require.NoError(t, err)
			r.everything(m, nil)
		})
	}
}

func TestLayers(t *testing.T) {
	r := openReference(t, "llava_layers")
	m, err := Load(filepath.Join("testdata", "llava_layers"), LoadOptions{})
	require.NoError(t, err)
	require.Equal(t, []int{-1, 0, -2}, ConfigOf(m).Select.Layers)
	r.everything(m, nil)

	dir := t.TempDir()
	require.NoError(t, Save(dir, m, SaveOptions{}))
	again, err := Load(dir, LoadOptions{})
	require.NoError(t, err)
	r.everything(again, nil)
	require.ErrorContains(t, Save(dir, m, SaveOptions{Layout: Original}), "one mm_vision_select_layer, not [-1 0 -2]")
}

func TestNext(t *testing.T) {
	r := openReference(t, "llava_next")
	m, err := Load(filepath.Join("testdata", "llava_next"), LoadOptions{})
	require.NoError(t, err)
	views := []int{4, 5}
	r.everything(m, views)

	dir := t.TempDir() // the pinpoints change their order from height, width to width, height
	require.NoError(t, Save(dir, m, SaveOptions{Layout: Original}))
	again, err := Load(dir, LoadOptions{})
	require.NoError(t, err)
	r.everything(again, views)
}
