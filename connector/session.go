package connector

import (
	"context"

	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/tensor"
)

// Session is a conversation that keeps what was computed for it: the tokens of its images and the language model's
// cache. A further question about an image neither encodes it again nor reads again what was said before. It serves
// one goroutine at a time; an assistant may have any number of sessions at once.
//
//	s := a.NewSession()
//	turns := []chat.Turn{{From: chat.Human, Value: "<image>\nWhat is this?"}}
//	answer, err := s.Reply(ctx, turns, images, nil)
//	turns = append(turns, chat.Turn{From: chat.GPT, Value: answer},
//		chat.Turn{From: chat.Human, Value: "What colour is it?"})
//	answer, err = s.Reply(ctx, turns, images, nil)
type Session struct {
	a        *Assistant
	language *llm.Session
	images   *ImageCache
	numbers  map[digest]int32 // that stand for images among the language session's ids
}

// NewSession returns an empty session. The model's parameters may not change while it lives.
func (a *Assistant) NewSession() *Session {
	return &Session{a: a, language: llm.NewSession(a.Model.Language), images: a.NewImageCache(0),
		numbers: map[digest]int32{}}
}

// Reply is [Assistant.Reply] for a conversation that may continue the one before: what they have in common, from the
// beginning on, is not computed again, and no image twice. Any other conversation is right as well. With beam search
// or NoCache, where the connector is [Attended] and where images are a prefix, nothing is kept.
func (s *Session) Reply(ctx context.Context, turns []chat.Turn, images []*imaging.RGB,
	onText func(string) error) (string, error) {
	return s.Watch(ctx, turns, Visuals(images), onText)
}

// Watch is Reply for a conversation about images and videos: shown are those of the turns' <image>s, in order.
func (s *Session) Watch(ctx context.Context, turns []chat.Turn, shown []Visual,
	onText func(string) error) (string, error) {
	if s.a.Model.whole(shown) || s.a.Options.Beams > 1 || s.a.Options.NoCache {
		return s.a.reply(ctx, turns, shown, onText)
	}
	ids, err := s.a.PromptIDs(turns, len(shown) > 0)
	if err != nil {
		return "", err
	}
	keys, tokens, err := s.images.spread(ctx, ids, shown, s.numbers)
	if err != nil {
		return "", err
	}
	s.language.Truncate(s.language.Common(keys))
	from := s.language.Len()
	p := llm.Prompts{Seen: [][]int32{keys[from:]}}
	if p.Embeds, err = s.images.embed(keys, from, tokens); err != nil {
		return "", err
	}
	return s.a.answer(len(keys), onText, func(o llm.Options) (llm.Generated, error) {
		return s.language.Generate(ctx, p, s.a.Model.options(o))
	})
}

// Cached is the number of positions of the conversation that need no computation any more.
func (s *Session) Cached() int { return s.language.Cached() }

// Bytes is the memory that the session holds: the cache and the tokens of its images.
func (s *Session) Bytes() int { return s.language.Bytes() + s.images.Bytes() }

// embedKeys embeds keys from position from on, ids or the keys of images whose tokens are given: [1, n, C].
func (m *VLM) embedKeys(s *tensor.Arena, keys []int32, from int, tokens map[int32]*tensor.Tensor) *tensor.Tensor {
	n := len(keys) - from
	text := make([]int32, n)
	var places []int
	var parts []*tensor.Tensor
	for at := 0; at < len(keys); {
		key := keys[at]
		if key >= 0 {
			if at >= from {
				text[at-from] = key
			}
			at++
			continue
		}
		N := tokens[key].Dim(0) // an image is all of its positions
		if skip := max(from-at, 0); skip < N {
			parts = append(parts, tokens[key].In(s).Slice(0, skip, N))
			for i := skip; i < N; i++ {
				places = append(places, at+i-from)
			}
		}
		at += N
	}
	x := m.Language.Embed(tensor.WrapInts(text, 1, n).In(s)).NoGrad() // [1, n, C]
	if len(parts) == 0 {
		return x
	}
	C := x.Dim(2)
	return tensor.ScatterRows(x.Reshape(n, C), tensor.Ints(places, len(places)),
		tensor.Concat(0, parts...)).Reshape(1, n, C)
}
