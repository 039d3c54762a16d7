package verify

import (
	"fmt"
	"maps"

	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
	"github.com/gollava/gollava/vit"
)

// tower reads a vision tower of one kind.
func tower[T vit.Tower](r *Report) T {
	loaded := as32(vit.Load)(r)
	t, ok := loaded.(T)
	if !ok {
		failf("%s: the tower is a %T", r.Checkpoint, loaded)
	}
	return t
}

// states are the hidden states of pixel_values, all of which are compared.
func states(r *Report, t vit.Tower) []*tensor.Tensor {
	all := t.HiddenStates(r.tensor("in.pixel_values"), t.Config().NumHiddenLayers)
	r.output("hidden_states", stack(all))
	return all
}

// cotangent is the sum of y times what is recorded as in.cotangent.NAME.
func cotangent(r *Report, name string, y *tensor.Tensor) *tensor.Tensor {
	return y.Mul(r.tensor("in.cotangent." + name)).Sum()
}

func clipVision(r *Report, t *vit.CLIPVision) {
	all := states(r, t)
	r.output("pooled", t.Pooled(all[len(all)-1]))
	pixels := r.tensor("in.pixel_values")
	whole := vit.Select{Layers: []int{r.Select}, Class: "cls_patch"}
	r.output("features.cls_patch", vit.Features(t, pixels.NoGrad(), whole))
	f := vit.Features(t, pixels, vit.Select{Layers: []int{r.Select}, Class: "patch"})
	r.output("features.patch", f)
	r.backward(cotangent(r, "features.patch", f), t, named(vit.Canonical))
}

func siglipVision(r *Report, t *vit.SigLIPVision) {
	all := states(r, t)
	last := t.LastHidden(all[len(all)-1])
	pooled := t.Pooled(last)
	r.output("last_hidden_state", last)
	r.output("pooled", pooled)
	r.backward(cotangent(r, "last_hidden_state", last).Add(cotangent(r, "pooled", pooled)), t, named(vit.Canonical))
}

func dinov2Vision(r *Report, t *vit.DINOv2) {
	all := states(r, t)
	last := t.LastHidden(all[len(all)-1])
	r.output("last_hidden_state", last)
	r.output("pooled", last.Slice(1, 0, 1))
	large := t.LastHidden(t.Hidden(r.tensor("in.large.pixel_values"), t.Config().NumHiddenLayers))
	r.output("large.last_hidden_state", large)
	loss := cotangent(r, "last_hidden_state", last).Add(cotangent(r, "large.last_hidden_state", large))
	r.backward(loss, t, named(vit.Canonical))
}

func evaVision(r *Report, t *vit.EVAVision) {
	all := states(r, t)
	last := t.LastHidden(all[len(all)-1])
	r.output("last_hidden_state", last)
	r.output("pooled", t.Pooled(last))
	r.backward(cotangent(r, "last_hidden_state", last), t, nil)
}

// s2Features checks features of an image at several scales.
func s2Features(r *Report, t vit.Tower) {
	pixels := r.tensor("in.pixel_values")
	check(vit.CheckScales(t.Config(), r.Scales))
	for _, size := range r.Scales[:len(r.Scales)-1] {
		r.output(fmt.Sprintf("scaled.%d", size), vit.S2Scaled(pixels, size))
	}
	f := vit.S2Features(t, pixels, vit.Select{Layers: []int{r.Select}, Class: "patch"}, r.Scales)
	r.output("features", f)
	r.backward(cotangent(r, "features", f), t, named(vit.Canonical))
}

// pairs is a batch of images and their texts.
type pairs struct {
	pixels, ids *tensor.Tensor
	lengths     []int32
}

// contrast trains both towers of a CLIP.
type contrast struct {
	CLIP *vit.CLIP `param:",inline"`
}

func (m contrast) Loss(b pairs) *tensor.Tensor {
	return vit.ContrastiveLoss(m.CLIP.Logits(m.CLIP.EncodeImage(b.pixels), m.CLIP.EncodeText(b.ids, b.lengths)), nil)
}

func clip(r *Report, m *vit.CLIP) {
	text := r.batch("in.")
	b := pairs{pixels: r.tensor("in.pixel_values"), ids: text.ids, lengths: lengths(text)}
	z, w := m.EncodeImage(b.pixels), m.EncodeText(b.ids, b.lengths)
	r.output("image_embeds", z)
	r.output("text_embeds", w)
	logits := m.Logits(z, w)
	r.output("logits_per_image", logits)
	r.masked("text_last_hidden_state", m.TextHidden(b.ids, b.lengths), text.mask)
	n := m.Config().Vision.NumHiddenLayers
	pooled := m.Tower().Pooled(m.Tower().HiddenStates(b.pixels.NoGrad(), n)[n])
	if r.tensor("out.vision_pooled").Dim(-1) == m.Config().ProjectionDim {
		pooled = m.VisualProjection.Forward(pooled) // transformers 5 hands out the pooled output after its projection
	}
	r.output("vision_pooled", pooled)
	loss := vit.ContrastiveLoss(logits, nil)
	r.loss("loss", loss)
	r.backward(loss, m, named(vit.Canonical))
	for _, p := range maps.Collect(nn.Params(m)) {
		p.ZeroGrad()
	}
	follow(r, func(string, training) train.Model[pairs] { return contrast{as32(vit.LoadCLIP)(r)} }, []pairs{b},
		named(vit.Canonical))
}

// lengths counts the ones of each row of a mask, which must come first in it.
func lengths(b batch) []int32 {
	B, T := b.ids.Dims2()
	n := make([]int32, B)
	for i, v := range b.mask {
		if v != 0 {
			if int(n[i/T]) != i%T {
				failf("the mask of row %d is not padded at the right", i/T)
			}
			n[i/T]++
		}
	}
	return n
}

// tokenCounts checks what images of many sizes become in LLaVA-OneVision's grids.
func tokenCounts(r *Report, c struct{ File string }) {
	var list []struct {
		Tower     string
		ImageSize int    `json:"image_size"`
		PatchSize int    `json:"patch_size"`
		Aspect    string `json:"vision_aspect_ratio"`
		Size      [2]int // height and width
		Best      [2]int `json:"best_resolution"`
		Views     int
		Tokens    int
	}
	path := inside(r.Dir, c.File)
	readJSON(path, &list)
	for _, x := range list {
		var most int
		if _, err := fmt.Sscanf(x.Aspect, "anyres_max_%d", &most); err != nil || x.PatchSize < 1 {
			failf("%s: vision_aspect_ratio %q, patch_size %d", path, x.Aspect, x.PatchSize)
		}
		a := imaging.AnyRes{Tile: x.ImageSize, Side: x.ImageSize / x.PatchSize, Max: most, HF: true}
		for h := 1; h <= 6; h++ {
			for w := 1; w <= 6; w++ {
				a.Canvases = append(a.Canvases, imaging.Size{W: w * x.ImageSize, H: h * x.ImageSize})
			}
		}
		if err := a.Validate(); err != nil || x.Size[0] < 1 || x.Size[1] < 1 {
			failf("%s: size %v: %w", path, x.Size, err)
		}
		l := a.Layout(x.Size[1], x.Size[0])
		got := [4]int{l.Canvas.H, l.Canvas.W, 1 + l.Cols*l.Rows, l.Tokens} // canvas, views, tokens
		r.add(count(fmt.Sprintf("%s, %s: %d×%d", x.Tower, x.Aspect, x.Size[1], x.Size[0]), got,
			[4]int{x.Best[0], x.Best[1], x.Views, x.Tokens}))
	}
}
