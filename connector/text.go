package connector

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
)

// TextOnly is a language model without a vision encoder: images in a prompt, a sample or a batch are errors. Parameter
// names begin with "language_model.", as those of any [VLM].
func TextOnly(l llm.Model) *VLM {
	c := l.Config()
	return &VLM{Language: l, config: Config{Image: -1, EOS: c.EOS, PAD: c.PAD, MaxLength: c.MaxPositionEmbeddings}}
}

// errTextOnly is what images meet in a model of [TextOnly].
var errTextOnly = errors.New("this is a language model without a vision encoder: it takes no images")

// TextOptions say how [OpenText] opens a language model.
type TextOptions struct {
	nn.LoadOptions
	Template string // name of the conversation template, such as "vicuna_v1"; "": the checkpoint's own chat_template
}

// OpenText opens a plain language model to talk with: a folder in transformers' layout, or a GGUF file, with its
// tokenizer, chat template and generation settings. llava.Open opens vision-language models.
//
//	a, err := connector.OpenText("SmolLM2-135M-Instruct", connector.TextOptions{})
//	answer, err := a.Ask(ctx, "What is the capital of France?")
func OpenText(path string, o TextOptions) (*Assistant, error) {
	g := llm.Generation{Options: llm.Options{PAD: -1}}
	var err error
	if !strings.HasSuffix(strings.ToLower(path), ".gguf") {
		if g, err = llm.ReadGeneration(path); err != nil {
			return nil, err
		}
	}
	m, err := llm.Load(path, o.LoadOptions)
	if err != nil {
		return nil, err
	}
	a := &Assistant{Model: TextOnly(m), Options: g.Options, Ignored: g.Ignored}
	if a.Tokenizer, err = tokenizer.Load(path); err != nil {
		return nil, err
	}
	if err := a.Tokenizer.Rows(m.Config().VocabSize); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	name := o.Template
	if name == "" {
		name = chat.Own
	}
	if a.Template, err = chat.Choose(name, a.Tokenizer); err != nil {
		return nil, fmt.Errorf("%s: %w (TextOptions.Template, --template)", path, err)
	}
	return a, nil
}
