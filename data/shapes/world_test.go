package shapes

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func world(t testing.TB, c Config) *World {
	t.Helper()
	w, err := New(c)
	require.NoError(t, err)
	return w
}

func TestConfig(t *testing.T) {
	require.NoError(t, Default(0).Validate())
	require.NoError(t, Smoke(0).Validate())
	for name, change := range map[string]func(*Config){
		"grid":          func(c *Config) { c.Grid = 4 },
		"cell":          func(c *Config) { c.Cell = 1 << 30 },
		"1 to 7":        func(c *Config) { c.MaxObjects = 7 },
		"radii":         func(c *Config) { c.LargeRadius = 8 },
		"jitter":        func(c *Config) { c.Jitter = -1 },
		"noise":         func(c *Config) { c.Noise = -1 },
		"signs is":      func(c *Config) { c.Signs = 1.5 },
		"signs nee":     func(c *Config) { c.Grid, c.MaxObjects = 2, 2 },
		"text_held_out": func(c *Config) { c.TextHeldOut = -1 },
		"held-out":      func(c *Config) { c.HeldOut = append(c.HeldOut, c.HeldOut[0]) },
	} {
		c := Default(0)
		change(&c)
		_, err := New(c)
		require.ErrorContains(t, err, "shapes: "+name)
	}
}

func TestWords(t *testing.T) {
	require.Len(t, words, 40)
	require.Len(t, newWords, 8)
	for _, word := range append(slices.Clone(words), newWords...) {
		require.Len(t, word, 3)
	}
	for _, word := range newWords {
		require.NotContains(t, words, word)
		for _, letter := range word {
			require.Contains(t, strings.Join(words, ""), string(letter))
		}
	}
	for r, g := range glyphs {
		require.Len(t, g, 41, "glyph %c", r)
	}
}

// TestGolden pins pictures bit by bit.
func TestGolden(t *testing.T) {
	w := world(t, Default(1))
	for _, g := range []struct {
		split Split
		want  string
	}{{Train, "514596ee290135ba"}, {Test, "46f896bc7c12892c"}, {Style, "dd0481c22dd530ff"}, {NewWord, "dd7464d5047d5385"}} {
		h := sha256.New()
		for i := range 20 {
			h.Write(w.Scene(g.split, i, Options{}).Image().Pix)
		}
		assert.Equal(t, g.want, hex.EncodeToString(h.Sum(nil))[:16], "split %s", g.split)
	}
}

func TestScenes(t *testing.T) {
	for _, c := range []Config{Default(3), Smoke(3)} {
		w := world(t, c)
		for _, split := range Splits() {
			if split == NewWord && c.Signs == 0 {
				require.Panics(t, func() { w.Scene(split, 0, Options{}) })
				continue
			}
			for i := range 500 {
				s := w.Scene(split, i, Options{})
				require.Equal(t, s, w.Scene(split, i, Options{}))
				lo, hi := c.MinObjects, c.MaxObjects
				if split == Count5 {
					lo, hi = hi+1, hi+1
				}
				require.GreaterOrEqual(t, len(s.Objects), lo)
				require.LessOrEqual(t, len(s.Objects), hi)
				held, cells, pairs := 0, map[Cell]bool{}, map[Pair]bool{}
				for _, o := range s.Objects {
					cells[o.Cell], pairs[o.Pair()] = true, true
					if w.held[o.Pair()] {
						held++
					}
					require.True(t, s.Sign == nil || s.Sign.Row != o.Cell.Row)
				}
				require.Len(t, cells, len(s.Objects))
				require.Len(t, pairs, len(s.Objects))
				require.Equal(t, split == Comp, held == 1)
				if split == NewWord {
					require.Contains(t, newWords, s.Sign.Text)
				} else if s.Sign != nil {
					require.NotContains(t, newWords, s.Sign.Text)
				}
			}
		}
		s := w.Scene(Train, 0, Options{MinObjects: 2, MaxObjects: 2, Sign: NoSign})
		require.Len(t, s.Objects, 2)
		require.Nil(t, s.Sign)
		require.Panics(t, func() { w.Scene(Train, -1, Options{}) })
		require.Panics(t, func() { w.Scene("tset", 0, Options{}) })
		require.Panics(t, func() { w.Scene(Train, 0, Options{MinObjects: 10}) })
	}
}

// TestSplitsDoNotOverlap compares what is shown, leaving the noise out: of single objects also their shift and
// background.
func TestSplitsDoNotOverlap(t *testing.T) {
	for _, c := range []Config{Default(5), Smoke(5)} {
		w := world(t, c)
		where := map[uint64]Split{}
		for _, split := range []Split{Train, Validation, Test} {
			for i := range 20_000 {
				f := w.Scene(split, i, Options{}).fingerprint()
				if old, ok := where[f]; ok {
					require.Equal(t, old, split)
				}
				where[f] = split
			}
		}
	}
}

// TestPictures checks that a change of any one thing changes the picture, and where.
func TestPictures(t *testing.T) {
	w := world(t, Default(7))
	for i := range 300 {
		s := w.Scene(Test, i, Options{})
		base := s.Image()
		require.Equal(t, base.Pix, s.Image().Pix)
		for k, o := range s.Objects {
			changed := s
			changed.Objects = slices.Clone(s.Objects)
			changed.Objects[k].Shape = (o.Shape + 1) % 5
			m, far, near := changed.Image(), 0, 0
			for y := range w.Side() {
				for x := range w.Side() {
					if m.RGBAAt(x, y) == base.RGBAAt(x, y) {
						continue
					}
					near++
					if dx, dy := x-o.Cell.Col*16-8-o.DX, y-o.Cell.Row*16-8-o.DY; max(dx, -dx) > 8 || max(dy, -dy) > 8 {
						far++
					}
				}
			}
			require.Zero(t, far)
			require.Greater(t, near, 5)
		}
	}
}

// TestSprites compares areas with geometry.
func TestSprites(t *testing.T) {
	c := Default(0)
	for s, want := range map[Shape]float64{Circle: 3.1416, Square: 4 * 0.86 * 0.86, Triangle: 1.008 * 1.8, Cross: 8*0.33 - 4*0.33*0.33, Star: 1.08 * 1.08 * 5 * 0.42 * 0.5878} {
		area := 0
		for _, a := range sprites(c)[2*int(s)+1] {
			require.LessOrEqual(t, a, uint8(64))
			area += int(a)
		}
		require.InEpsilon(t, want*c.LargeRadius*c.LargeRadius, float64(area)/64, 0.02, s.String())
	}
}

func BenchmarkImage(b *testing.B) {
	w := world(b, Default(0))
	for i := 0; b.Loop(); i++ {
		w.Scene(Train, i, Options{}).Image()
	}
}
