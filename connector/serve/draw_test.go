package serve

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"image/png"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data/imaging"
)

// painter draws an image whose first pixel is the seed.
type painter struct {
	got  []Drawing
	busy atomic.Int32
	wait chan struct{} // until it is closed, drawing takes
}

func (p *painter) Draw(ctx context.Context, d Drawing) (*imaging.RGB, error) {
	if p.busy.Add(1) > 1 {
		return nil, errors.New("two at a time")
	}
	defer p.busy.Add(-1)
	p.got = append(p.got, d)
	if p.wait != nil {
		select {
		case <-p.wait:
		case <-ctx.Done():
			return nil, errors.New("draw: step 1 of 5: stopped")
		}
	}
	if d.Prompt == "impossible" {
		return nil, errors.New("both sides must be multiples of 8")
	}
	m := imaging.New(max(d.Size.W, 4), max(d.Size.H, 3))
	m.Pix[0] = uint8(d.Seed)
	return m, nil
}

// draw asks for images.
func draw(t *testing.T, h *httptest.Server, path, body string) (status int, a map[string]any) {
	status, text := post(t, h, path, body)
	require.NoError(t, json.Unmarshal([]byte(text), &a), text)
	return status, a
}

func gallery(t *testing.T, c Config, d Drawer) *httptest.Server {
	s := New(c)
	s.Add("art", Draws(d))
	s.Add("letters", &letters{context: 100})
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	return h
}

func TestImages(t *testing.T) {
	artist := &painter{}
	s := gallery(t, Config{}, artist)
	status, a := draw(t, s, "/v1/images/generations", `{"model": "art", "prompt": "a cat", "n": 2, "seed": 7,
		"size": "6x5", "response_format": "b64_json", "quality": "standard", "steps": 9, "guidance": 1.5, "tau": 0.5,
		"negative_prompt": "rain", "boxes": [[0.1, 0.2, 0.5, 1]], "phrases": ["a hat"]}`)
	require.Equal(t, http.StatusOK, status, a)
	require.Equal(t, "6x5", a["size"])
	half, guidance := 0.5, 1.5
	require.Equal(t, Drawing{Prompt: "a cat", Negative: "rain", Seed: 7, Steps: 9, Guidance: &guidance, Tau: &half,
		Size: imaging.Size{W: 6, H: 5}, Objects: []Object{{"a hat", [4]float64{0.1, 0.2, 0.5, 1}}}}, artist.got[0])
	for i, x := range a["data"].([]any) {
		raw, err := base64.StdEncoding.DecodeString(x.(map[string]any)["b64_json"].(string))
		require.NoError(t, err)
		m, err := png.Decode(bytes.NewReader(raw))
		require.NoError(t, err)
		r, _, _, _ := m.At(0, 0).RGBA()
		require.EqualValues(t, 7+i, r>>8)
		require.Equal(t, 6, m.Bounds().Dx())
	}
	for body, param := range map[string]string{
		`"prompt": ""`: "prompt", `"n": 2`: "prompt", `"prompt": "a", "n": 0`: "n", `"prompt": "a", "n": 99`: "n",
		`"prompt": "a", "size": "9"`: "size", `"prompt": "a", "size": "-8x8"`: "size",
		`"prompt": "a", "size": "30000x30000"`: "size", `"prompt": "a", "response_format": "url"`: "response_format",
		`"prompt": "a", "style": "vivid"`: "style", `"prompt": "a", "quality": "hd"`: "quality",
		`"prompt": "a", "stream": true`: "stream", `"prompt": "a", "output_format": "webp"`: "output_format",
		`"prompt": "a", "background": "transparent"`: "background", `"prompt": "a", "steps": 100000`: "steps",
		`"prompt": "a", "boxes": [[0, 0, 1, 1]]`:                   "boxes",
		`"prompt": "a", "boxes": [[0, 0, 0, 1]], "phrases": ["x"]`: "boxes[0]",
		`"prompt": "a", "boxes": [[0, 0, 2, 1]], "phrases": ["x"]`: "boxes[0]",
		`"prompt": "a", "boxes": [[0, 0, 1]], "phrases": ["x"]`:    "boxes[0]",
		`"prompt": "a", "boxes": [[0, 0, 1, 1]], "phrases": [" "]`: "phrases[0]",
		`"prompt": "impossible"`:                                   "prompt",
		`"prompt": "a", "output_compression": 50, "seed": 1`:       "output_compression",
		`"prompt": "a", "partial_images": 1`:                       "partial_images",
	} {
		status, a := draw(t, s, "/v1/images/generations", `{"model": "art", `+body+`}`)
		require.Equal(t, http.StatusBadRequest, status, body)
		require.Equal(t, param, a["error"].(map[string]any)["param"], body)
	}
	status, a = draw(t, s, "/v1/images/generations", `{"model": "letters", "prompt": "a"}`)
	require.Equal(t, http.StatusBadRequest, status)
	require.Equal(t, "model", a["error"].(map[string]any)["param"])
	status, a = draw(t, s, "/v1/chat/completions", `{"model": "art", "messages": [{"role": "user", "content": "a"}]}`)
	require.Equal(t, http.StatusBadRequest, status, a)
	require.Contains(t, a["error"].(map[string]any)["message"], "/v1/images/generations")
	status, _ = draw(t, s, "/v1/embeddings", `{"model": "art", "input": "a"}`)
	require.Equal(t, http.StatusNotImplemented, status)
}

// One image is drawn at a time; who waits too long is told so, and leaves the others their turn.
func TestImagesWait(t *testing.T) {
	artist := &painter{wait: make(chan struct{})}
	s := gallery(t, Config{Limits: Limits{Answer: 50 * time.Millisecond}}, artist)
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() {
			status, _ := post(t, s, "/v1/images/generations", `{"model": "art", "prompt": "a"}`)
			if status != http.StatusGatewayTimeout {
				t.Errorf("status %d", status)
			}
		})
	}
	group.Wait()
	require.Zero(t, artist.busy.Load())
}
