package serve

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// chatRequest is the body of POST /v1/chat/completions. A pointer is nil where the field is absent or null.
type chatRequest struct {
	Model    string    `json:"model"`
	Messages []message `json:"messages"`
	common
	MaxCompletionTokens *int            `json:"max_completion_tokens"`
	Logprobs            *bool           `json:"logprobs"`
	TopLogprobs         *int            `json:"top_logprobs"`
	ResponseFormat      *responseFormat `json:"response_format"`
	Tools               []tool          `json:"tools"`
	ToolChoice          *toolChoice     `json:"tool_choice"`
	ParallelToolCalls   *bool           `json:"parallel_tool_calls"`

	Audio        any      `json:"audio"`
	Modalities   []string `json:"modalities"`
	Prediction   any      `json:"prediction"`
	WebSearch    any      `json:"web_search_options"`
	Functions    any      `json:"functions"`
	FunctionCall any      `json:"function_call"`
}

// common are the fields that chat and plain completions share.
type common struct {
	MaxTokens        *int               `json:"max_tokens"`
	Temperature      *float64           `json:"temperature"`
	TopP             *float64           `json:"top_p"`
	N                *int               `json:"n"`
	Stop             stops              `json:"stop"`
	Seed             *int64             `json:"seed"`
	Stream           *bool              `json:"stream"`
	StreamOptions    *streamOptions     `json:"stream_options"`
	LogitBias        map[string]float64 `json:"logit_bias"`
	PresencePenalty  *float64           `json:"presence_penalty"`
	FrequencyPenalty *float64           `json:"frequency_penalty"`

	// Other servers' fields.
	TopK              *int     `json:"top_k"`
	MinP              *float64 `json:"min_p"`
	RepetitionPenalty *float64 `json:"repetition_penalty"`
}

type streamOptions struct {
	IncludeUsage *bool `json:"include_usage"`
}

// stops is a string, or up to four.
type stops []string

func (s *stops) UnmarshalJSON(b []byte) error {
	var one *string
	if json.Unmarshal(b, &one) == nil {
		if *s = nil; one != nil {
			*s = stops{*one}
		}
		return nil
	}
	var many []string
	if err := json.Unmarshal(b, &many); err != nil {
		return invalid("stop", "must be a string or a list of strings")
	}
	*s = many
	return nil
}

// message is one of the conversation.
type message struct {
	Role       string     `json:"role"`
	Content    content    `json:"content"`
	Name       *string    `json:"name"`
	ToolCalls  []toolCall `json:"tool_calls"`
	ToolCallID *string    `json:"tool_call_id"`

	FunctionCall any `json:"function_call"`
	Audio        any `json:"audio"`
}

// content is text or a list of parts.
type content struct {
	parts []part
	null  bool
}

// part is a piece of a message's content.
type part struct {
	Type     string  `json:"type"`
	Text     *string `json:"text"`
	ImageURL *struct {
		URL    string  `json:"url"`
		Detail *string `json:"detail"`
	} `json:"image_url"`
	VideoURL *struct {
		URL    string `json:"url"`
		Frames *int   `json:"frames"`
	} `json:"video_url"`
}

func (c *content) UnmarshalJSON(b []byte) error {
	var text *string
	if json.Unmarshal(b, &text) == nil {
		if c.null = text == nil; text != nil {
			c.parts = []part{{Type: "text", Text: text}}
		}
		return nil
	}
	if b = bytes.TrimSpace(b); len(b) == 0 || b[0] != '[' {
		return invalid("content", "must be a string or a list of parts")
	}
	if err := json.Unmarshal(b, &c.parts); err != nil {
		return err
	}
	if len(c.parts) == 0 {
		return invalid("content", "the list of parts is empty")
	}
	return nil
}

// accounting are fields that change no answer: they are ignored, without a word in the log.
var accounting = map[string]bool{"user": true, "metadata": true, "store": true, "service_tier": true,
	"safety_identifier": true, "prompt_cache_key": true, "prompt_cache_retention": true, "keep_alive": true}

