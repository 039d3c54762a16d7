package serve

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// roles are what a message may come from, and what a model is told.
var roles = map[string]string{
	"system":    "system",
	"developer": "system",
	"user":      "user",
	"assistant": "assistant",
	"tool":      "tool",
}

// conversation checks messages and decodes their images.
func (s *Server) conversation(ctx context.Context, list []message) (Conversation, *problem) {
	c := Conversation{}
	images := s.images(s.config.Limits.Images)
	for i, m := range list {
		field := at("messages", i)
		role, ok := roles[m.Role]
		if !ok {
			return c, invalid(field+".role", "%.50q is not system, developer, user, assistant or tool", m.Role)
		}
		if m.FunctionCall != nil {
			return c, unsupported(field+".function_call", "is not supported: use tool_calls")
		}
		if m.Audio != nil {
			return c, unsupported(field+".audio", "is not supported")
		}
		out := Message{Role: role}
		if m.Content.null && len(m.ToolCalls) == 0 ||
			m.Content.parts == nil && len(m.ToolCalls) == 0 && !m.Content.null {
			return c, invalid(field+".content", "is missing")
		}
		for j, p := range m.Content.parts {
			field := at(field+".content", j)
			switch {
			case p.Type == "text" && p.Text != nil:
				out.Parts = append(out.Parts, Part{Text: *p.Text})
			case p.Type == "image_url" && p.ImageURL != nil:
				if role != "user" {
					return c, invalid(field, "images belong to messages of the user")
				}
				if d := or(p.ImageURL.Detail, "auto"); d != "auto" && d != "low" && d != "high" {
					return c, invalid(field+".image_url.detail", "%.50q is not auto, low or high", d)
				}
				m, problem := images.open(ctx, field+".image_url.url", p.ImageURL.URL)
				if problem != nil {
					return c, problem
				}
				out.Parts = append(out.Parts, Part{Image: m})
			case p.Type == "video_url" && p.VideoURL != nil:
				if role != "user" {
					return c, invalid(field, "videos belong to messages of the user")
				}
				frames, problem := images.watch(ctx, field+".video_url", p.VideoURL.URL, or(p.VideoURL.Frames, 8))
				if problem != nil {
					return c, problem
				}
				out.Parts = append(out.Parts, Part{Video: frames})
			default:
				return c, invalid(field+".type",
					"%.50q is not text, image_url or video_url, or the part has no such field", p.Type)
			}
		}
		if p := addToolCalls(&out, field, m); p != nil {
			return c, p
		}
		c.Messages = append(c.Messages, out)
	}
	return c, nil
}

// usage counts tokens.
type usage struct {
	Prompt     int `json:"prompt_tokens"`
	Completion int `json:"completion_tokens"`
	Total      int `json:"total_tokens"`
}

// logprob is one token in the protocol's form.
type logprob struct {
	Token   string     `json:"token"`
	LogProb float64    `json:"logprob"`
	Bytes   []int      `json:"bytes"`
	Top     *[]logprob `json:"top_logprobs,omitempty"`
}

func describe(b []byte, lp float64) logprob {
	l := logprob{Token: strings.ToValidUTF8(string(b), "\ufffd"), LogProb: max(lp, -9999), Bytes: make([]int, len(b))}
	for i, x := range b {
		l.Bytes[i] = int(x)
	}
	return l
}

// logprobs is the "logprobs" of tokens; nil, that is null, if the client did not ask.
func logprobs(asked bool, tokens []Token) any {
	if !asked {
		return nil
	}
	return map[string]any{"content": described(tokens), "refusal": nil}
}

func described(tokens []Token) []logprob {
	list := []logprob{}
	for _, t := range tokens {
		l := describe(t.Bytes, t.LogProb)
		top := []logprob{}
		for _, a := range t.Top {
			top = append(top, describe(a.Bytes, a.LogProb))
		}
		l.Top = &top
		list = append(list, l)
	}
	return list
}

// chat answers POST /v1/chat/completions.
func (s *Server) chat(w http.ResponseWriter, r *http.Request) {
	var q chatRequest
	if p := s.readBody(w, r, &q); p != nil {
		p.write(w)
		return
	}
	if p := s.answerChat(w, r, &q); p != nil {
		p.write(w)
	}
}

// answerChat writes the answer, or returns a problem before it wrote anything.
func (s *Server) answerChat(w http.ResponseWriter, r *http.Request, q *chatRequest) *problem {
	m, p := s.model(q.Model)
	if p != nil {
		return p
	}
	o, p := q.check(s.config.Limits)
	if p != nil {
		return p
	}
	calls, p := q.tools()
	if p != nil {
		return p
	}
	g, p := q.ResponseFormat.constraint()
	if p != nil {
		return p
	}
	if calls.grammar != nil {
		if g != nil {
			return invalid("response_format", "cannot be combined with a tool_choice that demands a call")
		}
		g = calls.grammar
	}
	if g != nil {
		o.Constraint = g
	}
	ctx, leave, p := s.begin(r.Context())
	if p != nil {
		return p
	}
	defer leave()
	c, p := s.conversation(ctx, q.Messages)
	if p != nil {
		return p
	}
	calls.describe(&c)
	prompt, err := m.Prepare(ctx, c)
	if err != nil {
		return s.unfit(m, "messages", err)
	}
	if p := fit(m, prompt, &o, s.config.Limits.Tokens); p != nil {
		return p
	}
	job := chatJob{server: s, model: m, name: q.Model, prompt: prompt, sampling: o, n: or(q.N, 1), calls: calls,
		id: newID("chatcmpl-"), created: time.Now().Unix()}
	if is(q.Stream) {
		job.usage = q.StreamOptions != nil && is(q.StreamOptions.IncludeUsage)
		return job.stream(ctx, w)
	}
	return job.whole(ctx, w)
}

