package serve

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
)

// parsed decodes an answer.
func parsed(t *testing.T, body string) map[string]any {
	var m map[string]any
	require.NoError(t, json.Unmarshal([]byte(body), &m), body)
	return m
}

// Token ids stand for their text, several prompts are answered one after another, and what cannot be is an error.
func TestCompletionInputs(t *testing.T) {
	h := start(t, Config{Limits: Limits{Inputs: 6}}, &letters{context: 500})
	complete := func(more string) (int, map[string]any) {
		status, body := post(t, h, "/v1/completions",
			`{"model": "letters", "temperature": 0, "max_tokens": 9, `+more+`}`)
		return status, parsed(t, body)
	}
	texts := func(m map[string]any) (list []string) {
		for i, c := range m["choices"].([]any) {
			require.EqualValues(t, i, c.(map[string]any)["index"])
			list = append(list, c.(map[string]any)["text"].(string))
		}
		return list
	}
	_, one := complete(`"prompt": "the a"`)
	_, other := complete(`"prompt": "b"`)
	want := append(texts(one), texts(other)...)
	require.NotEqual(t, want[0], want[1])
	for _, prompt := range []string{`["the a", "b"]`, `[[4, 0], [1]]`, `["the a", [1]]`} {
		status, m := complete(`"prompt": ` + prompt)
		require.Equal(t, 200, status)
		require.Equal(t, want, texts(m))
		require.EqualValues(t, 1+5+1+1, m["usage"].(map[string]any)["prompt_tokens"])
	}
	_, m := complete(`"prompt": [4, 0]`)
	require.Equal(t, want[:1], texts(m))
	_, m = complete(`"prompt": ["the a", "b"], "n": 2, "echo": true`)
	require.Equal(t, []string{"the a" + want[0], "the a" + want[0], "b" + want[1], "b" + want[1]}, texts(m))
	for more, field := range map[string]string{
		`"prompt": []`: "prompt", `"prompt": [1.5]`: "prompt", `"prompt": [[1], [-3]]`: "prompt",
		`"prompt": [1, "a"]`: "prompt",
		`"prompt": [["a"]]`:  "prompt", `"prompt": {}`: "prompt", `"prompt": ""`: "prompt",
		`"prompt": ["a", ""]`:                    "prompt[1]",
		`"prompt": ["a", "b", "c", "d"], "n": 2`: "prompt", `"prompt": [4, 0], "echo": true`: "echo",
		`"prompt": "a", "echo": true, "logprobs": 1`: "echo", `"prompt": "a", "suffix": "b"`: "suffix",
		`"prompt": "a", "best_of": 3`: "best_of",
	} {
		status, m := complete(more)
		require.Equal(t, 400, status, more)
		require.Contains(t, m["error"].(map[string]any)["message"], field, more)
	}
}

