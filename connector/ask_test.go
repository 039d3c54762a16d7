package connector_test

import (
	"image"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
)

// Ask is Reply with the images read from files: before the question, or where it has places for them.
func TestAsk(t *testing.T) {
	a, tower, _ := talker(t, 24)
	dir := t.TempDir()
	images, files := []*imaging.RGB{photo(1), photo(2)}, []string{}
	for i, m := range images {
		p := image.NewNRGBA(image.Rect(0, 0, m.W, m.H))
		for at := range m.W * m.H {
			copy(p.Pix[4*at:], append(m.Pix[3*at:3*at+3:3*at+3], 255))
		}
		files = append(files, filepath.Join(dir, []string{"a.png", "b.png"}[i]))
		f, err := os.Create(files[i])
		require.NoError(t, err)
		require.NoError(t, png.Encode(f, p))
		require.NoError(t, f.Close())
	}
	reply := func(question string, images ...*imaging.RGB) string {
		answer, err := a.Reply(t.Context(), []chat.Turn{{From: chat.Human, Value: question}}, images, nil)
		require.NoError(t, err)
		return answer
	}
	ask := func(question string, files ...string) string {
		answer, err := a.Ask(t.Context(), question, files...)
		require.NoError(t, err)
		return answer
	}
	both := reply("<image>\n<image>\nWhat is this?", images...)
	require.Equal(t, both, ask("What is this?", files...))
	require.NotEqual(t, both, ask("What is this?", files[1], files[0]), "the order of the files")
	require.Equal(t, reply("Is <image> what <image> is?", images...), ask("Is <image> what <image> is?", files...))

	before := tower.views
	require.Equal(t, reply("What is this?"), ask("What is this?"))
	require.Equal(t, before, tower.views, "a question of text alone")

	_, err := a.Ask(t.Context(), "What is this?", filepath.Join(dir, "c.png"))
	require.ErrorContains(t, err, "c.png")
	_, err = a.Ask(t.Context(), "What is <image>?", files...)
	require.Error(t, err)
}
