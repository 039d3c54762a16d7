package recipe

import (
	"fmt"
	"path/filepath"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/internal/atomicfile"
	"github.com/gollava/gollava/lora"
)

// Save writes what the stage has made into the folder of the run: after align the projector and its config, else a whole model with tokenizer and
// image processor.
func (r *Run) Save() error {
	out := r.config.Out
	if r.config.Stage == "align" {
		if err := r.model.SaveProjector(out, connector.SaveOptions{}); err != nil {
			return fmt.Errorf("saving the projector: %w", err)
		}
		r.say("the projector is in %s; next: -stage tune -projector %s", out, out)
		return nil
	}
	if r.adapter != nil {
		return r.saveAdapter()
	}
	o := connector.SaveOptions{Processor: r.processor, MaxShard: 5e9}
	if r.config.Layout == "original" {
		o.Layout = connector.Original
	}
	if err := connector.Save(out, r.model, o); err != nil {
		return fmt.Errorf("saving the model: %w", err)
	}
	if err := r.saveTokenizer(o.Layout); err != nil {
		return fmt.Errorf("saving the tokenizer: %w", err)
	}
	r.say("the model is in %s; next: gollava chat %s", out, out)
	return nil
}

// saveAdapter writes the folder that LLaVA's repository calls a LoRA model: PEFT's adapter, the projector beside it, and the config.
func (r *Run) saveAdapter() error {
	out := r.config.Out
	if err := r.adapter.Save(out, lora.SaveOptions{Others: []string{"multi_modal_projector.**"}}); err != nil {
		return fmt.Errorf("saving the adapter: %w", err)
	}
	if err := r.model.SaveConfig(out); err != nil {
		return fmt.Errorf("saving the config: %w", err)
	}
	base := r.config.LLM + r.config.Model
	r.say("the adapter is in %s; next: gollava chat %s --base %s", out, out, base)
	return nil
}

// saveTokenizer writes the tokenizer; the Hub's layout needs a token for pictures and a processor that knows it.
func (r *Run) saveTokenizer(l connector.Layout) error {
	if l == connector.Original {
		return r.tokenizer.Save(r.config.Out)
	}
	if _, ok := r.tokenizer.ID(chatImage); !ok {
		r.tokenizer.AddTokens(tokenizer.AddedToken{Content: chatImage, Special: true})
	}
	if err := r.tokenizer.Save(r.config.Out); err != nil {
		return err
	}
	c := r.model.Config()
	strategy := map[string]string{"patch": "default", "cls_patch": "full"}[c.Select.Class]
	return atomicfile.WriteJSON(filepath.Join(r.config.Out, "processor_config.json"), map[string]any{"processor_class": "LlavaProcessor", "image_token": chatImage,
		"patch_size": c.Vision.PatchSize, "vision_feature_select_strategy": strategy, "num_additional_image_tokens": 1})
}

const chatImage = data.ImageToken
