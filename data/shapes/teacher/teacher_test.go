package teacher

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data/shapes"
)

var kinds = []Kind{Conversation, Detail, Reasoning}

func world(t testing.TB) *shapes.World {
	t.Helper()
	w, err := shapes.New(shapes.Default(41))
	require.NoError(t, err)
	return w
}

// TestRule lets the rule write about contexts, and asks the scenes whether it is true.
func TestRule(t *testing.T) {
	w, ctx := world(t), context.Background()
	for i := range 200 {
		s := w.Scene(shapes.Train, i, shapes.Options{MinObjects: 2})
		for _, kind := range kinds {
			text, err := Rule{w}.Write(ctx, kind, s.Context())
			require.NoError(t, err)
			again, err := Rule{w}.Write(ctx, kind, s.Context())
			require.NoError(t, err)
			require.Equal(t, text, again)
			turns, err := Parse(kind, text, w.Rand("turns", i))
			require.NoError(t, err)
			for _, turn := range turns {
				answer, err := s.Answer(turn.Question)
				require.NoError(t, err)
				require.Equal(t, answer, turn.Answer)
			}
		}
	}
	one := w.Scene(shapes.Train, 0, shapes.Options{MaxObjects: 1})
	_, err := Rule{w}.Write(ctx, Reasoning, one.Context())
	require.ErrorContains(t, err, "two objects")
	_, err = Rule{w}.Write(ctx, "poem", one.Context())
	require.ErrorContains(t, err, "no kind")
	_, err = Rule{w}.Write(ctx, Detail, "two cats")
	require.ErrorContains(t, err, "no caption")
}

func TestParse(t *testing.T) {
	r := world(t).Rand("parse", 0)
	turns, err := Parse(Conversation, "\nQuestion:\nWhat is it?\n===\r\nAnswer:\nA cat.\nIt sleeps.\n===\n\nQuestion: Where?\n === \nAnswer: here\n===\n", r)
	require.NoError(t, err)
	require.Equal(t, []Turn{{"What is it?", "A cat.\nIt sleeps."}, {"Where?", "here"}}, turns)
	for text, kind := range map[string]Kind{
		"": Conversation, " ": Detail, "Question:\na": Conversation, "Answer:\na\n===\nQuestion:\nb": Conversation, "Question:\n\n===\nAnswer:\nb": Conversation,
		"Question:\na\n===\nAnswer:\nb\n===\nQuestion:\nc\n===\nAnswer:\nd": Reasoning, "a\n===\nb": Reasoning,
	} {
		_, err := Parse(kind, text, r)
		require.ErrorContains(t, err, "teacher: ", "%q", text)
	}
}

func TestReadPrompts(t *testing.T) {
	files := fstest.MapFS{}
	for name, text := range map[string]string{
		"detail_description/system_message.txt": "Describe.\n", "detail_description/001_caps.txt": "second\n\ncat: [0.0, 0.0, 1.0, 1.0]", "detail_description/001_conv.txt": "2\n",
		"detail_description/000_caps.txt": "first", "detail_description/000_conv.txt": "1", "complex_reasoning/000_caps.txt": "x", "conversation/system_message.txt": "Talk.", "conversation/000_caps.txt": "x",
	} {
		files[name] = &fstest.MapFile{Data: []byte(text)}
	}
	p, err := ReadPrompts(files, Detail)
	require.NoError(t, err)
	require.Equal(t, []Message{
		{"system", "Describe."}, {"user", "first"}, {"assistant", "1"}, {"user", "second\n\ncat: [0.0, 0.0, 1.0, 1.0]"}, {"assistant", "2"}, {"user", "third\n\ndog: [0.1, 0.2, 0.3, 0.4]"},
	}, p.Messages(Detail, "third\n\ndog: [0.1, 0.2, 0.3, 0.4]\n"))
	require.Equal(t, "third", p.Messages(Conversation, "third\n\ndog: [0.1, 0.2, 0.3, 0.4]\n")[5].Content)
	_, err = ReadPrompts(files, Reasoning)
	require.ErrorContains(t, err, "complex_reasoning/system_message.txt")
	_, err = ReadPrompts(files, Conversation)
	require.ErrorContains(t, err, "conversation/000_conv.txt")
}

// TestEndpoint asks a service that checks the request and has the rule write the reply.
func TestEndpoint(t *testing.T) {
	w, ctx := world(t), context.Background()
	prompts := map[Kind]Prompts{}
	for _, kind := range kinds {
		p, err := WorldPrompts(w, kind)
		require.NoError(t, err)
		require.Len(t, p.Shots, 2)
		prompts[kind] = p
	}
	s := w.Scene(shapes.Train, 3, shapes.Options{MinObjects: 2})
	status, calls := []int{}, 0
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
		calls++
		if len(status) > 0 {
			code := status[0]
			status = status[1:]
			if code != http.StatusOK {
				http.Error(out, "not now", code)
				return
			}
			fmt.Fprint(out, `{"choices": []}`)
			return
		}
		var request struct {
			Model       string
			Messages    []Message
			Temperature float64
			MaxTokens   int `json:"max_tokens"`
		}
		if err := json.NewDecoder(in.Body).Decode(&request); err != nil || in.URL.Path != "/v1/chat/completions" || in.Header.Get("Authorization") != "Bearer secret" ||
			request.Model != "small" || request.MaxTokens != 99 || request.Temperature != 0.5 || len(request.Messages) != 6 || request.Messages[0].Role != "system" {
			http.Error(out, "unexpected request", http.StatusBadRequest)
			return
		}
		kind := Detail
		switch last := request.Messages[5].Content; {
		case !strings.Contains(last, "["):
			kind = Conversation
		case strings.Contains(request.Messages[0].Content, "one question"):
			kind = Reasoning
		}
		text, err := Rule{w}.Write(in.Context(), kind, s.Context())
		if err != nil {
			http.Error(out, err.Error(), http.StatusBadRequest)
			return
		}
		_ = json.NewEncoder(out).Encode(map[string]any{"choices": []any{map[string]any{"message": Message{"assistant", text}}}})
	}))
	defer server.Close()
	e := &Endpoint{URL: server.URL + "/v1/", Model: "small", Key: "secret", Prompts: prompts, Temperature: 0.5, MaxTokens: 99, Wait: time.Millisecond}
	for _, kind := range kinds {
		got, err := e.Write(ctx, kind, s.Context())
		require.NoError(t, err)
		want, err := Rule{w}.Write(ctx, kind, s.Context())
		require.NoError(t, err)
		require.Equal(t, want, got)
	}

	status, calls, e.Retries = []int{429, 503}, 0, 2
	_, err := e.Write(ctx, Detail, s.Context())
	require.NoError(t, err)
	require.Equal(t, 3, calls)
	status, calls = []int{401, 401}, 0
	_, err = e.Write(ctx, Detail, s.Context())
	require.ErrorContains(t, err, "401 Unauthorized: not now")
	require.Equal(t, 1, calls)
	status, e.Retries = []int{500}, 0
	_, err = e.Write(ctx, Detail, s.Context())
	require.ErrorContains(t, err, "500")
	status = []int{200}
	_, err = e.Write(ctx, Detail, s.Context())
	require.ErrorContains(t, err, "answers nothing")
	status, e.Retries, e.Wait = []int{500, 500}, 1, time.Hour
	soon, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	_, err = e.Write(soon, Detail, s.Context())
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, err = e.Write(ctx, "poem", s.Context())
	require.ErrorContains(t, err, "no prompts")
}
