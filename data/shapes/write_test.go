package shapes

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data"
	"github.com/gollava/gollava/data/chat"
)

// TestWrite writes a small world, lets data read and check it, and asks the scenes again whether the texts are true.
func TestWrite(t *testing.T) {
	w := world(t, Default(31))
	dir, ctx := t.TempDir(), context.Background()
	require.NoError(t, w.Write(ctx, dir, Files{Captions: 40, Instructions: 158, Questions: 3}))

	for file, n := range map[string]int{
		"pretrain/chat.json": 40, "instruct/conversation.json": 58, "instruct/detail.json": 23, "instruct/complex_reasoning.json": 77, "instruct/llava_instruct.json": 158,
	} {
		images, err := data.OpenFolder(filepath.Join(dir, filepath.Dir(file), "images"))
		require.NoError(t, err)
		faults, err := data.Check(ctx, filepath.Join(dir, file), images, data.CheckOptions{})
		require.NoError(t, err)
		require.Empty(t, faults, file)
		set, err := data.Open(filepath.Join(dir, file), data.Options{})
		require.NoError(t, err)
		require.Equal(t, n, set.Len(), file)
		before := 0
		for i := range n {
			sample, err := set.Sample(i)
			require.NoError(t, err)
			if strings.HasPrefix(sample.Turns[0].Value, chat.ImageToken+"\n") {
				before++
			}
			if file == "instruct/conversation.json" {
				text, err := os.ReadFile(filepath.Join(dir, "instruct", "caps", sample.ID+"_caps.txt"))
				require.NoError(t, err)
				s, err := w.ReadContext(string(text))
				require.NoError(t, err)
				for k := 0; k < len(sample.Turns); k += 2 {
					q := strings.TrimSpace(strings.Replace(sample.Turns[k].Value, chat.ImageToken, "", 1))
					answer, err := s.Answer(q)
					require.NoError(t, err, q)
					require.Equal(t, answer, sample.Turns[k+1].Value, "%s of %s", q, text)
				}
			}
		}
		require.Greater(t, before, n/5)
		require.Less(t, before, n*4/5)
		require.NoError(t, set.Close())
		require.NoError(t, images.Close())
	}

	b, err := os.ReadFile(filepath.Join(dir, "pretrain", "metadata.json"))
	require.NoError(t, err)
	var about []map[string]string
	require.NoError(t, json.Unmarshal(b, &about))
	require.Len(t, about, 40)
	require.Equal(t, w.Scene(Train, 7, Options{}).Caption(), about[7]["caption"])

	for _, split := range Splits()[1:] {
		for _, f := range w.Families(split) {
			b, err := os.ReadFile(filepath.Join(dir, "eval", string(split), string(f)+".jsonl"))
			require.NoError(t, err)
			lines := strings.Split(strings.TrimSpace(string(b)), "\n")
			require.Len(t, lines, 3)
			for i, line := range lines {
				var q asked
				require.NoError(t, json.Unmarshal([]byte(line), &q))
				_, want := w.Ask(split, f, i)
				require.Equal(t, want.Answer, q.Label)
				require.Equal(t, want.Text, q.Text)
				require.FileExists(t, filepath.Join(dir, "eval", string(split), "images", q.Image))
			}
		}
	}

	again := t.TempDir()
	require.NoError(t, w.Write(ctx, again, Files{Captions: 40, Instructions: 158}))
	require.NoError(t, filepath.WalkDir(again, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(again, path)
		a, _ := os.ReadFile(path)
		b, err := os.ReadFile(filepath.Join(dir, rel))
		require.Equal(t, a, b, rel)
		return err
	}))
}

