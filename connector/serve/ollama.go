package serve

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// ollamaRequest is the body of POST /api/chat and /api/generate. Their answers are streams unless the client says
// otherwise.
type ollamaRequest struct {
	Model    string          `json:"model"`
	Messages []ollamaMessage `json:"messages"`
	Prompt   *string         `json:"prompt"`
	System   *string         `json:"system"`
	Images   []string        `json:"images"`
	Raw      *bool           `json:"raw"`
	Stream   *bool           `json:"stream"`
	Format   json.RawMessage `json:"format"`
	Options  ollamaOptions   `json:"options"`
	Tools    any             `json:"tools"`
	Suffix   *string         `json:"suffix"`
	Template *string         `json:"template"`
	Context  any             `json:"context"`
}

type ollamaMessage struct {
	Role    string   `json:"role"`
	Content string   `json:"content"`
	Images  []string `json:"images"` // base64
}

type ollamaOptions struct {
	NumPredict *int `json:"num_predict"` // −1 and −2: what the context leaves
	common
	RepeatPenalty *float64 `json:"repeat_penalty"`
	Mirostat      *int     `json:"mirostat"`
	TypicalP      *float64 `json:"typical_p"`
}

// sampling is what the options say, in the terms of this package.
func (q *ollamaRequest) sampling(l Limits) (Sampling, *problem) {
	o := q.Options
	if o.RepetitionPenalty == nil {
		o.RepetitionPenalty = o.RepeatPenalty
	}
	switch {
	case or(o.Mirostat, 0) != 0:
		return Sampling{}, unsupported("options.mirostat", "is not supported")
	case or(o.TypicalP, 1) != 1:
		return Sampling{}, unsupported("options.typical_p", "is not supported")
	case or(q.Raw, false):
		return Sampling{}, unsupported("raw", "is not supported: use /v1/completions")
	case q.Tools != nil:
		return Sampling{}, unsupported("tools", "is not supported here: use /v1/chat/completions")
	case q.Suffix != nil && *q.Suffix != "":
		return Sampling{}, unsupported("suffix", "is not supported")
	case q.Template != nil && *q.Template != "":
		return Sampling{}, unsupported("template", "is not supported: the model's own is used")
	case q.Context != nil:
		return Sampling{}, unsupported("context", "is not supported: send messages to /api/chat")
	}
	if n := o.NumPredict; n != nil && *n < -2 || n != nil && *n == 0 {
		return Sampling{}, invalid("options.num_predict", "%d is not positive, -1 or -2", *n)
	}
	s, p := o.sampling(l)
	if p != nil {
		p.param = "options." + p.param
		return s, p
	}
	if n := or(o.NumPredict, -1); n > 0 {
		s.MaxTokens = n
	}
	var f *responseFormat
	switch text := strings.TrimSpace(string(q.Format)); {
	case text == "", text == "null", text == `""`:
	case text == `"json"`:
		f = &responseFormat{Type: "json_object"}
	case strings.HasPrefix(text, "{"):
		g, p := schemaGrammar("format", q.Format)
		if p != nil {
			return s, p
		}
		s.Constraint = g
	default:
		return s, invalid("format", "must be json or a schema")
	}
	if g, p := f.constraint(); p != nil {
		return s, p
	} else if g != nil {
		s.Constraint = g
	}
	return s, nil
}

// conversation is the request's, with its images decoded.
func (q *ollamaRequest) conversation(s *Server) (Conversation, *problem) {
	list := q.Messages
	if q.Prompt != nil {
		if q.System != nil && *q.System != "" {
			list = append(list, ollamaMessage{Role: "system", Content: *q.System})
		}
		list = append(list, ollamaMessage{Role: "user", Content: *q.Prompt, Images: q.Images})
	}
	c := Conversation{}
	images := images{s, s.config.Limits.Images}
	for i, m := range list {
		role, ok := roles[m.Role]
		if !ok {
			return c, invalid(at("messages", i)+".role", "%.50q is not system, user, assistant or tool", m.Role)
		}
		out := Message{Role: role}
		for j, text := range m.Images {
			field := at(at("messages", i)+".images", j)
			if images.left--; images.left < 0 {
				return c, invalid(field, "more than %d images in a request", s.config.Limits.Images)
			}
			raw, p := unbase64(field, text)
			if p != nil {
				return c, p
			}
			m, p := images.decode(field, raw)
			if p != nil {
				return c, p
			}
			out.Parts = append(out.Parts, Part{Image: m})
		}
		c.Messages = append(c.Messages, Message{Role: out.Role, Parts: append(out.Parts, Part{Text: m.Content})})
	}
	if len(c.Messages) == 0 {
		return c, invalid("messages", "there are none")
	}
	return c, nil
}

