package serve

import (
	"context"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// letters is a model whose tokens are bytes: what it says depends on the prompt and on what it has said.
type letters struct {
	context int
	pause   time.Duration
	running atomic.Int64
	most    atomic.Int64 // at once
	steps   atomic.Int64
}

type lettersPrompt struct {
	seed   uint64
	tokens int
}

func (p lettersPrompt) Tokens() int { return p.tokens }

func (m *letters) Context() int { return m.context }
func (m *letters) Images() bool { return true }

func (m *letters) Prepare(_ context.Context, c Conversation) (Prompt, error) {
	h := fnv.New64a()
	tokens := 1
	for _, id := range c.IDs {
		c.Text += said[int(id)%len(said)]
	}
	h.Write([]byte(c.Text))
	tokens += len(c.Text)
	for _, x := range c.Messages {
		fmt.Fprintf(h, "<%s>", x.Role)
		tokens += 2
		for _, p := range x.Parts {
			h.Write([]byte(p.Text))
			tokens += len(p.Text)
			if p.Image != nil {
				h.Write(p.Image.Pix)
				tokens += 16
			}
		}
	}
	if tokens >= m.context {
		return nil, fmt.Errorf("%w: it has %d tokens", ErrTooLong, tokens)
	}
	return lettersPrompt{h.Sum64(), tokens}, nil
}

// said are the pieces that this model's words are made of; the last is one character of two tokens.
var said = []string{
	"a",
	"b",
	"c",
	" ",
	"the ",
	"of",
	"\xc3",
	"\xa9",
	"{",
	"}",
	"\"",
	":",
	"1",
	"2",
	",",
	"x",
	"e",
	"[",
	"]",
	"-",
	".",
}

func (m *letters) Generate(ctx context.Context, p Prompt, s Sampling, each func(Token) error) (Finish, error) {
	m.most.Store(max(m.most.Load(), m.running.Add(1)))
	defer m.running.Add(-1)
	state := p.(lettersPrompt).seed
	r := rand.New(rand.NewPCG(s.Seed, 1))
	var held []byte
	for range s.MaxTokens {
		if err := ctx.Err(); err != nil {
			return Finish{}, err
		}
		m.steps.Add(1)
		time.Sleep(m.pause)
		weights := make([]float64, len(said))
		sum := 0.0
		g := rand.New(rand.NewPCG(state, 2))
		for i := range weights {
			weights[i] = math.Exp(3*g.NormFloat64() + s.LogitBias[int32(i)])
			if len(held) > 0 != (said[i] == "\xa9") || s.Constraint != nil && !s.Constraint.Accepts([]byte(said[i])) {
				weights[i] = 0
			}
			sum += weights[i]
		}
		if sum == 0 {
			return Finish{Reason: "stop"}, nil
		}
		order := make([]int, len(said))
		for i := range order {
			order[i] = i
		}
		slices.SortStableFunc(order, func(a, b int) int { return int(math.Copysign(1, weights[b]-weights[a])) })
		id := order[0]
		if or(s.Temperature, 1) > 0 {
			x := r.Float64() * sum
			for i, w := range weights {
				if x -= w; x < 0 {
					id = i
					break
				}
			}
		}
		t := Token{ID: int32(id), Bytes: []byte(said[id]), LogProb: math.Log(weights[id] / sum)}
		for _, i := range order[:s.TopLogProbs] {
			t.Top = append(t.Top, Alternative{int32(i), []byte(said[i]), math.Log(weights[i] / sum)})
		}
		if s.Constraint != nil {
			s.Constraint.Advance(t.Bytes)
		}
		if held = append(held, said[id]...); said[id] != "\xc3" {
			t.Text, held = string(held), nil
		}
		state = state*6364136223846793005 + uint64(id) + 1442695040888963407
		if err := each(t); err != nil {
			return Finish{}, err
		}
		if s.Constraint != nil && s.Constraint.Complete() {
			return Finish{Reason: "stop"}, nil
		}
	}
	return Finish{Reason: "length", Rest: strings.ToValidUTF8(string(held), "\ufffd")}, nil
}

func (m *letters) Embed(_ context.Context, inputs []Input) (vectors [][]float32, tokens int, err error) {
	for _, in := range inputs {
		t := in.Text
		if in.Image != nil {
			t = string(in.Image.Pix)
		}
		for _, id := range in.IDs {
			t += said[int(id)%len(said)]
		}
		v := []float32{1, 2, float32(len(t))}
		n := float32(math.Sqrt(float64(5 + len(t)*len(t))))
		for i := range v {
			v[i] /= n
		}
		vectors, tokens = append(vectors, v), tokens+len(t)
	}
	return vectors, tokens, nil
}
