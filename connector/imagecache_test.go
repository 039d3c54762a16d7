package connector_test

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/llm"
)

// shown are photos.
func shown(seeds ...int) (list []connector.Visual) {
	for _, k := range seeds {
		list = append(list, connector.Visual{Image: photo(k)})
	}
	return list
}

// Goroutines that ask about the same images at once encode each once and read what Reply does; a small cache forgets
// the image that was not used for the longest time.
func TestImageCache(t *testing.T) {
	a, tower, _ := talker(t, 12)
	turns := talk("<image>\nWhat is this?<image>")
	ids, err := a.PromptIDs(turns, true)
	require.NoError(t, err)
	want, err := a.Reply(t.Context(), turns, []*imaging.RGB{photo(1), photo(2)}, nil)
	require.NoError(t, err)
	const image = 4 * 576 * 12
	c := a.NewImageCache(2 * image)
	tower.views = 0
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			p, err := c.Prompts(t.Context(), ids, shown(1, 2), nil)
			if err != nil {
				t.Error(err)
				return
			}
			g, err := llm.Generate(t.Context(), a.Model.Language, p, a.Options)
			if err != nil || strings.TrimSpace(a.Tokenizer.Decode(g.IDs[0])) != want {
				t.Errorf("%v, %v; want %q", g.IDs, err, want)
			}
		})
	}
	group.Wait()
	require.Equal(t, 2, tower.views)
	for _, x := range []struct{ first, second, views int }{{1, 3, 1}, {3, 1, 0}, {2, 1, 1}, {1, 2, 0}} {
		tower.views = 0
		_, err := c.Prompts(t.Context(), ids, shown(x.first, x.second), nil)
		require.NoError(t, err)
		require.Equal(t, x.views, tower.views, "%+v", x)
		require.Equal(t, 2*image, c.Bytes())
		require.Equal(t, 2, c.Len())
	}
	_, err = c.Prompts(t.Context(), ids, shown(1), nil)
	require.ErrorContains(t, err, "1 images for 2 places")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = c.Prompts(ctx, ids, shown(8, 9), nil)
	require.ErrorIs(t, err, context.Canceled)
}

// Of LLaVA-OneVision's images only one that is alone is shown as tiles: the cache and a session show several as Reply
// does.
func TestImageCacheShowsSeveralAsReplyDoes(t *testing.T) {
	a, _, _ := talker(t, 12)
	c := llava.ConfigOf(a.Model)
	c.Kind, c.Aspect, c.Canvases = llava.OneVision, "anyres", []imaging.Size{{W: 48, H: 96}, {W: 96, H: 48}}
	c.Vision.PatchSize = 8
	var err error
	a.Model, err = llava.New(rand.New(rand.NewPCG(7, 8)), c)
	require.NoError(t, err)
	a.Processor.Aspect, a.Processor.Canvases = "anyres", c.Canvases
	for text, images := range map[string][]*imaging.RGB{
		"<image>\nWhat is this?":        {photo(1)},
		"<image>\nWhat is this?<image>": {photo(1), photo(2)},
	} {
		turns := talk(text)
		x, err := a.Prompt(turns, images)
		require.NoError(t, err)
		b, err := a.Model.Splice([]connector.Sample{x}, true)
		require.NoError(t, err)
		want, err := a.Model.Prompts(b)
		require.NoError(t, err)
		ids, err := a.PromptIDs(turns, true)
		require.NoError(t, err)
		got, err := a.NewImageCache(0).Prompts(t.Context(), ids, connector.Visuals(images), nil)
		require.NoError(t, err)
		require.Equal(t, want.Embeds.Shape(), got.Embeds.Shape())
		require.Equal(t, want.Embeds.Data(), got.Embeds.Data())
		reply, err := a.Reply(t.Context(), turns, images, nil)
		require.NoError(t, err)
		again, err := a.NewSession().Reply(t.Context(), turns, images, nil)
		require.NoError(t, err)
		require.Equal(t, reply, again)
	}
}
