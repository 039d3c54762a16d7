package serve

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
)

// Assistant serves a vision-language model: its answers are those of [connector.Assistant.Reply], whatever else runs. Images that were seen lately
// are not encoded again.
func Assistant(a *connector.Assistant, c llm.EngineConfig) Model {
	m := newLanguage(a.Model.Language, a.Tokenizer, a.Template, a.Options, c)
	return &vision{language: *m, assistant: a, features: recent{most: 32}, eyes: make(chan struct{}, 1)}
}

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

func newLanguage(m llm.Model, t *tokenizer.Tokenizer, template chat.Template, o llm.Options, c llm.EngineConfig) *language {
	return &language{model: m, tokenizer: t, template: template, options: o, engine: llm.NewEngine(m, c), bytes: sync.OnceValue(func() [][]byte {
		all := make([][]byte, m.Config().VocabSize)
		for id := range all {
			all[id] = t.Bytes(int32(id))
		}
		return all
	})}
}

func (m *language) Context() int { return m.model.Config().MaxPositionEmbeddings }

// words is a prompt of tokens.
type words struct {
	ids  []int32
	stop []string // of the template; nil after a plain text
}

func (w words) Tokens() int { return len(w.ids) }

// Prepare implements [Model].
func (m *language) Prepare(_ context.Context, c Conversation) (Prompt, error) {
	return m.prepare(c)
}

