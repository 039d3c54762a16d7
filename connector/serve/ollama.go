package serve

import (
	"encoding/json"
	"math"
	"net/http"
	"strings"
)

// ollamaRequest is the body of POST /api/chat and /api/generate. Their answers are streams unless the client says
// otherwise.
type ollamaRequest struct {
	Model       string          `json:"model"`
	Messages    []ollamaMessage `json:"messages"`
	Prompt      *string         `json:"prompt"`
	System      *string         `json:"system"`
	Images      []string        `json:"images"`
	Raw         *bool           `json:"raw"` // the prompt goes on as it is, without a template
	Stream      *bool           `json:"stream"`
	Format      json.RawMessage `json:"format"`
	Options     ollamaOptions   `json:"options"`
	Tools       []tool          `json:"tools"`
	Logprobs    *bool           `json:"logprobs"`
	TopLogprobs *int            `json:"top_logprobs"`
	Think       any             `json:"think"`
	Suffix      *string         `json:"suffix"`
	Template    *string         `json:"template"`
	Context     any             `json:"context"`
}

type ollamaMessage struct {
	Role      string   `json:"role"`
	Content   string   `json:"content"`
	Images    []string `json:"images"` // base64
	ToolName  string   `json:"tool_name"`
	ToolCalls []struct {
		Function struct {
			Name      string          `json:"name"`
			Arguments json.RawMessage `json:"arguments"`
		} `json:"function"`
	} `json:"tool_calls"`
}

// ollamaOptions are those that change an answer. Those of the other server's memory and threads do not.
type ollamaOptions struct {
	NumPredict *int `json:"num_predict"` // −1 and −2: what the context leaves
	NumCtx     *int `json:"num_ctx"`     // positions of prompt and answer
	common
	RepeatPenalty   *float64 `json:"repeat_penalty"`
	RepeatLastN     *int     `json:"repeat_last_n"`
	PenalizeNewline *bool    `json:"penalize_newline"`
	Mirostat        *int     `json:"mirostat"`
	TypicalP        *float64 `json:"typical_p"`
	TFSZ            *float64 `json:"tfs_z"`
}

// refusals are what cannot be heeded.
func (q *ollamaRequest) refusals() *problem {
	o := q.Options
	penalty := or(o.RepeatPenalty, 1) != 1 || or(o.RepetitionPenalty, 1) != 1
	switch {
	case or(o.Mirostat, 0) != 0:
		return unsupported("options.mirostat", "is not supported")
	case or(o.TypicalP, 1) != 1:
		return unsupported("options.typical_p", "is not supported")
	case or(o.TFSZ, 1) != 1:
		return unsupported("options.tfs_z", "is not supported")
	case penalty && or(o.RepeatLastN, -1) != -1:
		return unsupported("options.repeat_last_n", "is not supported: repeat_penalty knows all of the conversation")
	case penalty && !or(o.PenalizeNewline, true):
		return unsupported("options.penalize_newline", "is not supported: repeat_penalty knows all tokens")
	case q.Think != nil && q.Think != false && q.Think != "":
		return unsupported("think", "is not supported: this model does not think apart from its answer")
	case q.Suffix != nil && *q.Suffix != "":
		return unsupported("suffix", "is not supported")
	case q.Template != nil && *q.Template != "":
		return unsupported("template", "is not supported: the model's own is used")
	case q.Context != nil:
		return unsupported("context", "is not supported: send messages to /api/chat")
	case is(q.Raw) && (len(q.Images) > 0 || q.System != nil && *q.System != ""):
		return unsupported("raw", "is not supported with images or system text")
	case q.Prompt != nil && q.Tools != nil:
		return unsupported("tools", "belong to /api/chat")
	}
	return nil
}

