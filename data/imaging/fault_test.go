package imaging_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data/imaging"
)

func TestFaultsHaveKinds(t *testing.T) {
	for name, want := range map[string]error{
		"missing.jpg": imaging.Missing, "empty.jpg": imaging.Empty, "truncated.jpg": imaging.Truncated, "truncated-header.jpg": imaging.Truncated,
		"truncated.png": imaging.Truncated, "truncated.gif": imaging.Truncated, "png-named.jpg": nil, "jpeg-named.png": nil,
		"text-named.jpg": imaging.NotImage, "zeros.png": imaging.NotImage, "1x1.png": nil, "20000x1.png": nil, "1x20000.png": nil,
		"huge.png": imaging.TooLarge, "huge-overflow.png": imaging.TooLarge, "huge.jpg": imaging.TooLarge, "huge.gif": imaging.TooLarge,
		"huge.bmp": imaging.TooLarge, "zero-size.png": imaging.BadHeader, "bad-crc.png": imaging.BadChecksum, "no-end.png": nil, "trailing.jpg": nil,
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join("testdata", "broken", name)
			m, err := imaging.Open(path, imaging.Options{})
			if want == nil {
				require.NoError(t, err)
				require.Len(t, m.Pix, 3*m.W*m.H)
				return
			}
			require.ErrorIs(t, err, want)
			require.Contains(t, err.Error(), path)
			var e *imaging.Error
			require.True(t, errors.As(err, &e))
			require.Equal(t, path, e.File)
		})
	}
	_, err := imaging.Open("testdata/nowhere.png", imaging.Options{})
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = imaging.Open("testdata", imaging.Options{})
	require.ErrorIs(t, err, imaging.Unreadable)
}

func TestLinkToItselfIsMissing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "loop.jpg")
	if err := os.Symlink("loop.jpg", path); err != nil {
		t.Skip("no symbolic links here")
	}
	_, err := imaging.Open(path, imaging.Options{})
	require.ErrorIs(t, err, imaging.Missing)
}

func TestLimits(t *testing.T) {
	data := read(t, "rgb-640x480.png")
	for name, l := range map[string]imaging.Limits{
		"bytes": {Bytes: int64(len(data)) - 1}, "pixels": {Pixels: 640*480 - 1}, "side": {Side: 639},
	} {
		_, err := imaging.Decode(data, imaging.Options{Limits: l})
		require.ErrorIs(t, err, imaging.TooLarge, name)
		_, err = imaging.Header(data, l)
		require.ErrorIs(t, err, imaging.TooLarge, name)
	}
	_, err := imaging.Decode(data, imaging.Options{Limits: imaging.Limits{Bytes: int64(len(data)), Pixels: 640 * 480, Side: 640, Aspect: 1.34}})
	require.NoError(t, err)
	_, err = imaging.Stat("testdata/broken/20000x1.png", imaging.Limits{Aspect: 100})
	require.ErrorIs(t, err, imaging.BadAspect)
	_, err = imaging.Open("testdata/images/rgb-640x480.png", imaging.Options{Limits: imaging.Limits{Bytes: 100}})
	require.ErrorIs(t, err, imaging.TooLarge)
}

// Every picture, cut anywhere, is refused without a panic; cut in its header it is called truncated.
func TestCutPictures(t *testing.T) {
	files, err := filepath.Glob("testdata/images/*")
	require.NoError(t, err)
	for _, path := range files {
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		if len(data) > 4000 || strings.Contains(path, "animated") { // of those only the first frame is needed
			continue
		}
		for n := range len(data) {
			if n > 64 && n%37 != 0 && n < len(data)-4 {
				continue
			}
			_, err := imaging.Decode(data[:n:n], imaging.Options{})
			var e *imaging.Error
			if err != nil {
				require.True(t, errors.As(err, &e), "%s[:%d]: %v", path, n, err)
			}
			if n < len(data)*2/3 && n > 12 {
				require.ErrorIs(t, err, imaging.Truncated, "%s[:%d] of %d", path, n, len(data))
			}
		}
	}
}

// What a header claims is refused before memory is taken for it, and a very long picture costs no more than its crop.
func TestMemoryStaysBounded(t *testing.T) {
	allocated := func(f func()) uint64 {
		var a, b runtime.MemStats
		runtime.ReadMemStats(&a)
		f()
		runtime.ReadMemStats(&b)
		return b.TotalAlloc - a.TotalAlloc
	}
	for _, name := range []string{"huge.png", "huge-overflow.png", "huge.jpg", "huge.gif", "huge.bmp"} {
		n := allocated(func() { _, err := imaging.Open("testdata/broken/"+name, imaging.Options{}); require.Error(t, err) })
		require.Less(t, n, uint64(1<<20), name)
	}
	for _, name := range []string{"20000x1.png", "1x20000.png"} {
		m, err := imaging.Open("testdata/broken/"+name, imaging.Options{})
		require.NoError(t, err)
		for _, aspect := range []string{"square", "pad", "anyres"} {
			p := imaging.CLIP(336)
			p.Aspect, p.Canvases = aspect, imaging.Canvases16()
			n := allocated(func() {
				out, err := p.Process(m)
				require.NoError(t, err)
				require.Equal(t, [2]int{336, 336}, [2]int{out.W, out.H})
			})
			require.Less(t, n, uint64(32<<20), "%s %s", name, aspect)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, glob := range []string{"testdata/images/*", "testdata/broken/*"} {
		files, err := filepath.Glob(glob)
		require.NoError(f, err)
		for _, path := range files {
			if data, err := os.ReadFile(path); err == nil && len(data) < 3000 {
				f.Add(data)
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := imaging.Decode(data, imaging.Options{Orient: true, Limits: imaging.Limits{Pixels: 1 << 16}})
		var e *imaging.Error
		if err != nil {
			require.True(t, errors.As(err, &e), "%v", err)
			return
		}
		require.Len(t, m.Pix, 3*m.W*m.H)
	})
}
