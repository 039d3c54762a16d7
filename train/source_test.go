package train

import (
	"bytes"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/tensor"
)

// TestSource: what is read is what was there when the tensors were given back, whatever there is room to copy.
func TestSource(t *testing.T) {
	sizes := []int{5, 0, 1, 3<<20 + 1, 17}
	var ps []piece
	for i, n := range sizes {
		x := tensor.New(n)
		x.Fill(float32(i + 1))
		ps = append(ps, piece{string(rune('a' + i)), x})
	}
	head, ps, err := container(ps)
	require.NoError(t, err)
	values := make([]float32, len(ps))
	for i, p := range ps {
		if p.t.Len() > 0 {
			values[i] = p.t.Data()[0]
		}
	}
	file := contents{"f", head, ps}
	var want bytes.Buffer
	require.NoError(t, file.write(&want, newSource([]contents{file}, 1<<30)))
	require.Equal(t, len(head)+4*(5+1+3<<20+1+17), want.Len())

	for _, room := range []int{0, portion - 1, 4 << 20, 1 << 30} {
		from := newSource([]contents{file}, room)
		changed := make(chan struct{})
		go func() {
			from.copyOn()
			from.release()
			for _, p := range ps {
				p.t.Fill(-1)
			}
			close(changed)
		}()
		got := &pausing{at: 6 << 20, pause: func() {}}
		if room > want.Len() {
			got.pause = func() { <-changed } // all of the rest is copied
		}
		require.NoError(t, file.write(got, from))
		<-changed
		require.True(t, bytes.Equal(want.Bytes(), got.Bytes()), "room for %d bytes", room)
		require.GreaterOrEqual(t, from.room, 0)
		for i, p := range ps {
			p.t.Fill(values[i])
		}
	}

	from := newSource([]contents{file}, 0)
	from.end()
	from.release() // what ended on an error needs no tensors
}

// TestFiniteBits: NaN and Inf are found at every place, the largest and smallest numbers pass.
func TestFiniteBits(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, 17, 33} {
		x := tensor.New(n)
		x.Fill(-3e38)
		require.True(t, finiteBits(tensor.Float32, x.Bytes()))
		for i := range n {
			for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))} {
				x.Data()[i] = bad
				require.False(t, finiteBits(tensor.Float32, x.Bytes()), "%v at %d of %d", bad, i, n)
				require.False(t, finiteBits(tensor.BFloat16, x.Cast(tensor.BFloat16).Bytes()), "%v at %d of %d", bad, i, n)
			}
			x.Data()[i] = []float32{0, math.SmallestNonzeroFloat32, 1}[i%3]
			require.True(t, finiteBits(tensor.Float32, x.Bytes()))
		}
		require.True(t, finiteBits(tensor.BFloat16, x.Cast(tensor.BFloat16).Bytes()))
	}
}

// pausing is a buffer that pauses once it holds so many bytes.
type pausing struct {
	bytes.Buffer
	at    int
	pause func()
}

func (p *pausing) Write(b []byte) (int, error) {
	n, err := p.Buffer.Write(b)
	if p.pause != nil && p.Len() >= p.at {
		p.pause()
		p.pause = nil
	}
	return n, err
}
