package llava

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/internal/gguf"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// SaveGGUF writes the model as llama.cpp takes it: the language model with its tokenizer to path, as [llm.SaveGGUF]
// does, and the vision part beside it to mmproj-NAME, whose name it returns. [Open] reads both. The tokenizer may be
// nil; o.Metadata are of the language model's file.
//
// The vision part's matrices are float16, or float32 or bfloat16 where o.Type says so; the patch embedding is always
// float16, positions and vectors float32. Blocks that no feature is taken from are left out. What the format cannot
// express is an error: projectors of other depths than one or two, those that merge patches, feature selections with
// the class token, and mm_use_im_start_end.
func SaveGGUF(path string, a *connector.Assistant, o llm.GGUFOptions) (mmproj string, err error) {
	c := ConfigOf(a.Model)
	if !slices.Contains(llm.GGUFTypes(), o.Type) { // before anything is written
		return "", fmt.Errorf("save %s: type %q is not known (%s are)", path, o.Type,
			strings.Join(llm.GGUFTypes(), ", "))
	}
	matrix := gguf.F16
	switch o.Type {
	case "f32":
		matrix = gguf.F32
	case "bf16":
		matrix = gguf.BF16
	}
	mmproj = mmprojFor(path)
	meta, err := c.mmproj(a.Processor, matrix)
	if err != nil {
		return "", fmt.Errorf("save %s: %w", mmproj, err)
	}
	tensors, err := mmprojTensors(a.Model, matrix, o.OnTensor)
	if err != nil {
		return "", fmt.Errorf("save %s: %w", mmproj, err)
	}
	if a.Tokenizer != nil {
		of, err := a.Tokenizer.GGUF(c.Text.VocabSize)
		if err != nil {
			return "", fmt.Errorf("save %s: %w", path, err)
		}
		maps.Copy(of, o.Metadata)
		o.Metadata = of
	}
	if err := llm.SaveGGUF(path, a.Model.Language, o); err != nil {
		return "", err
	}
	return mmproj, gguf.Write(mmproj, meta, tensors)
}

// mmproj are the metadata of the vision part.
func (c Config) mmproj(p *imaging.Processor, matrix gguf.Type) (map[string]any, error) {
	v := c.Vision
	layers, err := c.Select.Indices(v.NumHiddenLayers)
	if err != nil {
		return nil, err
	}
	class := v.ModelType != "siglip_vision_model"
	gelu := map[bool]string{true: "gelu", false: "gelu_pytorch_tanh"}[class]
	deepest := slices.Max(layers)
	switch {
	case c.Second != nil:
		return nil, fmt.Errorf("two vision towers cannot be expressed in GGUF")
	case c.Scales != nil:
		return nil, fmt.Errorf("s2_scales %v cannot be expressed in GGUF", c.Scales)
	case v.ModelType != "clip_vision_model" && v.ModelType != "siglip_vision_model":
		return nil, fmt.Errorf(
			"a tower of model_type %s cannot be expressed in GGUF (clip_vision_model and siglip_vision_model can)",
			v.ModelType)
	case c.Projector != "linear" && c.Projector != "mlp2x_gelu":
		return nil, fmt.Errorf("mm_projector_type %s cannot be expressed in GGUF (linear and mlp2x_gelu can)",
			c.Projector)
	case c.Merge > 1 || c.SlotStd > 0:
		return nil, fmt.Errorf(
			"a projector that merges patches (merge %d) or adds a vector to each token (slot_std %v) cannot be "+
				"expressed in GGUF",
			c.Merge, c.SlotStd)
	case c.NoBias:
		return nil, fmt.Errorf("a projector without bias cannot be expressed in GGUF")
	case c.Marks:
		return nil, fmt.Errorf(
			"mm_use_im_start_end cannot be expressed in GGUF: llama.cpp puts nothing around images")
	case c.Select.Class == "cls_patch" && class:
		return nil, fmt.Errorf("features with the class token (cls_patch, full) cannot be expressed in GGUF")
	case !slices.IsSorted(layers) || len(slices.Compact(slices.Clone(layers))) != len(layers) || deepest == 0:
		return nil, fmt.Errorf(
			"features of layers %v cannot be expressed in GGUF: they must be in ascending order, and not the "+
				"embeddings alone",
			c.Select.Layers)
	case v.HiddenAct != gelu && v.HiddenAct != "quick_gelu":
		return nil, fmt.Errorf("hidden_act %s of a %s cannot be expressed in GGUF (%s and quick_gelu can)",
			v.HiddenAct, v.ModelType, gelu)
	case v.NumChannels != 3:
		return nil, fmt.Errorf("a tower of %d channels cannot be expressed in GGUF", v.NumChannels)
	case v.HiddenSize == v.IntermediateSize:
		return nil, fmt.Errorf(
			"a tower with hidden_size and intermediate_size %d cannot be expressed in GGUF: readers exchange fc1 and "+
				"fc2 by their widths",
			v.HiddenSize)
	}
	taken := make([]int32, len(layers))
	for i, n := range layers {
		taken[i] = int32(n)
	}
	if p == nil {
		p = c.processor()
	}
	meta := map[string]any{
		"general.architecture":     "clip",
		"general.type":             "mmproj",
		"general.file_type":        map[gguf.Type]uint32{gguf.F32: 0, gguf.F16: 1, gguf.BF16: 32}[matrix],
		"clip.has_vision_encoder":  true,
		"clip.has_text_encoder":    false,
		"clip.has_llava_projector": true,
		"clip.projector_type":      "mlp",
		"clip.use_gelu":            v.HiddenAct != "quick_gelu",
	}
	put := func(key string, value any) { meta[clipVision+key] = value }
	put("image_size", uint32(v.ImageSize))
	put("patch_size", uint32(v.PatchSize))
	put("embedding_length", uint32(v.HiddenSize))
	put("feed_forward_length", uint32(v.IntermediateSize))
	put("block_count", uint32(deepest))
	put("projection_dim", uint32(max(v.ProjectionDim, 1)))
	put("attention.head_count", uint32(v.NumAttentionHeads))
	put("attention.layer_norm_epsilon", float32(v.LayerNormEps))
	put("feature_layer", taken)
	mean, std := p.Mean, p.Std
	if !p.Normalize {
		mean, std = [3]float64{}, [3]float64{1, 1, 1}
	}
	put("image_mean", []float32{float32(mean[0]), float32(mean[1]), float32(mean[2])})
	put("image_std", []float32{float32(std[0]), float32(std[1]), float32(std[2])})
	switch {
	case c.Next():
		var points []int32
		for _, s := range c.Canvases {
			points = append(points, int32(s.W), int32(s.H))
		}
		aspect := "anyres"
		if c.MaxTiles > 0 {
			aspect = fmt.Sprintf("anyres_max_%d", c.MaxTiles)
		}
		put("image_grid_pinpoints", points)
		put("image_aspect_ratio", aspect)
		put("mm_patch_merge_type", "spatial_unpad")
	case c.Aspect == "pad" || p.Aspect == "pad":
		put("image_aspect_ratio", "pad")
	default:
		put("image_aspect_ratio", "square")
	}
	return meta, c.putGGUF(meta, p)
}

