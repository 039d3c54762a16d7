package data_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data"
	"github.com/gollava/gollava/internal/safetensors"
)

var key = data.FeatureKey{Encoder: "sha256:1234, layer -2", Preprocessing: `{"size":4}`}

// fill writes a shard of one picture, [2, 3] numbers that begin at from.
func fill(t *testing.T, c *data.Features, shard int, name string, from float32) {
	s, err := c.Shard(shard, []string{name})
	require.NoError(t, err)
	var x []float32
	for i := range 6 {
		x = append(x, from+float32(i))
	}
	require.NoError(t, s.Add(name, x, 2, 3))
	require.False(t, c.Has(name), "nobody sees it before it is whole")
	require.NoError(t, s.Commit())
}

func TestFeatures(t *testing.T) {
	dir := t.TempDir()
	c, err := data.OpenFeatures(dir, key)
	require.NoError(t, err)
	fill(t, c, 0, "a.png", 0)
	fill(t, c, c.Next(), `"quoted"/ü.png`, 100)
	require.NoError(t, c.Close())

	c, err = data.OpenFeatures(dir, key)
	require.NoError(t, err)
	require.Equal(t, [2]int{2, 2}, [2]int{c.Len(), c.Next()})
	for name, from := range map[string]float32{"a.png": 0, `"quoted"/ü.png`: 100} {
		bits, shape, err := c.Load(name)
		require.NoError(t, err)
		require.Equal(t, []int{2, 3}, shape)
		for i, b := range bits {
			require.Equal(t, from+float32(i), math.Float32frombits(uint32(b)<<16))
		}
	}
	_, _, err = c.Load("b.png")
	require.ErrorIs(t, err, data.FileMissing)
	fill(t, c, 0, "b.png", 7) // a shard that is made anew takes the old one's place
	require.False(t, c.Has("a.png"))
	require.True(t, c.Has("b.png"))

	// other readers of the format can read it, and another encoder's features are elsewhere
	paths, err := filepath.Glob(filepath.Join(dir, "*", "shard-00000.safetensors"))
	require.NoError(t, err)
	require.Len(t, paths, 1)
	f, err := safetensors.Open(paths[0])
	require.NoError(t, err)
	info, ok := f.Info("b.png")
	require.True(t, ok)
	require.Equal(t, "BF16", info.DType)
	require.NoError(t, f.Close())
	for _, k := range []data.FeatureKey{{Encoder: "other", Preprocessing: key.Preprocessing}, {Encoder: key.Encoder, Preprocessing: "other"}} {
		other, err := data.OpenFeatures(dir, k)
		require.NoError(t, err)
		require.Zero(t, other.Len())
		require.NoError(t, other.Close())
	}
	require.NoError(t, c.Close())
}

func TestFeaturesRoundAndRefuse(t *testing.T) {
	c, err := data.OpenFeatures(t.TempDir(), key)
	require.NoError(t, err)
	s, err := c.Shard(0, []string{"x", "y"})
	require.NoError(t, err)
	// halfway cases go to even, a NaN stays one, the largest number becomes infinite
	in := []uint32{0x3f808000, 0x3f818000, 0x3f808001, 0x7f800001, 0x7f7fffff, 0x80000000}
	var x []float32
	for _, b := range in {
		x = append(x, math.Float32frombits(b))
	}
	require.NoError(t, s.Add("x", x, 6))
	require.ErrorContains(t, s.Add("x", x, 6), "twice")
	require.Panics(t, func() { _ = s.Add("y", x, 5) })
	require.NoError(t, s.Commit())
	bits, _, err := c.Load("x")
	require.NoError(t, err)
	require.Equal(t, []uint16{0x3f80, 0x3f82, 0x3f81, 0x7fc0, 0x7f80, 0x8000}, bits)

	s, err = c.Shard(1, nil)
	require.NoError(t, err)
	for i := range 3 {
		require.NoError(t, s.Add(strings.Repeat(fmt.Sprint(i), 99), x, 6))
	}
	require.ErrorContains(t, s.Commit(), "more than were announced")
	s, err = c.Shard(1, []string{"z"})
	require.NoError(t, err)
	require.NoError(t, s.Abort())
	require.NoError(t, c.Close())
}

func TestBrokenFeatures(t *testing.T) {
	make := func() (dir, shard string, b []byte) {
		dir = t.TempDir()
		c, err := data.OpenFeatures(dir, key)
		require.NoError(t, err)
		fill(t, c, 0, "a.png", 0)
		require.NoError(t, c.Close())
		paths, err := filepath.Glob(filepath.Join(dir, "*", "shard-*"))
		require.NoError(t, err)
		b, err = os.ReadFile(paths[0])
		require.NoError(t, err)
		return dir, paths[0], b
	}
	dir, shard, b := make()
	for n := range len(b) { // cut anywhere
		require.NoError(t, os.WriteFile(shard, b[:n], 0o644))
		_, err := data.OpenFeatures(dir, key)
		require.ErrorContains(t, err, shard)
		require.ErrorContains(t, err, "delete it")
	}
	for old, changed := range map[string]string{"BF16": "BF61", `"shape":[2,3]`: `"shape":[2,4]`, "sha256:1234": "sha256:1235", `"data_offsets":[0`: `"data_offsets":[8`, "{": "["} {
		require.NoError(t, os.WriteFile(shard, []byte(strings.Replace(string(b), old, changed, 1)), 0o644))
		_, err := data.OpenFeatures(dir, key)
		require.ErrorContains(t, err, shard, old)
	}
	// what a killed process leaves behind is no shard
	require.NoError(t, os.WriteFile(shard, b, 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(shard), "writing-123"), b[:9], 0o644))
	c, err := data.OpenFeatures(dir, key)
	require.NoError(t, err)
	require.Equal(t, 1, c.Len())
	require.NoError(t, c.Close())
}
