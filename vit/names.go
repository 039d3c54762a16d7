package vit

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/gollava/gollava/nn"
)

// Canonical translates the name of a tensor of transformers' towers into that of this package's parameters, which is
// the one that all versions of transformers read: transformers 5 leaves out "vision_model." where it built the tower
// itself. It reports false for buffers that are not parameters.
func Canonical(name string) (string, bool) {
	if strings.HasSuffix(name, ".position_ids") {
		return "", false
	}
	for _, part := range []string{"embeddings.", "encoder.", "pre_layrnorm.", "post_layernorm.", "head.",
		"layernorm."} {
		if strings.HasPrefix(name, part) {
			return "vision_model." + name, true
		}
	}
	return name, true
}

// partOfWhole reports whether a tensor belongs to a whole CLIP or SigLIP, or a BLIP-2, beside its vision tower.
func partOfWhole(name string) bool {
	for _, part := range []string{"text_model.", "text_projection.", "visual_projection.", "logit_scale", "logit_bias",
		"query_tokens", "qformer.", "language_projection.", "language_model."} {
		if strings.HasPrefix(name, part) {
			return true
		}
	}
	return false
}

var openAIBlock = regexp.MustCompile(`^(visual\.)?transformer\.resblocks\.(\d+)\.(.+)$`)

// openAINames are OpenAI's for what transformers calls otherwise.
var openAINames = map[string]string{
	"visual.class_embedding":      "vision_model.embeddings.class_embedding",
	"visual.conv1.weight":         "vision_model.embeddings.patch_embedding.weight",
	"visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
	"visual.ln_pre.weight":        "vision_model.pre_layrnorm.weight",
	"visual.ln_pre.bias":          "vision_model.pre_layrnorm.bias",
	"visual.ln_post.weight":       "vision_model.post_layernorm.weight",
	"visual.ln_post.bias":         "vision_model.post_layernorm.bias",
	"visual.proj":                 "visual_projection.weight", // transposed
	"token_embedding.weight":      "text_model.embeddings.token_embedding.weight",
	"positional_embedding":        "text_model.embeddings.position_embedding.weight",
	"ln_final.weight":             "text_model.final_layer_norm.weight",
	"ln_final.bias":               "text_model.final_layer_norm.bias",
	"text_projection":             "text_projection.weight", // transposed
}

var openAILayers = strings.NewReplacer("attn.out_proj.", "self_attn.out_proj.", "ln_1.", "layer_norm1.", "ln_2.",
	"layer_norm2.", "mlp.c_fc.", "mlp.fc1.", "mlp.c_proj.", "mlp.fc2.")

// fromOpenAI gives the weights of OpenAI's repository the names and shapes of transformers. Others it leaves alone.
func fromOpenAI(w *nn.Weights) error {
	if !w.Has("visual.conv1.weight") {
		if w.Has("visual.layer1.0.conv1.weight") {
			return fmt.Errorf("%s: a CLIP with a ResNet as its vision tower is not supported", w.Path())
		}
		return nil
	}
	for _, name := range w.Names() {
		var err error
		switch {
		case name == "visual.proj" || name == "text_projection":
			err = w.Transpose(name)
		case strings.HasSuffix(name, ".attn.in_proj_weight"), strings.HasSuffix(name, ".attn.in_proj_bias"):
			stem, kind, _ := strings.Cut(name, "attn.in_proj_")
			err = w.SplitRows(name, stem+"self_attn.q_proj."+kind, stem+"self_attn.k_proj."+kind,
				stem+"self_attn.v_proj."+kind)
		}
		if err != nil {
			return err
		}
	}
	return w.Rename(func(name string) string {
		switch name {
		case "input_resolution", "context_length", "vocab_size": // facts that OpenAI's files hold beside the weights
			return ""
		}
		if to, ok := openAINames[name]; ok {
			return to
		}
		if m := openAIBlock.FindStringSubmatch(name); m != nil {
			tower := "text_model."
			if m[1] != "" {
				tower = "vision_model."
			}
			return tower + "encoder.layers." + m[2] + "." + openAILayers.Replace(m[3])
		}
		return name
	})
}