func (m *language) prepare(c Conversation) (Prompt, error) {
	if c.Messages == nil {
		return m.checked(words{ids: m.tokenizer.Wrap(m.tokenizer.Encode(c.Text))})
	}
	turns, images, t, err := m.turns(c)
	if err != nil {
		return nil, err
	}
	if len(images) > 0 {
		return nil, errors.New("this model reads text only: it cannot see images")
	}
	spans, err := t.Spans(append(turns, chat.Turn{From: chat.GPT, Open: true}))
	if err != nil {
		return nil, err
	}
	return m.checked(words{t.Encode(m.tokenizer, spans, chat.Options{}).IDs, t.Stop})
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

// turns brings a conversation into the form of templates: system text, and turns that alternate, in which <image> stands for an image.
func (m *language) turns(c Conversation) ([]chat.Turn, []*imaging.RGB, chat.Template, error) {
	t := m.template
	var images []*imaging.RGB
	var turns []chat.Turn
	var system []string
	for _, x := range c.Messages {
		var text strings.Builder
		for _, p := range x.Parts {
			if p.Image != nil {
				images = append(images, p.Image)
				text.WriteString(chat.ImageToken + "\n")
				continue
			}
			text.WriteString(strings.ReplaceAll(p.Text, chat.ImageToken, "<Image>")) // written by somebody, it is no image
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
	return turns, images, t, nil
}

// Generate implements [Model].
func (m *language) Generate(ctx context.Context, p Prompt, s Sampling, each func(Token) error) (Finish, error) {
	w := p.(words)
	return m.generate(ctx, llm.Prompts{IDs: [][]int32{w.ids}}, w.stop, s, each)
}

func (m *language) generate(ctx context.Context, p llm.Prompts, stop []string, s Sampling, each func(Token) error) (Finish, error) {
	o := m.settings(s)
	text := m.tokenizer.Stream(nil)
	until := chat.NewUntil(stop...) // the template's own marks end an answer and are not part of it
	n := 0
	for t, err := range m.engine.Stream(ctx, llm.Request{Prompt: p, Options: o}) {
		if s.Constraint != nil && errors.Is(err, llm.ErrNoToken) {
			err = unsupported("response_format", "this model's vocabulary cannot write what it, or tool_choice, demands")
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
	x.Temperature, x.TopP, x.TopK, x.MinP, x.Seed = s.Temperature, s.TopP, s.TopK, s.MinP, s.Seed
	x.PresencePenalty, x.FrequencyPenalty = s.PresencePenalty, s.FrequencyPenalty
	if s.RepetitionPenalty != 1 {
		x.RepetitionPenalty = s.RepetitionPenalty
	}
	if s.LogitBias != nil {
		x.LogitBias = s.LogitBias
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

// Embed implements [Model]: the mean of the last hidden states of a text, of length 1.
func (m *language) Embed(ctx context.Context, texts []string) (vectors [][]float32, tokens int, err error) {
	for i, t := range texts {
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
		ids := m.tokenizer.Wrap(m.tokenizer.Encode(t))
		if len(ids) > m.Context() {
			return nil, 0, fmt.Errorf("%w: text %d has %d tokens", ErrTooLong, i, len(ids))
		}
		tokens += len(ids)
		var v []float32
		if err := tensor.Catch(func() {
			tensor.Scope(func(s *tensor.Arena) {
				x := m.model.Embed(tensor.Ints(integers(ids), 1, len(ids)).In(s))
				h := m.model.Hidden(llm.Input{Embeds: x}) // [1, T, C]
				v = append(v, h.Data()...)
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

// vision is a vision-language model.
type vision struct {
	language
	assistant *connector.Assistant
	features  recent
	eyes      chan struct{} // one encodes at a time: it uses all cores, and the memory is bounded
}

// picture is a prompt with images.
type picture struct {
	sample connector.Sample
	tokens int
	stop   []string
	keys   [][32]byte // of the images
}

func (p picture) Tokens() int { return p.tokens }

// Prepare implements [Model].
func (m *vision) Prepare(ctx context.Context, c Conversation) (Prompt, error) {
	if c.Messages == nil {
		return m.prepare(c)
	}
	turns, images, t, err := m.turns(c)
	if err != nil {
		return nil, err
	}
	a := *m.assistant
	a.Template = t
	x, err := a.Prompt(turns, images)
	if err != nil {
		return nil, err
	}
	p := picture{sample: x, tokens: len(x.IDs), stop: t.Stop}
	for i, image := range images {
		p.keys = append(p.keys, keyOf(image))
		p.tokens += m.assistant.Model.Connector.Layout(x.Images[i].Size).Tokens - 1
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
	prompt, err := m.see(ctx, x)
	if err != nil {
		return Finish{}, err
	}
	return m.generate(ctx, prompt, x.stop, s, each)
}

// see encodes the images that were not seen lately and puts them among the text.
func (m *vision) see(ctx context.Context, p picture) (llm.Prompts, error) {
	select {
	case m.eyes <- struct{}{}:
		defer func() { <-m.eyes }()
	case <-ctx.Done():
		return llm.Prompts{}, ctx.Err()
	}
	model := m.assistant.Model
	x := p.sample
	x.Images = append([]connector.Image(nil), x.Images...) // the prompt may be generated from more than once
	for i := range x.Images {
		if err := ctx.Err(); err != nil {
			return llm.Prompts{}, err
		}
		f := m.features.get(p.keys[i])
		if f == nil {
			if err := tensor.Catch(func() {
				tensor.Scope(func(a *tensor.Arena) {
					v := x.Images[i].Pixels
					pixels := tensor.Wrap(v.Data, v.N, 3, v.H, v.W).NoGrad().In(a)
					f = vit.Features(model.Vision, pixels, model.Config().Select).Detach().Clone()
				})
			}); err != nil {
				return llm.Prompts{}, err
			}
			m.features.put(p.keys[i], f)
		}
		x.Images[i].Features, x.Images[i].Pixels = f, imaging.Pixels{}
	}
	b, err := model.Splice([]connector.Sample{x}, true)
	if err != nil {
		return llm.Prompts{}, err
	}
	return model.Prompts(b)
}

// keyOf is a digest of what an image shows.
func keyOf(m *imaging.RGB) (key [32]byte) {
	h := sha256.New()
	var size [16]byte
	binary.LittleEndian.PutUint64(size[:8], uint64(m.W))
	binary.LittleEndian.PutUint64(size[8:], uint64(m.H))
	h.Write(size[:])
	h.Write(m.Pix)
	copy(key[:], h.Sum(nil))
	return key
}

// recent keeps the features of the images that were used last. It is safe for concurrent use.
type recent struct {
	most int

	mu    sync.Mutex
	keys  [][32]byte // oldest use first
	known map[[32]byte]*tensor.Tensor
}

func (r *recent) get(key [32]byte) *tensor.Tensor {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.known[key]
	if f != nil {
		i := slices.Index(r.keys, key)
		r.keys = append(slices.Delete(r.keys, i, i+1), key)
	}
	return f
}

func (r *recent) put(key [32]byte, f *tensor.Tensor) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known == nil {
		r.known = map[[32]byte]*tensor.Tensor{}
	}
	if r.known[key] == nil {
		r.keys = append(r.keys, key)
	}
	r.known[key] = f
	if len(r.keys) > r.most {
		delete(r.known, r.keys[0])
		r.keys = r.keys[1:]
	}
}
