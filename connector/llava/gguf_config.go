package llava

import (
	"fmt"
	"math"
	"slices"

	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/internal/gguf"
	"github.com/gollava/gollava/vit"
)

// Keys of our own hold what GGUF has no key for, so that a model can be read again as it was.
const (
	ggufPixels    = "gollava.preprocessor_config" // preprocessor_config.json
	ggufTemplate  = "gollava.template"
	ggufSystem    = "gollava.system"
	ggufMaxLength = "gollava.tokenizer_model_max_length"
	ggufPadding   = "gollava.tokenizer_padding_side"
)

const clipVision = "clip.vision."

// readMMProj makes a config of the metadata and the tensor list of an mmproj, but for the language model, of which only
// Text.HiddenSize is known. Nothing is sized by its numbers before they are checked.
func readMMProj(k *gguf.Keys) (c Config, err error) {
	k.Need("general.architecture")
	if arch := k.Text("general.architecture"); k.Err == nil && arch != "clip" {
		k.Fail("general.architecture",
			"is %q: the vision part of a model (mmproj) has clip; is this its language model?", arch)
	}
	if !k.Bool("clip.has_vision_encoder", false) {
		k.Fail("clip.has_vision_encoder", "is not true: the file holds no vision tower")
	}
	for key, without := range map[string]bool{"clip.has_llava_projector": true, "clip.has_audio_encoder": false,
		"clip.use_silu": false} {
		if k.Bool(key, without) != without {
			k.Fail(key, "is %v, which is not supported", !without)
		}
	}
	k.Need("clip.projector_type")
	if kind := k.Text("clip.projector_type"); k.Err == nil && kind != "mlp" {
		k.Fail("clip.projector_type", "%q is not supported (mlp is)", kind)
	}
	c = Config{
		Aspect:      "pad",
		Select:      vit.Select{Class: "patch"},
		Template:    k.Text(ggufTemplate),
		PaddingSide: k.Text(ggufPadding),
		MaxLength:   k.Int(ggufMaxLength, 0, 0, math.MaxInt32),
	}
	if c.PaddingSide == "" {
		c.PaddingSide = "right"
	}
	if k.Has(ggufSystem) {
		system := k.Text(ggufSystem)
		c.System = &system
	}
	c.mmprojTower(k)
	c.mmprojLayers(k)
	c.mmprojProjector(k)
	c.mmprojTiles(k)
	c.mmprojPixels(k)
	if k.Err != nil {
		return c, k.Err
	}
	if err := c.Vision.Validate(); err != nil {
		return c, fmt.Errorf("%s: %w", k.Path(), err)
	}
	if c.Next() {
		if err := c.AnyRes().Validate(); err != nil {
			return c, fmt.Errorf("%s: %w", k.Path(), err)
		}
	}
	return c, nil
}

// mmprojTower reads the tower: a CLIP if there is a class token, else a SigLIP.
func (c *Config) mmprojTower(k *gguf.Keys) {
	c.Vision = vit.VisionConfig{ModelType: "clip_vision_model", NumChannels: 3, HiddenAct: "quick_gelu",
		ImageSize:         k.MustInt(clipVision+"image_size", 1, 1<<14),
		PatchSize:         k.MustInt(clipVision+"patch_size", 1, 1<<14),
		HiddenSize:        k.MustInt(clipVision+"embedding_length", 1, 1<<20),
		IntermediateSize:  k.MustInt(clipVision+"feed_forward_length", 1, 1<<20),
		NumHiddenLayers:   k.MustInt(clipVision+"block_count", 1, 1<<12),
		NumAttentionHeads: k.MustInt(clipVision+"attention.head_count", 1, 1<<16),
		ProjectionDim:     k.Int(clipVision+"projection_dim", 0, 0, 1<<20),
		LayerNormEps:      k.Float(clipVision+"attention.layer_norm_epsilon", 0)}
	v := &c.Vision
	if k.Need(clipVision+"attention.layer_norm_epsilon") && !(v.LayerNormEps > 0) {
		k.Fail(clipVision+"attention.layer_norm_epsilon", "is %v: it must be positive", v.LayerNormEps)
	}
	gelu, class := k.Bool("clip.use_gelu", false), 1
	if gelu {
		v.HiddenAct = "gelu" // transformers' name for what CLIP computes with it; llama.cpp approximates by tanh
	}
	if _, ok := k.Tensor("v.class_embd"); !ok {
		no := false
		if v.ModelType, v.UseHead, class = "siglip_vision_model", &no, 0; gelu {
			v.HiddenAct = "gelu_pytorch_tanh"
		}
	}
	if k.Err != nil {
		return
	}
	switch t, ok := k.Tensor("v.position_embd.weight"); {
	case v.PatchSize > v.ImageSize:
		k.Fail(clipVision+"patch_size", "is %d, more than the image_size %d", v.PatchSize, v.ImageSize)
	case v.HiddenSize%v.NumAttentionHeads != 0:
		k.Fail(clipVision+"attention.head_count", "is %d, which does not divide the embedding_length %d",
			v.NumAttentionHeads, v.HiddenSize)
	case !ok:
		k.Fail("v.position_embd.weight", "there is no such tensor")
	case len(t.Shape) != 2 || t.Shape[0] != c.patches()+class || t.Shape[1] != v.HiddenSize:
		k.Fail("v.position_embd.weight", "is %v: images of %d pixels in patches of %d need [%d %d]", t.Shape,
			v.ImageSize, v.PatchSize, c.patches()+class, v.HiddenSize)
	}
	for i := range v.NumHiddenLayers {
		name := fmt.Sprintf("v.blk.%d.ffn_down.weight", i)
		if _, ok := k.Tensor(name); !ok {
			k.Fail(clipVision+"block_count", "is %d, but there is no tensor %s", v.NumHiddenLayers, name)
			return
		}
	}
	if v.HiddenSize == v.IntermediateSize {
		k.Fail(
			clipVision+"feed_forward_length",
			"is %d, as is embedding_length: files of older converters exchange ffn_up and ffn_down, "+
				"and with equal widths nothing shows whether this one does; open the model in transformers' layout "+
				"instead",
			v.IntermediateSize,
		)
	}
}

