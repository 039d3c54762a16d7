package serve

import (
	"context"
	"fmt"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/llm"
)

// imageBytes bounds what is kept of the images that were used last.
const imageBytes = 256 << 20

// Assistant serves a vision-language model: its answers are those of [connector.Assistant.Reply], whatever else runs.
// Images that were seen lately are not encoded again. An assistant without a vision encoder is served as its language
// model.
func Assistant(a *connector.Assistant, c llm.EngineConfig) Model {
	if a.Model.Vision == nil {
		return Language(a.Model.Language, a.Tokenizer, a.Template, a.Options, c)
	}
	m := newLanguage(a.Model.Language, a.Tokenizer, a.Template, a.Options, c)
	return &vision{language: *m, assistant: a, images: a.NewImageCache(imageBytes)}
}

// vision is a vision-language model.
type vision struct {
	language
	assistant *connector.Assistant
	images    *connector.ImageCache
}

func (m *vision) Images() bool { return true }

// watches reports whether m takes videos: models that may have a method Videos() bool.
func watches(m Model) bool {
	v, ok := m.(interface{ Videos() bool })
	return ok && v.Videos()
}

func (m *vision) Videos() bool {
	_, err := m.assistant.Model.Layout(connector.Media{Size: imaging.Size{W: 1, H: 1}, Frames: 1})
	return err == nil
}

// picture is a prompt with images or videos.
type picture struct {
	ids         []int32 // chat.ImageIndex for each of shown
	shown       []connector.Visual
	instruction []int32 // for the connector, if it reads one
	tokens      int
	stop        []string
}

func (p picture) Tokens() int { return p.tokens }

// Prepare implements [Model].
func (m *vision) Prepare(ctx context.Context, c Conversation) (Prompt, error) {
	if c.Messages == nil {
		return m.prepare(c)
	}
	turns, shown, t, err := m.turns(c)
	if err != nil {
		return nil, err
	}
	a := *m.assistant
	a.Template = t
	ids, err := a.PromptIDs(turns, len(shown) > 0)
	if err != nil {
		return nil, err
	}
	p := picture{ids: ids, shown: shown, tokens: len(ids), stop: m.stops(t),
		instruction: a.InstructionIDs(turns[len(turns)-1].Value)}
	for _, v := range shown {
		l, err := a.Model.Layout(v.Media())
		if err != nil {
			return nil, err
		}
		p.tokens += l.Tokens - 1
	}
	if p.tokens >= m.Context() {
		return nil, fmt.Errorf("%w: it has %d positions, those of images included", ErrTooLong, p.tokens)
	}
	return p, ctx.Err()
}

// Generate implements [Model].
func (m *vision) Generate(ctx context.Context, p Prompt, s Sampling, each func(Token) error) (Finish, error) {
	x, ok := p.(picture)
	if !ok {
		return m.language.Generate(ctx, p, s, each)
	}
	prompt, err := m.images.Prompts(ctx, x.ids, x.shown, x.instruction)
	if err != nil {
		return Finish{}, err
	}
	return m.generate(ctx, prompt, x.stop, s, each)
}
