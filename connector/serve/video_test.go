package serve

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"image"
	"image/color/palette"
	"image/gif"
	"io"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/llm"
)

// animation is a GIF of so many frames.
func animation(t *testing.T, frames int) []byte {
	g := gif.GIF{Config: image.Config{Width: 9, Height: 7}}
	for i := range frames {
		m := image.NewPaletted(image.Rect(0, 0, 9, 7), palette.Plan9)
		for j := range m.Pix {
			m.Pix[j] = uint8(i*37 + j)
		}
		g.Image, g.Delay = append(g.Image, m), append(g.Delay, 1)
	}
	var b bytes.Buffer
	require.NoError(t, gif.EncodeAll(&b, &g))
	return b.Bytes()
}

// A video in a message is answered as AskVideo answers about its file, and encoded once; what cannot be shown is
// refused by field, for a model that takes videos and for one that does not.
func TestVideoMessages(t *testing.T) {
	a := tiny(t)
	c := llava.ConfigOf(a.Model)
	c.Video = &llava.Video{Pool: "average", Stride: 2, Newline: "no_token"}
	var err error
	a.Model, err = llava.New(rand.New(rand.NewPCG(7, 8)), c)
	require.NoError(t, err)
	a.Options.MaxNewTokens = 12
	m := Assistant(a, llm.EngineConfig{})
	s := New(Config{Log: t.Logf, Limits: Limits{Frames: 5}})
	s.Add("tiny", m)
	s.Add("images", Assistant(tiny(t), llm.EngineConfig{}))
	h := httptest.NewServer(s)
	defer h.Close()

	file := filepath.Join(t.TempDir(), "a.gif")
	require.NoError(t, os.WriteFile(file, animation(t, 6), 0o666))
	address := "data:image/gif;base64," + base64.StdEncoding.EncodeToString(animation(t, 6))
	ask := func(model, video string) (int, string) {
		return post(t, h, "/v1/chat/completions", fmt.Sprintf(`{"model": %q, "temperature": 0, "max_tokens": 12,
			"messages": [{"role": "user", "content": [{"type": "video_url", "video_url": %s},
			{"type": "text", "text": "What moves?"}]}]}`, model, video))
	}
	for range 2 {
		for _, frames := range []int{1, 3, 5} {
			want, err := a.AskVideo(t.Context(), "What moves?", file, frames)
			require.NoError(t, err)
			status, body := ask("tiny", fmt.Sprintf(`{"url": %q, "frames": %d}`, address, frames))
			require.Equal(t, 200, status, body)
			require.Equal(t, want, contentOf(t, body), frames)
		}
	}
	require.Equal(t, 3, m.(*vision).images.Len())

	r, err := h.Client().Get(h.URL + "/v1/models")
	require.NoError(t, err)
	models, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	require.NoError(t, r.Body.Close())
	require.Regexp(t, `"id":"tiny"[^}]*"videos":true`, string(models))
	require.Regexp(t, `"id":"images"[^}]*"videos":false`, string(models))

	mp4 := "data:video/mp4;base64," + base64.StdEncoding.EncodeToString([]byte("\x00\x00\x00 ftypisom0000000000"))
	for _, c := range []struct{ model, video, field, wants string }{
		{"images", fmt.Sprintf(`{"url": %q, "frames": 2}`, address), "messages", "takes images"},
		{"tiny", fmt.Sprintf(`{"url": %q}`, address), "video_url.frames", "8: 1 to 5"},
		{"tiny", fmt.Sprintf(`{"url": %q, "frames": 0}`, address), "video_url.frames", "0: 1 to 5"},
		{"tiny", fmt.Sprintf(`{"url": %q, "frames": 2}`, mp4), "messages[0].content[0].video_url.url", "MJPEG in AVI"},
		{"tiny", `{"url": "http://127.0.0.1/a.gif", "frames": 2}`, "video_url.url", "not fetched"},
		{"tiny", `{"frames": 2}`, "video_url.url", "scheme"},
		{"tiny", `null`, "messages[0].content[0].type", "no such field"},
	} {
		status, body := ask(c.model, c.video)
		require.Equal(t, 400, status, c.video)
		require.Contains(t, body, c.field)
		require.Contains(t, body, c.wants)
	}
}
