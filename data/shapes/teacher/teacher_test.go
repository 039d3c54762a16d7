package teacher

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data/generate"
	"github.com/gollava/gollava/data/shapes"
)

func world(t testing.TB) *shapes.World {
	t.Helper()
	w, err := shapes.New(shapes.Default(41))
	require.NoError(t, err)
	return w
}

// TestRule lets the rule write about contexts, and asks the scenes whether it is true.
func TestRule(t *testing.T) {
	w := world(t)
	c, err := Config(w)
	require.NoError(t, err)
	require.NoError(t, c.Validate())
	for i := range 200 {
		s := w.Scene(shapes.Train, i, shapes.Options{MinObjects: 2})
		for _, kind := range generate.Kinds() {
			text, err := Rule{w}.Write(kind, s.Context())
			require.NoError(t, err)
			again, err := Rule{w}.Write(kind, s.Context())
			require.NoError(t, err)
			require.Equal(t, text, again)
			turns, fault := c.Parse(kind, text, false)
			require.Empty(t, fault)
			for _, turn := range turns {
				if kind == generate.Detail {
					turn.Question = shapes.DetailPrompts()[0]
				}
				answer, err := s.Answer(turn.Question)
				require.NoError(t, err)
				require.Equal(t, answer, turn.Answer)
			}
		}
	}
	one := w.Scene(shapes.Train, 0, shapes.Options{MaxObjects: 1})
	_, err = Rule{w}.Write(generate.Reasoning, one.Context())
	require.ErrorContains(t, err, "two objects")
	_, err = Rule{w}.Write("poem", one.Context())
	require.ErrorContains(t, err, "no kind")
	_, err = Rule{w}.Write(generate.Detail, "two cats")
	require.ErrorContains(t, err, "no caption")
}

// TestFromAnnotations goes the whole way: scenes, captions and boxes in COCO's files, the rule, LLaVA's json. Every
// answer is true of its scene, and a second run writes the same.
func TestFromAnnotations(t *testing.T) {
	const first, n = 700, 60
	w, dir, ctx := world(t), t.TempDir(), context.Background()
	require.NoError(t, w.WriteCOCO(ctx, dir, first, n))
	set, err := generate.OpenCOCO(
		filepath.Join(dir, "captions.json"),
		filepath.Join(dir, "instances.json"),
		filepath.Join(dir, "images"),
	)
	require.NoError(t, err)
	require.Len(t, set.Scenes, n)
	for i, s := range set.Scenes {
		scene := w.Scene(shapes.Train, first+i, shapes.Options{MinObjects: 2})
		context, ok := s.Context(generate.Detail)
		require.True(t, ok)
		require.Equal(t, strings.TrimSpace(scene.Context()), context)
	}
	c, err := Config(w)
	require.NoError(t, err)
	out := filepath.Join(dir, "out")
	report, err := generate.Run(ctx, set, c, generate.Options{Teacher: Rule{w}, Out: out})
	require.NoError(t, err)
	require.Equal(t, 3*n, report.Accepted, report.Text())
	b, err := os.ReadFile(filepath.Join(out, "all.json"))
	require.NoError(t, err)
	var records []struct {
		Image         string
		Conversations []struct{ From, Value string }
	}
	require.NoError(t, json.Unmarshal(b, &records))
	require.Len(t, records, 3*n)
	for i, r := range records {
		scene := w.Scene(shapes.Train, first+i%n, shapes.Options{MinObjects: 2})
		for k := 0; k < len(r.Conversations); k += 2 {
			q := strings.TrimSpace(strings.ReplaceAll(r.Conversations[k].Value, "<image>", ""))
			want, err := scene.Answer(q)
			require.NoError(t, err, q)
			require.Equal(t, want, r.Conversations[k+1].Value, q)
		}
	}
}
