package serve

import (
	"encoding/json"
	"fmt"
	"image"
	"math"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/vit"
)

// tiny is a vision-language model of random weights whose vocabulary is bytes and a few words.
func tiny(t *testing.T) *connector.Assistant {
	tok, err := tokenizer.Train(
		slices.Values([]string{"What is this? A red cat and a blue dog, {\"a\": 12}."}),
		tokenizer.TrainConfig{Size: 290,
			Specials: []string{"<s>", "</s>"}, BOS: "<s>", EOS: "</s>"},
	)
	require.NoError(t, err)
	v := vit.CLIPBase32()
	v.HiddenSize, v.IntermediateSize, v.NumHiddenLayers, v.NumAttentionHeads, v.ImageSize, v.PatchSize = 16, 32, 2, 2, 16, 4
	m, err := llava.New(
		rand.New(rand.NewPCG(5, 6)),
		llava.Config{
			Vision:    v,
			Projector: "mlp2x_gelu",
			Select:    vit.Select{Layers: []int{-2}, Class: "patch"},
			Image:     -200,
			Text: llm.Config{
				ModelType:             "llama",
				VocabSize:             tok.Size(),
				HiddenSize:            32,
				IntermediateSize:      64,
				NumHiddenLayers:       2,
				NumAttentionHeads:     4,
				NumKeyValueHeads:      2,
				MaxPositionEmbeddings: 2048,
				NormEps:               1e-5,
				HiddenAct:             "silu",
				RoPE:                  nn.RoPEConfig{Theta: 10000},
				BOS:                   0,
				EOS:                   []int{1},
				PAD:                   -1,
			},
		},
	)
	require.NoError(t, err)
	for name, p := range nn.Params(m.Language) { // louder, so that it says different things
		if strings.HasSuffix(name, "weight") && p.Dim(0) > 1 && !strings.Contains(name, "norm") {
			p.CopyFrom(p.Detach().Scale(12))
		}
	}
	return &connector.Assistant{
		Model:     m,
		Tokenizer: tok,
		Processor: imaging.CLIP(16),
		Template:  chat.VicunaV1(),
		Options:   llm.Options{PAD: -1},
	}
}

func grey(v uint8) *image.Gray {
	m := image.NewGray(image.Rect(0, 0, 20, 12))
	for i := range m.Pix {
		m.Pix[i] = v + uint8(i%5*9)
	}
	return m
}

// TestAssistantAnswersAsAlone: many clients at once get what Reply gives each of them alone, images included, and the
// image that comes again is not encoded again.
func TestAssistantAnswersAsAlone(t *testing.T) {
	a := tiny(t)
	a.Options.MaxNewTokens = 24
	s := New(Config{Log: t.Logf})
	m := Assistant(a, llm.EngineConfig{})
	s.Add("tiny", m)
	h := httptest.NewServer(s)
	defer h.Close()

	type question struct {
		body, want string
	}
	var questions []question
	for k := range 24 {
		value, content := fmt.Sprintf("What is %d?", k), fmt.Sprintf(`"What is %d?"`, k)
		var images []*imaging.RGB
		if k%2 == 0 {
			m := grey(uint8(k % 6 * 30))
			images = []*imaging.RGB{imaging.FromImage(m)}
			content = fmt.Sprintf(
				`[{"type": "image_url", "image_url": {"url": %q}}, {"type": "text", "text": %q}]`,
				imageURL(t, m),
				value,
			)
			value = "<image>\n" + value
		}
		want, err := a.Reply(t.Context(), []chat.Turn{{From: chat.Human, Value: value}}, images, nil)
		require.NoError(t, err)
		questions = append(
			questions,
			question{
				fmt.Sprintf(
					`{"model": "tiny", "temperature": 0, "max_tokens": 24, "messages": [{"role": "user", "content": %s}]}`,
					content,
				),
				want,
			},
		)
	}
	require.NotEqual(t, questions[0].want, questions[2].want, "the model does not look at its images")
	var group sync.WaitGroup
	for i := range 3 * len(questions) {
		group.Go(func() {
			q := questions[i%len(questions)]
			status, body := post(t, h, "/v1/chat/completions", q.body)
			if status != 200 || contentOf(t, body) != q.want {
				t.Errorf("%s: %d %s, want %q", q.body, status, body, q.want)
			}
		})
	}
	group.Wait()
	require.Equal(t, 3, m.(*vision).images.Len())
}

