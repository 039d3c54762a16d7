package visioncase

import (
	"fmt"
	"path/filepath"

	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/internal/verify"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
)

// DINOv2Vision checks the task dinov2_vision.
func DINOv2Vision(dir string) ([]verify.Row, error) { return each(dir, dinov2Vision) }

func dinov2Vision(k *check) error {
	loaded, err := vit.Load(k.dir, nn.LoadOptions{DType: nn.As(tensor.Float32)})
	if err != nil {
		return err
	}
	tower, ok := loaded.(*vit.DINOv2)
	if !ok {
		return fmt.Errorf("%s: the tower is no DINOv2", k.dir)
	}
	pixels, large := k.Tensor("in.pixel_values"), k.Tensor("in.large.pixel_values")
	by, byLarge := k.Tensor("in.cotangent.last_hidden_state"), k.Tensor("in.cotangent.large.last_hidden_state")
	if k.Err != nil {
		return k.Err
	}
	n := tower.Config().NumHiddenLayers
	states := tower.HiddenStates(pixels, n)
	k.Output("hidden_states", stack(states))
	last := tower.LastHidden(states[n])
	k.Output("last_hidden_state", last)
	k.Output("pooled", last.Slice(1, 0, 1))
	other := tower.LastHidden(tower.Hidden(large, n))
	k.Output("large.last_hidden_state", other)
	last.Mul(by).Sum().Add(other.Mul(byLarge).Sum()).Backward()
	k.Gradients(tower, canonicalTower)
	return nil
}

// S2Features checks the task s2_features.
func S2Features(dir string) ([]verify.Row, error) { return each(dir, s2Features) }

func s2Features(k *check) error {
	tower, err := vit.Load(k.dir, nn.LoadOptions{DType: nn.As(tensor.Float32)})
	if err != nil {
		return err
	}
	pixels, cotangent := k.Tensor("in.pixel_values"), k.Tensor("in.cotangent.features")
	if k.Err != nil {
		return k.Err
	}
	if err := vit.CheckScales(tower.Config(), k.Scales); err != nil {
		return err
	}
	for _, size := range k.Scales[:len(k.Scales)-1] {
		k.Output(fmt.Sprintf("scaled.%d", size), vit.S2Scaled(pixels, size))
	}
	f := vit.S2Features(tower, pixels, vit.Select{Layers: []int{k.Select}, Class: "patch"}, k.Scales)
	k.Output("features", f)
	f.BackwardFrom(cotangent)
	k.Gradients(tower, canonicalTower)
	return nil
}

// TokenCounts checks the task token_counts: what images of many sizes become in LLaVA-OneVision's grids.
func TokenCounts(dir string) ([]verify.Row, error) {
	return verify.Check(dir, func(r *verify.Report, c struct{ File string }) error {
		path, err := verify.Inside(dir, c.File)
		if err != nil {
			return err
		}
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
		if err := verify.ReadJSON(filepath.Clean(path), &list); err != nil {
			return err
		}
		for _, x := range list {
			var most int
			if _, err := fmt.Sscanf(x.Aspect, "anyres_max_%d", &most); err != nil || x.PatchSize < 1 {
				return fmt.Errorf("%s: vision_aspect_ratio %q, patch_size %d", path, x.Aspect, x.PatchSize)
			}
			a := imaging.AnyRes{Tile: x.ImageSize, Side: x.ImageSize / x.PatchSize, Max: most, HF: true}
			for h := 1; h <= 6; h++ {
				for w := 1; w <= 6; w++ {
					a.Canvases = append(a.Canvases, imaging.Size{W: w * x.ImageSize, H: h * x.ImageSize})
				}
			}
			if err := a.Validate(); err != nil || x.Size[0] < 1 || x.Size[1] < 1 {
				return fmt.Errorf("%s: size %v: %w", path, x.Size, err)
			}
			l := a.Layout(x.Size[1], x.Size[0])
			got := [4]int{l.Canvas.H, l.Canvas.W, 1 + l.Cols*l.Rows, l.Tokens}
			want := [4]int{x.Best[0], x.Best[1], x.Views, x.Tokens}
			row := verify.Row{What: fmt.Sprintf("%s, %s: %d×%d", x.Tower, x.Aspect, x.Size[1], x.Size[0]),
				Pass:   got == want,
				Detail: fmt.Sprintf("canvas, views, tokens: %v", got)}
			if !row.Pass {
				row.MaxAbs, row.Detail = 1, row.Detail+fmt.Sprintf(" instead of %v", want)
			}
			r.Add(row)
		}
		return nil
	})
}
