package serve

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image/png"
	"math/rand/v2"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/vit"
)

// A model with two towers answers clients who ask at once about several images as it answers alone, and encodes each
// image once.
func TestTwoTowers(t *testing.T) {
	a := tiny(t)
	c := llava.ConfigOf(a.Model)
	var dino vit.VisionConfig
	require.NoError(t, json.Unmarshal([]byte(`{"model_type": "dinov2_with_registers", "hidden_size": 15, "mlp_ratio": 2,
		"num_hidden_layers": 3, "num_attention_heads": 3, "image_size": 20, "patch_size": 4,
		"num_register_tokens": 2}`), &dino))
	for _, first := range []bool{true, false} {
		c.Second, c.Projector = &dino, llava.FusedMLP
		if !first {
			clip := c.Vision
			c.Vision, c.Second = dino, &clip
		}
		one, err := llava.New(rand.New(rand.NewPCG(7, 8)), c)
		require.NoError(t, err)
		one.Language = a.Model.Language
		a.Model = one
		a.Processor = llava.TowerProcessor(c.Vision)
		require.NoError(t, c.Pair(a.Processor, llava.TowerProcessor(*c.Second)))
		a.Options.MaxNewTokens = 12
		m := Assistant(a, llm.EngineConfig{})
		s := New(Config{Log: t.Logf})
		s.Add("two", m)
		h := httptest.NewServer(s)

		const images = 3
		var want, address [images]string
		for i := range images {
			x := imaging.New(20+i, 30)
			for j := range x.Pix {
				x.Pix[j] = byte(j * (3*i + 1))
			}
			var b bytes.Buffer
			require.NoError(t, png.Encode(&b, x))
			address[i] = "data:image/png;base64," + base64.StdEncoding.EncodeToString(b.Bytes())
			want[i], err = a.Reply(t.Context(), []chat.Turn{{From: chat.Human, Value: "<image>\nWhat is this?"}},
				[]*imaging.RGB{x}, nil)
			require.NoError(t, err)
		}
		require.NotEqual(t, want[0], want[1])
		status, said := [4 * images]int{}, [4 * images]string{}
		var all sync.WaitGroup
		for k := range said {
			all.Go(func() {
				status[k], said[k] = post(t, h, "/v1/chat/completions", fmt.Sprintf(`{"model": "two", "temperature": 0,
					"max_tokens": 12, "messages": [{"role": "user", "content": [
					{"type": "image_url", "image_url": {"url": %q}}, {"type": "text", "text": "What is this?"}]}]}`,
					address[k%images]))
			})
		}
		all.Wait()
		for k := range said {
			require.Equal(t, 200, status[k], said[k])
			require.Equal(t, want[k%images], contentOf(t, said[k]))
		}
		require.Equal(t, images, m.(*vision).images.Len())
		h.Close()
	}
}
