package blip2

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// isLAVIS reports whether weights have LAVIS's names.
func isLAVIS(w *nn.Weights) bool {
	return slices.ContainsFunc(w.Names(), func(name string) bool {
		return strings.HasPrefix(strings.TrimPrefix(name, "model."), "Qformer.bert.")
	})
}

// lavisParts replaces parts of LAVIS's names of a stage 1 by ours, which are transformers' where that knows them.
var lavisParts = strings.NewReplacer(
	"visual_encoder.cls_token", "vision_model.embeddings.class_embedding",
	"visual_encoder.pos_embed", "vision_model.embeddings.position_embedding",
	"visual_encoder.patch_embed.proj", "vision_model.embeddings.patch_embedding",
	"visual_encoder.blocks", "vision_model.encoder.layers",
	".attn.proj", ".self_attn.projection", ".attn.qkv", ".self_attn.qkv", ".norm1", ".layer_norm1", ".norm2",
	".layer_norm2",
	"ln_vision", "vision_model.post_layernorm",
	"Qformer.bert.embeddings.LayerNorm", "qformer.layernorm",
	"Qformer.bert.embeddings", "embeddings", "Qformer.bert", "qformer", "attention.self", "attention.attention",
	"Qformer.cls", "cls", "vision_proj.", "vision_projection.", "text_proj.", "text_projection.")

// lavisName translates a name of LAVIS's; "" for what is there twice (the word head's decoder is the word embedding,
// and its bias), for buffers, and for the biases of q and v, which are read apart.
func lavisName(name string) string {
	name = strings.TrimPrefix(name, "model.")
	for _, s := range []string{".position_ids", "cls.predictions.decoder.weight", "cls.predictions.decoder.bias",
		".attn.q_bias", ".attn.v_bias"} {
		if strings.HasSuffix(name, s) {
			return ""
		}
	}
	return lavisParts.Replace(name)
}

// fillLAVIS reads m under LAVIS's names. Its vision encoder has biases for q and v only; that of k is 0.
func (o LoadOptions) fillLAVIS(m *Stage1, w *nn.Weights) error {
	if err := nn.Load(m, w, nn.LoadOptions{DType: keep(o.DType), Rename: lavisName,
		Optional: []string{"vision_model.**.self_attn.qkv.bias"}}); err != nil {
		return err
	}
	for _, name := range w.Names() {
		stem, ok := strings.CutSuffix(name, ".attn.q_bias")
		if !ok {
			continue
		}
		q, err := w.Read(name, tensor.Float32)
		if err != nil {
			return err
		}
		v, err := w.Read(stem+".attn.v_bias", tensor.Float32)
		if err != nil {
			return err
		}
		to := lavisParts.Replace(strings.TrimPrefix(stem, "model.")) + ".self_attn.qkv.bias"
		found := false
		for p, t := range nn.Params(m) {
			if found = p == to; found {
				if t.Len() != 3*q.Len() || q.Len() != v.Len() {
					return fmt.Errorf("%s: %s has %d numbers and the bias of v %d, but %s needs %d", w.Path(), name,
						q.Len(), v.Len(), to, t.Len())
				}
				t.SetStorage(tensor.Concat(0, q, tensor.New(q.Len()), v))
				break
			}
		}
		if !found {
			return fmt.Errorf("%s: %s belongs to no layer of the model", w.Path(), name)
		}
	}
	for name, p := range nn.Params(m) {
		if p.IsMeta() {
			return fmt.Errorf("%s: %s is missing", w.Path(), name)
		}
	}
	return nil
}
