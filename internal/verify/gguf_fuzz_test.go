package verify

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/internal/jsonfile/mutate"
)

// piece is a part of a file: a metadata pair or an entry of the tensor list.
type piece struct {
	name string
	rest []byte // of a pair: its type and value; of a tensor: rank, dimensions, type and offset
}

// skeleton is a file taken apart, so that it can be put together with faults that leave everything else in order.
type skeleton struct {
	pairs, tensors []piece
	data           []byte
}

func takeApart(t testing.TB, path string) (s skeleton) {
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	at := 24
	u32 := func() int { at += 4; return int(binary.LittleEndian.Uint32(raw[at-4:])) }
	u64 := func() int { at += 8; return int(binary.LittleEndian.Uint64(raw[at-8:])) }
	text := func() string { n := u64(); at += n; return string(raw[at-n : at]) }
	var value func(kind int)
	value = func(kind int) {
		switch kind {
		case 8:
			text()
		case 9:
			of, n := u32(), u64()
			for range n {
				value(of)
			}
		default:
			at += [...]int{1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8}[kind]
		}
	}
	tensors, pairs := int(binary.LittleEndian.Uint64(raw[8:])), int(binary.LittleEndian.Uint64(raw[16:]))
	for range pairs {
		key, from := text(), at
		value(u32())
		s.pairs = append(s.pairs, piece{key, raw[from:at]})
	}
	for range tensors {
		name, from := text(), at
		at += 8*u32() + 12
		s.tensors = append(s.tensors, piece{name, raw[from:at]})
	}
	s.data = raw[(at+31)/32*32:]
	return s
}

func (s skeleton) bytes() []byte {
	b := append([]byte("GGUF"), 3, 0, 0, 0)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(s.tensors)))
	b = binary.LittleEndian.AppendUint64(b, uint64(len(s.pairs)))
	for _, list := range [][]piece{s.pairs, s.tensors} {
		for _, p := range list {
			b = binary.LittleEndian.AppendUint64(b, uint64(len(p.name)))
			b = append(append(b, p.name...), p.rest...)
		}
	}
	return append(append(b, make([]byte, -len(b)&31)...), s.data...)
}

// faulty changes the file as a program of bytes says: four bytes name a piece, what is done to it, where, and with
// what.
func (s skeleton) faulty(program []byte) skeleton {
	s.pairs, s.tensors = append([]piece{}, s.pairs...), append([]piece{}, s.tensors...)
	numbers := []uint64{0, 1, 2, 3, 7, 8, 16, 31, 32, 33, 255, 256, 1 << 16, 1<<31 - 1, 1 << 31, 1<<32 - 1, 1 << 32,
		1 << 62, 1 << 63, math.MaxUint64,
		uint64(math.Float32bits(float32(math.NaN()))), uint64(math.Float32bits(float32(math.Inf(-1)))),
		uint64(math.Float32bits(-1e30)), uint64(math.Float32bits(1e-40))}
	for ; len(program) >= 4; program = program[4:] {
		list := &s.pairs
		if program[0]&1 == 1 {
			list = &s.tensors
		}
		if len(*list) == 0 {
			continue
		}
		i := int(program[0]>>1) % len(*list)
		p := (*list)[i]
		p.rest = append([]byte{}, p.rest...)
		at, number := int(program[2]), numbers[int(program[3])%len(numbers)]
		switch program[1] % 9 {
		case 0: // gone
			*list = append((*list)[:i:i], (*list)[i+1:]...)
			continue
		case 1: // twice
			*list = append(*list, p)
			continue
		case 2: // under another's name
			p.name = (*list)[at%len(*list)].name
		case 3: // with another's contents
			p.rest = (*list)[at%len(*list)].rest
		case 4: // a number of 64 bits anywhere
			if len(p.rest) >= 8 {
				binary.LittleEndian.PutUint64(p.rest[at%(len(p.rest)-7):], number)
			}
		case 5: // one of 32 bits at a multiple of 4
			if k := at * 4 % max(len(p.rest), 1); k+4 <= len(p.rest) {
				binary.LittleEndian.PutUint32(p.rest[k:], uint32(number))
			}
		case 6: // a byte
			p.rest[at%len(p.rest)] = program[3]
		case 7: // cut
			p.rest = p.rest[:at%(len(p.rest)+1)]
		case 8: // longer
			p.rest = binary.LittleEndian.AppendUint64(p.rest, number)
		}
		(*list)[i] = p
	}
	return s
}

// loads checks that a file with faults is loaded or refused by an error that names it, without a panic and in little
// memory.
func loads(t testing.TB, file skeleton, path string) bool {
	raw := file.bytes()
	require.NoError(t, os.WriteFile(path, raw, 0o600))
	before := mutate.Allocated()
	err := container(path)
	if err == nil {
		err = build(path)
	}
	require.LessOrEqual(t, mutate.Allocated()-before, uint64(32<<20))
	if err != nil {
		require.Contains(t, err.Error(), filepath.Base(path))
		require.False(t, strings.Contains(err.Error(), "runtime error"), "%v", err)
	}
	return err == nil
}

var structures = []string{"ok-model.gguf", "ok-mmproj.gguf"}

// TestStructure makes single faults of every kind in every piece of a language model and of a vision part.
func TestStructure(t *testing.T) {
	accepted, refused := 0, 0
	for _, name := range structures {
		s := takeApart(t, filepath.Join("testdata", "gguf", "hostile", name))
		path := filepath.Join(t.TempDir(), name)
		require.True(t, loads(t, s, path), "whole")
		for i := range 2 * max(len(s.pairs), len(s.tensors)) {
			for kind := range 9 {
				if loads(t, s.faulty([]byte{byte(i), byte(kind), byte(5*i + kind), byte(7*i + 3*kind)}), path) {
					accepted++
				} else {
					refused++
				}
			}
		}
	}
	require.Greater(t, refused, 400)
	require.Positive(t, accepted, "some faults are none, such as another name for the model")
}

// FuzzStructure makes faults one after another.
func FuzzStructure(f *testing.F) {
	var whole []skeleton
	for _, name := range structures {
		whole = append(whole, takeApart(f, filepath.Join("testdata", "gguf", "hostile", name)))
	}
	for i := range byte(9) {
		f.Add(false, []byte{2 * i, i, 3, i, 2*i + 1, i, 9, 4})
		f.Add(true, []byte{2*i + 1, i, 8, 2 * i})
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, vision bool, program []byte) {
		which := 0
		if vision {
			which = 1
		}
		loads(t, whole[which].faulty(program[:min(len(program), 64)]), filepath.Join(dir, structures[which]))
	})
}
