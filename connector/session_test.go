package connector_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
)

// watchedTower counts the views that are encoded, watchedModel the positions that pass the language model. Any number
// of goroutines may use them.
type watchedTower struct {
	vit.Tower
	mu    sync.Mutex
	views int
}

func (w *watchedTower) Hidden(pixels *tensor.Tensor, n int) *tensor.Tensor {
	w.mu.Lock()
	w.views += pixels.Dim(0)
	w.mu.Unlock()
	return w.Tower.Hidden(pixels, n)
}

type watchedModel struct {
	llm.Model
	mu        sync.Mutex
	positions []int
}

func (w *watchedModel) Hidden(in llm.Input) *tensor.Tensor {
	w.mu.Lock()
	w.positions = append(w.positions, in.Embeds.Dim(0)*in.Embeds.Dim(1))
	w.mu.Unlock()
	return w.Model.Hidden(in)
}

// talker is an assistant whose images take 576 positions, as those of LLaVA-1.5.
func talker(t testing.TB, width int) (*connector.Assistant, *watchedTower, *watchedModel) {
	tok, err := tokenizer.Train(
		slices.Values([]string{"USER: What is this? ASSISTANT: A red cat on the mat. What colour is it?"}),
		tokenizer.TrainConfig{Size: 300, Specials: []string{"<s>", "</s>"}, BOS: "<s>"})
	require.NoError(t, err)
	v := vit.CLIPBase32()
	v.HiddenSize, v.IntermediateSize, v.NumHiddenLayers = width, 2*width, 2
	v.NumAttentionHeads, v.ImageSize, v.PatchSize = 2, 48, 2
	m, err := llava.New(rand.New(rand.NewPCG(7, 8)), llava.Config{Vision: v, Projector: "mlp2x_gelu",
		Select: vit.Select{Layers: []int{-2}, Class: "patch"},
		Image:  -200, Aspect: "square", PaddingSide: "right", Text: llm.Config{ModelType: "llama",
			VocabSize: tok.Size(), HiddenSize: width,
			IntermediateSize: 2 * width, NumHiddenLayers: 2, NumAttentionHeads: 2, MaxPositionEmbeddings: 4096,
			NormEps: 1e-5, HiddenAct: "silu",
			RoPE: nn.RoPEConfig{Theta: 1e4}, BOS: 1, EOS: []int{}, PAD: 0, InitStd: 0.2}})
	require.NoError(t, err)
	tower, model := &watchedTower{Tower: m.Vision}, &watchedModel{Model: m.Language}
	m.Vision, m.Language = tower, model
	return &connector.Assistant{Model: m, Tokenizer: tok, Processor: imaging.CLIP(48), Template: chat.VicunaV1(),
		Options: llm.Options{MaxNewTokens: 6, PAD: -1, EOS: []int{}}}, tower, model
}

func photo(seed int) *imaging.RGB {
	m := imaging.New(48, 48)
	for i := range m.Pix {
		m.Pix[i] = byte((i*i + 31*i*seed) >> 3)
	}
	return m
}

func talk(text ...string) (turns []chat.Turn) {
	for i, s := range text {
		turns = append(turns, chat.Turn{From: []string{chat.Human, chat.GPT}[i%2], Value: s})
	}
	return turns
}

// The second question about an image neither encodes it again nor reads it again: before the first token pass the new
// positions and no other, as many as in a conversation of text.
func TestSessionReadsWhatIsNew(t *testing.T) {
	a, tower, model := talker(t, 24)
	s, images := a.NewSession(), []*imaging.RGB{photo(1)}
	question := "<image>\nWhat is this?"
	first, err := s.Reply(t.Context(), talk(question), images, nil)
	require.NoError(t, err)
	alone, err := a.Reply(t.Context(), talk(question), images, nil)
	require.NoError(t, err)
	require.Equal(t, alone, first)
	other, err := a.Reply(t.Context(), talk(question), []*imaging.RGB{photo(2)}, nil)
	require.NoError(t, err)
	require.NotEqual(t, alone, other, "an answer that does not depend on the image proves nothing")
	require.Greater(t, s.Cached(), 576)
	require.Greater(t, s.Bytes(), 4*576*24)

	text := a.NewSession()
	said, err := text.Reply(t.Context(), talk("What is this?"), nil, nil)
	require.NoError(t, err)
	model.positions, tower.views = nil, 0
	_, err = text.Reply(t.Context(), talk("What is this?", said, "What colour is it?"), nil, nil)
	require.NoError(t, err)
	plain := model.positions[0]

	for round := range 2 {
		model.positions, tower.views = nil, 0
		images = []*imaging.RGB{photo(1)} // another copy in memory
		second, err := s.Reply(t.Context(), talk(question, first, "What colour is it?"), images, nil)
		require.NoError(t, err)
		require.Zero(t, tower.views)
		require.LessOrEqual(t, float64(model.positions[0]), 1.2*float64(plain)+1, "round %d: %v", round,
			model.positions)
		require.Less(t, model.positions[0], 60)
		full, err := a.Reply(t.Context(), talk(question, first, "What colour is it?"), images, nil)
		require.NoError(t, err)
		require.Equal(t, full, second)
	}
}

