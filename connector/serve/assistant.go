package serve

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
)

// Assistant serves a vision-language model: its answers are those of [connector.Assistant.Reply], whatever else runs.
// Images that were seen lately are not encoded again.
func Assistant(a *connector.Assistant, c llm.EngineConfig) Model {
	m := newLanguage(a.Model.Language, a.Tokenizer, a.Template, a.Options, c)
	return &vision{language: *m, assistant: a, features: recent{most: 32}, eyes: make(chan struct{}, 1)}
}

// vision is a vision-language model.
type vision struct {
	language
	assistant *connector.Assistant
	features  recent
	eyes      chan struct{} // one encodes at a time: it uses all cores, and the memory is bounded
}

func (m *vision) Images() bool { return true }

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
	p := picture{sample: x, tokens: len(x.IDs), stop: m.stops(t)}
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