// putGGUF adds what GGUF has no keys for.
func (c Config) putGGUF(meta map[string]any, p *imaging.Processor) error {
	plain := *p // how images are laid out is said above
	plain.Aspect, plain.Canvases = "", nil
	raw, err := json.Marshal(&plain)
	if err != nil {
		return err
	}
	meta[ggufPixels] = string(raw)
	if c.Template != "" {
		meta[ggufTemplate] = c.Template
	}
	if c.System != nil {
		meta[ggufSystem] = *c.System
	}
	if c.MaxLength > 0 {
		meta[ggufMaxLength] = uint32(c.MaxLength)
	}
	if c.PaddingSide == "left" {
		meta[ggufPadding] = c.PaddingSide
	}
	return nil
}

// mmprojTensors are the tensors of the vision part.
func mmprojTensors(
	m *connector.VLM,
	matrix gguf.Type,
	report func(name, dtype string, rms, changed float64),
) ([]gguf.NewTensor, error) {
	layers, err := m.Config().Select.Indices(m.Vision.Config().NumHiddenLayers)
	if err != nil {
		return nil, err
	}
	names := map[string]string{"image_newline": "v.image_newline"}
	for _, stem := range []string{"mm.0", "mm.2"} {
		for _, kind := range []string{".weight", ".bias"} {
			names[fromMMProj(stem+kind)] = stem + kind
		}
	}
	names[fromMMProj("v.class_embd")] = "v.class_embd"
	for stem := range mmprojNames {
		for _, kind := range []string{".weight", ".bias"} {
			names[fromMMProj(stem+kind)] = stem + kind
		}
	}
	for i := range slices.Max(layers) {
		for part := range mmprojBlock {
			for _, kind := range []string{".weight", ".bias"} {
				name := fmt.Sprintf("v.blk.%d.%s%s", i, part, kind)
				names[fromMMProj(name)] = name
			}
		}
	}
	var tensors []gguf.NewTensor
	for name, p := range nn.Params(m) {
		to := names[name]
		switch {
		case strings.HasPrefix(name, "language_model."), strings.HasPrefix(to, "v.post_ln."):
			continue
		case to == "" && (strings.HasPrefix(name, blockPrefix) || strings.HasPrefix(name, towerPrefix+"head.")):
			continue // later blocks, and the pooling of a SigLIP
		case to == "" || p.IsMeta():
			return nil, fmt.Errorf("parameter %s has no name in GGUF, or no weights yet", name)
		}
		t := gguf.NewTensor{Name: to, Type: matrix, Shape: p.Shape()}
		switch {
		case p.Rank() == 4:
			t.Type = gguf.F16
		case p.Rank() < 2 || strings.HasPrefix(to, "v.position_embd."):
			t.Type = gguf.F32
		}
		t.Write = func(w io.Writer) error {
			rms, changed, err := t.Type.Encode(w, p.Host().Detach().Cast(tensor.Float32).Data(), p.Dim(-1), nil)
			if err == nil && report != nil {
				report(t.Name, t.Type.String(), rms, changed)
			}
			return err
		}
		tensors = append(tensors, t)
	}
	return tensors, nil
}
