package connector_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/lora"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
	"github.com/gollava/gollava/vit"
)

// lively is a config whose fresh model says different things to different prompts.
func lively() llava.Config {
	c := small()
	c.Text.InitStd = 0.5
	return c
}

// generation is a prompt of its own length, number of pictures and way to decode.
func generation(m *connector.VLM, seed int) ([]int32, error) {
	r := rand.New(rand.NewPCG(uint64(seed), 5))
	s := connector.Sample{IDs: []int32{1}}
	for range 1 + r.IntN(12) {
		s.IDs = append(s.IDs, int32(3+r.IntN(20)))
	}
	for i := range r.IntN(3) {
		s.IDs = append(s.IDs, -200)
		s.Images = append(s.Images, connector.Image{Pixels: picture(seed + i)})
	}
	b, err := m.Splice([]connector.Sample{s}, true)
	if err != nil {
		return nil, err
	}
	o := llm.Options{MaxNewTokens: 1 + r.IntN(12), EOS: []int{}}
	switch seed % 3 {
	case 1:
		o.Sampling = llm.Sampling{Temperature: 1, TopP: 0.9, Seed: uint64(seed)}
	case 2:
		o.Beams = 2
	}
	g, err := m.Generate(context.Background(), b, o)
	if err != nil {
		return nil, err
	}
	return g.IDs[0], nil
}

// course trains m for some steps on features that its frozen tower computes in the prefetching goroutines, and returns
// the bits of what it learnt.
func course(m *connector.VLM, ahead int, groups ...train.Group) ([]float32, error) {
	batch := func(_ context.Context, n int) (b connector.Batch, err error) {
		r := rand.New(rand.NewPCG(uint64(n), 6))
		var samples []connector.Sample
		for i := range 2 {
			x := picture(n + i)
			var features *tensor.Tensor
			tensor.Scope(func(s *tensor.Arena) {
				pixels := tensor.Wrap(x.Data, 1, 3, x.H, x.W).NoGrad().In(s).Scale(1.5)
				features = vit.Features(m.Vision, pixels, vit.Select{Layers: []int{-2}, Class: "patch"}).Clone()
			})
			ids := []int32{1, -200, int32(3 + r.IntN(20)), int32(3 + r.IntN(20)), 2}[:3+r.IntN(3)]
			labels := slices.Clone(ids)
			labels[0], labels[1] = -100, -100
			samples = append(samples, connector.Sample{IDs: ids, Labels: labels, Images: []connector.Image{{Features: features}}})
		}
		return m.Splice(samples, false)
	}
	_, err := train.Run(context.Background(), m, train.Options{}, train.Stage[connector.Batch]{Name: "course", Steps: 12,
		Batches: train.Prefetch(batch, ahead), Groups: groups, Accumulate: 2, EMA: 0.5, Clip: 1})
	var learnt []float32
	for _, p := range nn.Params(m) {
		if p.Trainable() {
			learnt = append(learnt, p.Data()...)
		}
	}
	return learnt, err
}

// rounds is how often each goroutine of a test does its work.
func rounds() int {
	if testing.Short() {
		return 8
	}
	return 50
}

// heap is how many bytes are alive.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Eight goroutines generate on one model while another model trains on batches made with tensors ahead of time and
// scopes come and go elsewhere: each does what it does alone, and nothing is left behind.
func TestEverythingAtOnce(t *testing.T) {
	m := newModel(t, lively())
	n := rounds()
	want, said := make([][]int32, 8*n), map[string]bool{}
	var err error
	for i := range want {
		want[i], err = generation(m, i)
		require.NoError(t, err)
		said[fmt.Sprint(want[i][0])] = true
	}
	require.Greater(t, len(said), 8, "the first tokens tell prompts apart")
	groups := []train.Group{{Params: "multi_modal_projector.**", LR: 1e-2}, {Params: "language_model.**", LR: 1e-3}}
	learnt, err := course(newModel(t, lively()), 0, groups...)
	require.NoError(t, err)

	// everything runs all at once.
	everything := func() {
		stop := make(chan struct{})
		var work, background sync.WaitGroup
		for g := range 8 {
			work.Go(func() {
				for i := g * n; i < (g+1)*n; i++ {
					got, err := generation(m, i)
					if err != nil || !slices.Equal(got, want[i]) {
						t.Errorf("generation %d: %v, alone %v: %v", i, got, want[i], err)
					}
				}
			})
		}
		work.Go(func() {
			got, err := course(newModel(t, lively()), 3, groups...)
			if err != nil || !slices.Equal(got, learnt) {
				t.Errorf("the training beside has other weights: %v", err)
			}
		})
		for g := range 2 {
			background.Go(func() { scopes(t, stop, uint64(g)) })
		}
		work.Wait()
		close(stop)
		background.Wait()
	}
	everything()
	before := heap()
	everything()
	require.Less(t, heap()-before, int64(1<<20), "bytes left behind")
}

// scopes opens and closes scopes at random until stop, and checks what they compute and that late readers are told.
func scopes(t *testing.T, stop chan struct{}, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 9))
	w := tensor.Randn(r, 1, 17, 33).Param()
	for {
		select {
		case <-stop:
			return
		default:
		}
		var late *tensor.Tensor
		tensor.Scope(func(s *tensor.Arena) {
			x := tensor.Full(float32(r.IntN(9)), 1+r.IntN(40), 33).In(s)
			y := x.MatMulT(w).Sub(x.MatMulT(w))
			if ok, _ := tensor.AllFinite([]*tensor.Tensor{y}); !ok || tensor.GlobalNorm([]*tensor.Tensor{y}) != 0 {
				t.Error("x − x is not 0")
			}
			late = x.Scale(2)
			if r.IntN(2) == 0 {
				scopes := tensor.Catch(func() { tensor.Scope(func(s *tensor.Arena) { x.In(s).MatMul(w) }) })
				if scopes == nil {
					t.Error("a product that does not fit passed")
				}
			}
		})
		if tensor.Catch(func() { late.Scale(1) }) == nil {
			t.Error("a late reader was not told")
		}
	}
}

