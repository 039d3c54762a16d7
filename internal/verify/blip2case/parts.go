package blip2case

import (
	"fmt"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
)

// vision checks EVA-ViT-g's tower.
func vision(k *check) error {
	loaded, err := vit.Load(k.dir, nn.LoadOptions{DType: nn.As(tensor.Float32)})
	if err != nil {
		return err
	}
	tower, ok := loaded.(*vit.EVAVision)
	if !ok {
		return fmt.Errorf("%s: the tower is a %T", k.dir, loaded)
	}
	pixels, cotangent := k.e.Tensor("in.pixel_values"), k.e.Tensor("in.cotangent.last_hidden_state")
	if k.e.Err != nil {
		return k.e.Err
	}
	states := tower.HiddenStates(pixels, tower.Config().NumHiddenLayers)
	k.output("hidden_states", stack(states))
	last := tower.LastHidden(states[len(states)-1])
	k.output("last_hidden_state", last)
	k.output("pooled", tower.Pooled(last))
	last.BackwardFrom(cotangent)
	k.gradients(tower, same)
	return nil
}