// readBody decodes a JSON object into v. Fields that v does not have are ignored; the log names them.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request, v any) *problem {
	if e := r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return refused(http.StatusUnsupportedMediaType, "unsupported_media_type",
			"Content-Encoding %.50q is not supported: send the body as it is", e)
	}
	limit := s.config.Limits.Body
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var large *http.MaxBytesError
	var own *problem
	switch {
	case errors.As(err, &large):
		return tooLarge(limit)
	case errors.As(err, &own):
		return own
	case err != nil:
		return refused(http.StatusBadRequest, "", "the request's body ends early, or comes too slowly")
	}
	if p := decode(b, v); p != nil {
		return p
	}
	if s.config.Log != nil {
		if names := unknown(b, v); len(names) > 0 {
			s.log("%s: ignored fields that are not known: %.500s", r.URL.Path, strings.Join(names, ", "))
		}
	}
	return nil
}

// skipped is a JSON value that nobody reads.
type skipped struct{}

func (skipped) UnmarshalJSON([]byte) error { return nil }

// unknown lists the fields of the JSON object b that the struct v points to does not have.
func unknown(b []byte, v any) (names []string) {
	var given map[string]skipped
	if json.Unmarshal(b, &given) != nil {
		return nil
	}
	known := fields(reflect.TypeOf(v).Elem())
	for name := range given {
		if n := strings.ToLower(name); !known[n] && !accounting[n] { // as encoding/json compares them
			names = append(names, fmt.Sprintf("%.50q", name))
		}
	}
	slices.Sort(names)
	return names[:min(len(names), 10)]
}

// fields are the JSON names of a struct's fields.
func fields(t reflect.Type) map[string]bool {
	names := map[string]bool{}
	for _, f := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
			names[name] = true
		}
	}
	return names
}

// decode reads the JSON object b into v.
func decode(b []byte, v any) *problem {
	if t := bytes.TrimSpace(b); len(t) == 0 || t[0] != '{' {
		return refused(http.StatusBadRequest, "", "the body must be a JSON object")
	}
	err := json.Unmarshal(b, v)
	var p *problem
	var kind *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &p):
		return p
	case errors.As(err, &kind):
		if kind.Field == "" {
			return refused(
				http.StatusBadRequest,
				"",
				"a JSON %s stands where %s belongs",
				kind.Value,
				plain(kind.Type.String()),
			)
		}
		return invalid(
			strings.ReplaceAll(kind.Field, "common.", ""),
			"a JSON %s stands where %s belongs",
			kind.Value,
			plain(kind.Type.String()),
		)
	}
	return refused(http.StatusBadRequest, "", "the body is not JSON: %v", err)
}

// plain is a Go type in words.
func plain(t string) string {
	switch {
	case strings.HasPrefix(t, "int"):
		return "a whole number"
	case strings.HasPrefix(t, "float"):
		return "a number"
	case t == "bool":
		return "true or false"
	case t == "string":
		return "a string"
	case strings.HasPrefix(t, "[]"):
		return "a list"
	}
	return "an object"
}

// number checks that a field lies in [low, high].
func number[T int | int64 | float64](name string, v *T, low, high T) *problem {
	if v != nil && !(*v >= low && *v <= high) {
		return invalid(name, "%v is not in [%v, %v]", *v, low, high)
	}
	return nil
}

