package vit

import (
	"fmt"
	"slices"

	"github.com/gollava/gollava/tensor"
)

// S2Features are features at several scales, with a tower for images of S pixels: pixels [B, 3, L, L] are resized to
// each scale, in pixels and ascending, cut into tiles of S, each of which passes the tower; the tiles' features are
// laid together, averaged down to the S/p × S/p of one view, and the scales' lie side by side: [B, P, D·scales]. Each
// scale is a multiple of S. It panics for others, and for a selection with class tokens. Source: Shi et al. 2024, "When
// Do We Not Need Larger Vision Models?"; LLaVA's CLIPVisionTowerS2.
func S2Features(t Tower, pixels *tensor.Tensor, s Select, scales []int) *tensor.Tensor {
	if err := CheckScales(t.Config(), scales); err != nil {
		tensor.Fail("S2Features", "%v", err)
	}
	S := t.Config().ImageSize
	var parts []*tensor.Tensor
	for _, size := range scales {
		x := S2Scaled(pixels, size) // [B, 3, k·S, k·S]
		B, C, _, _ := x.Dims4()
		k := size / S
		x = x.Reshape(B, C, k, S, k, S).Transpose(0, 2, 4, 1, 3, 5).Reshape(B*k*k, C, S, S)
		f := Features(t, x, s) // [B·k², P, D]
		P, D := f.Dim(1), f.Dim(2)
		g := S / t.Config().PatchSize
		if g*g != P {
			tensor.Fail("S2Features", "%d features a view; scales need %d×%d", P, g, g)
		}
		f = f.Reshape(B, k, k, g, g, D).Transpose(0, 5, 1, 3, 2, 4).Reshape(B, D, k*g, k*g)
		parts = append(parts, tensor.AvgPool(f, tensor.PoolConfig{Kernel: []int{k}})) // [B, D, g, g]
	}
	x := tensor.Concat(1, parts...) // [B, D·scales, g, g]
	B, C, g, _ := x.Dims4()
	return x.Reshape(B, C, g*g).Transpose(0, 2, 1)
}

// S2Scaled resizes pixels [B, 3, H, W] to size×size, bicubic and without antialiasing, as S² does.
func S2Scaled(pixels *tensor.Tensor, size int) *tensor.Tensor {
	if _, _, H, W := pixels.Dims4(); H == size && W == size {
		return pixels
	}
	return tensor.Interpolate(pixels, size, size, tensor.InterpolateConfig{Mode: tensor.Bicubic})
}

// CheckScales returns an error if S² cannot show a tower images of the given sizes.
func CheckScales(c VisionConfig, scales []int) error {
	if len(scales) == 0 || !slices.IsSorted(scales) {
		return fmt.Errorf("s2_scales %v: sizes in ascending order are needed", scales)
	}
	for _, n := range scales {
		if n < c.ImageSize || n%c.ImageSize != 0 || n > 1<<14 {
			return fmt.Errorf("s2_scales %v: multiples of the tower's %d pixels are needed", scales, c.ImageSize)
		}
	}
	return nil
}
