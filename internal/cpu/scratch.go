package cpu

import (
	"sync"
	"unsafe"
)

// scratch is the working memory of one task: a stack of float32 slices, kept from task to task.
type scratch struct {
	memory []float32
	used   int
}

// take returns n elements of undefined content that start on a cache line. They are the task's until it sets s.used
// back to what it was before the call, or gives s back.
func (s *scratch) take(n int) []float32 {
	const line = 16
	end := s.used + (n+line-1)/line*line
	if end > len(s.memory) {
		s.memory = make([]float32, max(end+end/4, 1<<16)) // what was taken before stays valid in the old memory
		useLargePages(unsafe.Pointer(&s.memory[0]), 4*len(s.memory))
	}
	x := s.memory[s.used:][:n:n]
	s.used = end
	return x
}

// int8s is take for n bytes.
func (s *scratch) int8s(n int) []int8 {
	return unsafe.Slice((*int8)(unsafe.Pointer(unsafe.SliceData(s.take((n+3)/4)))), n)
}

var scratches struct {
	sync.Mutex
	free []*scratch
}

// borrow returns scratch that nobody else uses until [scratch.giveBack].
func borrow() *scratch {
	scratches.Lock()
	defer scratches.Unlock()
	if n := len(scratches.free); n > 0 {
		s := scratches.free[n-1]
		scratches.free = scratches.free[:n-1]
		return s
	}
	return &scratch{}
}

func (s *scratch) giveBack() {
	s.used = 0
	scratches.Lock()
	defer scratches.Unlock()
	scratches.free = append(scratches.free, s)
}
