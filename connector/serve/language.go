package serve

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/tensor"
)

// Language serves a plain language model. o are the generation settings of its checkpoint.
func Language(m llm.Model, t *tokenizer.Tokenizer, template chat.Template, o llm.Options, c llm.EngineConfig) Model {
	return newLanguage(m, t, template, o, c)
}

// language is a language model with what it takes to talk with it.
type language struct {
	model     llm.Model
	tokenizer *tokenizer.Tokenizer
	template  chat.Template
	options   llm.Options
	engine    *llm.Engine
	bytes     func() [][]byte // of all tokens
}

func newLanguage(
	m llm.Model,
	t *tokenizer.Tokenizer,
	template chat.Template,
	o llm.Options,
	c llm.EngineConfig,
) *language {
	return &language{
		model:     m,
		tokenizer: t,
		template:  template,
		options:   o,
		engine:    llm.NewEngine(m, c),
		bytes: sync.OnceValue(func() [][]byte {
			all := make([][]byte, m.Config().VocabSize)
			for id := range all {
				all[id] = t.Bytes(int32(id))
			}
			return all
		}),
	}
}

func (m *language) Context() int { return m.model.Config().MaxPositionEmbeddings }
func (m *language) Images() bool { return false }

// words is a prompt of tokens.
type words struct {
	ids  []int32
	stop []string
}

func (w words) Tokens() int { return len(w.ids) }

// Prepare implements [Model].
func (m *language) Prepare(_ context.Context, c Conversation) (Prompt, error) {
	return m.prepare(c)
}

func (m *language) prepare(c Conversation) (Prompt, error) {
	if c.Messages == nil {
		ids, err := m.ids(Input{Text: c.Text, IDs: c.IDs})
		if err != nil {
			return nil, err
		}
		return m.checked(words{ids, m.options.StopStrings})
	}
	turns, shown, t, err := m.turns(c)
	if err != nil {
		return nil, err
	}
	if len(shown) > 0 {
		return nil, errors.New("this model reads text only: it cannot see images")
	}
	spans, err := t.Spans(append(turns, chat.Turn{From: chat.GPT, Open: true}))
	if err != nil {
		return nil, err
	}
	return m.checked(words{t.Encode(m.tokenizer, spans, chat.Options{}).IDs, m.stops(t)})
}

// stops are the strings that end an answer: the template's and the checkpoint's.
func (m *language) stops(t chat.Template) []string {
	return slices.Concat(t.Stop, m.options.StopStrings)
}

func (m *language) checked(w words) (Prompt, error) {
	if len(w.ids) >= m.Context() {
		return nil, fmt.Errorf("%w: it has %d tokens", ErrTooLong, len(w.ids))
	}
	if len(w.ids) == 0 {
		return nil, errors.New("the prompt is empty")
	}
	return w, nil
}

// turns brings a conversation into the form of templates: system text, and turns that alternate, in which <image>
// stands for an image or a video.
func (m *language) turns(c Conversation) ([]chat.Turn, []connector.Visual, chat.Template, error) {
	t := m.template
	var shown []connector.Visual
	var turns []chat.Turn
	var system []string
	for _, x := range c.Messages {
		var text strings.Builder
		for _, p := range x.Parts {
			if p.Image != nil || p.Video != nil {
				shown = append(shown, connector.Visual{Image: p.Image, Video: p.Video})
				text.WriteString(chat.ImageToken + "\n")
				continue
			}
			text.WriteString(
				strings.ReplaceAll(p.Text, chat.ImageToken, "<Image>"),
			) // written by somebody, it is no image
		}
		if x.Role == "system" {
			system = append(system, strings.TrimSpace(text.String()))
			continue
		}
		from := chat.Human
		if x.Role == "assistant" {
			from = chat.GPT
		}
		if n := len(turns); n > 0 && turns[n-1].From == from {
			turns[n-1].Value += "\n" + text.String()
			continue
		}
		turns = append(turns, chat.Turn{From: from, Value: text.String()})
	}
	if len(turns) == 0 || turns[0].From != chat.Human || turns[len(turns)-1].From != chat.Human {
		return nil, nil, t, errors.New("the first and the last message (system messages aside) must be the user's")
	}
	if said := strings.Join(system, "\n\n"); said != "" {
		var ok bool
		if t, ok = t.WithSystem(said); !ok {
			turns[0].Value = said + "\n\n" + turns[0].Value
		}
	}
	return turns, shown, t, nil
}

// Generate implements [Model].
func (m *language) Generate(ctx context.Context, p Prompt, s Sampling, each func(Token) error) (Finish, error) {
	w := p.(words)
	return m.generate(ctx, llm.Prompts{IDs: [][]int32{w.ids}}, w.stop, s, each)
}

