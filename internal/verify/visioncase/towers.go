package visioncase

import (
	"fmt"

	"github.com/gollava/gollava/internal/verify"
	"github.com/gollava/gollava/internal/verify/traincase"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
)

// canonicalTower is vit.Canonical; buffers keep their names.
func canonicalTower(name string) string {
	if c, ok := vit.Canonical(name); ok {
		return c
	}
	return name
}

// stack joins hidden states into one tensor, layer outermost.
func stack(states []*tensor.Tensor) *tensor.Tensor {
	out := make([]*tensor.Tensor, len(states))
	for i, s := range states {
		out[i] = s.Reshape(append([]int{1}, s.Shape()...)...)
	}
	return tensor.Concat(0, out...)
}

// CLIPVision checks the task clip_vision.
func CLIPVision(dir string) ([]verify.Row, error) { return each(dir, clipVision) }

func clipVision(k *check) error {
	loaded, err := vit.Load(k.dir, nn.LoadOptions{DType: nn.As(tensor.Float32)})
	if err != nil {
		return err
	}
	tower, ok := loaded.(*vit.CLIPVision)
	if !ok {
		return fmt.Errorf("%s: the tower is no CLIP", k.dir)
	}
	pixels, cotangent := k.Tensor("in.pixel_values"), k.Tensor("in.cotangent.features.patch")
	if k.Err != nil {
		return k.Err
	}
	states := tower.HiddenStates(pixels.NoGrad(), tower.Config().NumHiddenLayers)
	k.Output("hidden_states", stack(states))
	k.Output("pooled", tower.Pooled(states[len(states)-1]))
	whole := vit.Select{Layers: []int{k.Select}, Class: "cls_patch"}
	k.Output("features.cls_patch", vit.Features(tower, pixels.NoGrad(), whole))
	f := vit.Features(tower, pixels, vit.Select{Layers: []int{k.Select}, Class: "patch"})
	k.Output("features.patch", f)
	f.BackwardFrom(cotangent)
	k.Gradients(tower, canonicalTower)
	return nil
}

// SigLIPVision checks the task siglip_vision.
func SigLIPVision(dir string) ([]verify.Row, error) { return each(dir, siglipVision) }

func siglipVision(k *check) error {
	loaded, err := vit.Load(k.dir, nn.LoadOptions{DType: nn.As(tensor.Float32)})
	if err != nil {
		return err
	}
	tower, ok := loaded.(*vit.SigLIPVision)
	if !ok {
		return fmt.Errorf("%s: the tower is no SigLIP", k.dir)
	}
	pixels := k.Tensor("in.pixel_values")
	byLast, byPooled := k.Tensor("in.cotangent.last_hidden_state"), k.Tensor("in.cotangent.pooled")
	if k.Err != nil {
		return k.Err
	}
	states := tower.HiddenStates(pixels.NoGrad(), tower.Config().NumHiddenLayers)
	k.Output("hidden_states", stack(states))
	states = tower.HiddenStates(pixels, tower.Config().NumHiddenLayers)
	last := tower.LastHidden(states[len(states)-1])
	pooled := tower.Pooled(last)
	k.Output("last_hidden_state", last)
	k.Output("pooled", pooled)
	last.Mul(byLast).Sum().Add(pooled.Mul(byPooled).Sum()).Backward()
	k.Gradients(tower, canonicalTower)
	return nil
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

// CLIP checks the task clip.
func CLIP(dir string) ([]verify.Row, error) { return each(dir, clip) }

func clip(k *check) error {
	m, err := vit.LoadCLIP(k.dir, nn.LoadOptions{DType: nn.As(tensor.Float32)})
	if err != nil {
		return err
	}
	b := pairs{pixels: k.Tensor("in.pixel_values"), ids: k.Tensor("in.input_ids")}
	mask := k.Ints("in.attention_mask")
	if k.Err != nil {
		return k.Err
	}
	B, T := b.ids.Dims2()
	if len(mask) != B*T {
		return fmt.Errorf("attention_mask has %d values for input_ids %v", len(mask), b.ids.Shape())
	}
	for row := range B {
		n := int32(0)
		for _, v := range mask[row*T : (row+1)*T] {
			n += v
		}
		b.lengths = append(b.lengths, n)
	}
	image, text := m.EncodeImage(b.pixels), m.EncodeText(b.ids, b.lengths)
	k.Output("image_embeds", image)
	k.Output("text_embeds", text)
	logits := m.Logits(image, text)
	k.Output("logits_per_image", logits)
	k.Masked("text_last_hidden_state", m.TextHidden(b.ids, b.lengths), mask)
	n := m.Config().Vision.NumHiddenLayers
	pooled := m.Tower().Pooled(m.Tower().HiddenStates(b.pixels.NoGrad(), n)[n])
	if want := k.Tensor("out.vision_pooled"); want != nil && want.Dim(-1) == m.Config().ProjectionDim {
		pooled = m.VisualProjection.Forward(pooled) // transformers 5 hands out the pooled output after its projection
	}
	k.Output("vision_pooled", pooled)
	loss := vit.ContrastiveLoss(logits, nil)
	k.Loss("loss", loss)
	loss.Backward()
	k.Gradients(m, canonicalTower)
	for _, name := range verify.Sorted(k.Runs) {
		for _, p := range nn.Params(m) {
			p.ZeroGrad()
		}
		fresh, err := vit.LoadCLIP(k.dir, nn.LoadOptions{DType: nn.As(tensor.Float32)})
		if err != nil {
			return err
		}
		if err := traincase.Follow(k.Report, name, k.Runs[name], contrast{fresh}, []pairs{b},
			canonicalTower); err != nil {
			return err
		}
	}
	return nil
}
