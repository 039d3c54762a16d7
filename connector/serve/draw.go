package serve

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gollava/gollava/data/imaging"
)

// Drawing asks for one image. What is nil or zero is left to the model.
type Drawing struct {
	Prompt   string
	Negative string // what guidance leads away from
	Seed     uint64
	Steps    int
	Guidance *float64
	Size     imaging.Size
	Objects  []Object
	Tau      *float64 // share of the steps in which boxes are heeded
}

// Object is a phrase with the box that it is to fill: x0, y0, x1, y1 as shares of the width and the height.
type Object struct {
	Phrase string
	Box    [4]float64
}

// Drawer is what [Draws] serves. Draw is called by one goroutine at a time, and ends soon after ctx. Its errors, others
// than ctx's, are about the request.
type Drawer interface {
	Draw(ctx context.Context, d Drawing) (*imaging.RGB, error)
}

// Draws serves a text-to-image model, for POST /v1/images/generations. It draws one image at a time: that takes all
// cores, and its memory is bounded so.
func Draws(d Drawer) Model { return draws{silent{errDrawsOnly}, d, make(chan struct{}, 1)} }

type draws struct {
	silent
	drawer Drawer
	turn   chan struct{} // of the one that draws
}

func (m draws) draw(ctx context.Context, d Drawing) (*imaging.RGB, error) {
	select {
	case m.turn <- struct{}{}:
		defer func() { <-m.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err := ctx.Err(); err != nil { // select may choose either
		return nil, err
	}
	x, err := m.drawer.Draw(ctx, d)
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	return x, err
}

// drawingRequest is the body of POST /v1/images/generations. From Seed on fields are extensions.
type drawingRequest struct {
	Model          string   `json:"model"`
	Prompt         *string  `json:"prompt"`
	N              *int     `json:"n"`
	Size           *string  `json:"size"`
	ResponseFormat *string  `json:"response_format"`
	OutputFormat   *string  `json:"output_format"`
	Compression    *float64 `json:"output_compression"`
	Quality        *string  `json:"quality"`
	Style          *string  `json:"style"`
	Background     *string  `json:"background"`
	Stream         *bool    `json:"stream"`
	Partial        *int     `json:"partial_images"`
	Moderation     *string  `json:"moderation"` // for accounting, as user is
	User           *string  `json:"user"`

	Seed     *int64      `json:"seed"`
	Steps    *int        `json:"steps"`
	Guidance *float64    `json:"guidance"`
	Negative *string     `json:"negative_prompt"`
	Boxes    [][]float64 `json:"boxes"`
	Phrases  []string    `json:"phrases"`
	Tau      *float64    `json:"tau"`
}

// The bounds of what one request may ask of a text-to-image model.
const (
	mostSteps   = 250
	mostPrompt  = 32 << 10 // bytes
	mostObjects = 100
)

// generateImages answers POST /v1/images/generations.
func (s *Server) generateImages(w http.ResponseWriter, r *http.Request) {
	var q drawingRequest
	p := s.readBody(w, r, &q)
	var out any
	if p == nil {
		out, p = s.answerDrawing(r.Context(), &q)
	}
	if p != nil {
		p.write(w)
		return
	}
	writeJSON(w, http.StatusOK, out)
}

func (s *Server) answerDrawing(ctx context.Context, q *drawingRequest) (any, *problem) {
	m, p := s.model(q.Model)
	if p != nil {
		return nil, p
	}
	artist, ok := m.(draws)
	if !ok {
		return nil, unsupported("model", "%s does not draw", quote(q.Model))
	}
	d, p := q.drawing(s.config.Limits)
	if p != nil {
		return nil, p
	}
	ctx, leave, p := s.begin(ctx)
	if p != nil {
		return nil, p
	}
	defer leave()
	data, size := []any{}, d.Size
	for range or(q.N, 1) {
		x, err := artist.draw(ctx, d)
		if err != nil {
			return nil, s.unfit(m, "prompt", err)
		}
		url, err := dataURLOf(x)
		if err != nil {
			return nil, s.failure(err)
		}
		_, text, _ := strings.Cut(url, ",")
		data, size = append(data, map[string]any{"b64_json": text}), imaging.Size{W: x.W, H: x.H}
		d.Seed++
	}
	return map[string]any{"created": time.Now().Unix(), "data": data, "background": "opaque", "output_format": "png",
		"size": strconv.Itoa(size.W) + "x" + strconv.Itoa(size.H)}, nil
}

// drawing checks a request.
func (q *drawingRequest) drawing(l Limits) (d Drawing, p *problem) {
	if q.Prompt == nil || strings.TrimSpace(*q.Prompt) == "" {
		return d, invalid("prompt", "is missing or empty")
	}
	d = Drawing{Prompt: *q.Prompt, Negative: or(q.Negative, ""), Steps: or(q.Steps, 0), Guidance: q.Guidance,
		Tau: q.Tau}
	if d.Seed = uint64(or(q.Seed, 0)); q.Seed == nil {
		d.Seed = randomSeed()
	}
	for _, text := range []struct{ field, value string }{{"prompt", d.Prompt}, {"negative_prompt", d.Negative}} {
		if len(text.value) > mostPrompt {
			return d, invalid(text.field, "%d bytes of at most %d", len(text.value), mostPrompt)
		}
	}
	for _, x := range []struct {
		field string
		value *string
		known string // what may be asked for, with spaces between
	}{
		{"response_format", q.ResponseFormat, "b64_json"}, {"output_format", q.OutputFormat, "png"},
		{"quality", q.Quality, "auto standard"}, {"style", q.Style, ""}, {"background", q.Background, "auto opaque"},
	} {
		if x.value != nil && !slices.Contains(strings.Fields(x.known), *x.value) {
			return d, unsupported(x.field, "%.50q is not supported: leave it out", *x.value)
		}
	}
	switch {
	case is(q.Stream):
		return d, unsupported("stream", "is not supported: images come whole")
	case or(q.Partial, 0) != 0:
		return d, unsupported("partial_images", "is not supported: images come whole")
	case q.Compression != nil && *q.Compression != 100:
		return d, unsupported("output_compression", "is not supported: a PNG loses nothing")
	}
	for _, p := range []*problem{
		number("n", q.N, 1, l.Choices),
		number("steps", q.Steps, 1, mostSteps),
		number("guidance", q.Guidance, 0, 100),
		number("tau", q.Tau, 0, 1),
	} {
		if p != nil {
			return d, p
		}
	}
	if d.Objects, p = q.objects(); p != nil {
		return d, p
	}
	d.Size, p = sizeOf(q.Size, l.Drawn)
	return d, p
}

// objects are the boxes with their phrases.
func (q *drawingRequest) objects() (list []Object, p *problem) {
	if len(q.Boxes) != len(q.Phrases) {
		return nil, invalid("boxes", "%d boxes for %d phrases", len(q.Boxes), len(q.Phrases))
	}
	if len(q.Boxes) > mostObjects {
		return nil, invalid("boxes", "%d of at most %d", len(q.Boxes), mostObjects)
	}
	for i, b := range q.Boxes {
		if len(b) != 4 || !(0 <= b[0] && b[0] < b[2] && b[2] <= 1 && 0 <= b[1] && b[1] < b[3] && b[3] <= 1) {
			return nil, invalid(at("boxes", i), "must be [x0, y0, x1, y1] with 0 ≤ x0 < x1 ≤ 1 and 0 ≤ y0 < y1 ≤ 1")
		}
		if strings.TrimSpace(q.Phrases[i]) == "" || len(q.Phrases[i]) > mostPrompt {
			return nil, invalid(at("phrases", i), "is empty or too long")
		}
		list = append(list, Object{q.Phrases[i], [4]float64(b)})
	}
	return list, nil
}

// sizeOf reads WIDTHxHEIGHT; the zero size leaves it to the model.
func sizeOf(text *string, most int) (size imaging.Size, p *problem) {
	if text == nil || *text == "auto" {
		return size, nil
	}
	w, h, ok := strings.Cut(*text, "x")
	width, errW := strconv.ParseUint(w, 10, 15)
	height, errH := strconv.ParseUint(h, 10, 15)
	if !ok || errW != nil || errH != nil || width == 0 || height == 0 {
		return size, invalid("size", "%.50q is not auto or WIDTHxHEIGHT in pixels, such as 512x512", *text)
	}
	if width*height > uint64(most) {
		return size, invalid("size", "%s has more than %d pixels", *text, most)
	}
	return imaging.Size{W: int(width), H: int(height)}, nil
}