// mmprojLayers reads which blocks' features are taken: feature_layer counts blocks that have run. Files of 2023 and
// 2024 lack the key and hold no more blocks than are needed.
func (c *Config) mmprojLayers(k *gguf.Keys) {
	const key = clipVision + "feature_layer"
	blocks := c.Vision.NumHiddenLayers
	c.Select.Layers = []int{blocks}
	if k.Has(key) {
		c.Select.Layers = nil
		for _, n := range k.Ints(key) {
			if n < 0 || n > int64(blocks) {
				k.Fail(key, "has %d: 0, the embeddings, to %d, the last block, are possible", n, blocks)
				return
			}
			c.Select.Layers = append(c.Select.Layers, int(n))
		}
		if len(c.Select.Layers) == 0 {
			k.Fail(key, "names no layer")
			return
		}
	}
	for i, n := range c.Select.Layers[1:] {
		if n <= c.Select.Layers[i] {
			k.Fail(key, "is %v: layers must be named once and in ascending order", c.Select.Layers)
		}
	}
	if _, ok := k.Tensor("v.post_ln.weight"); ok && slices.Max(c.Select.Layers) == blocks {
		k.Fail("v.post_ln.weight",
			"normalises what the last block returns, which is not supported: LLaVA takes its features before")
	}
}

// mmprojProjector tells the projector by its tensors.
func (c *Config) mmprojProjector(k *gguf.Keys) {
	c.Projector = "linear"
	last := "mm.0.weight"
	if _, ok := k.Tensor("mm.2.weight"); ok {
		c.Projector, last = "mlp2x_gelu", "mm.2.weight"
	}
	_, bias := k.Tensor("mm.0.bias")
	c.NoBias = !bias
	switch t, ok := k.Tensor(last); {
	case !ok:
		k.Fail(last, "there is no such tensor")
	case len(t.Shape) != 2:
		k.Fail(last, "is %v: it must be a matrix", t.Shape)
	default:
		c.Text.HiddenSize = t.Shape[0]
	}
}

// mmprojTiles reads how pictures are laid out. Without a word about it they are padded to squares, as LLaVA-1.5 and
// llama.cpp do.
func (c *Config) mmprojTiles(k *gguf.Keys) {
	const key = clipVision + "image_grid_pinpoints"
	aspect, points := k.Text(clipVision+"image_aspect_ratio"), k.Ints(key)
	merge := k.Text(clipVision + "mm_patch_merge_type")
	tiles := anyresMax.FindStringSubmatch(aspect)
	switch {
	case aspect == "square" || aspect == "pad":
		c.Aspect = aspect
		return
	case aspect != "" && tiles == nil:
		k.Fail(clipVision+"image_aspect_ratio", "%q is not supported (square, pad, anyres and anyres_max_N are)",
			aspect)
	case len(points) == 0 && tiles != nil:
		k.Fail(key, "is missing, but image_aspect_ratio is %s", aspect)
	case len(points)%2 != 0:
		k.Fail(key, "has %d numbers: pairs of a width and a height are needed", len(points))
	case merge != "" && merge != "spatial_unpad":
		k.Fail(clipVision+"mm_patch_merge_type", "%q is not supported (spatial_unpad is)", merge)
	}
	if k.Err != nil || len(points) == 0 {
		return
	}
	if c.Aspect = "anyres"; tiles != nil {
		fmt.Sscan(tiles[1], &c.MaxTiles)
	}
	for i := 0; i < len(points); i += 2 {
		for _, n := range points[i : i+2] {
			if n < 1 || n > 1<<16 {
				k.Fail(key, "has a side of %d pixels", n)
				return
			}
		}
		c.Canvases = append(c.Canvases, imaging.Size{W: int(points[i]), H: int(points[i+1])})
	}
}

// mmprojPixels reads the image processor.
func (c *Config) mmprojPixels(k *gguf.Keys) {
	mean, std := c.three(k, "image_mean"), c.three(k, "image_std")
	for i, v := range std {
		if k.Err == nil && !(v > 0) {
			k.Fail(clipVision+"image_std", "channel %d has %v: it must be positive", i, v)
		}
	}
	if k.Err != nil {
		return
	}
	c.pixels = c.processor()
	c.pixels.Mean, c.pixels.Std = mean, std
	if raw := k.Text(ggufPixels); raw != "" {
		p, err := imaging.ParseProcessor([]byte(raw))
		if err != nil {
			k.Fail(ggufPixels, "%v", err)
			return
		}
		c.pixels = p
	}
	c.Arrange(c.pixels)
}

// three is a number for each channel, which float32 has rounded.
func (c *Config) three(k *gguf.Keys, name string) (x [3]float64) {
	k.Need(clipVision + name)
	v := k.Floats(clipVision + name)
	if len(v) != 3 {
		k.Fail(clipVision+name, "has %d numbers: one for each of 3 channels is needed", len(v))
		return x
	}
	copy(x[:], v)
	return x
}
