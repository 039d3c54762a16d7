package vit_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
)

// S² with the tower's own size alone is the tower; what DINOv2 saves it loads; its patch features leave out registers.
func TestScalesAndRegisters(t *testing.T) {
	tower, err := vit.Load("testdata/s2_features", nn.LoadOptions{})
	require.NoError(t, err)
	r := rand.New(rand.NewPCG(1, 2))
	pixels := tensor.Randn(r, 1, 2, 3, 12, 12)
	s := vit.Select{Layers: []int{-2}, Class: "patch"}
	require.Equal(t, vit.Features(tower, pixels, s).Data(), vit.S2Features(tower, pixels, s, []int{12}).Data())
	require.ErrorContains(t, tensor.Catch(func() { vit.S2Features(tower, pixels, s, []int{12, 18}) }),
		"s2_scales [12 18]")

	dino, err := vit.Load("testdata/dinov2_vision-registers", nn.LoadOptions{})
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, vit.Save(dir, dino, nn.SaveOptions{}))
	again, err := vit.Load(dir, nn.LoadOptions{})
	require.NoError(t, err)
	pixels = tensor.Randn(r, 1, 1, 3, 16, 16)
	want := vit.Features(dino, pixels, s) // [1, 16, 24]
	require.Equal(t, []int{1, 16, 24}, want.Shape())
	require.Equal(t, want.Data(), vit.Features(again, pixels, s).Data())
	require.Equal(t, 4, dino.(*vit.DINOv2).Prefix())
}
