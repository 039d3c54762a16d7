package llava

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/internal/atomicfile"
	"github.com/gollava/gollava/llm"
)

// Open loads the model in dir together with its tokenizer, image processor and template. The tokenizer and the image
// processor may be in o.Base and the tower's folder. The template is the one that the model was trained with, if its
// config names it; else the checkpoint's chat_template ([chat.FromTokenizer]), which the model's config keeps from then
// on; else that of the language model's family: see [Config.DefaultTemplate].
func Open(dir string, o LoadOptions) (*connector.Assistant, error) {
	m, err := Load(dir, o)
	if err != nil {
		return nil, err
	}
	c := ConfigOf(m)
	inGGUF := c.pixels != nil
	if inGGUF { // its tokenizer is in the language model's file
		pair, err := findGGUF(dir, o.Tower)
		if err != nil {
			return nil, err
		}
		dir = pair.model
	}
	a := &connector.Assistant{Model: m, Marks: c.Marks, Options: c.generation.Options, Ignored: c.generation.Ignored}
	if a.Tokenizer, err = tokenizer.Load(dir); err != nil && o.Base != "" {
		a.Tokenizer, err = tokenizer.Load(o.Base)
	}
	if err != nil {
		return nil, err
	}
	if c.Marks {
		for _, mark := range []string{chat.ImageStart, chat.ImageEnd} {
			if _, ok := a.Tokenizer.ID(mark); !ok {
				a.Tokenizer.AddTokens(tokenizer.AddedToken{Content: mark, Special: true})
			}
		}
	}
	if err := a.Tokenizer.Rows(c.Text.VocabSize); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	for _, at := range []string{dir, o.Tower, c.TowerDir(dir)} {
		if a.Processor = c.processor(); inGGUF {
			break
		}
		if at == "" {
			continue
		}
		if a.Processor, err = imaging.ReadProcessor(at); err == nil || !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		a.Processor, err = c.processor(), nil
	}
	if err != nil {
		return nil, err
	}
	if err := c.pair(dir, a.Processor); err != nil {
		return nil, err
	}
	c.Arrange(a.Processor)
	if c.Template == "" {
		if t, err := chat.FromTokenizer(a.Tokenizer); err == nil {
			if c.System == nil {
				c.System = &t.System
			}
			c.Template = t.Name
			Retrain(m, c.Template, c.System, "")
		}
	}
	if a.Template, err = chat.Choose(c.DefaultTemplate(), a.Tokenizer); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	if c.System != nil {
		a.Template.System = *c.System
	}
	return a, err
}

// DefaultTemplate is the name of the conversation template: Template, or that of the language model's family, or else
// vicuna_v1.
func (c Config) DefaultTemplate() string {
	if c.Template != "" {
		return c.Template
	}
	if f, ok := llm.Lookup(c.Text.ModelType); ok && f.Template != "" {
		return f.Template
	}
	return "vicuna_v1"
}

// saveTokenizer writes the tokenizer. For the Hub's layout it gets the token for images, and processor_config.json
// describes to transformers' LlavaProcessor what an image becomes.
func (c *Config) saveTokenizer(dir string, t *tokenizer.Tokenizer, layout Layout) error {
	if layout == Original {
		return t.Save(dir)
	}
	if _, ok := t.ID(chat.ImageToken); !ok {
		t.AddTokens(tokenizer.AddedToken{Content: chat.ImageToken, Special: true})
	}
	if err := t.Save(dir); err != nil {
		return err
	}
	strategy := map[string]string{"patch": "default", "cls_patch": "full"}[c.Select.Class]
	class := "LlavaProcessor"
	if c.Next() {
		class = "LlavaNextProcessor"
	}
	extra := 0
	if c.hasClass() {
		extra = 1
	}
	return atomicfile.WriteJSON(filepath.Join(dir, "processor_config.json"), map[string]any{
		"processor_class": class, "image_token": chat.ImageToken, "patch_size": c.Vision.PatchSize,
		"vision_feature_select_strategy": strategy, "num_additional_image_tokens": extra})
}
