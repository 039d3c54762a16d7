package data

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/gollava/gollava/internal/misuse"
)

// Set is a data set: a File, a Mixture, a Subset, or your own. Sample may be called from several goroutines.
type Set interface {
	Len() int
	Sample(i int) (Sample, error)
}

// Memory is a set of samples in memory.
type Memory []Sample

// Len is how many there are.
func (r Memory) Len() int { return len(r) }

// Sample returns sample i.
func (r Memory) Sample(i int) (Sample, error) { return r[i], nil }

// File is a data file whose records have been found but not read: 16 bytes of memory for each.
// It is safe for concurrent use. Close ends it for all.
type File struct {
	path    string
	f       *os.File
	offsets []int64
	lengths []uint32
	lines   []uint32
}

// Open indexes a JSON array of records, or a file with one record a line (.jsonl, .ndjson), holding every byte against
// JSON's grammar. The error for a file that breaks it is a *Fault with the place. Records are read when they are asked
// for; the file must not change meanwhile.
func Open(path string, o Options) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, opening(err, path)
	}
	d := &File{path: path, f: f}
	s := newScanner(f, path, o.forPath(path))
	for {
		_, p, err := s.next()
		if err == io.EOF {
			return d, nil
		}
		if err == nil && int64(p.line) > math.MaxUint32 {
			err = fmt.Errorf("data: %s: more than %d lines", path, uint32(math.MaxUint32))
		}
		if err != nil {
			f.Close()
			return nil, err
		}
		d.offsets = append(d.offsets, p.offset)
		d.lengths = append(d.lengths, uint32(p.length))
		d.lines = append(d.lines, uint32(p.line))
	}
}

func (o Options) forPath(path string) Options {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".jsonl", ".ndjson":
		o.Lines = true
	}
	return o
}

// opening makes a fault of what the file system says.
func opening(err error, path string) error {
	f := AsFault(err, FileUnreadable)
	f.File = path
	if errors.Is(err, os.ErrNotExist) {
		f.Kind = FileMissing
	}
	return f
}

// Close closes the file.
func (d *File) Close() error { return d.f.Close() }

// Path is what the file was opened by.
func (d *File) Path() string { return d.path }

// Len is the number of records.
func (d *File) Len() int { return len(d.offsets) }

// Place says where record i lies: its first byte from 0, its length, and the line from 1 on which it begins.
func (d *File) Place(i int) (offset int64, length, line int) {
	d.check(i)
	return d.offsets[i], int(d.lengths[i]), int(d.lines[i])
}

func (d *File) check(i int) {
	if i < 0 || i >= len(d.offsets) {
		panic(misuse.Errorf("data", "record %d of %s, which has %d", i, d.path, len(d.offsets)))
	}
}

// Raw reads the bytes of record i.
func (d *File) Raw(i int) ([]byte, error) {
	offset, length, line := d.Place(i)
	b := make([]byte, length)
	if _, err := d.f.ReadAt(b, offset); err != nil {
		f := AsFault(err, FileUnreadable)
		f.File, f.Record, f.Line, f.Offset, f.Column = d.path, i, line, offset, 1
		return nil, f
	}
	return b, nil
}

// Sample reads record i. An error is a *Fault: the record is not of LLaVA's form. What has the form may still be
// useless; see Check. It panics where i is out of range.
func (d *File) Sample(i int) (Sample, error) {
	b, err := d.Raw(i)
	if err != nil {
		return Sample{}, err
	}
	var s Sample
	faults := []*Fault{wellFormed(b)}
	if faults[0] == nil {
		s, _, faults = parse(b)
	}
	for _, f := range faults {
		if f.Severity == Error && f.Kind != ConversationsMissing {
			f.File, f.Record, f.ID = d.path, i, s.ID
			p := place{d.offsets[i], len(b), int(d.lines[i]), d.lineStart(d.offsets[i])}
			p.locate(f, b)
			return s, f
		}
	}
	return s, nil
}

// locate turns the fault's offset in record b into one in the file.
func (p place) locate(f *Fault, b []byte) {
	before := b[:min(int(f.Offset), len(b))]
	start := p.start
	if i := bytes.LastIndexByte(before, '\n'); i >= 0 {
		start = p.offset + int64(i) + 1
	}
	f.Line = p.line + bytes.Count(before, []byte{'\n'})
	f.Offset += p.offset
	f.Column = int(f.Offset-start) + 1
}

// lineStart looks back from an offset for the beginning of its line.
func (d *File) lineStart(offset int64) int64 {
	b := make([]byte, 64<<10)
	for end := offset; end > 0; {
		b = b[:min(int64(cap(b)), end)]
		if _, err := d.f.ReadAt(b, end-int64(len(b))); err != nil {
			return offset
		}
		if i := bytes.LastIndexByte(b, '\n'); i >= 0 {
			return end - int64(len(b)) + int64(i) + 1
		}
		end -= int64(len(b))
	}
	return 0
}

// Records reads a data file from any stream, record by record, without an index. name stands in errors; a name that
// ends in .jsonl or .ndjson says that there is one record a line. It goes on after the error of a single record, if
// JSON's grammar allows.
func Records(r io.Reader, name string, o Options) iter.Seq2[Sample, error] {
	return func(yield func(Sample, error) bool) {
		sc := newScanner(r, name, o.forPath(name))
		for i := 0; ; i++ {
			b, p, err := sc.next()
			if err == io.EOF {
				return
			}
			var s Sample
			if err == nil {
				var faults []*Fault
				s, _, faults = parse(b)
				for _, f := range faults {
					if f.Severity == Error && f.Kind != ConversationsMissing && err == nil {
						f.File, f.Record, f.ID = name, i, s.ID
						p.locate(f, b)
						err = f
					}
				}
			}
			if !yield(s, err) {
				return
			}
		}
	}
}

// Lengths returns the ModalityLength of every record of a set, in order, for the samplers: see [Measure].
func Lengths(ctx context.Context, set Set) ([]int, error) {
	return Measure(ctx, set, (*Sample).ModalityLength)
}

// Measure returns what length says of every record of a set, in order. It reads on all processors, and length is called
// from several goroutines. The error is that of the first record that has one, or ctx's.
func Measure(ctx context.Context, set Set, length func(s *Sample) int) ([]int, error) {
	out := make([]int, set.Len())
	parts := min(len(out), 8*runtime.GOMAXPROCS(0))
	errs := make([]error, parts)
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for k := range parts {
		g.Go(func() error {
			for i := k * len(out) / parts; i < (k+1)*len(out)/parts; i++ {
				if errs[k] = ctx.Err(); errs[k] != nil {
					return nil
				}
				var s Sample
				if s, errs[k] = set.Sample(i); errs[k] != nil {
					return nil
				}
				out[i] = length(&s)
			}
			return nil
		})
	}
	_ = g.Wait()
	if err := cmp.Or(errs...); err != nil {
		return nil, err
	}
	return out, nil
}