// Conversations that share less with the one before are answered like new ones: another image, an image more, other
// words, a shorter one.
func TestSessionOfOtherConversations(t *testing.T) {
	a, tower, _ := talker(t, 24)
	s := a.NewSession()
	var answers []string
	for i, c := range []struct {
		turns  []chat.Turn
		images []*imaging.RGB
		views  int
	}{
		{talk("<image>\nWhat is this?"), []*imaging.RGB{photo(1)}, 1},
		{talk("<image>\nWhat is this?"), []*imaging.RGB{photo(2)}, 1},
		{talk("<image>\nWhat is this?", "A red cat", "And <image> this <image>?"),
			[]*imaging.RGB{photo(1), photo(3), photo(2)}, 1},
		{talk("<image><image>\nWhat is this?"), []*imaging.RGB{photo(1), photo(1)}, 0},
		{talk("What is this?"), nil, 0},
		{talk("What"), nil, 0},
		{talk("<image>\nWhat is this?"), []*imaging.RGB{photo(3)}, 0},
	} {
		want, err := a.Reply(t.Context(), c.turns, c.images, nil)
		require.NoError(t, err)
		tower.views = 0
		var parts []string
		got, err := s.Reply(t.Context(), c.turns, c.images, func(part string) error {
			parts = append(parts, part)
			return nil
		})
		require.NoError(t, err)
		require.Equal(t, want, got, "conversation %d", i)
		require.Equal(t, got, strings.TrimSpace(strings.Join(parts, "")))
		require.Equal(t, c.views, tower.views, "conversation %d", i)
		answers = append(answers, got)
	}
	require.NotEqual(t, answers[0], answers[1], "the answers depend on the image")
	require.NotEqual(t, answers[0], answers[4], "and on there being one")
	_, err := s.Reply(t.Context(), talk("What"), []*imaging.RGB{photo(1)}, nil)
	require.ErrorContains(t, err, "1 images for 0 places")
	_, err = s.Reply(t.Context(), talk("a", "b"), nil, nil)
	require.ErrorContains(t, err, "the last turn must be the human's")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = s.Reply(ctx, talk("What"), nil, nil)
	require.ErrorIs(t, err, context.Canceled)
	_, err = s.Reply(t.Context(), talk("What"), nil, nil)
	require.NoError(t, err)
}

// BenchmarkSecondTurn measures the time to the first token of a second question: about an image of 576 positions, and
// about a text as long.
func BenchmarkSecondTurn(b *testing.B) {
	for _, c := range []struct {
		name, question string
		images         []*imaging.RGB
	}{{"image", "<image>\nWhat is this?", []*imaging.RGB{photo(1)}}, {"text",
		strings.Repeat("What", 288) + "\nWhat is this?", nil}} {
		b.Run(c.name, func(b *testing.B) {
			a, _, _ := talker(b, 512)
			s := a.NewSession()
			first, err := s.Reply(b.Context(), talk(c.question), c.images, nil)
			require.NoError(b, err)
			a.Options.MaxNewTokens = 1
			best := time.Hour
			for b.Loop() {
				start := time.Now()
				_, err := s.Reply(b.Context(), talk(c.question, first, "What colour is it?"), c.images, nil)
				best = min(best, time.Since(start))
				require.NoError(b, err)
				b.StopTimer() // back to the end of the first turn
				_, err = s.Reply(b.Context(), talk(c.question, first, "Red?"), c.images, nil)
				require.NoError(b, err)
				b.StartTimer()
			}
			b.ReportMetric(float64(best.Microseconds()), "µs/best")
			b.ReportMetric(float64(s.Cached()), "positions")
		})
	}
}
