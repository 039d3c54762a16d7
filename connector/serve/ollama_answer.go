package serve

import (
	"context"
	"encoding/json"
	"maps"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// ollama answers both of Ollama's routes that generate: their answers hold the text as a message or as "response".
func (s *Server) ollama(w http.ResponseWriter, r *http.Request, chat bool) {
	var q ollamaRequest
	p := s.readBody(w, r, &q)
	if p == nil && (chat && q.Prompt != nil || !chat && q.Messages != nil) {
		p = invalid("prompt", "belongs to /api/generate, and messages to /api/chat")
	}
	if p == nil {
		p = s.answerOllama(w, r, &q, chat)
	}
	if p != nil {
		p.writeOllama(w)
	}
}

// writeOllama answers with Ollama's error object.
func (p *problem) writeOllama(w http.ResponseWriter) {
	if p.retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(p.retry))
	}
	writeJSON(w, p.status, map[string]any{"error": p.message})
}

func (s *Server) answerOllama(w http.ResponseWriter, r *http.Request, q *ollamaRequest, chat bool) *problem {
	m, p := s.model(strings.TrimSuffix(q.Model, ":latest"))
	if p != nil {
		return p
	}
	a := &ollamaAnswer{server: s, q: q, chat: chat, start: time.Now(), events: newEvents(w, s.config.Limits.Write)}
	if chat && len(q.Messages) == 0 || !chat && or(q.Prompt, "") == "" && len(q.Images) == 0 {
		writeJSON(w, http.StatusOK, a.row("", map[string]any{"done": true, "done_reason": "load"})) // it is loaded
		return nil
	}
	o, p := q.sampling(s.config.Limits)
	if p != nil {
		return p
	}
	if a.calls, p = offer(q.Tools, nil, nil); p != nil {
		return p
	}
	ctx, leave, p := s.begin(r.Context())
	if p != nil {
		return p
	}
	defer leave()
	c, p := q.conversation(s)
	if p != nil {
		return p
	}
	a.calls.describe(&c)
	prompt, err := m.Prepare(ctx, c)
	if err != nil {
		return s.unfit(m, "messages", err)
	}
	if p := fit(m, prompt, &o, s.config.Limits.Tokens); p != nil {
		return p
	}
	if n := or(q.Options.NumCtx, math.MaxInt32); prompt.Tokens() >= n {
		return tooLong(prompt.Tokens(), n)
	} else {
		o.MaxTokens = min(o.MaxTokens, n-prompt.Tokens())
	}
	return a.write(ctx, w, m, prompt, o)
}

// ollamaAnswer is one answer in Ollama's dialect.
type ollamaAnswer struct {
	server *Server
	q      *ollamaRequest
	chat   bool // the text is in a message, not in "response"
	calls  *calls
	start  time.Time
	events *events
}

// row is a piece of an answer, or the whole.
func (a *ollamaAnswer) row(text string, more map[string]any) map[string]any {
	m := map[string]any{"model": a.q.Model, "created_at": time.Now().UTC().Format(time.RFC3339Nano), "done": false}
	if a.chat {
		m["message"] = map[string]any{"role": "assistant", "content": text}
	} else {
		m["response"] = text
	}
	maps.Copy(m, more)
	return m
}

func (a *ollamaAnswer) line(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	a.events.begin("application/x-ndjson")
	return a.events.write(string(b) + "\n")
}

// write makes the answer and sends it, as lines unless the client says otherwise. It returns a problem before it wrote
// anything.
func (a *ollamaAnswer) write(ctx context.Context, w http.ResponseWriter, m Model, p Prompt, o Sampling) *problem {
	streams := or(a.q.Stream, true)
	hold := !streams || len(a.calls.offered) > 0 // an answer that may become a call is sent when it is known
	var whole strings.Builder
	var held []Token
	var first time.Time
	reason := ""
	logprobs := func(tokens []Token) map[string]any {
		if !o.LogProbs || len(tokens) == 0 {
			return nil
		}
		return map[string]any{"logprobs": described(tokens)}
	}
	tokens, err := a.server.choices(ctx, m, []Prompt{p}, o, 1, func(p piece) error {
		if first.IsZero() {
			first = time.Now()
		}
		text := p.text
		if whole.Len() == 0 {
			text = strings.TrimLeft(text, " \n\t")
		}
		whole.WriteString(text)
		held = append(held, p.tokens...)
		if p.finish != "" {
			reason = p.finish
		}
		if text == "" || hold {
			return nil
		}
		known := held
		held = nil
		return a.line(a.row(text, logprobs(known)))
	})
	if err != nil {
		p := a.server.failure(err)
		if !a.events.begun {
			return p
		}
		_ = a.line(map[string]any{"error": p.message}) // the client may be gone
		return nil
	}
	end := time.Now()
	if first.IsZero() {
		first = end
	}
	last := map[string]any{
		"done":                 true,
		"done_reason":          reason,
		"total_duration":       end.Sub(a.start).Nanoseconds(),
		"load_duration":        0,
		"prompt_eval_count":    p.Tokens(),
		"prompt_eval_duration": first.Sub(a.start).Nanoseconds(),
		"eval_count":           tokens,
		"eval_duration":        end.Sub(first).Nanoseconds(),
	}
	if !hold {
		maps.Copy(last, logprobs(held))
		_ = a.line(a.row("", last))
		return nil
	}
	row := a.row(strings.TrimSpace(whole.String()), logprobs(held))
	if list := a.calls.parse(strings.TrimSpace(whole.String())); list != nil {
		row["message"] = map[string]any{"role": "assistant", "content": "", "tool_calls": ollamaCalls(list)}
	}
	if streams {
		if a.line(row) == nil {
			_ = a.line(a.row("", last))
		}
		return nil
	}
	maps.Copy(row, last)
	writeJSON(w, http.StatusOK, row)
	return nil
}