func (s *Server) ollamaChat(w http.ResponseWriter, r *http.Request)     { s.ollama(w, r, true) }
func (s *Server) ollamaGenerate(w http.ResponseWriter, r *http.Request) { s.ollama(w, r, false) }

// ollama answers both of Ollama's routes that generate: their answers hold the text as a message or as "response".
func (s *Server) ollama(w http.ResponseWriter, r *http.Request, chat bool) {
	var q ollamaRequest
	p := readBody(w, r, s.config.Limits.Body, &q)
	if p == nil && chat == (q.Prompt != nil) {
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
		w.Header().Set("Retry-After", "1")
	}
	writeJSON(w, p.status, map[string]any{"error": p.message})
}

func (s *Server) answerOllama(w http.ResponseWriter, r *http.Request, q *ollamaRequest, chat bool) *problem {
	name := strings.TrimSuffix(q.Model, ":latest")
	m, p := s.model(name)
	if p != nil {
		return p
	}
	o, p := q.sampling(s.config.Limits)
	if p != nil {
		return p
	}
	leave, p := s.enter(r.Context())
	if p != nil {
		return p
	}
	defer leave()
	start := time.Now()
	ctx, cancel := context.WithTimeout(r.Context(), s.config.Limits.Answer)
	defer cancel()
	c, p := q.conversation(s)
	if p != nil {
		return p
	}
	prompt, err := m.Prepare(ctx, c)
	if err != nil {
		return s.unfit(m, "messages", err)
	}
	if p := fit(m, prompt, &o, s.config.Limits.Tokens); p != nil {
		return p
	}
	row := func(text string, more map[string]any) map[string]any {
		m := map[string]any{"model": q.Model, "created_at": time.Now().UTC().Format(time.RFC3339Nano), "done": false}
		if chat {
			m["message"] = map[string]any{"role": "assistant", "content": text}
		} else {
			m["response"] = text
		}
		for k, v := range more {
			m[k] = v
		}
		return m
	}
	e := newEvents(w, s.config.Limits.Write)
	line := func(v any) error {
		b, err := json.Marshal(v)
		if err != nil {
			return err
		}
		e.begin("application/x-ndjson")
		return e.write(string(b) + "\n")
	}
	var whole strings.Builder
	var first time.Time
	reason := ""
	tokens, err := s.choices(ctx, m, prompt, o, 1, func(p piece) error {
		if first.IsZero() {
			first = time.Now()
		}
		text := p.text
		if whole.Len() == 0 {
			text = strings.TrimLeft(text, " \n\t")
		}
		whole.WriteString(text)
		if p.finish != "" {
			reason = p.finish
		}
		if text == "" || !or(q.Stream, true) {
			return nil
		}
		return line(row(text, nil))
	})
	if err != nil {
		p := s.failure(err)
		if !e.begun {
			return p
		}
		_ = line(map[string]any{"error": p.message}) // the client may be gone
		return nil
	}
	end := time.Now()
	if first.IsZero() {
		first = end
	}
	last := map[string]any{
		"done":                 true,
		"done_reason":          reason,
		"total_duration":       end.Sub(start).Nanoseconds(),
		"load_duration":        0,
		"prompt_eval_count":    prompt.Tokens(),
		"prompt_eval_duration": first.Sub(start).Nanoseconds(),
		"eval_count":           tokens,
		"eval_duration":        end.Sub(first).Nanoseconds(),
	}
	if or(q.Stream, true) {
		_ = line(row("", last))
		return nil
	}
	writeJSON(w, http.StatusOK, row(strings.TrimSpace(whole.String()), last))
	return nil
}

func (s *Server) ollamaTags(w http.ResponseWriter, _ *http.Request) {
	list := []any{}
	for _, m := range s.models {
		list = append(
			list,
			map[string]any{"name": m.name, "model": m.name, "modified_at": s.started.UTC().Format(time.RFC3339Nano),
				"size": 0, "digest": "", "details": ollamaDetails},
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
	p := readBody(w, r, s.config.Limits.Body, &q)
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
		map[string]any{"details": ollamaDetails, "model_info": map[string]any{}, "capabilities": can},
	)
}

func (s *Server) ollamaVersion(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{"version": "0.0.0-gollava"})
}
