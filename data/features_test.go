package data_test

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data"
	"github.com/gollava/gollava/internal/safetensors"
	"github.com/gollava/gollava/tensor"
)

var key = data.FeatureKey{Encoder: "sha256:1234, layer -2", Preprocessing: `{"size":4}`}

// fill writes a shard of one image, [2, 3] numbers that begin at from.
func fill(t *testing.T, c *data.Features, shard int, name string, from float32) {
	s := c.Shard(shard)
	x := tensor.New(2, 3)
	for i := range x.Data() {
		x.Data()[i] = from + float32(i)
	}
	require.NoError(t, s.Add(name, x))
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
	require.Equal(t, 2, c.Len())
	for name, from := range map[string]float32{"a.png": 0, `"quoted"/ü.png`: 100} {
		x, err := c.Load(name)
		require.NoError(t, err)
		require.Equal(t, []int{2, 3}, x.Shape())
		for i, v := range x.Data() {
			require.Equal(t, from+float32(i), v)
		}
	}
	_, err = c.Load("b.png")
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
	s := c.Shard(0)
	// halfway cases go to even, a NaN stays one, the largest number becomes infinite
	in := []uint32{0x3f808000, 0x3f818000, 0x3f808001, 0x7f800001, 0x7f7fffff, 0x80000000}
	x := tensor.New(len(in))
	for i, b := range in {
		x.Data()[i] = math.Float32frombits(b)
	}
	require.NoError(t, s.Add("x", x))
	require.ErrorContains(t, s.Add("x", x), "twice")
	require.NoError(t, s.Commit())
	back, err := c.Load("x")
	require.NoError(t, err)
	var bits []uint32
	for _, v := range back.Data() {
		bits = append(bits, math.Float32bits(v)>>16)
	}
	require.Equal(t, []uint32{0x3f80, 0x3f82, 0x3f81, 0x7fc0, 0x7f80, 0x8000}, bits)
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
