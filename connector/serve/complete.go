package serve

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strings"
	"time"
)

// completionRequest is the body of POST /v1/completions.
type completionRequest struct {
	Model  string `json:"model"`
	Prompt *texts `json:"prompt"`
	common
	Logprobs *int    `json:"logprobs"`
	Echo     *bool   `json:"echo"`
	Suffix   *string `json:"suffix"`
	BestOf   *int    `json:"best_of"`
}

// texts is a string, or several.
type texts []string

func (t *texts) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*t = texts{one}
		return nil
	}
	var many []string
	if json.Unmarshal(b, &many) != nil {
		return invalid("input or prompt", "must be a string or a list of strings; token ids are not supported")
	}
	*t = many
	return nil
}

// complete answers POST /v1/completions.
func (s *Server) complete(w http.ResponseWriter, r *http.Request) {
	var q completionRequest
	p := readBody(w, r, s.config.Limits.Body, &q)
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
	case q.Prompt == nil || len(*q.Prompt) != 1:
		return invalid("prompt", "must be one string")
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
	leave, p := s.enter(r.Context())
	if p != nil {
		return p
	}
	defer leave()
	ctx, cancel := context.WithTimeout(r.Context(), s.config.Limits.Answer)
	defer cancel()
	prompt, err := m.Prepare(ctx, Conversation{Text: (*q.Prompt)[0]})
	if err != nil {
		return s.unfit(m, "prompt", err)
	}
	if p := fit(m, prompt, &o, s.config.Limits.Tokens); p != nil {
		p.param = "prompt"
		return p
	}
	job := completionJob{
		server:   s,
		model:    m,
		prompt:   prompt,
		sampling: o,
		n:        or(q.N, 1),
		id:       newID("cmpl-"),
		name:     q.Model,
		created:  time.Now().Unix(),
	}
	if is(q.Echo) {
		job.echo = (*q.Prompt)[0]
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
	prompt   Prompt
	sampling Sampling
	n        int
	echo     string
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
	at := len(j.echo)
	for _, t := range tokens {
		text := strings.ToValidUTF8(string(t.Bytes), "\ufffd")
		top := map[string]float64{}
		for _, a := range t.Top {
			top[strings.ToValidUTF8(string(a.Bytes), "\ufffd")] = max(a.LogProb, -9999)
		}
		out.Tokens, out.LPs, out.Top, out.Offsets = append(
			out.Tokens,
			text,
		), append(
			out.LPs,
			max(t.LogProb, -9999),
		), append(
			out.Top,
			top,
		), append(
			out.Offsets,
			at,
		)
		at += len(text)
	}
	return out
}

func (j *completionJob) used(tokens int) usage {
	return usage{j.prompt.Tokens(), tokens, j.prompt.Tokens() + tokens}
}

func (j *completionJob) whole(ctx context.Context, w http.ResponseWriter) *problem {
	answers := make([]answer, j.n)
	tokens, err := j.server.choices(ctx, j.model, j.prompt, j.sampling, j.n, func(p piece) error {
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
		choices = append(choices, j.choice(i, j.echo+answers[i].text.String(), answers[i].tokens, answers[i].finish))
	}
	writeJSON(w, http.StatusOK, j.object(choices, j.used(tokens)))
	return nil
}

func (j *completionJob) stream(ctx context.Context, w http.ResponseWriter) *problem {
	e := newEvents(w, j.server.config.Limits.Write)
	begun := make([]bool, j.n)
	tokens, err := j.server.choices(ctx, j.model, j.prompt, j.sampling, j.n, func(p piece) error {
		if !begun[p.index] {
			begun[p.index], p.text = true, j.echo+p.text
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

// embeddingRequest is the body of POST /v1/embeddings.
type embeddingRequest struct {
	Model      string  `json:"model"`
	Input      *texts  `json:"input"`
	Format     *string `json:"encoding_format"`
	Dimensions *int    `json:"dimensions"`
}

// embed answers POST /v1/embeddings.
func (s *Server) embed(w http.ResponseWriter, r *http.Request) {
	var q embeddingRequest
	p := readBody(w, r, s.config.Limits.Body, &q)
	if p == nil {
		p = s.answerEmbedding(w, r, &q)
	}
	if p != nil {
		p.write(w)
	}
}

func (s *Server) answerEmbedding(w http.ResponseWriter, r *http.Request, q *embeddingRequest) *problem {
	m, p := s.model(q.Model)
	if p != nil {
		return p
	}
	format := or(q.Format, "float")
	switch {
	case q.Input == nil || len(*q.Input) == 0:
		return invalid("input", "is missing or empty")
	case len(*q.Input) > s.config.Limits.Inputs:
		return invalid("input", "%d texts of at most %d", len(*q.Input), s.config.Limits.Inputs)
	case format != "float" && format != "base64":
		return invalid("encoding_format", "%.50q is not float or base64", format)
	case q.Dimensions != nil:
		return unsupported("dimensions", "is not supported: vectors have the model's own length")
	}
	for i, t := range *q.Input {
		if t == "" {
			return invalid(at("input", i), "is empty")
		}
	}
	leave, p := s.enter(r.Context())
	if p != nil {
		return p
	}
	defer leave()
	ctx, cancel := context.WithTimeout(r.Context(), s.config.Limits.Answer)
	defer cancel()
	vectors, tokens, err := m.Embed(ctx, *q.Input)
	if errors.Is(err, ErrNoEmbeddings) {
		return refused(http.StatusNotImplemented, "no_embeddings", "model %s has no embeddings", quote(q.Model))
	}
	if err != nil {
		return s.unfit(m, "input", err)
	}
	data := []any{}
	for i, v := range vectors {
		var e any = v
		if format == "base64" {
			b := make([]byte, 0, 4*len(v))
			for _, x := range v {
				b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
			}
			e = base64.StdEncoding.EncodeToString(b)
		}
		data = append(data, map[string]any{"object": "embedding", "index": i, "embedding": e})
	}
	writeJSON(w, http.StatusOK, map[string]any{"object": "list", "data": data, "model": q.Model,
		"usage": map[string]any{"prompt_tokens": tokens, "total_tokens": tokens}})
	return nil
}
