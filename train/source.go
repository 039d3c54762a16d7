package train

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"

	"github.com/gollava/gollava/tensor"
)

// behind is how many bytes of a checkpoint under way are copied at most so that the tensors may change.
const behind = 512 << 20

// portion is how many bytes are copied, checked and written at a time: few enough to stay in a core's cache.
const portion = 1 << 20

// contents is a file of tensors.
type contents struct {
	name string
	head []byte // that come before their bytes
	ps   []piece
}

// write writes the file; from is what its tensors are read through. It returns an error that names a parameter, or the
// float32 value of one, that holds NaN or Inf.
func (c contents) write(w io.Writer, from *source) error {
	if _, err := w.Write(c.head); err != nil {
		return err
	}
	buf := make([]byte, portion)
	for _, p := range c.ps {
		name, isValue := strings.CutPrefix(p.name, "master/")
		isValue = isValue || c.name == weightsFile
		for left := p.t.DType().Bytes(p.t.Len()); left > 0; {
			b := from.next(buf)
			if isValue && !finiteBits(p.t.DType(), b) {
				name, _ = position(name)
				return fmt.Errorf("parameter %s is not finite", name)
			}
			if _, err := w.Write(b); err != nil {
				return err
			}
			left -= len(b)
		}
	}
	return nil
}

// finiteBits reports whether none of the numbers in b is NaN or Inf, which have all bits of the exponent set: adding
// the lowest of them then carries into the sign.
func finiteBits(dt tensor.DType, b []byte) bool {
	exponent, lowest, sign := uint64(0x7f800000_7f800000), uint64(0x00800000_00800000), uint64(0x80000000_80000000)
	if dt == tensor.BFloat16 {
		exponent, lowest, sign = 0x7f80_7f80_7f80_7f80, 0x0080_0080_0080_0080, 0x8000_8000_8000_8000
	}
	bad := uint64(0)
	for ; len(b) >= 8; b = b[8:] {
		bad |= (binary.LittleEndian.Uint64(b) & exponent) + lowest
	}
	var rest [8]byte
	copy(rest[:], b)
	bad |= (binary.LittleEndian.Uint64(rest[:]) & exponent) + lowest
	return bad&sign == 0
}

// source hands out the bytes of tensors, portion by portion, to one goroutine that writes them, while others copy them
// from the end on; what both have gone through is no longer read. It is safe for concurrent use.
type source struct {
	mu     sync.Mutex
	moved  sync.Cond
	parts  [][]byte // portions of the tensors, each of one tensor
	copies [][]byte // beside parts: nil until there is one
	read   int      // portions handed out
	held   int      // portions from here on are copied, or are being
	room   int      // bytes that may still be copied
	busy   int      // portions that are being copied out of a tensor
}

// newSource is a source of all tensors of some files, of which at most so many bytes are copied.
func newSource(files []contents, most int) *source {
	s := &source{room: most}
	s.moved.L = &s.mu
	for _, f := range files {
		for _, p := range f.ps {
			for b := p.t.Host().Bytes(); len(b) > 0; {
				n := min(len(b), portion)
				s.parts, b = append(s.parts, b[:n:n]), b[n:]
			}
		}
	}
	s.held, s.copies = len(s.parts), make([][]byte, len(s.parts))
	return s
}

// next returns the next portion, which may be in buf.
func (s *source) next(buf []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.read
	s.read++
	s.moved.Broadcast()
	if i >= s.held {
		for s.copies[i] == nil {
			s.moved.Wait()
		}
		b := s.copies[i]
		s.copies[i] = nil // memory for the next
		return b
	}
	b := s.parts[i]
	s.busy++
	s.mu.Unlock()
	buf = buf[:copy(buf, b)]
	s.mu.Lock()
	s.busy--
	s.moved.Broadcast()
	return buf
}

// copyOn copies portions, the last first, until none is left or there is no room.
func (s *source) copyOn() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.held > s.read && s.room >= len(s.parts[s.held-1]) {
		s.held--
		i := s.held
		b := s.parts[i]
		s.room, s.busy = s.room-len(b), s.busy+1
		s.mu.Unlock()
		c := bytes.Clone(b)
		s.mu.Lock()
		s.copies[i], s.busy = c, s.busy-1
		s.moved.Broadcast()
	}
}

// release returns when the tensors are no longer read: it copies what there is room for, with all processors, and waits
// until the rest is handed out.
func (s *source) release() {
	var helpers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) - 1 {
		helpers.Go(s.copyOn)
	}
	s.copyOn()
	helpers.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.read < s.held || s.busy > 0 {
		s.moved.Wait()
	}
}

// end says that nothing will be read any more.
func (s *source) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.read = len(s.parts)
	clear(s.copies)
	s.moved.Broadcast()
}
