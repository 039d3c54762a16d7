package train

import (
	"bytes"
	"io"
	"sync"
)

// behind is how many bytes of a checkpoint under way are copied at most so that the tensors may change.
const behind = 512 << 20

// contents is a file of tensors.
type contents struct {
	name string
	head []byte // that come before their bytes
	ps   []piece
}

// write writes the file; from is what its tensors are read through.
func (c contents) write(w io.Writer, from *source) error {
	if _, err := w.Write(c.head); err != nil {
		return err
	}
	buf := make([]byte, 4<<20)
	for _, p := range c.ps {
		for left := p.t.DType().Bytes(p.t.Len()); left > 0; {
			b := from.next(buf[:min(left, len(buf))])
			if _, err := w.Write(b); err != nil {
				return err
			}
			left -= len(b)
		}
	}
	return nil
}

// source hands out the bytes of tensors, one after another, to a goroutine that writes them. Another may ask for the
// tensors back at any time. It is safe for use by these two at once.
type source struct {
	mu     sync.Mutex
	less   sync.Cond
	parts  [][]byte // not handed out yet
	left   int      // bytes of them
	copied bool     // parts are copies
}

// newSource is a source of all tensors of some files.
func newSource(files []contents) *source {
	s := &source{}
	s.less.L = &s.mu
	for _, f := range files {
		for _, p := range f.ps {
			b := p.t.Host().Bytes()
			s.parts, s.left = append(s.parts, b), s.left+len(b)
		}
	}
	return s
}

// next fills the beginning of buf, and returns it: up to the end of a tensor.
func (s *source) next(buf []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.parts[0]) == 0 { // a tensor without elements
		s.parts = s.parts[1:]
	}
	n := copy(buf, s.parts[0])
	s.parts[0], s.left = s.parts[0][n:], s.left-n
	s.less.Broadcast()
	return buf[:n]
}

// release returns when the tensors are no longer read: it copies what is left of them, and waits before that until it
// is at most so many bytes.
func (s *source) release(most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.copied {
		return
	}
	for s.left > most {
		s.less.Wait()
	}
	for i, b := range s.parts {
		s.parts[i] = bytes.Clone(b)
	}
	s.copied = true
}

// end says that nothing will be read any more.
func (s *source) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.parts, s.left = nil, 0
	s.less.Broadcast()
}
