package serve

import (
	"context"
	"net/http"
	"strings"
	"time"
)

// completionRequest is the body of POST /v1/completions.
type completionRequest struct {
	Model  string `json:"model"`
	Prompt inputs `json:"prompt"`
	common
	Logprobs *int    `json:"logprobs"`
	Echo     *bool   `json:"echo"`
	Suffix   *string `json:"suffix"`
	BestOf   *int    `json:"best_of"`
}

// complete answers POST /v1/completions.
func (s *Server) complete(w http.ResponseWriter, r *http.Request) {
	var q completionRequest
	p := s.readBody(w, r, &q)
	if p == nil {
		p = s.answerCompletion(w, r, &q)
	}
	if p != nil {
		p.write(w)
	}
}

func (s *Server) answerCompletion(w http.ResponseWriter, r *http.Request, q *completionRequest) *problem {
	m, p := s.model(q.Model)
	if p != nil {
		return p
	}
	o, p := q.sampling(s.config.Limits)
	if p != nil {
		return p
	}
	switch {
	case len(q.Prompt) == 0:
		return invalid("prompt", "is missing or empty")
	case len(q.Prompt)*or(q.N, 1) > s.config.Limits.Inputs:
		return invalid("prompt", "%d answers of at most %d", len(q.Prompt)*or(q.N, 1), s.config.Limits.Inputs)
	case is(q.Echo) && q.Logprobs != nil:
		return unsupported("echo", "is not supported with logprobs: those of the prompt are not computed")
	case q.Suffix != nil:
		return unsupported("suffix", "is not supported")
	case q.BestOf != nil && *q.BestOf != or(q.N, 1):
		return unsupported("best_of", "is not supported: use n")
	}
	if p := number("logprobs", q.Logprobs, 0, 5); p != nil {
		return p
	}
	if q.MaxTokens == nil {
		o.MaxTokens = 16 // the protocol's default
	}
	o.LogProbs, o.TopLogProbs = q.Logprobs != nil, or(q.Logprobs, 0)
	ctx, leave, p := s.begin(r.Context())
	if p != nil {
		return p
	}
	defer leave()
	list, p := s.inputs(ctx, "prompt", q.Prompt)
	if p != nil {
		return p
	}
	var prompts []Prompt
	var echo []string
	least := o // what the longest prompt leaves
	for i, x := range list {
		switch {
		case x.Image != nil || x.Sound != nil:
			return invalid(at("prompt", i), "images belong to chat")
		case x.IDs != nil && is(q.Echo):
			return unsupported("echo", "is not supported with token ids")
		}
		prompt, err := m.Prepare(ctx, Conversation{Text: x.Text, IDs: x.IDs})
		if err != nil {
			return s.unfit(m, "prompt", err)
		}
		fitted := o
		if p := fit(m, prompt, &fitted, s.config.Limits.Tokens); p != nil {
			p.param = "prompt"
			return p
		}
		if i == 0 || fitted.MaxTokens < least.MaxTokens {
			least = fitted
		}
		prompts, echo = append(prompts, prompt), append(echo, x.Text)
	}
	job := completionJob{
		server:   s,
		model:    m,
		prompts:  prompts,
		sampling: least,
		n:        or(q.N, 1),
		id:       newID("cmpl-"),
		name:     q.Model,
		created:  time.Now().Unix(),
	}
	if is(q.Echo) {
		job.echo = echo
	}
	if is(q.Stream) {
		job.usage = q.StreamOptions != nil && is(q.StreamOptions.IncludeUsage)
		return job.stream(ctx, w)
	}
	return job.whole(ctx, w)
}

// completionJob is one accepted request.
type completionJob struct {
	server   *Server
	model    Model
	prompts  []Prompt
	sampling Sampling
	n        int      // answers to each prompt, which follow one another
	echo     []string // texts of the prompts, before their answers; nil: not asked for
	id       string
	name     string
	created  int64
	usage    bool
}

func (j *completionJob) object(choices any, used any) map[string]any {
	m := map[string]any{
		"id":      j.id,
		"object":  "text_completion",
		"created": j.created,
		"model":   j.name,
		"choices": choices,
	}
	if used != nil {
		m["usage"] = used
	}
	return m
}

func (j *completionJob) choice(index int, text string, tokens []Token, finish any) map[string]any {
	return map[string]any{"index": index, "text": text, "logprobs": j.logprobs(tokens), "finish_reason": finish}
}

// logprobs is the older form of log-probabilities.
func (j *completionJob) logprobs(tokens []Token) any {
	if !j.sampling.LogProbs {
		return nil
	}
	var out struct {
		Tokens  []string             `json:"tokens"`
		LPs     []float64            `json:"token_logprobs"`
		Top     []map[string]float64 `json:"top_logprobs"`
		Offsets []int                `json:"text_offset"`
	}
	at := 0
	for _, t := range tokens {
		text := strings.ToValidUTF8(string(t.Bytes), "\ufffd")
		top := map[string]float64{}
		for _, a := range t.Top {
			top[strings.ToValidUTF8(string(a.Bytes), "\ufffd")] = max(a.LogProb, -9999)
		}
		out.Tokens, out.LPs = append(out.Tokens, text), append(out.LPs, max(t.LogProb, -9999))
		out.Top, out.Offsets = append(out.Top, top), append(out.Offsets, at)
		at += len(text)
	}
	return out
}

// echoed is what the text of a choice begins with.
func (j *completionJob) echoed(choice int) string {
	if j.echo == nil {
		return ""
	}
	return j.echo[choice/j.n]
}

func (j *completionJob) used(tokens int) usage {
	read := 0
	for _, p := range j.prompts {
		read += p.Tokens()
	}
	return usage{read, tokens, read + tokens}
}

func (j *completionJob) whole(ctx context.Context, w http.ResponseWriter) *problem {
	answers := make([]answer, j.n*len(j.prompts))
	tokens, err := j.server.choices(ctx, j.model, j.prompts, j.sampling, j.n, func(p piece) error {
		a := &answers[p.index]
		a.text.WriteString(p.text)
		a.tokens, a.finish = append(a.tokens, p.tokens...), p.finish
		return nil
	})
	if err != nil {
		return j.server.failure(err)
	}
	choices := []any{}
	for i := range answers {
		choices = append(choices, j.choice(i, j.echoed(i)+answers[i].text.String(), answers[i].tokens,
			answers[i].finish))
	}
	writeJSON(w, http.StatusOK, j.object(choices, j.used(tokens)))
	return nil
}

func (j *completionJob) stream(ctx context.Context, w http.ResponseWriter) *problem {
	e := newEvents(w, j.server.config.Limits.Write)
	begun := make([]bool, j.n*len(j.prompts))
	tokens, err := j.server.choices(ctx, j.model, j.prompts, j.sampling, j.n, func(p piece) error {
		if !begun[p.index] {
			begun[p.index], p.text = true, j.echoed(p.index)+p.text
		}
		var finish any
		if p.finish != "" {
			finish = p.finish
		}
		return e.send(j.object([]any{j.choice(p.index, p.text, p.tokens, finish)}, nil))
	})
	if err != nil && !e.begun {
		return j.server.failure(err)
	}
	if err != nil {
		_ = e.send(j.server.failure(err).object()) // the client may be gone
		return nil
	}
	if j.usage && e.send(j.object([]any{}, j.used(tokens))) != nil {
		return nil
	}
	e.done()
	return nil
}