// ollamaCalls are calls in Ollama's form, whose arguments are objects.
func ollamaCalls(list []toolCall) (out []any) {
	for i, c := range list {
		out = append(out, map[string]any{"id": c.ID, "function": map[string]any{"index": i, "name": c.Function.Name,
			"arguments": json.RawMessage(c.Function.Arguments)}})
	}
	return out
}

func (s *Server) ollamaEmbed(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Model      string `json:"model"`
		Input      inputs `json:"input"`
		Truncate   *bool  `json:"truncate"` // what is too long is an error either way
		Dimensions *int   `json:"dimensions"`
		Options    any    `json:"options"`
	}
	start := time.Now()
	p := s.readBody(w, r, &q)
	if p == nil && q.Dimensions != nil {
		p = unsupported("dimensions", "is not supported: vectors have the model's own length")
	}
	var vectors [][]float32
	var tokens int
	if p == nil {
		vectors, tokens, p = s.vectors(r.Context(), strings.TrimSuffix(q.Model, ":latest"), "input", q.Input)
	}
	if p != nil {
		p.writeOllama(w)
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"model": q.Model, "embeddings": vectors, "load_duration": 0,
		"total_duration": time.Since(start).Nanoseconds(), "prompt_eval_count": tokens})
}

// ollamaEmbeddings is the older form, of one text.
func (s *Server) ollamaEmbeddings(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Model   string `json:"model"`
		Prompt  string `json:"prompt"`
		Options any    `json:"options"`
	}
	p := s.readBody(w, r, &q)
	var vectors [][]float32
	if p == nil {
		vectors, _, p = s.vectors(r.Context(), strings.TrimSuffix(q.Model, ":latest"), "prompt",
			inputs{{Input: Input{Text: q.Prompt}}})
	}
	if p != nil {
		p.writeOllama(w)
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"embedding": vectors[0]})
}

func (s *Server) ollamaTags(w http.ResponseWriter, _ *http.Request) {
	list := []any{}
	for _, m := range s.list() {
		list = append(
			list,
			map[string]any{"name": m.name, "model": m.name, "modified_at": m.since.UTC().Format(time.RFC3339Nano),
				"expires_at": "2999-01-01T00:00:00Z", "size": 0, "size_vram": 0, "digest": "",
				"details": ollamaDetails},
		)
	}
	writeJSON(w, http.StatusOK, map[string]any{"models": list})
}

var ollamaDetails = map[string]any{
	"parent_model":       "",
	"format":             "safetensors",
	"family":             "",
	"families":           nil,
	"parameter_size":     "",
	"quantization_level": "",
}

func (s *Server) ollamaShow(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Model string `json:"model"`
		Name  string `json:"name"`
	}
	var m Model
	p := s.readBody(w, r, &q)
	if p == nil {
		if q.Model == "" {
			q.Model = q.Name
		}
		m, p = s.model(strings.TrimSuffix(q.Model, ":latest"))
	}
	if p != nil {
		p.writeOllama(w)
		return
	}
	can := []string{"completion"}
	if m.Images() {
		can = append(can, "vision")
	}
	writeJSON(
		w,
		http.StatusOK,
		map[string]any{"details": ollamaDetails, "capabilities": can,
			"model_info": map[string]any{"general.architecture": "gollava", "gollava.context_length": m.Context()}},
	)
}

func (s *Server) ollamaVersion(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{"version": "0.0.0-gollava"})
}