// CLIP embeds texts, token ids and images as its towers do.
func TestCLIP(t *testing.T) {
	tok, err := tokenizer.Train(slices.Values([]string{"a red cat and a blue dog"}),
		tokenizer.TrainConfig{Size: 270, Specials: []string{"<s>", "</s>"}, BOS: "<s>", EOS: "</s>"})
	require.NoError(t, err)
	v := vit.CLIPBase32()
	v.HiddenSize, v.IntermediateSize, v.NumHiddenLayers, v.NumAttentionHeads, v.ImageSize, v.PatchSize = 16, 32, 2, 2, 12, 4
	c := v.CLIP()
	c.Text.VocabSize, c.Text.HiddenSize, c.Text.IntermediateSize, c.Text.NumHiddenLayers = tok.Size(), 16, 32, 2
	c.Text.NumAttentionHeads, c.Text.MaxPositionEmbeddings, c.Text.EOS, c.ProjectionDim = 2, 24, 1, 8
	m, err := vit.NewCLIP(rand.New(rand.NewPCG(1, 2)), c)
	require.NoError(t, err)
	s := New(Config{Log: t.Logf})
	s.Add("clip", CLIP(m, tok, imaging.CLIP(12)))
	h := httptest.NewServer(s)
	defer h.Close()

	ids := append(tok.Wrap(tok.Encode("a red cat")), tok.EOS())
	picture := grey(40)
	pixels, err := imaging.CLIP(12).Process(imaging.FromImage(picture))
	require.NoError(t, err)
	text := m.EncodeText(tensor.WrapInts(ids, 1, len(ids)), nil).Data()
	seen := m.EncodeImage(tensor.Wrap(pixels.Data, 1, 3, 12, 12)).Data()
	list, err := json.Marshal(ids)
	require.NoError(t, err)
	url := imageURL(t, picture)
	status, body := post(t, h, "/v1/embeddings",
		fmt.Sprintf(`{"model": "clip", "input": ["a red cat", %s, {"text": "a red cat"},
		{"image": %q}, {"type": "image_url", "image_url": {"url": %q}}]}`, list, url, url))
	require.Equal(t, 200, status, body)
	var got struct {
		Data []struct{ Embedding []float32 }
	}
	require.NoError(t, json.Unmarshal([]byte(body), &got))
	require.Len(t, got.Data, 5)
	for i, want := range [][]float32{text, text, text, seen, seen} {
		require.InDeltaSlice(t, want, got.Data[i].Embedding, 1e-6)
	}
	for body, says := range map[string]string{
		`{"model": "clip", "input": "` + strings.Repeat("cat ", 40) + `"}`:      "longer than the model's context",
		`{"model": "clip", "input": [5, 100000]}`:                               "outside the vocabulary",
		`{"model": "clip", "input": [{"image": "data:image/png;base64,AAAA"}]}`: "input",
		`{"model": "clip", "input": [{"image": "https://example.org/a.png"}]}`:  "not fetched",
		`{"model": "clip", "input": [{"image": "data:,x", "text": "a"}]}`:       "an object must be",
		`{"model": "clip", "input": [["a"]]}`:                                   "token ids only",
		`{"model": "clip", "input": []}`:                                        "missing or empty",
		`{"model": "clip", "input": "a", "dimensions": 3}`:                      "dimensions",
		`{"model": "clip", "input": "a", "encoding_format": "hex"}`:             "encoding_format",
	} {
		status, answer := post(t, h, "/v1/embeddings", body)
		require.Equal(t, 400, status, body)
		require.Contains(t, answer, says, body)
	}
	status, body = post(t, h, "/v1/chat/completions",
		`{"model": "clip", "messages": [{"role": "user", "content": "hi"}]}`)
	require.Equal(t, 400, status)
	require.Contains(t, body, "gives no answers")
}

// An answer may hold several calls, unless the client refuses them.
func TestSeveralCalls(t *testing.T) {
	two := `{"name": "weather", "arguments": {"city": "Rome"}} {"name": "time", "arguments": {}}`
	for _, answer := range []string{two, "[" + strings.Replace(two, "} {", "}, {", 1) + "]"} {
		c := &calls{offered: []*function{{Name: "weather"}, {Name: "time"}}}
		message, finish := c.message(answer, "stop")
		require.Equal(t, "tool_calls", finish)
		list := message["tool_calls"].([]toolCall)
		require.Len(t, list, 2)
		require.NotEqual(t, list[0].ID, list[1].ID)
		require.Equal(t, "time", list[1].Function.Name)
		w := c.collect()
		require.Empty(t, w.add(answer))
		deltas, _ := w.end("stop")
		require.Len(t, deltas, 4)
		require.Equal(t, 1, deltas[3]["tool_calls"].([]any)[0].(map[string]any)["index"])
		c.one = true
		message, _ = c.message(answer, "stop")
		require.Len(t, message["tool_calls"], 1)
	}
	c := &calls{offered: []*function{{Name: "weather"}}}
	require.Nil(t, c.parse(two), "the second is not offered")
	require.Nil(t, c.parse(`[1, 2]`))
	var q chatRequest
	require.Nil(t, decode([]byte(`{"tools": [{"type": "function", "function": {"name": "b"}}], "tool_choice": "required"}`), &q))
	call := `{"name": "b", "arguments": {}}`
	for _, x := range []struct {
		parallel *bool
		name     string
		several  bool
	}{{new(true), "", true}, {new(false), "", false}, {nil, "", false}, {new(true), "b", false}} {
		q.ParallelToolCalls, q.ToolChoice.name = x.parallel, x.name
		c, p := q.tools()
		require.Nil(t, p)
		require.True(t, c.grammar.Accepts([]byte(call)))
		require.Equal(t, x.several, c.grammar.Accepts([]byte("["+call+", "+call+"]")))
		require.False(t, c.grammar.Accepts([]byte("["+strings.Repeat(call+", ", mostCalls)+call+"]")))
	}
}

