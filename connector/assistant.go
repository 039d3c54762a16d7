package connector

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/gollava/gollava/data"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/internal/atomicfile"
	"github.com/gollava/gollava/llm"
)

// Assistant talks about pictures: a model with the tokenizer, the image processor and the template that it was trained with.
//
//	a, err := connector.OpenAssistant("llava-1.5-7b-hf", connector.LoadOptions{})
//	answer, err := a.Reply(ctx, []chat.Turn{{From: chat.Human, Value: "<image>\nWhat is this?"}}, []*imaging.RGB{picture}, nil)
type Assistant struct {
	Model     *VLM
	Tokenizer *tokenizer.Tokenizer
	Processor *imaging.Processor
	Template  chat.Template
	Options   llm.Options // of generation; StopStrings, Decode and OnToken are the assistant's own. Zero: greedy, 512 tokens
}

// OpenAssistant loads a model in dir with what lies beside it; the tokenizer and the image processor may lie in o.Base and the tower's folder. Its
// template is the one that the model was trained with, if its config says so, else that of the language model's family: see
// [Config.DefaultTemplate].
func OpenAssistant(dir string, o LoadOptions) (*Assistant, error) {
	m, err := Load(dir, o)
	if err != nil {
		return nil, err
	}
	a := &Assistant{Model: m, Options: llm.Options{PAD: -1}}
	if a.Tokenizer, err = tokenizer.Load(dir); err != nil && o.Base != "" {
		a.Tokenizer, err = tokenizer.Load(o.Base)
	}
	if err != nil {
		return nil, err
	}
	if m.config.Marks {
		for _, mark := range []string{chat.ImageStart, chat.ImageEnd} {
			if _, ok := a.Tokenizer.ID(mark); !ok {
				a.Tokenizer.AddTokens(tokenizer.AddedToken{Content: mark, Special: true})
			}
		}
	}
	if size, rows := a.Tokenizer.Size(), m.config.Text.VocabSize; size > rows {
		return nil, fmt.Errorf("%s: the tokenizer has %d tokens, but the language model has embeddings for %d", dir, size, rows)
	}
	for _, at := range []string{dir, o.Tower, m.config.TowerDir(dir)} {
		if at == "" {
			continue
		}
		if a.Processor, err = imaging.ReadProcessor(at); err == nil || !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		a.Processor, err = m.config.processor(), nil
	}
	if err != nil {
		return nil, err
	}
	if m.config.Aspect == "pad" {
		a.Processor.Aspect = "pad"
	}
	a.Template, err = chat.Lookup(m.config.DefaultTemplate())
	if s := m.config.System; s != nil {
		a.Template.System = *s
	}
	return a, err
}

// Save writes the model with [Save], its image processor and its tokenizer. For the Hub's layout the tokenizer gets the token for pictures, and
// processor_config.json tells transformers' LlavaProcessor about it.
func (a *Assistant) Save(dir string, o SaveOptions) error {
	o.Processor = a.Processor
	if err := Save(dir, a.Model, o); err != nil {
		return err
	}
	if o.Layout == Original {
		return a.Tokenizer.Save(dir)
	}
	if _, ok := a.Tokenizer.ID(data.ImageToken); !ok {
		a.Tokenizer.AddTokens(tokenizer.AddedToken{Content: data.ImageToken, Special: true})
	}
	if err := a.Tokenizer.Save(dir); err != nil {
		return err
	}
	c := &a.Model.config
	strategy := map[string]string{"patch": "default", "cls_patch": "full"}[c.Select.Class]
	class := "LlavaProcessor"
	if c.Next() {
		class = "LlavaNextProcessor"
	}
	extra := 0
	if c.hasClass() {
		extra = 1
	}
	return atomicfile.WriteJSON(filepath.Join(dir, "processor_config.json"), map[string]any{"processor_class": class, "image_token": data.ImageToken,
		"patch_size": c.Vision.PatchSize, "vision_feature_select_strategy": strategy, "num_additional_image_tokens": extra})
}

