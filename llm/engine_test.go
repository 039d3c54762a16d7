package llm_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// served is a model whose matrices are large enough for every kind of kernel, with sizes that no register divides.
func served(t testing.TB, family string, adjust func(*llm.Config)) llm.Model {
	c := llm.Config{ModelType: family, VocabSize: 517, HiddenSize: 132, IntermediateSize: 300, NumHiddenLayers: 2,
		NumAttentionHeads: 6,
		NumKeyValueHeads:  3, HeadDim: 22, MaxPositionEmbeddings: 4096, NormEps: 1e-5, HiddenAct: "silu",
		RoPE: nn.RoPEConfig{Theta: 1e4},
		BOS:  1, EOS: []int{2}, PAD: 0, InitStd: 0.15}
	if family == "mpt" {
		c.NumKeyValueHeads, c.AlibiBiasMax = 6, 8
	}
	if adjust != nil {
		adjust(&c)
	}
	m, err := llm.New(rand.New(rand.NewPCG(3, 4)), c)
	require.NoError(t, err)
	return m
}

// requests are prompts of all lengths with all kinds of options.
func requests(n int) (all []llm.Request) {
	r := rand.New(rand.NewPCG(5, 6))
	for i := range n {
		ids := make([]int32, 1+r.IntN(70))
		if i%7 == 3 {
			ids = make([]int32, 500+r.IntN(700)) // more than one chunk
		}
		for j := range ids {
			ids[j] = int32(r.IntN(517))
		}
		o := llm.Options{MaxNewTokens: 1 + r.IntN(25), PAD: -1, TopLogProbs: i % 3}
		if i%2 == 1 {
			o.Sampling = llm.Sampling{Temperature: 0.5 + r.Float64(), Seed: uint64(i), TopK: r.IntN(60),
				RepetitionPenalty: 1.2, FrequencyPenalty: 0.2}
		}
		all = append(all, llm.Request{Prompt: llm.Prompts{IDs: [][]int32{ids}}, Options: o})
	}
	return all
}

// Answers are those of each request alone, bit for bit, log-probabilities included, whatever joins and leaves
// meanwhile.
func TestEngineEqualsAlone(t *testing.T) {
	long := func(c *llm.Config) {
		c.NumKeyValueHeads, c.RoPE.Type, c.RoPE.OriginalMaxPosition = 6, "longrope", 60
		for i := range 11 {
			c.RoPE.ShortFactor, c.RoPE.LongFactor = append(c.RoPE.ShortFactor, 1), append(c.RoPE.LongFactor,
				1+float64(i)/5)
		}
	}
	for _, c := range []struct {
		family string
		adjust func(*llm.Config)
	}{{"llama", nil}, {"qwen3", nil}, {"mpt", nil}, {"phi3", long}, {"mistral",
		func(c *llm.Config) { c.SlidingWindow = 20 }}} {
		t.Run(c.family, func(t *testing.T) {
			m := served(t, c.family, c.adjust)
			all := requests(24)
			if c.adjust != nil || testing.Short() {
				all = all[:12]
			}
			want := make([]llm.Generated, len(all))
			for i, r := range all {
				var err error
				want[i], err = llm.Generate(t.Context(), m, r.Prompt, r.Options)
				require.NoError(t, err)
			}
			e := llm.NewEngine(m, llm.EngineConfig{MaxRows: 30})
			defer e.Close()
			var wait sync.WaitGroup
			got := make([]llm.Generated, len(all))
			errs := make([]error, len(all))
			delay := rand.New(rand.NewPCG(7, 8))
			for i, r := range all {
				after := time.Duration(delay.IntN(60)) * time.Millisecond
				wait.Go(func() {
					time.Sleep(after)
					got[i], errs[i] = e.Generate(t.Context(), r)
				})
			}
			wait.Wait()
			for i := range all {
				require.NoError(t, errs[i])
				require.Equal(t, want[i], got[i], "request %d", i)
			}
			require.Eventually(t, func() bool { return e.Stats() == llm.EngineStats{} }, time.Minute,
				time.Millisecond)
		})
	}
}

// counting records the positions that pass a model.
type counting struct {
	llm.Model
	passed []int // positions of each pass
}

func (c *counting) Hidden(in llm.Input) *tensor.Tensor {
	c.passed = append(c.passed, in.Embeds.Dim(0)*in.Embeds.Dim(1))
	return c.Model.Hidden(in)
}

// A cancelled request leaves within a token, the others do not notice; a loop that is left does the same.
func TestEngineCancellation(t *testing.T) {
	m := &counting{Model: served(t, "llama", nil)}
	e := llm.NewEngine(m, llm.EngineConfig{})
	r := llm.Request{Prompt: llm.Prompts{IDs: [][]int32{{5, 6, 7}}}, Options: llm.Options{MaxNewTokens: 200,
		EOS: []int{}}}
	other := r
	other.Prompt = llm.Prompts{IDs: [][]int32{{8, 9}}}
	want, err := llm.Generate(t.Context(), m.Model, other.Prompt, other.Options)
	require.NoError(t, err)
	var got llm.Generated
	var wait sync.WaitGroup
	wait.Go(func() { got, _ = e.Generate(t.Context(), other) })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	for _, err := range e.Stream(ctx, r) {
		if n++; n == 3 {
			cancel()
		}
		if err != nil {
			require.ErrorIs(t, err, context.Canceled)
			break
		}
		require.Less(t, n, 100)
	}
	n = 0
	for range e.Stream(t.Context(), r) {
		if n++; n == 2 {
			break
		}
	}
	failed := r
	failed.Options.OnToken = func(int, int32) error { return errors.New("full") }
	_, err = e.Generate(t.Context(), failed)
	require.ErrorContains(t, err, "full")
	wait.Wait()
	require.Equal(t, want, got)
	require.Eventually(t, func() bool { return e.Stats() == llm.EngineStats{} }, time.Minute, time.Millisecond)
	require.Less(t, len(m.passed), 3*200)
	e.Close()
	_, err = e.Generate(t.Context(), r)
	require.ErrorIs(t, err, llm.ErrClosed)
}

