package train

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/tensor"
)

// TestSource: what is read is what was there when the tensors were given back, of which no more than asked for is
// copied.
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
	file := contents{"f", head, ps}
	var want bytes.Buffer
	require.NoError(t, file.write(&want, newSource([]contents{file})))
	require.Equal(t, len(head)+4*(5+1+3<<20+1+17), want.Len())

	from := newSource([]contents{file})
	const most = 8 << 20
	ready, held, changed := make(chan struct{}), make(chan int), make(chan struct{})
	go func() {
		close(ready)
		from.release(most)
		from.mu.Lock()
		held <- from.left
		from.mu.Unlock()
		for _, p := range ps {
			p.t.Fill(-1)
		}
		close(changed)
	}()
	<-ready
	got := &pausing{at: 6 << 20, pause: func() {
		require.LessOrEqual(t, <-held, most)
		<-changed
	}}
	require.NoError(t, file.write(got, from))
	require.True(t, bytes.Equal(want.Bytes(), got.Bytes()))

	from = newSource([]contents{file})
	from.end()
	from.release(0) // what ended on an error needs no tensors
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
