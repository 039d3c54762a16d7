package llava

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/lora"
)

// Save writes what the stage has made into the folder of the run: after align the projector and its config, else a
// whole model with tokenizer and image processor.
func (r *Run) Save() error {
	out := r.config.Out
	if r.config.Stage == "align" {
		if err := llava.SaveProjector(r.assistant.Model, out, llava.SaveOptions{}); err != nil {
			return fmt.Errorf("saving the projector: %w", err)
		}
		r.say("the projector is in %s: name it as projector: in the file of stage tune or lora\nnext: gollava train "+
			"--example tune", out)
		return nil
	}
	if r.adapter != nil {
		return r.saveAdapter()
	}
	o := llava.SaveOptions{MaxShard: 5e9, Processor: r.assistant.Processor, Tokenizer: r.assistant.Tokenizer}
	if r.config.Layout == "original" {
		o.Layout = llava.Original
	}
	if err := llava.Save(out, r.assistant.Model, o); err != nil {
		return fmt.Errorf("saving the model: %w", err)
	}
	r.say("the model is in %s\nnext: gollava chat %s%s", out, quoted(place(out)), r.asks())
	return nil
}

// saveAdapter writes the folder that LLaVA's repository calls a LoRA model: PEFT's adapter, the projector beside it,
// and the config.
func (r *Run) saveAdapter() error {
	out := r.config.Out
	others := []string{"multi_modal_projector.**"}
	if r.assistant.Model.Connector.(*llava.Connector).Resampler != nil {
		others = append(others, resampler)
	}
	if err := r.adapter.Save(out, lora.SaveOptions{Others: others}); err != nil {
		return fmt.Errorf("saving the adapter: %w", err)
	}
	if err := llava.SaveConfig(r.assistant.Model, out); err != nil {
		return fmt.Errorf("saving the config: %w", err)
	}
	base := r.config.LLM + r.config.Model
	r.say("the adapter is in %s\nnext: gollava chat %s --base %s%s", out, quoted(place(out)), quoted(place(base)),
		r.asks())
	return nil
}

// place is a path that means the same in any folder.
func place(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// quoted is a path as a shell takes it.
func quoted(path string) string {
	if !strings.ContainsAny(path, " \t\n'\"\\$`&;|<>()*?[]#~!{}") {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