// Trainings side by side end in the same bits as one after the other.
func TestTrainingsSideBySide(t *testing.T) {
	groups := []train.Group{{Params: "language_model.**", LR: 1e-3}}
	want, err := course(newModel(t, lively()), 0, groups...)
	require.NoError(t, err)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			got, err := course(newModel(t, lively()), 2, groups...)
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("other weights than alone: %v", err)
			}
		})
	}
	wg.Wait()
}

// A frozen language model serves while the connector in front of it, or an adapter of another copy of its layers,
// trains.
func TestFrozenModelServesWhileOthersTrain(t *testing.T) {
	var want [2][]float32
	for k, wrap := range []bool{false, true} {
		var answers [20][]int32
		for alone := range 2 {
			m := newModel(t, lively())
			language := m.Language
			groups := []train.Group{{Params: "multi_modal_projector.**", LR: 1e-2}}
			if wrap { // the layers of a model of its own, on the same weights
				m.Language = sharing(t, language)
				_, err := lora.Wrap(m.Language, lora.Default(2, 4, "q_proj", "v_proj"), rand.New(rand.NewPCG(3, 3)), nil)
				require.NoError(t, err)
				groups = []train.Group{{Params: "**.lora_*.**", LR: 1e-2}}
			}
			ask := func(i int) []int32 {
				g, err := llm.Generate(t.Context(), language, llm.Prompts{IDs: [][]int32{{1, int32(3 + i)}}}, llm.Options{MaxNewTokens: 3 + i%5, EOS: []int{}})
				if err != nil {
					t.Error(err)
					return nil
				}
				return g.IDs[0]
			}
			if alone == 0 {
				for i := range answers {
					answers[i] = ask(i)
				}
				var err error
				want[k], err = course(m, 0, groups...)
				require.NoError(t, err)
				continue
			}
			var wg sync.WaitGroup
			wg.Go(func() {
				got, err := course(m, 2, groups...)
				if err != nil || !slices.Equal(got, want[k]) {
					t.Errorf("other weights than alone: %v", err)
				}
			})
			for range 3 {
				wg.Go(func() {
					for i := range answers {
						if got := ask(i); !slices.Equal(got, answers[i]) {
							t.Errorf("answer %d is %v, alone %v", i, got, answers[i])
						}
					}
				})
			}
			wg.Wait()
		}
	}
}

// sharing is a model of the same config on the weights of m.
func sharing(t *testing.T, m llm.Model) llm.Model {
	other, err := llm.New(nil, m.Config())
	require.NoError(t, err)
	weights := map[string]*tensor.Tensor{}
	for name, p := range nn.Params(m) {
		weights[name] = p
	}
	for name, p := range nn.Params(other) {
		p.SetStorage(weights[name])
	}
	return other
}

// A server answers each request of many as it answers it alone.
func TestServer(t *testing.T) {
	tok, err := tokenizer.Train(slices.Values([]string{"What is this? A cat on a mat."}),
		tokenizer.TrainConfig{Size: 300, Specials: []string{"<s>", "</s>"}, BOS: "<s>"})
	require.NoError(t, err)
	c := lively()
	c.Image, c.Text.VocabSize, c.Text.MaxPositionEmbeddings = 299, 300, 512
	a := &connector.Assistant{Model: newModel(t, c), Tokenizer: tok, Processor: imaging.CLIP(16), Template: chat.VicunaV1(),
		Options: llm.Options{MaxNewTokens: 6, PAD: -1}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q struct{ Question, Picture int }
		err := json.NewDecoder(r.Body).Decode(&q)
		var said string
		if err == nil {
			m := imaging.New(20, 10+q.Picture)
			for i := range m.Pix {
				m.Pix[i] = uint8(i * q.Picture)
			}
			turn := chat.Turn{From: chat.Human, Value: fmt.Sprintf("<image>\nWhat is this %d?", q.Question)}
			said, err = a.Reply(r.Context(), []chat.Turn{turn}, []*imaging.RGB{m}, nil)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprint(w, said)
	}))
	defer server.Close()
	ask := func(i int) (string, error) {
		r, err := http.Post(server.URL, "application/json", bytes.NewReader(fmt.Appendf(nil, `{"Question": %d, "Picture": %d}`, i, i%4)))
		if err != nil {
			return "", err
		}
		defer r.Body.Close()
		said, err := io.ReadAll(r.Body)
		return fmt.Sprint(r.StatusCode, " ", string(said)), err
	}
	var want [12]string
	for i := range want {
		want[i], err = ask(i)
		require.NoError(t, err)
		require.Contains(t, want[i], "200 ")
	}
	require.NotEqual(t, want[0], want[1])
	require.NotEqual(t, want[1], want[2])
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for k := range rounds() {
				i := (g + k) % len(want)
				if got, err := ask(i); err != nil || got != want[i] {
					t.Errorf("answer %d is %q, alone %q: %v", i, got, want[i], err)
				}
			}
		})
	}
	wg.Wait()
}