// sampling checks the fields that say how tokens are drawn.
func (c *common) sampling(l Limits) (Sampling, *problem) {
	s := Sampling{Stop: c.Stop}
	for _, p := range []*problem{
		number("max_tokens", c.MaxTokens, 1, math.MaxInt32),
		number("temperature", c.Temperature, 0, 2),
		number("top_p", c.TopP, 0, 1),
		number("n", c.N, 1, l.Choices),
		number("presence_penalty", c.PresencePenalty, -2, 2),
		number("frequency_penalty", c.FrequencyPenalty, -2, 2),
		number("top_k", c.TopK, -1, math.MaxInt32),
		number("min_p", c.MinP, 0, 1),
		number("repetition_penalty", c.RepetitionPenalty, 0.01, 100),
	} {
		if p != nil {
			return s, p
		}
	}
	if c.StreamOptions != nil && !is(c.Stream) {
		return s, invalid("stream_options", "is for streams only: set stream")
	}
	if len(c.Stop) > l.Stops {
		return s, invalid("stop", "%d strings, of at most %d", len(c.Stop), l.Stops)
	}
	for _, t := range c.Stop {
		if t == "" || len(t) > 1000 {
			return s, invalid("stop", "a stop string has 1 to 1000 bytes")
		}
	}
	var p *problem
	if s.LogitBias, p = c.bias(); p != nil {
		return s, p
	}
	s.MaxTokens, s.Temperature, s.TopP, s.TopK, s.MinP = or(c.MaxTokens, 0), c.Temperature, c.TopP, c.TopK, c.MinP
	s.PresencePenalty, s.FrequencyPenalty, s.RepetitionPenalty = c.PresencePenalty, c.FrequencyPenalty, c.RepetitionPenalty
	if c.Seed != nil {
		s.Seed, s.Seeded = uint64(*c.Seed), true
	}
	return s, nil
}

// bias reads logit_bias: token ids, as text, and what is added to their logits.
func (c *common) bias() (map[int32]float64, *problem) {
	if len(c.LogitBias) == 0 {
		return nil, nil
	}
	m := make(map[int32]float64, len(c.LogitBias))
	for k, v := range c.LogitBias {
		id, err := strconv.ParseInt(k, 10, 32)
		if err != nil || id < 0 {
			return nil, invalid("logit_bias", "%.50q is not a token id", k)
		}
		if !(v >= -100 && v <= 100) {
			return nil, invalid("logit_bias", "the bias %v of token %d is not in [-100, 100]", v, id)
		}
		m[int32(id)] = v
	}
	return m, nil
}

// is reports whether a flag was given and is true.
func is(b *bool) bool { return b != nil && *b }

// or is what p points to, or the default d.
func or[T any](p *T, d T) T {
	if p == nil {
		return d
	}
	return *p
}

// check validates what is special to chat.
func (q *chatRequest) check(l Limits) (Sampling, *problem) {
	s, p := q.sampling(l)
	if p != nil {
		return s, p
	}
	for name, v := range map[string]any{"audio": q.Audio, "prediction": q.Prediction, "web_search_options": q.WebSearch} {
		if v != nil {
			return s, unsupported(name, "is not supported")
		}
	}
	if q.Functions != nil || q.FunctionCall != nil {
		return s, unsupported("functions", "is not supported: use tools and tool_choice")
	}
	if i := slices.IndexFunc(q.Modalities, func(m string) bool { return m != "text" }); i >= 0 {
		return s, unsupported("modalities", "%.50q is not supported: answers are text", q.Modalities[i])
	}
	if p := number("max_completion_tokens", q.MaxCompletionTokens, 1, math.MaxInt32); p != nil {
		return s, p
	}
	if q.MaxCompletionTokens != nil {
		s.MaxTokens = *q.MaxCompletionTokens
	}
	if p := number("top_logprobs", q.TopLogprobs, 0, 20); p != nil {
		return s, p
	}
	if or(q.TopLogprobs, 0) > 0 && !is(q.Logprobs) {
		return s, invalid("top_logprobs", "needs logprobs to be true")
	}
	s.LogProbs, s.TopLogProbs = is(q.Logprobs), or(q.TopLogprobs, 0)
	if len(q.Messages) == 0 {
		return s, invalid("messages", "there are none")
	}
	if len(q.Messages) > l.Messages {
		return s, invalid("messages", "%d of at most %d", len(q.Messages), l.Messages)
	}
	return s, nil
}

// at names element i of a list in a field.
func at(field string, i int) string { return fmt.Sprintf("%s[%d]", field, i) }