func TestWriteFails(t *testing.T) {
	w, ctx := world(t, Smoke(32)), context.Background()
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o666))
	require.ErrorContains(t, w.Write(ctx, file, Files{Captions: 1}), "file")
	require.ErrorContains(t, w.Write(ctx, t.TempDir(), Files{Captions: -1}), "negative")
	stopped, cancel := context.WithCancel(ctx)
	cancel()
	require.ErrorIs(t, w.Write(stopped, t.TempDir(), Files{Captions: 1}), context.Canceled)
	c := Smoke(33)
	c.MaxObjects = 1
	require.ErrorContains(t, world(t, c).Write(ctx, t.TempDir(), Files{Instructions: 1}), "two objects")
	require.NoError(t, world(t, c).Write(ctx, t.TempDir(), Files{Captions: 2, Questions: 1}))
	dir := t.TempDir()
	require.NoError(t, w.Write(ctx, dir, Files{Instructions: 1}))
	b, err := os.ReadFile(filepath.Join(dir, "instruct", "detail.json"))
	require.NoError(t, err)
	require.Equal(t, "[]\n", string(b))
}

// TestContext reads contexts back.
func TestContext(t *testing.T) {
	for name, w := range worlds(t) {
		for i := range 200 {
			s := w.Scene(Train, i, Options{})
			got, err := w.ReadContext(s.Context())
			require.NoError(t, err, name)
			require.Equal(t, s.Detail(), got.Detail())
			require.Equal(t, s.fingerprint() == got.fingerprint(), len(s.Objects) > 1 || s.Tint == 0 && s.Objects[0].DX == 0 && s.Objects[0].DY == 0)
			for _, o := range s.Objects {
				b := s.Box(o)
				require.True(t, 0 <= b[0] && b[0] < b[2] && b[2] <= w.Side() && 0 <= b[1] && b[1] < b[3] && b[3] <= w.Side())
			}
		}
	}
	w := world(t, Default(34))
	for _, bad := range []string{
		"", "a cat .", "a red circle .", "a red circle at the top left", "a red circle at the top left . and", "a red circle at the top left and a red circle at the top right .",
		"a red circle at the top left and a blue star at the top left .", "a sign that says C .\n\n", "a red circle at the top left .\n\nred circle: [0.5, 0.5, 0.6, 0.6]\n",
		"a red circle at the top left .\n\nred circle: [0.5, 0.5\n", "a red circle at the top left .\n\nred star: [0.1, 0.1, 0.2, 0.2]\n",
	} {
		_, err := w.ReadContext(bad)
		require.ErrorContains(t, err, "shapes: ", bad)
	}
	require.Equal(t, []string{"0.0", "1.0", "0.5", "0.021", "0.333"}, []string{rounded(0), rounded(1), rounded(0.5), rounded(1.0 / 48), rounded(1.0 / 3)})
}

// TestBox compares boxes with what of a picture changes if the object turns white. Edges of faint coverage may be off
// by one.
func TestBox(t *testing.T) {
	c := Default(35)
	c.Noise = 0
	w := world(t, c)
	for i := range 200 {
		s := w.Scene(Test, i, Options{Sign: NoSign})
		empty := s
		for k, o := range s.Objects {
			empty.Objects = slices.Delete(slices.Clone(s.Objects), k, k+1)
			full, without := s.Image(), empty.Image()
			box := [4]int{w.Side(), w.Side(), 0, 0}
			for y := range w.Side() {
				for x := range w.Side() {
					if full.RGBAAt(x, y) != without.RGBAAt(x, y) {
						box = [4]int{min(box[0], x), min(box[1], y), max(box[2], x+1), max(box[3], y+1)}
					}
				}
			}
			for j := range box {
				require.InDelta(t, s.Box(o)[j], box[j], 1)
			}
		}
	}
}

// BenchmarkWrite writes pictures with captions; its figure is per picture.
func BenchmarkWrite(b *testing.B) {
	w := world(b, Default(36))
	dir := b.TempDir()
	b.ResetTimer()
	require.NoError(b, w.Write(context.Background(), dir, Files{Captions: b.N}))
}
