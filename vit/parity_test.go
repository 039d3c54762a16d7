package vit

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/tensor/tensortest"
)

// reference is a folder that testdata/make.py wrote: a model of transformers and what it computes.
type reference struct {
	t *testing.T
	*nn.Weights

	Checkpoints []string
	Select      int `json:"select_layer"`
	Runs        map[string]struct {
		Steps int
		LR    float64
		Decay float64 `json:"weight_decay"`
	}
}

func openReference(t *testing.T, name string) reference {
	r := reference{t: t}
	raw, err := os.ReadFile(filepath.Join("testdata", name, "case.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, &r))
	r.Weights, err = nn.OpenWeights(filepath.Join("testdata", name, "expected.safetensors"))
	require.NoError(t, err)
	t.Cleanup(func() { r.Weights.Close() })
	return r
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

// close compares within 1e-4 absolute, which is 30 times what rounding makes of the reference itself.
func (r reference) close(got *tensor.Tensor, name string) {
	r.t.Helper()
	tensortest.Close(r.t, got, r.get(name), 1e-4, 0)
}

// gradients compares those of m with the recorded ones, by norm.
func (r reference) gradients(m any) {
	r.t.Helper()
	all, want := 0.0, map[string]*tensor.Tensor{}
	for _, n := range r.Names() {
		if tail, ok := strings.CutPrefix(n, "grad."); ok {
			g := r.get(n)
			name, _ := Canonical(tail)
			want[name] = g
			all += square(g.Data(), nil)
		}
	}
	if len(want) == 0 { // not every case has them, for the size of the repository
		return
	}
	for name, p := range nn.Params(m) {
		w, ok := want[name]
		if !ok {
			require.Nil(r.t, p.Grad(), "%s must have no gradient", name)
			continue
		}
		delete(want, name)
		require.NotNil(r.t, p.Grad(), name)
		off := math.Sqrt(square(p.Grad().Data(), w.Data()))
		require.LessOrEqual(r.t, off, 1e-3*math.Sqrt(square(w.Data(), nil))+1e-6*math.Sqrt(all), name)
	}
	require.Empty(r.t, want)
}

func square(a, b []float32) float64 {
	s := 0.0
	for i, v := range a {
		d := float64(v)
		if b != nil {
			d -= float64(b[i])
		}
		s += d * d
	}
	return s
}

func TestCLIPVision(t *testing.T) {
	for _, name := range []string{"clip_vision-quickgelu", "clip_vision-gelu"} {
		r := openReference(t, name)
		for _, dir := range r.Checkpoints {
			t.Run(name+"/"+dir, func(t *testing.T) {
				r.t = t
				tower, err := Load(filepath.Join("testdata", name, dir), nn.LoadOptions{})
				require.NoError(t, err)
				pixels := r.get("in.pixel_values")
				L := tower.Config().NumHiddenLayers
				states := tower.HiddenStates(pixels.NoGrad(), L)
				for i := range states {
					states[i] = states[i].Reshape(append([]int{1}, states[i].Shape()...)...)
				}
				r.close(tensor.Concat(0, states...), "out.hidden_states")
				r.close(tower.(*CLIPVision).Pooled(tower.HiddenStates(pixels.NoGrad(), L)[L]), "out.pooled")
				r.close(Features(tower, pixels.NoGrad(), Select{[]int{r.Select}, "cls_patch"}), "out.features.cls_patch")
				f := Features(tower, pixels, Select{[]int{r.Select}, "patch"})
				r.close(f, "out.features.patch")
				f.BackwardFrom(r.get("in.cotangent.features.patch"))
				r.gradients(tower)
			})
		}
	}
}

func TestSigLIPVision(t *testing.T) {
	r := openReference(t, "siglip_vision")
	for _, dir := range r.Checkpoints {
		t.Run(dir, func(t *testing.T) {
			r.t = t
			loaded, err := Load(filepath.Join("testdata", "siglip_vision", dir), nn.LoadOptions{})
			require.NoError(t, err)
			tower := loaded.(*SigLIPVision)
			states := tower.HiddenStates(r.get("in.pixel_values"), tower.Config().NumHiddenLayers)
			want := r.get("out.hidden_states")
			for i, h := range states {
				tensortest.Close(t, h, want.Slice(0, i, i+1).Reshape(h.Shape()...), 1e-4, 0)
			}
			last := tower.LastHidden(states[len(states)-1])
			pooled := tower.Pooled(last)
			r.close(last, "out.last_hidden_state")
			r.close(pooled, "out.pooled")
			last.Mul(r.get("in.cotangent.last_hidden_state")).Sum().Add(pooled.Mul(r.get("in.cotangent.pooled")).Sum()).Backward()
			r.gradients(tower)
		})
	}
}

func TestCLIP(t *testing.T) {
	for _, name := range []string{"clip", "clip-legacy_eos"} {
		r := openReference(t, name)
		for _, dir := range r.Checkpoints {
			t.Run(name+"/"+dir, func(t *testing.T) {
				r.t = t
				m, err := LoadCLIP(filepath.Join("testdata", name, dir), nn.LoadOptions{})
				require.NoError(t, err)
				b := r.clipBatch()
				image, text := m.EncodeImage(b.pixels), m.EncodeText(b.ids, b.lengths)
				r.close(image, "out.image_embeds")
				r.close(text, "out.text_embeds")
				h := m.TextHidden(b.ids, b.lengths)
				B, T, D := h.Dims3()
				for i, n := range b.lengths { // the rest means nothing
					row := func(x *tensor.Tensor) *tensor.Tensor { return x.Slice(0, i, i+1).Slice(1, 0, int(n)) }
					tensortest.Close(t, row(h), row(r.get("out.text_last_hidden_state").Reshape(B, T, D)), 1e-4, 0)
				}
				L := m.Config().Vision.NumHiddenLayers
				pooled := m.Tower().Pooled(m.Tower().HiddenStates(b.pixels, L)[L])
				r.close(pooled, "out.vision_pooled")
				logits := m.Logits(image, text)
				r.close(logits, "out.logits_per_image")
				loss := ContrastiveLoss(logits, nil)
				r.close(loss, "out.loss")
				loss.Backward()
				r.gradients(m)
			})
		}
		if r.Runs["adamw"].Steps == 0 {
			continue
		}
		t.Run(name+"/adamw", func(t *testing.T) {
			r.t = t
			m, err := LoadCLIP(filepath.Join("testdata", name), nn.LoadOptions{})
			require.NoError(t, err)
			r.train(m)
		})
	}
}

type clipBatch struct {
	pixels, ids *tensor.Tensor
	lengths     []int32
}

func (r reference) clipBatch() clipBatch {
	b := clipBatch{pixels: r.get("in.pixel_values"), ids: r.ints("in.input_ids")}
	B, T := b.ids.Dims2()
	mask := r.ints("in.attention_mask").IntData()
	for i := range B {
		n := int32(0)
		for _, m := range mask[i*T : (i+1)*T] {
			n += m
		}
		b.lengths = append(b.lengths, n)
	}
	return b
}

// train follows the recorded run with AdamW on all parameters of both towers.
func (r reference) train(m *CLIP) {
	run := r.Runs["adamw"]
	losses, norms := r.get("traj.adamw.loss").Data(), r.get("traj.adamw.grad_norm").Data()
	b := r.clipBatch()
	var items []tensor.AdamWItem
	for _, p := range nn.Params(m) {
		items = append(items, tensor.AdamWItem{Param: p, M: tensor.New(p.Shape()...), V: tensor.New(p.Shape()...)})
	}
	require.Len(r.t, losses, run.Steps)
	for s := range run.Steps {
		loss := ContrastiveLoss(m.Logits(m.EncodeImage(b.pixels), m.EncodeText(b.ids, b.lengths)), nil)
		require.InDelta(r.t, losses[s], loss.Item(), 1e-4, "step %d", s)
		loss.Backward()
		var grads []*tensor.Tensor
		for _, it := range items {
			grads = append(grads, it.Param.Grad())
		}
		require.InEpsilon(r.t, norms[s], tensor.GlobalNorm(grads), 1e-3, "step %d", s)
		tensor.AdamW(tensor.AdamWConfig{LR: run.LR, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, GradScale: 1, WeightDecay: run.Decay, Step: s + 1}, items)
		for _, it := range items {
			it.Param.ZeroGrad()
		}
	}
	found := 0
	for name, p := range nn.Params(m) {
		if want := "traj.adamw.final." + name; r.Has(want) {
			w := r.get(want)
			require.LessOrEqual(r.t, square(p.Data(), w.Data()), 0.005*0.005*square(w.Data(), nil), name)
			found++
		}
	}
	require.Greater(r.t, found, 3)
}
