package llava

import (
	"strconv"
	"strings"
)

// Canonical translates the name of a tensor in any of LLaVA's checkpoint layouts into the Hub's, which are the names
// of [connector.VLM]'s parameters: of the original repository, of transformers 4 and 5, of their programs from 4.52
// on, and of files that hold the projector alone. It reports false for buffers that are not parameters.
//
//	model.mm_projector.2.weight          → multi_modal_projector.linear_2.weight
//	model.layers.0.mlp.up_proj.weight    → language_model.model.layers.0.mlp.up_proj.weight
//	model.vision_tower.vision_tower.x    → vision_tower.x
//	vision_tower.embeddings.x            → vision_tower.vision_model.embeddings.x
func Canonical(name string) (string, bool) {
	if strings.HasSuffix(name, ".position_ids") || strings.HasSuffix(name, "rotary_emb.inv_freq") {
		return "", false
	}
	name = strings.TrimPrefix(name, "base_model.model.") // PEFT's
	if _, tail, ok := strings.Cut(name, "mm_projector."); ok {
		index, rest, _ := strings.Cut(tail, ".")
		k, err := strconv.Atoi(index)
		if err != nil { // a single Linear has no index
			return "multi_modal_projector.linear_1." + tail, true
		}
		return "multi_modal_projector.linear_" + strconv.Itoa(k/2+1) + "." + rest, true
	}
	for _, part := range []string{"language_model.", "vision_tower.", "image_tower.", "video_tower.",
		"multi_modal_projector.", "vision_resampler.", "image_newline"} {
		if strings.HasPrefix(name, "model."+part) {
			name = strings.TrimPrefix(name, "model.")
		}
	}
	switch {
	case name == "lm_head.weight", strings.HasPrefix(name, "model."), strings.HasPrefix(name, "transformer."):
		return "language_model." + name, true
	case strings.HasPrefix(name, "language_model."):
		tail := strings.TrimPrefix(name, "language_model.")
		if !strings.HasPrefix(tail, "model.") && !strings.HasPrefix(tail, "lm_head.") &&
			!strings.HasPrefix(tail, "transformer.") {
			tail = "model." + tail
		}
		return "language_model." + tail, true
	case strings.HasPrefix(name, "image_tower."): // Video-LLaVA's
		return Canonical("vision_tower." + strings.TrimPrefix(name, "image_tower."))
	case strings.HasPrefix(name, "video_tower."):
		tail, _ := Canonical("vision_tower." + strings.TrimPrefix(name, "video_tower."))
		return "video_tower." + strings.TrimPrefix(tail, "vision_tower."), true
	case strings.HasPrefix(name, "vision_tower."):
		tail := strings.TrimPrefix(strings.TrimPrefix(name, "vision_tower."), "vision_tower.")
		if !strings.HasPrefix(tail, "vision_model.") {
			tail = "vision_model." + tail
		}
		return "vision_tower." + tail, true
	}
	return name, true
}

// original translates a canonical name into that of the original repository, whose projector of type linear has no
// index.
func original(name, projector string) string {
	if tail, ok := strings.CutPrefix(name, "multi_modal_projector.linear_"); ok {
		index, rest, _ := strings.Cut(tail, ".")
		if projector == "linear" {
			return "model.mm_projector." + rest
		}
		k, _ := strconv.Atoi(index)
		return "model.mm_projector." + strconv.Itoa(2*(k-1)) + "." + rest
	}
	if tail, ok := strings.CutPrefix(name, "language_model."); ok {
		return tail
	}
	if tail, ok := strings.CutPrefix(name, "vision_tower."); ok {
		return "model.vision_tower.vision_tower." + tail
	}
	return "model." + name
}