// TestAssistantKeepsASchema: whatever a model would say, what it says is what the schema allows.
func TestAssistantKeepsASchema(t *testing.T) {
	s := New(Config{Log: t.Logf})
	a := tiny(t)
	s.Add("tiny", Language(a.Model.Language, a.Tokenizer, a.Template, a.Options, llm.EngineConfig{}))
	h := httptest.NewServer(s)
	defer h.Close()
	for seed := range 8 {
		status, body := post(
			t,
			h,
			"/v1/chat/completions",
			fmt.Sprintf(
				`{"model": "tiny", "temperature": %d, "seed": %d, "max_tokens": 300, "messages": [{"role": "user", "content": "What?"}],
			"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object", "properties": {"a": {"type": "integer", "minimum": 1, "maximum": 12}, "b": {"enum": ["cat", "dog"]}}, "required": ["a", "b"]}}}}`,
				seed%2,
				seed,
			),
		)
		require.Equal(t, 200, status, body)
		var x struct {
			A int
			B string
		}
		require.NoError(t, json.Unmarshal([]byte(contentOf(t, body)), &x), contentOf(t, body))
		require.True(t, 1 <= x.A && x.A <= 12 && (x.B == "cat" || x.B == "dog"), contentOf(t, body))
	}
	status, body := post(
		t,
		h,
		"/v1/chat/completions",
		`{"model": "tiny", "max_tokens": 60, "temperature": 0, "messages": [{"role": "user", "content": "What?"}], "tool_choice": "required",
		"tools": [{"type": "function", "function": {"name": "see", "parameters": {"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"]}}}]}`,
	)
	require.Equal(t, 200, status, body)
	require.Contains(t, body, `"finish_reason":"tool_calls"`)
	var call struct {
		Choices []struct {
			Message struct {
				ToolCalls []toolCall `json:"tool_calls"`
			}
		}
	}
	require.NoError(t, json.Unmarshal([]byte(body), &call))
	var arguments struct{ N int }
	require.NoError(t, json.Unmarshal([]byte(call.Choices[0].Message.ToolCalls[0].Function.Arguments), &arguments))
	require.Contains(t, []int{1, 2}, arguments.N)

	status, body = post(
		t,
		h,
		"/v1/chat/completions",
		fmt.Sprintf(
			`{"model": "tiny", "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": %q}}]}]}`,
			imageURL(t, grey(3)),
		),
	)
	require.Equal(t, 400, status)
	require.Contains(t, body, "cannot see images")
}

func TestAssistantEmbeds(t *testing.T) {
	a := tiny(t)
	m := Language(a.Model.Language, a.Tokenizer, a.Template, a.Options, llm.EngineConfig{})
	v, tokens, err := m.Embed(t.Context(), []Input{{Text: "a cat"}, {Text: "a dog"},
		{IDs: a.Tokenizer.Wrap(a.Tokenizer.Encode("a cat"))}})
	require.NoError(t, err)
	require.Equal(t, v[0], v[2])
	require.NotEqual(t, v[0], v[1])
	square := 0.0
	for _, x := range v[1] {
		square += float64(x) * float64(x)
	}
	require.InDelta(t, 1, square, 1e-5)
	require.Greater(t, tokens, 5)
}

// TestTurns brings conversations into the form of templates.
func TestTurns(t *testing.T) {
	a := tiny(t)
	m := newLanguage(a.Model.Language, a.Tokenizer, a.Template, a.Options, llm.EngineConfig{})
	say := func(role, text string) Message { return Message{role, []Part{{Text: text}}} }
	turns, images, x, err := m.turns(
		Conversation{
			Messages: []Message{
				say("system", "Be brief."),
				say("user", "Hi <image>"),
				say("user", "there"),
				say("assistant", "Hello."),
				{"user", []Part{{Image: imaging.New(2, 2)}, {Text: "And this?"}}},
			},
		},
	)
	require.NoError(t, err)
	require.Equal(
		t,
		[]chat.Turn{
			{From: chat.Human, Value: "Hi <Image>\nthere"},
			{From: chat.GPT, Value: "Hello."},
			{From: chat.Human, Value: "<image>\nAnd this?"},
		},
		turns,
	)
	require.Len(t, images, 1)
	require.Equal(t, "Be brief.", x.System)
	for _, list := range [][]Message{{say("system", "x")}, {say("assistant", "x")}, {say("user", "x"), say("assistant", "y")}} {
		_, _, _, err = m.turns(Conversation{Messages: list})
		require.Error(t, err)
	}
	m.template = chat.Gemma()
	turns, _, _, err = m.turns(Conversation{Messages: []Message{say("system", "Be brief."), say("user", "Hi")}})
	require.NoError(t, err)
	require.Equal(t, "Be brief.\n\nHi", turns[0].Value)
}

