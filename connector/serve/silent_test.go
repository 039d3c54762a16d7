package serve

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data/imaging"
)

// ears embed a sound as the number of its channels and of their samples, and an image as its sides.
type ears struct{}

func (ears) Embed(_ context.Context, inputs []Input) (vectors [][]float32, tokens int, err error) {
	for _, in := range inputs {
		if in.Image != nil {
			vectors = append(vectors, []float32{float32(in.Image.W), float32(in.Image.H)})
			continue
		}
		vectors = append(vectors, []float32{float32(len(in.Sound.Channels)), float32(in.Sound.Len())})
	}
	return vectors, len(inputs), nil
}

// wav is a sound of 8 bits in base64.
func wav(channels, rate, samples int) string {
	data := make([]byte, channels*samples)
	b := append([]byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00"), byte(channels), 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(rate))
	b = append(b, 0, 0, 0, 0, byte(channels), 0, 8, 0, 'd', 'a', 't', 'a')
	b = binary.LittleEndian.AppendUint32(b, uint32(len(data)))
	return base64.StdEncoding.EncodeToString(append(b, data...))
}

func TestSounds(t *testing.T) {
	server := New(Config{Limits: Limits{Inputs: 2}})
	server.Add("ears", Embeds(ears{}))
	h := httptest.NewServer(server)
	t.Cleanup(h.Close)
	embed := func(input string) (int, string) {
		return post(t, h, "/v1/embeddings", `{"model": "ears", "input": [`+input+`]}`)
	}
	status, body := embed(`{"audio": "data:audio/wav;base64,` + wav(2, 8000, 5) + `"},
		{"type": "input_audio", "input_audio": {"format": "wav", "data": "` + wav(1, 44100, 3) + `"}}`)
	require.Equal(t, http.StatusOK, status, body)
	var a struct {
		Data []struct{ Embedding []float32 }
	}
	require.NoError(t, json.Unmarshal([]byte(body), &a))
	require.Equal(t, []float32{2, 5}, a.Data[0].Embedding)
	require.Equal(t, []float32{1, 3}, a.Data[1].Embedding)
	one := `{"audio": "` + wav(1, 8000, 1) + `"}`
	for input, want := range map[string]string{
		`{"audio": "` + wav(1, 1, 3601) + `"}`:              "3601 seconds",
		`{"audio": "` + wav(2, 1, 1801) + `"}`:              "3602 seconds",
		`{"audio": "` + wav(1, 8000, 0) + `"}`:              "no samples",
		`{"audio": "UklGRg=="}`:                             "no WAV file",
		`{"audio": "x!"}`:                                   "base64",
		one + "," + one + "," + one:                         "3 inputs of at most 2",
		`{"input_audio": {"format": "mp3"}}`:                "mp3",
		`{"audio": "` + wav(1, 8000, 1) + `", "text": "a"}`: "an object must be",
	} {
		status, body := embed(input)
		require.Equal(t, http.StatusBadRequest, status, body)
		require.Contains(t, body, want)
	}
}

// Small files that become many pixels are bounded together.
func TestEmbeddedPixels(t *testing.T) {
	server := New(Config{Limits: Limits{Images: 2, Image: imaging.Limits{Pixels: 100}}})
	server.Add("ears", Embeds(ears{}))
	h := httptest.NewServer(server)
	t.Cleanup(h.Close)
	picture := func(w, h int) string {
		url, err := dataURLOf(imaging.New(w, h))
		require.NoError(t, err)
		return `{"image": "` + url + `"}`
	}
	for _, c := range []struct {
		input  string
		status int
		want   string
	}{
		{picture(10, 10) + "," + picture(5, 10) + "," + picture(10, 5), http.StatusOK, "[5,10]"},
		{picture(10, 10) + "," + picture(10, 10) + "," + picture(1, 1), http.StatusBadRequest, "input[2]"},
		{picture(10, 10) + "," + picture(5, 10) + "," + picture(10, 6), http.StatusBadRequest, "50 are allowed"},
		{picture(10, 11), http.StatusBadRequest, "100 are allowed"},
	} {
		status, body := post(t, h, "/v1/embeddings", `{"model": "ears", "input": [`+c.input+`]}`)
		require.Equal(t, c.status, status, body)
		require.Contains(t, body, c.want)
	}
}

// The chat page lists the models that chat alone.
func TestChats(t *testing.T) {
	s := New(Config{})
	s.Add("art", Draws(&painter{}))
	s.Add("ears", Embeds(ears{}))
	s.Add("eyes", &clip{silent: silent{errEmbedsOnly}})
	s.Add("letters", &letters{context: 100})
	var chatting []string
	for _, m := range s.list() {
		if m.object()["chats"] == true {
			chatting = append(chatting, m.name)
		}
	}
	slices.Sort(chatting)
	require.Equal(t, []string{"letters"}, chatting)
}