// DefaultTemplate is the name of the conversation template: Template, or what LLaVA uses with the family of the language model, vicuna_v1 for Llama.
func (c *Config) DefaultTemplate() string {
	if c.Template != "" {
		return c.Template
	}
	switch c.Text.ModelType {
	case "mistral":
		return "mistral_instruct"
	case "qwen2", "qwen3":
		return "qwen_1_5"
	case "phi3":
		return "phi3"
	case "mpt":
		return "mpt"
	}
	return "vicuna_v1"
}

// Reply answers the last of turns, which is the human's. pictures are those of the turns' <image>s, in order. onText, if not nil, sees the answer as
// it grows, in whole characters; an error of it ends the generation. Special tokens written in the turns stay text.
func (a *Assistant) Reply(ctx context.Context, turns []chat.Turn, pictures []*imaging.RGB, onText func(string) error) (string, error) {
	x, err := a.prompt(turns, pictures)
	if err != nil {
		return "", err
	}
	b, err := a.Model.Splice([]Sample{x}, true)
	if err != nil {
		return "", err
	}
	o := a.Options
	if o.MaxNewTokens == 0 {
		o.MaxNewTokens = 512
	}
	o.StopStrings, o.Decode = a.Template.Stop, a.Tokenizer.Decode
	s := speech{stream: a.Tokenizer.Stream(nil), stop: a.Template.Stop, onText: onText}
	if o.Beams <= 1 {
		o.OnToken = func(_ int, id int32) error { return s.add(s.stream.Next(id)) }
	}
	g, err := a.Model.Generate(ctx, b, o)
	if err != nil {
		return s.said.String(), err
	}
	if o.Beams > 1 {
		err = s.add(a.Tokenizer.Decode(g.IDs[0]))
	}
	if err == nil {
		err = s.end()
	}
	return strings.TrimSpace(s.said.String()), err
}

// prompt tokenizes a conversation, with an answer to come, and prepares its pictures.
func (a *Assistant) prompt(turns []chat.Turn, pictures []*imaging.RGB) (Sample, error) {
	if len(turns) == 0 || turns[len(turns)-1].From != chat.Human {
		return Sample{}, fmt.Errorf("reply: the last turn must be the human's")
	}
	turns = append(append([]chat.Turn(nil), turns...), chat.Turn{From: chat.GPT, Open: true})
	if a.Model.config.Marks && len(pictures) > 0 {
		for i := range turns {
			turns[i].Value = strings.ReplaceAll(turns[i].Value, chat.ImageToken, chat.ImageStart+chat.ImageToken+chat.ImageEnd)
		}
	}
	spans, err := a.Template.Spans(turns)
	if err != nil {
		return Sample{}, fmt.Errorf("reply: %w", err)
	}
	x := Sample{Name: "prompt", IDs: a.Template.Encode(a.Tokenizer, spans, chat.Options{Pictures: len(pictures) > 0}).IDs}
	for i, m := range pictures {
		p, err := a.Processor.Process(m)
		if err != nil {
			return x, fmt.Errorf("reply: picture %d: %w", i+1, err)
		}
		x.Pixels, x.Sizes = append(x.Pixels, p), append(x.Sizes, imaging.Size{W: m.W, H: m.H})
	}
	return x, nil
}

// speech passes text on while it comes, but for what may become a stop string.
type speech struct {
	stream *tokenizer.Stream
	stop   []string
	onText func(string) error

	said strings.Builder // what has been passed on
	held string
	over bool // a stop string came
}

func (s *speech) add(text string) error {
	if s.over {
		return nil
	}
	s.held += text
	for _, stop := range s.stop {
		if at := strings.Index(s.held, stop); at >= 0 {
			s.held, s.over = s.held[:at], true
		}
	}
	keep := 0
	if !s.over {
		for _, stop := range s.stop {
			for n := min(len(stop), len(s.held)); n > keep; n-- {
				if strings.HasSuffix(s.held, stop[:n]) {
					keep = n
				}
			}
		}
	}
	out := s.held[:len(s.held)-keep]
	s.held = s.held[len(out):]
	if s.said.Len() == 0 {
		out = strings.TrimLeft(out, " \n")
	}
	s.said.WriteString(out)
	if s.onText == nil || out == "" {
		return nil
	}
	return s.onText(out)
}

// end passes on what is left.
func (s *speech) end() error {
	err := s.add(s.stream.Flush())
	s.stop = nil
	if err == nil {
		err = s.add("")
	}
	return err
}