// TestAssistantWithoutBraces: a vocabulary that cannot write JSON is the client's to know, not a failure of the server.
func TestAssistantWithoutBraces(t *testing.T) {
	a := tiny(t)
	tok, err := tokenizer.Load(words3(t))
	require.NoError(t, err)
	s := New(Config{Log: t.Logf})
	s.Add("tiny", Language(a.Model.Language, tok, a.Template, a.Options, llm.EngineConfig{}))
	h := httptest.NewServer(s)
	defer h.Close()
	status, body := post(
		t,
		h,
		"/v1/chat/completions",
		`{"model": "tiny", "max_tokens": 9, "messages": [{"role": "user", "content": "a"}], "response_format": {"type": "json_object"}}`,
	)
	require.Equal(t, 400, status, body)
	require.Contains(t, body, "response_format")
}

// words3 writes a tokenizer of three words.
func words3(t *testing.T) string {
	file := filepath.Join(t.TempDir(), "tokenizer.json")
	require.NoError(
		t,
		os.WriteFile(
			file,
			[]byte(
				`{"version": "1.0", "added_tokens": [], "normalizer": null, "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": null, "decoder": null,
		"model": {"type": "WordPiece", "vocab": {"[UNK]": 0, "a": 1, "b": 2}, "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100}}`,
			),
			0o600,
		),
	)
	return file
}

// TestSettings: what a request leaves open is as the checkpoint has it, and what it names, zero too, is taken.
func TestSettings(t *testing.T) {
	a := tiny(t)
	a.Options.Sampling = llm.Sampling{
		Temperature:       0.7,
		TopK:              9,
		RepetitionPenalty: 1.2,
		LogitBias:         map[int32]float64{3: 1},
	}
	a.Options.StopStrings = []string{"END"}
	m := newLanguage(a.Model.Language, a.Tokenizer, a.Template, a.Options, llm.EngineConfig{})
	zero, penalty := 0.0, 1.0
	require.Equal(t, a.Options.Sampling, m.settings(Sampling{MaxTokens: 4}).Sampling)
	o := m.settings(
		Sampling{
			MaxTokens:         4,
			Seed:              5,
			Temperature:       &zero,
			RepetitionPenalty: &penalty,
			LogitBias:         map[int32]float64{3: 2, 4: -1},
		},
	)
	require.Equal(
		t,
		llm.Sampling{TopK: 9, RepetitionPenalty: 1, Seed: 5, LogitBias: map[int32]float64{3: 3, 4: -1}},
		o.Sampling,
	)
	require.Equal(t, map[int32]float64{3: 1}, a.Options.Sampling.LogitBias)
	o = m.settings(Sampling{MaxTokens: 4, TopP: &zero})
	require.Equal(t, math.SmallestNonzeroFloat64, o.Sampling.TopP, "the most likely token alone, and not all")
	p, err := m.Prepare(t.Context(), Conversation{Messages: []Message{{"user", []Part{{Text: "What?"}}}}})
	require.NoError(t, err)
	require.Equal(t, []string{"</s>", "END"}, p.(words).stop)
}

// What an answer attended to has a weight for every token of it and every token of its images, and the view they lie
// on.
func TestAttention(t *testing.T) {
	a := tiny(t)
	s := New(Config{Log: t.Logf})
	s.Add("tiny", Assistant(a, llm.EngineConfig{}))
	s.Add("letters", &letters{context: 500})
	h := httptest.NewServer(s)
	defer h.Close()
	look := func(model, content, answer string) (int, string) {
		return post(t, h, "/v1/attention",
			fmt.Sprintf(`{"model": %q, "messages": [{"role": "user", "content": %s}], "answer": %q}`, model, content,
				answer))
	}
	part := fmt.Sprintf(`{"type": "image_url", "image_url": {"url": %q}}`, imageURL(t, grey(60)))
	status, body := look("tiny", "["+part+", "+part+`, {"type": "text", "text": "What?"}]`, "A red cat")
	require.Equal(t, 200, status, body)
	var g struct {
		Tokens []struct {
			Text    string
			Weights []float64
		}
		Images []struct {
			URL  string
			Rows int
		}
	}
	require.NoError(t, json.Unmarshal([]byte(body), &g))
	require.Len(t, g.Images, 2)
	text := ""
	for _, x := range g.Tokens {
		text += x.Text
		require.Len(t, x.Weights, 2*16)
		sum := 0.0
		for _, w := range x.Weights {
			sum += w
		}
		require.LessOrEqual(t, sum, 1.001)
		require.Positive(t, sum)
	}
	require.Equal(t, "A red cat", strings.TrimSpace(text))
	require.NotEqual(t, g.Tokens[0].Weights, g.Tokens[len(g.Tokens)-1].Weights)
	require.Equal(t, 4, g.Images[0].Rows)
	require.True(t, strings.HasPrefix(g.Images[0].URL, "data:image/png;base64,"))
	for _, c := range [][3]string{{"tiny", `"no image"`, "a"}, {"tiny", "[" + part + "]", ""},
		{"letters", "[" + part + "]", "a"}} {
		status, body := look(c[0], c[1], c[2])
		require.Equal(t, 400, status, body)
	}
}