// sampling is what the options say, in the terms of this package.
func (q *ollamaRequest) sampling(l Limits) (Sampling, *problem) {
	if p := q.refusals(); p != nil {
		return Sampling{}, p
	}
	o := q.Options
	if o.RepetitionPenalty == nil {
		o.RepetitionPenalty = o.RepeatPenalty
	}
	if n := o.NumPredict; n != nil && *n < -2 || n != nil && *n == 0 {
		return Sampling{}, invalid("options.num_predict", "%d is not positive, -1 or -2", *n)
	}
	if p := number("options.num_ctx", o.NumCtx, 1, math.MaxInt32); p != nil {
		return Sampling{}, p
	}
	s, p := o.sampling(l)
	if p != nil {
		p.param = "options." + p.param
		return s, p
	}
	if n := or(o.NumPredict, -1); n > 0 {
		s.MaxTokens = n
	}
	if p := number("top_logprobs", q.TopLogprobs, 0, 20); p != nil {
		return s, p
	}
	s.LogProbs, s.TopLogProbs = is(q.Logprobs), or(q.TopLogprobs, 0)
	if s.TopLogProbs > 0 && !s.LogProbs {
		return s, invalid("top_logprobs", "needs logprobs to be true")
	}
	g, p := q.constraint()
	if p == nil && g != nil {
		s.Constraint = g
	}
	return s, p
}

// constraint reads "format": "json" or a schema.
func (q *ollamaRequest) constraint() (*grammar, *problem) {
	switch text := strings.TrimSpace(string(q.Format)); {
	case text == "", text == "null", text == `""`:
		return nil, nil
	case text == `"json"`:
		return (&responseFormat{Type: "json_object"}).constraint()
	case strings.HasPrefix(text, "{"):
		return schemaGrammar("format", q.Format, new(budget))
	}
	return nil, invalid("format", "must be json or a schema")
}

// conversation is the request's, with its images decoded.
func (q *ollamaRequest) conversation(s *Server) (Conversation, *problem) {
	c := Conversation{}
	list := q.Messages
	if q.Prompt != nil {
		if is(q.Raw) {
			return Conversation{Text: *q.Prompt}, nil
		}
		if q.System != nil && *q.System != "" {
			list = append(list, ollamaMessage{Role: "system", Content: *q.System})
		}
		list = append(list, ollamaMessage{Role: "user", Content: *q.Prompt, Images: q.Images})
	}
	images := s.images(s.config.Limits.Images)
	for i, m := range list {
		field := at("messages", i)
		role, ok := roles[m.Role]
		if !ok {
			return c, invalid(field+".role", "%.50q is not system, user, assistant or tool", m.Role)
		}
		out := Message{Role: role}
		for j, text := range m.Images {
			field := at(field+".images", j)
			if images.left--; images.left < 0 {
				return c, invalid(field, "more than %d images in a request", s.config.Limits.Images)
			}
			if role != "user" {
				return c, invalid(field, "images belong to messages of the user")
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
		out.Parts = append(out.Parts, Part{Text: m.Content})
		if p := addToolCalls(&out, field, m.message()); p != nil {
			return c, p
		}
		c.Messages = append(c.Messages, out)
	}
	if len(c.Messages) > s.config.Limits.Messages {
		return c, invalid("messages", "%d of at most %d", len(c.Messages), s.config.Limits.Messages)
	}
	return c, nil
}

// message is what addToolCalls wants to know of one.
func (m *ollamaMessage) message() message {
	id := "call" // there are no ids in this dialect: results follow their calls
	out := message{Role: m.Role, ToolCallID: &id}
	for _, x := range m.ToolCalls {
		var call toolCall
		call.Function.Name, call.Function.Arguments = x.Function.Name, string(x.Function.Arguments)
		out.ToolCalls = append(out.ToolCalls, call)
	}
	return out
}

func (s *Server) ollamaChat(w http.ResponseWriter, r *http.Request)     { s.ollama(w, r, true) }
func (s *Server) ollamaGenerate(w http.ResponseWriter, r *http.Request) { s.ollama(w, r, false) }