// A page of an allowed origin may read answers; a browser that asks whether it may is told.
func TestOrigins(t *testing.T) {
	h := start(t, Config{Origins: []string{"https://app.example"}, APIKey: "k"}, &letters{context: 500})
	for origin, allowed := range map[string]bool{"https://app.example": true, "https://evil.example": false} {
		q, err := http.NewRequestWithContext(t.Context(), http.MethodOptions, h.URL+"/v1/chat/completions", nil)
		require.NoError(t, err)
		q.Header.Set("Origin", origin)
		q.Header.Set("Access-Control-Request-Method", "POST")
		r, err := h.Client().Do(q)
		require.NoError(t, err)
		require.NoError(t, r.Body.Close())
		require.Equal(t, map[bool]int{true: 204, false: 403}[allowed], r.StatusCode)
		want := ""
		if allowed {
			want = origin
		}
		require.Equal(t, want, r.Header.Get("Access-Control-Allow-Origin"))
	}
}

// Ollama's options are heeded or refused by name.
func TestOllamaOptions(t *testing.T) {
	h := start(t, Config{}, &letters{context: 500})
	chat := func(more string) (int, map[string]any) {
		status, body := post(t, h, "/api/chat",
			`{"model": "letters:latest", "stream": false, "messages": [{"role": "user", "content": "Say."}], `+more+`}`)
		return status, parsed(t, body)
	}
	for more, field := range map[string]string{
		`"options": {"mirostat": 1}`: "mirostat", `"options": {"typical_p": 0.5}`: "typical_p",
		`"options": {"tfs_z": 0.5}`:                                     "tfs_z",
		`"options": {"repeat_penalty": 1.2, "repeat_last_n": 64}`:       "repeat_last_n",
		`"options": {"num_predict": 0}`:                                 "num_predict",
		`"options": {"repeat_penalty": 1.2, "penalize_newline": false}`: "penalize_newline",
		`"options": {"num_ctx": 0}`:                                     "num_ctx",
		`"options": {"num_ctx": 5}`:                                     "context", `"think": true`: "think",
		`"think": "high"`: "think", `"template": "x"`: "template",
		`"context": [1]`: "context", `"format": "yaml"`: "format", `"top_logprobs": 3`: "top_logprobs",
		`"prompt": "x"`:                   "prompt",
		`"tools": [{"type": "function"}]`: "tools[0]", `"options": {"temperature": 3}`: "temperature",
	} {
		status, m := chat(more)
		require.Equal(t, 400, status, more)
		require.Contains(t, m["error"], field, more)
	}
	status, m := chat(`"think": false, "keep_alive": "5m", "options": {"num_ctx": 15, "num_thread": 4, "num_gpu": 0, "repeat_last_n": 64, "temperature": 0, "top_k": 3}`)
	require.Equal(t, 200, status, m)
	require.EqualValues(t, 15-7, m["eval_count"], "num_ctx bounds prompt and answer together")
	_, m = chat(`"logprobs": true, "top_logprobs": 2, "options": {"num_predict": 3, "temperature": 0}`)
	require.Len(t, m["logprobs"], 3)
	require.Len(t, m["logprobs"].([]any)[0].(map[string]any)["top_logprobs"], 2)

	_, body := post(t, h, "/api/generate",
		`{"model": "letters", "prompt": "the a", "raw": true, "stream": false,
			"options": {"num_predict": 9, "temperature": 0}}`)
	_, plain := post(t, h, "/v1/completions",
		`{"model": "letters", "prompt": "the a", "max_tokens": 9, "temperature": 0}`)
	require.Equal(t, strings.TrimSpace(parsed(t, plain)["choices"].([]any)[0].(map[string]any)["text"].(string)),
		parsed(t, body)["response"])
	for path, body := range map[string]string{"/api/generate": `{"model": "letters"}`,
		"/api/chat": `{"model": "letters", "messages": []}`} {
		status, answer := post(t, h, path, body)
		require.Equal(t, 200, status)
		require.Equal(t, "load", parsed(t, answer)["done_reason"])
	}
	_, body = post(t, h, "/api/embed", `{"model": "letters", "input": ["ab", "c"]}`)
	require.Len(t, parsed(t, body)["embeddings"], 2)
	_, one := post(t, h, "/api/embeddings", `{"model": "letters", "prompt": "c"}`)
	require.Equal(t, parsed(t, body)["embeddings"].([]any)[1], parsed(t, one)["embedding"])
}

