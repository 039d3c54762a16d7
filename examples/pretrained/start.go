package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
)

// tower is the folder of the tower with centred features.
func (o options) tower() string { return filepath.Join(o.out, "tower") }

// centre saves the tower with features whose mean over images is zero: the mean goes off the bias that is added last
// to the features of the layer before the last. It is the same for all images and as large as what differs between
// them, so that otherwise the projector would learn it first, with steps too large for the rest.
func (o options) centre(tower vit.Tower, w *shapes.World) error {
	config := filepath.Join(o.tower(), "preprocessor_config.json")
	if _, err := os.Stat(config); err == nil {
		return nil
	}
	p, err := imaging.ReadProcessor(o.clip)
	if err != nil {
		return err
	}
	var mean *tensor.Tensor // [D]
	for i := range o.images {
		pixels, err := p.Process(imaging.FromImage(w.Scene(shapes.Train, i, shapes.Options{}).Image()))
		if err != nil {
			return err
		}
		x := tensor.Wrap(pixels.Data, pixels.N, 3, pixels.H, pixels.W).NoGrad()
		x = vit.Features(tower, x, vit.Select{Layers: []int{-2}, Class: "patch"}) // [1, P, D]
		x = x.Mean(0, 1).Scale(1 / float32(o.images))
		if mean != nil {
			x = x.Add(mean)
		}
		mean = x
	}
	last := fmt.Sprintf("encoder.layers.%d.mlp.fc2.bias", tower.Config().NumHiddenLayers-2)
	for name, bias := range nn.Params(tower) {
		if strings.HasSuffix(name, last) {
			bias.CopyFrom(bias.Sub(mean))
		}
	}
	if err := vit.Save(o.tower(), tower, nn.SaveOptions{}); err != nil {
		return err
	}
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return os.WriteFile(config, b, 0o644) // written last: its presence says that the folder is whole
}

// shrink makes the fresh projector's tokens about as large as the embeddings of words. PyTorch's initial weights are
// for inputs and outputs of size one, and the embeddings of SmolLM2 have a root mean square of 0.09.
func shrink(m *connector.VLM) {
	for name, p := range nn.Params(m) {
		if strings.HasPrefix(name, "multi_modal_projector.") {
			p.CopyFrom(p.Scale(0.1))
		}
	}
}