// fit makes an answer end within the context, and after most tokens if the client has not said how many.
func fit(m Model, p Prompt, o *Sampling, most int) *problem {
	left := m.Context() - p.Tokens()
	if left < 1 {
		return tooLong(p.Tokens(), m.Context())
	}
	if o.MaxTokens == 0 {
		o.MaxTokens = most
	}
	o.MaxTokens = min(o.MaxTokens, left)
	return nil
}

func tooLong(tokens, context int) *problem {
	p := invalid(
		"messages",
		"the prompt has %d tokens, of the context's %d, and leaves none for an answer",
		tokens,
		context,
	)
	p.code = "context_length_exceeded"
	return p
}

// chatJob is one accepted request.
type chatJob struct {
	server   *Server
	model    Model
	name     string
	prompt   Prompt
	sampling Sampling
	n        int
	calls    *calls
	id       string
	created  int64
	usage    bool // a last chunk tells the usage
}

func (j *chatJob) whole(ctx context.Context, w http.ResponseWriter) *problem {
	answers := make([]answer, j.n)
	tokens, err := j.server.choices(ctx, j.model, []Prompt{j.prompt}, j.sampling, j.n, func(p piece) error {
		a := &answers[p.index]
		a.text.WriteString(p.text)
		a.tokens = append(a.tokens, p.tokens...)
		a.finish = p.finish
		return nil
	})
	if err != nil {
		return j.server.failure(err)
	}
	choices := []any{}
	for i := range answers {
		a := &answers[i]
		message, finish := j.calls.message(strings.TrimSpace(a.text.String()), a.finish)
		choices = append(
			choices,
			map[string]any{
				"index":         i,
				"message":       message,
				"finish_reason": finish,
				"logprobs":      logprobs(j.sampling.LogProbs, a.tokens),
			},
		)
	}
	writeJSON(
		w,
		http.StatusOK,
		map[string]any{"id": j.id, "object": "chat.completion", "created": j.created, "model": j.name,
			"choices": choices, "usage": j.used(tokens), "system_fingerprint": nil},
	)
	return nil
}

func (j *chatJob) used(tokens int) usage {
	return usage{j.prompt.Tokens(), tokens, j.prompt.Tokens() + tokens}
}

// stream sends the answer as it is made.
func (j *chatJob) stream(ctx context.Context, w http.ResponseWriter) *problem {
	e := newEvents(w, j.server.config.Limits.Write)
	chunk := func(index int, delta map[string]any, finish any, tokens []Token) error {
		choice := map[string]any{"index": index, "delta": delta, "finish_reason": finish, "logprobs": nil}
		if len(tokens) > 0 {
			choice["logprobs"] = logprobs(j.sampling.LogProbs, tokens)
		}
		return j.send(e, []any{choice}, nil)
	}
	collectors := make([]*collector, j.n)
	begun := make([]bool, j.n)
	begin := func(i int) error {
		if begun[i] {
			return nil
		}
		begun[i] = true
		return chunk(i, map[string]any{"role": "assistant", "content": ""}, nil, nil)
	}
	for i := range collectors {
		collectors[i] = j.calls.collect()
	}
	tokens, err := j.server.choices(ctx, j.model, []Prompt{j.prompt}, j.sampling, j.n, func(p piece) error {
		if err := begin(p.index); err != nil {
			return err
		}
		deltas := collectors[p.index].add(p.text)
		finish := p.finish
		if finish != "" {
			var more []map[string]any
			more, finish = collectors[p.index].end(finish)
			deltas = append(deltas, more...)
		}
		known := p.tokens
		for _, d := range deltas {
			if err := chunk(p.index, d, nil, known); err != nil {
				return err
			}
			known = nil
		}
		if finish != "" {
			return chunk(p.index, map[string]any{}, finish, known)
		}
		return nil
	})
	switch {
	case err != nil && !e.begun:
		return j.server.failure(err)
	case err != nil:
		_ = e.send(j.server.failure(err).object()) // the client may be gone
		return nil
	}
	if j.usage {
		if err := j.send(e, []any{}, j.used(tokens)); err != nil {
			return nil
		}
	}
	e.done()
	return nil
}

func (j *chatJob) send(e *events, choices []any, used any) error {
	m := map[string]any{
		"id":      j.id,
		"object":  "chat.completion.chunk",
		"created": j.created,
		"model":   j.name,
		"choices": choices,
	}
	if j.usage {
		m["usage"] = used
	}
	return e.send(m)
}

// events writes server-sent events.
type events struct {
	w       http.ResponseWriter
	control *http.ResponseController
	wait    time.Duration
	begun   bool
}

func newEvents(w http.ResponseWriter, wait time.Duration) *events {
	return &events{w: w, control: http.NewResponseController(w), wait: wait}
}

// begin writes the header, after which errors can only be events.
func (e *events) begin(kind string) {
	if e.begun {
		return
	}
	e.begun = true
	h := e.w.Header()
	h.Set("Content-Type", kind)
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Accel-Buffering", "no") // proxies shall not wait for more
	e.w.WriteHeader(http.StatusOK)
}

// send writes one event. A reader that takes nothing for a while is given up.
func (e *events) send(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	e.begin("text/event-stream")
	return e.write("data: " + string(b) + "\n\n")
}

func (e *events) done() {
	e.begin("text/event-stream")
	_ = e.write("data: [DONE]\n\n")
}

func (e *events) write(text string) error {
	_ = e.control.SetWriteDeadline(time.Now().Add(e.wait)) // not every ResponseWriter has deadlines
	if _, err := e.w.Write([]byte(text)); err != nil {
		return err
	}
	return e.control.Flush()
}