func (m *language) generate(
	ctx context.Context,
	p llm.Prompts,
	stop []string,
	s Sampling,
	each func(Token) error,
) (Finish, error) {
	for id := range s.LogitBias {
		if size := m.model.Config().VocabSize; int(id) >= size {
			return Finish{}, invalid("logit_bias", "token id %d is outside the vocabulary of %d", id, size)
		}
	}
	o := m.settings(s)
	text := m.tokenizer.Stream(nil)
	until := chat.NewUntil(stop...)
	n := 0
	for t, err := range m.engine.Stream(ctx, llm.Request{Prompt: p, Options: o}) {
		if s.Constraint != nil && errors.Is(err, llm.ErrNoToken) {
			err = unsupported(
				"response_format",
				"this model's vocabulary cannot write what it, or tool_choice, demands",
			)
		}
		if err != nil {
			return Finish{}, err
		}
		if n++; m.ends(t.ID) {
			return Finish{Reason: "stop", Rest: until.Add(text.Flush()) + until.Rest()}, nil
		}
		out := Token{ID: t.ID, Text: until.Add(text.Next(t.ID)), LogProb: t.LogProb}
		if s.LogProbs {
			out.Bytes = m.bytes()[t.ID]
			for _, x := range t.Top {
				out.Top = append(out.Top, Alternative{x.ID, m.bytes()[x.ID], x.LogProb})
			}
		}
		if err := each(out); err != nil {
			return Finish{}, err
		}
		if until.Stopped() {
			return Finish{Reason: "stop"}, nil
		}
	}
	reason := "length"
	if n < o.MaxNewTokens {
		reason = "stop"
	}
	return Finish{Reason: reason, Rest: until.Add(text.Flush()) + until.Rest()}, nil
}

func (m *language) ends(id int32) bool {
	eos := m.options.EOS
	if eos == nil {
		eos = m.model.Config().EOS
	}
	for _, e := range eos {
		if int32(e) == id {
			return true
		}
	}
	return false
}

// settings are the checkpoint's, as far as the request has none of its own.
func (m *language) settings(s Sampling) llm.Options {
	o := m.options
	o.StopStrings, o.Decode, o.OnToken, o.Beams, o.NoCache = nil, nil, nil, 0, false
	o.MaxNewTokens = s.MaxTokens
	o.LogProbs, o.TopLogProbs = s.LogProbs, s.TopLogProbs
	x := &o.Sampling
	x.Seed = s.Seed
	x.Temperature, x.TopP, x.MinP = or(s.Temperature, x.Temperature), or(s.TopP, x.TopP), or(s.MinP, x.MinP)
	if s.TopP != nil && *s.TopP == 0 {
		x.TopP = math.SmallestNonzeroFloat64 // the most likely token alone; 0 means all to llm
	}
	x.TopK = max(0, or(s.TopK, x.TopK)) // other servers write -1 for all
	x.PresencePenalty, x.FrequencyPenalty = or(
		s.PresencePenalty,
		x.PresencePenalty,
	), or(
		s.FrequencyPenalty,
		x.FrequencyPenalty,
	)
	x.RepetitionPenalty = or(s.RepetitionPenalty, x.RepetitionPenalty)
	if s.LogitBias != nil {
		x.LogitBias = maps.Clone(x.LogitBias)
		if x.LogitBias == nil {
			x.LogitBias = map[int32]float64{}
		}
		for id, v := range s.LogitBias {
			x.LogitBias[id] += v
		}
	}
	if s.Constraint != nil {
		c, bytes, read := s.Constraint.Fresh(), m.bytes(), 0 // for the engine's goroutine alone
		o.Allow = func(generated []int32, id int32) bool {
			for ; read < len(generated); read++ {
				c.Advance(bytes[generated[read]])
			}
			if m.ends(id) {
				return c.Complete()
			}
			return len(bytes[id]) > 0 && c.Accepts(bytes[id])
		}
	}
	return o
}

// ids are the token ids of an input that is text.
func (m *language) ids(in Input) ([]int32, error) {
	if in.Image != nil || in.Sound != nil {
		return nil, errors.New("this model embeds texts only")
	}
	if in.IDs == nil {
		return m.tokenizer.Wrap(m.tokenizer.Encode(in.Text)), nil
	}
	for _, id := range in.IDs {
		if size := m.model.Config().VocabSize; id < 0 || int(id) >= size {
			return nil, fmt.Errorf("token id %d is outside the vocabulary of %d", id, size)
		}
	}
	return in.IDs, nil
}

// Embed implements [Model]: the mean of the last hidden states of a text, of length 1.
func (m *language) Embed(ctx context.Context, inputs []Input) (vectors [][]float32, tokens int, err error) {
	for i, in := range inputs {
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
		ids, err := m.ids(in)
		if err != nil {
			return nil, 0, err
		}
		if len(ids) > m.Context() {
			return nil, 0, fmt.Errorf("%w: input %d has %d tokens", ErrTooLong, i, len(ids))
		}
		tokens += len(ids)
		var v []float32
		if err := tensor.Catch(func() {
			tensor.Scope(func(s *tensor.Arena) {
				x := m.model.Embed(tensor.Ints(integers(ids), 1, len(ids)).In(s))
				h := m.model.Hidden(llm.Input{Embeds: x}) // [1, T, C]
				v = append(v, h.Host().Data()...)
			})
		}); err != nil {
			return nil, 0, err
		}
		vectors = append(vectors, mean(v, len(ids)))
	}
	return vectors, tokens, nil
}

func integers(ids []int32) []int {
	out := make([]int, len(ids))
	for i, id := range ids {
		out[i] = int(id)
	}
	return out
}

// mean is the mean of rows of h, divided by its length.
func mean(h []float32, rows int) []float32 {
	out := make([]float32, len(h)/rows)
	sum := make([]float64, len(out))
	for i, v := range h {
		sum[i%len(out)] += float64(v)
	}
	square := 0.0
	for _, v := range sum {
		square += v * v
	}
	for i, v := range sum {
		out[i] = float32(v / math.Sqrt(max(square, 1e-30)))
	}
	return out
}
