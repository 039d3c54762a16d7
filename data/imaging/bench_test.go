package imaging_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data/imaging"
)

func read(t testing.TB, name string) []byte {
	data, err := os.ReadFile("testdata/images/" + name)
	require.NoError(t, err)
	return data
}

func decoded(t testing.TB, name string) *imaging.RGB {
	m, err := imaging.Decode(read(t, name), imaging.Options{})
	require.NoError(t, err)
	return m
}

// BenchmarkJPEG640x480 is what a data loader does for each sample of LLaVA's first stage; in Pillow:
// Image.open(f).convert("RGB").resize((448, 336), Image.BICUBIC).crop((56, 0, 392, 336)).
func BenchmarkJPEG640x480(b *testing.B) {
	data, m, p := read(b, "jpeg-640x480.jpg"), decoded(b, "jpeg-640x480.jpg"), imaging.CLIP(336)
	pad := *p
	pad.Aspect = "pad"
	b.Run("decode", func(b *testing.B) {
		for b.Loop() {
			_, err := imaging.Decode(data, imaging.Options{})
			require.NoError(b, err)
		}
	})
	b.Run("resize", func(b *testing.B) {
		for b.Loop() {
			imaging.Resize(m, 448, 336, imaging.Bicubic)
		}
	})
	b.Run("clip", func(b *testing.B) {
		for b.Loop() {
			_, err := p.Views(m)
			require.NoError(b, err)
		}
	})
	b.Run("pad", func(b *testing.B) {
		for b.Loop() {
			_, err := pad.Views(m)
			require.NoError(b, err)
		}
	})
	b.Run("decode+clip", func(b *testing.B) {
		for b.Loop() {
			m, err := imaging.Decode(data, imaging.Options{})
			require.NoError(b, err)
			_, err = p.Views(m)
			require.NoError(b, err)
		}
	})
	b.Run("decode+clip+normalise", func(b *testing.B) {
		for b.Loop() {
			m, err := imaging.Decode(data, imaging.Options{})
			require.NoError(b, err)
			_, err = p.Process(m)
			require.NoError(b, err)
		}
	})
}