// The bounds hold at every moment, and all requests are served nevertheless.
func TestEngineBounds(t *testing.T) {
	e := llm.NewEngine(served(t, "llama", nil), llm.EngineConfig{MaxRows: 3, MaxTokens: 60})
	var wait sync.WaitGroup
	for i := range 12 {
		wait.Go(func() {
			ids := make([]int32, 5+i)
			for token, err := range e.Stream(t.Context(), llm.Request{Prompt: llm.Prompts{IDs: [][]int32{ids}},
				Options: llm.Options{MaxNewTokens: 9, EOS: []int{}}}) {
				_ = token
				if s := e.Stats(); err != nil || s.Running > 3 || s.Tokens > 60 {
					t.Errorf("%+v, %v", s, err)
				}
			}
		})
	}
	wait.Wait()
	_, err := e.Generate(t.Context(), llm.Request{Prompt: llm.Prompts{IDs: [][]int32{make([]int32, 55)}},
		Options: llm.Options{MaxNewTokens: 9}})
	require.ErrorContains(t, err, "a prompt of 55 positions and 9 new tokens exceed the engine's 60 tokens")
	for says, r := range map[string]llm.Request{
		"MaxNewTokens must be positive": {Prompt: llm.Prompts{IDs: [][]int32{{1}}}},
		"neither beam search": {Prompt: llm.Prompts{IDs: [][]int32{{1}}},
			Options: llm.Options{MaxNewTokens: 1, Beams: 2}},
		"2 prompts in a request": {Prompt: llm.Prompts{IDs: [][]int32{{1}, {2}}},
			Options: llm.Options{MaxNewTokens: 1}},
		"outside the vocabulary": {Prompt: llm.Prompts{IDs: [][]int32{{517}}},
			Options: llm.Options{MaxNewTokens: 1}},
		"Temperature -1": {Prompt: llm.Prompts{IDs: [][]int32{{1}}},
			Options: llm.Options{MaxNewTokens: 1, Sampling: llm.Sampling{Temperature: -1}}},
	} {
		_, err := e.Generate(t.Context(), r)
		require.ErrorContains(t, err, says)
	}
}

// The same prompt is not computed again, and prompts that begin alike share the keys and values of whole chunks;
// answers stay those of each alone, and no more is kept than allowed.
func TestEngineKeepsBeginnings(t *testing.T) {
	m := &counting{Model: served(t, "llama", nil)}
	e := llm.NewEngine(m, llm.EngineConfig{KeepTokens: 1100})
	r := rand.New(rand.NewPCG(9, 1))
	ids := make([]int32, 1300)
	for i := range ids {
		ids[i] = int32(r.IntN(517))
	}
	changed := append([]int32{}, ids...)
	changed[600]++
	other := append([]int32{}, ids...)
	other[3]++
	o := llm.Options{MaxNewTokens: 4, EOS: []int{}, TopLogProbs: 1}
	for i, c := range []struct {
		ids    []int32
		passed []int // by the prompt
		kept   int
	}{
		{ids[:700], []int{512, 188}, 700}, {ids[:700], nil, 700}, {ids[:513], []int{1}, 513},
		{ids[:512], []int{512}, 512}, {ids, []int{512, 276}, 1024}, {changed, []int{512, 276}, 1024},
		{ids[:1200], []int{512, 176}, 1024}, {other[:600], []int{512, 88}, 600}, {other[:650], []int{138}, 650},
		{other[:3], []int{3}, 653}, {other[:4], []int{4}, 657}, {other[:3], nil, 657}, {other[:650], nil, 657},
	} {
		p := llm.Prompts{IDs: [][]int32{c.ids}}
		want, err := llm.Generate(t.Context(), m.Model, p, o)
		require.NoError(t, err)
		m.passed = nil
		got, err := e.Generate(t.Context(), llm.Request{Prompt: p, Options: o})
		require.NoError(t, err)
		require.Equal(t, want, got, "prompt %d", i)
		require.Equal(t, append(c.passed, 1, 1, 1), m.passed, "prompt %d", i)
		require.Equal(t, c.kept, e.Stats().Kept, "prompt %d", i)
	}
}

// Requests for several answers to one prompt compute it once, though they come together.
func TestEngineSharesOnePrompt(t *testing.T) {
	m := &counting{Model: served(t, "llama", nil)}
	e := llm.NewEngine(m, llm.EngineConfig{KeepTokens: 200})
	p := llm.Prompts{IDs: [][]int32{slices.Repeat([]int32{3, 1, 4, 1, 5}, 10)}}
	var all sync.WaitGroup
	for i := range 6 {
		o := llm.Options{MaxNewTokens: 9, EOS: []int{}, Sampling: llm.Sampling{Temperature: 1, Seed: uint64(i)}}
		want, err := llm.Generate(t.Context(), m.Model, p, o)
		require.NoError(t, err)
		all.Go(func() {
			got, err := e.Generate(t.Context(), llm.Request{Prompt: p, Options: o})
			assert.NoError(t, err)
			assert.Equal(t, want, got, "seed %d", i)
		})
	}
	all.Wait()
	prompts := slices.DeleteFunc(m.passed, func(n int) bool { return n != 50 })
	require.Len(t, prompts, 1)
}
