package serve

import (
	"bytes"
	"context"
	"encoding/base64"
	"image"
	"image/png"
	"math"
	"net/http"
	"strings"

	"github.com/gollava/gollava/data/imaging"
)

// Gaze is what an answer's tokens attended to: for POST /v1/attention, which the chat page asks.
type Gaze struct {
	Layer, Head int
	Tokens      []string       // of the answer
	Weights     [][]float64    // [tokens][image tokens of all images], of that head
	Views       []*imaging.RGB // what the model sees of each image
	Rows        []int          // each has Rows×Rows image tokens, row by row
}

// gazer is a [Model] that says what an answer attended to.
type gazer interface {
	Gaze(ctx context.Context, p Prompt, answer string) (Gaze, error)
}

// mostGaze bounds the tokens of an answer that are looked at.
const mostGaze = 256

// Gaze implements gazer, for images of one view.
func (m *vision) Gaze(ctx context.Context, p Prompt, answer string) (g Gaze, err error) {
	x, ok := p.(picture)
	if !ok || len(x.shown) == 0 {
		return g, invalid("messages", "there is no image that an answer could attend to")
	}
	for _, v := range x.shown {
		image := v.Image
		if image == nil {
			return g, unsupported("messages", "have a video: attention is shown of images")
		}
		l := m.assistant.Model.Connector.Layout(imaging.Size{W: image.W, H: image.H})
		rows := int(math.Sqrt(float64(l.Tokens)))
		if l.Views != 1 || rows*rows != l.Tokens {
			return g, unsupported("model", "sees images in %d views of %d tokens: attention is shown of one "+
				"square view", l.Views, l.Tokens)
		}
		views, err := m.assistant.Processor.Views(image)
		if err != nil {
			return g, err
		}
		g.Views, g.Rows = append(g.Views, views[0]), append(g.Rows, rows)
	}
	ids := m.tokenizer.Encode(answer)
	ids = ids[:min(len(ids), mostGaze, m.Context()-p.Tokens())]
	if len(ids) == 0 {
		return g, invalid("answer", "is empty")
	}
	seen, err := m.images.Gaze(ctx, x.ids, x.shown, ids)
	if err != nil {
		return g, err
	}
	g.Layer, g.Head, g.Weights = seen.Layer, seen.Head, seen.Weights
	text := m.tokenizer.Stream(nil)
	for i, id := range ids {
		piece := text.Next(id)
		if i == len(ids)-1 {
			piece += text.Flush()
		}
		g.Tokens = append(g.Tokens, piece)
	}
	return g, nil
}

// attention answers POST /v1/attention: {"model", "messages", "answer"}.
func (s *Server) attention(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Model    string    `json:"model"`
		Messages []message `json:"messages"`
		Answer   string    `json:"answer"`
	}
	p := s.readBody(w, r, &q)
	var out any
	if p == nil {
		out, p = s.answerAttention(r.Context(), q.Model, q.Messages, q.Answer)
	}
	if p != nil {
		p.write(w)
		return
	}
	writeJSON(w, http.StatusOK, out)
}

func (s *Server) answerAttention(ctx context.Context, name string, messages []message, answer string) (any, *problem) {
	m, p := s.model(name)
	if p != nil {
		return nil, p
	}
	looks, ok := m.(gazer)
	if !ok {
		return nil, unsupported("model", "%s does not say what it attends to", quote(name))
	}
	if len(messages) == 0 || len(messages) > s.config.Limits.Messages {
		return nil, invalid("messages", "%d: there must be 1 to %d", len(messages), s.config.Limits.Messages)
	}
	ctx, leave, p := s.begin(ctx)
	if p != nil {
		return nil, p
	}
	defer leave()
	c, p := s.conversation(ctx, messages)
	if p != nil {
		return nil, p
	}
	prompt, err := m.Prepare(ctx, c)
	if err != nil {
		return nil, s.unfit(m, "messages", err)
	}
	g, err := looks.Gaze(ctx, prompt, strings.TrimSpace(answer))
	if err != nil {
		return nil, s.failure(err)
	}
	tokens, images := []any{}, []any{}
	for i, t := range g.Tokens {
		rounded := make([]float64, len(g.Weights[i]))
		for j, w := range g.Weights[i] {
			rounded[j] = math.Round(w*1e5) / 1e5
		}
		tokens = append(tokens, map[string]any{"text": t, "weights": rounded})
	}
	for i, v := range g.Views {
		url, err := dataURLOf(v)
		if err != nil {
			return nil, s.failure(err)
		}
		images = append(images, map[string]any{"url": url, "rows": g.Rows[i]})
	}
	return map[string]any{"object": "attention", "model": name, "layer": g.Layer, "head": g.Head, "tokens": tokens,
		"images": images}, nil
}

// dataURLOf is an image as a PNG in a URL.
func dataURLOf(m *imaging.RGB) (string, error) {
	out := image.NewRGBA(image.Rect(0, 0, m.W, m.H))
	for i := range m.W * m.H {
		copy(out.Pix[4*i:], m.Pix[3*i:3*i+3])
		out.Pix[4*i+3] = 255
	}
	var b bytes.Buffer
	if err := png.Encode(&b, out); err != nil {
		return "", err
	}
	return "data:image/png;base64," + base64.StdEncoding.EncodeToString(b.Bytes()), nil
}
