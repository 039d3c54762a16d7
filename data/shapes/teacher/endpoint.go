package teacher

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Endpoint is a language model behind a service that speaks OpenAI's chat completions, as llama.cpp, vLLM and ollama do too.
type Endpoint struct {
	URL     string // of the interface, such as http://localhost:8080/v1
	Model   string
	Key     string // sent as a bearer token, if not empty
	Prompts map[Kind]Prompts

	Temperature float64
	MaxTokens   int           // of a reply; 0: the service's limit
	Retries     int           // how often to try again when the service is busy or broken
	Wait        time.Duration // before the first retry, doubled for each other one; 0: a second
	Client      *http.Client  // nil: http.DefaultClient
}

// maxReply limits what is read of a service's answer.
const maxReply = 4 << 20

type completion struct {
	Choices []struct {
		Message Message `json:"message"`
	} `json:"choices"`
}

// Write asks the service to write about a context. It errs if the service cannot be reached, refuses, or answers in another form.
func (e *Endpoint) Write(ctx context.Context, kind Kind, context string) (string, error) {
	p, ok := e.Prompts[kind]
	if !ok {
		return "", fmt.Errorf("teacher: no prompts for %q", kind)
	}
	request := map[string]any{"model": e.Model, "messages": p.Messages(kind, context), "temperature": e.Temperature}
	if e.MaxTokens > 0 {
		request["max_tokens"] = e.MaxTokens
	}
	body, err := json.Marshal(request)
	if err != nil {
		return "", fmt.Errorf("teacher: %w", err)
	}
	wait := e.Wait
	if wait == 0 {
		wait = time.Second
	}
	for try := 0; ; try++ {
		reply, again, err := e.post(ctx, body)
		if err == nil || !again || try == e.Retries {
			return reply, err
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("teacher: waiting to ask %s again: %w", e.URL, ctx.Err())
		case <-time.After(wait << try):
		}
	}
}

// post sends one request. again says that the same request may succeed later.
func (e *Endpoint) post(ctx context.Context, body []byte) (reply string, again bool, err error) {
	url := strings.TrimRight(e.URL, "/") + "/chat/completions"
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return "", false, fmt.Errorf("teacher: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	if e.Key != "" {
		request.Header.Set("Authorization", "Bearer "+e.Key)
	}
	client := e.Client
	if client == nil {
		client = http.DefaultClient
	}
	response, err := client.Do(request)
	if err != nil {
		return "", ctx.Err() == nil, fmt.Errorf("teacher: %w", err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(io.LimitReader(response.Body, maxReply))
	if err != nil {
		return "", ctx.Err() == nil, fmt.Errorf("teacher: reply of %s: %w", url, err)
	}
	if response.StatusCode != http.StatusOK {
		busy := response.StatusCode == http.StatusTooManyRequests || response.StatusCode >= 500
		return "", busy, fmt.Errorf("teacher: %s answers %s: %.200s", url, response.Status, bytes.TrimSpace(content))
	}
	var c completion
	if err := json.Unmarshal(content, &c); err != nil {
		return "", false, fmt.Errorf("teacher: reply of %s: %w", url, err)
	}
	if len(c.Choices) == 0 || strings.TrimSpace(c.Choices[0].Message.Content) == "" {
		return "", false, fmt.Errorf("teacher: %s answers nothing: %.200s", url, bytes.TrimSpace(content))
	}
	return c.Choices[0].Message.Content, false, nil
}