// Calls and their results go to the model and back in Ollama's form too, where arguments are objects.
func TestOllamaTools(t *testing.T) {
	require.JSONEq(t, `[{"id": "x", "function": {"index": 0, "name": "f", "arguments": {"a": 1}}}]`, func() string {
		call := toolCall{ID: "x"}
		call.Function.Name, call.Function.Arguments = "f", `{"a": 1}`
		b, err := json.Marshal(ollamaCalls([]toolCall{call}))
		require.NoError(t, err)
		return string(b)
	}())
	var q ollamaRequest
	require.Nil(t, decode([]byte(`{"messages": [{"role": "user", "content": "Cut."}, {"role": "assistant", "content": "",
		"tool_calls": [{"function": {"name": "crop", "arguments": {"x": 1}}}]}, {"role": "tool", "tool_name": "crop", "content": "done"}]}`), &q))
	c, p := q.conversation(New(Config{}))
	require.Nil(t, p)
	require.Equal(t, `{"name": "crop", "arguments": {"x": 1}}`, c.Messages[1].Parts[1].Text)
	require.Equal(t, "The function returned: ", c.Messages[2].Parts[0].Text)
}

// The log names fields that are ignored because nobody knows them, and no others.
func TestUnknownFields(t *testing.T) {
	var q chatRequest
	require.Equal(t, []string{`"cache_prompt"`, `"no_such_field"`}, unknown([]byte(
		`{"model": "x", "Temperature": 1, "top_k": 3, "user": "u", "metadata": {}, "no_such_field": [1], "cache_prompt": true}`), &q))
}

// What a conversation or a bias cannot be is the request's fault.
func TestFaultsThatModelsMeet(t *testing.T) {
	h := start(t, Config{}, &letters{context: 100})
	status, text := post(t, h, "/v1/chat/completions",
		`{"model": "letters", "messages": [{"role": "user", "content": []}]}`)
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, text, "the list of parts is empty")
	s := New(Config{})
	s.Add("tiny", Assistant(tiny(t), llm.EngineConfig{}))
	h = httptest.NewServer(s)
	defer h.Close()
	for _, more := range []string{"", `, "stream": true`} {
		status, text = post(t, h, "/v1/chat/completions", `{"model": "tiny", "logit_bias": {"99999999": 1},
			"messages": [{"role": "user", "content": "a"}]`+more+`}`)
		require.Equal(t, http.StatusBadRequest, status, text)
		require.Contains(t, text, "outside the vocabulary")
	}
}
