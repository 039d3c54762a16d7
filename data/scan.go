package data

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Options say how data files are read. The zero value is right for LLaVA's.
type Options struct {
	Lines  bool // one record a line, whatever the name; .jsonl and .ndjson are read so anyway
	Record int  // bytes that a record may have; 0 means 16 MiB
}

func (o Options) record() int {
	if o.Record > 0 {
		return o.Record
	}
	return 16 << 20
}

// place is where a record lies.
type place struct {
	offset int64 // from 0
	length int
	line   int   // from 1
	start  int64 // where that line begins
}

// scanner cuts a JSON array, or JSON lines, into records without holding more than one of them (and a megabyte).
type scanner struct {
	r     io.Reader
	file  string
	lines bool
	limit int

	buf  []byte
	base int64 // offset of buf[0]
	pos  int   // in buf: what comes next
	eof  bool

	counted int   // in buf: up to here newlines are counted
	line    int   // of buf[counted], from 1
	start   int64 // where this line begins

	n     int // records so far
	begun bool
	bom   bool
	done  bool
	grammar
}

func newScanner(r io.Reader, file string, o Options) *scanner {
	return &scanner{r: r, file: file, lines: o.Lines, limit: o.record(), line: 1, buf: make([]byte, 0, 1<<20)}
}

// more reads on, keeping what is not yet used, and reports whether anything came.
func (s *scanner) more() (bool, error) {
	if s.eof {
		return false, nil
	}
	if s.pos > 0 {
		s.count(s.pos)
		n := copy(s.buf, s.buf[s.pos:])
		s.buf, s.base, s.counted, s.pos = s.buf[:n], s.base+int64(s.pos), s.counted-s.pos, 0
	}
	if len(s.buf) == cap(s.buf) {
		if len(s.buf) > s.limit {
			f := s.fault(RecordTooLong, s.pos)
			f.Record, f.Note = s.n, fmt.Sprintf("more than %d bytes (Options.Record)", s.limit)
			return false, f
		}
		s.buf = append(make([]byte, 0, 2*cap(s.buf)), s.buf...)
	}
	n, err := io.ReadFull(s.r, s.buf[len(s.buf):cap(s.buf)])
	s.buf = s.buf[:len(s.buf)+n]
	if s.eof = err == io.EOF || err == io.ErrUnexpectedEOF; err != nil && !s.eof {
		return false, fmt.Errorf("data: %s: read at byte %d: %w", s.file, s.base+int64(len(s.buf)), err)
	}
	return n > 0, nil
}

// count counts newlines up to buf[to].
func (s *scanner) count(to int) {
	if to <= s.counted {
		return
	}
	b := s.buf[s.counted:to]
	if n := bytes.Count(b, []byte{'\n'}); n > 0 {
		s.line += n
		s.start = s.base + int64(s.counted+bytes.LastIndexByte(b, '\n')+1)
	}
	s.counted = to
}

// fault makes a fault at buf[at], which must not lie before what was counted.
func (s *scanner) fault(k Kind, at int) *Fault {
	s.count(at)
	off := s.base + int64(at)
	return &Fault{File: s.file, Kind: k, Severity: Error, Record: -1, Turn: -1, Line: s.line, Column: int(off-s.start) +
		1, Offset: off, Note: notes[k]}
}

var notes = map[Kind]string{
	Cut:           "the file ends within the array: it was not downloaded or written to its end",
	TrailingComma: "take the comma before it away",
	NotArray:      "LLaVA's files are one JSON array of records; files of one record a line are named .jsonl",
	EmptyFile:     "there is nothing in it",
	TrailingData:  "the array is closed before; were two files joined?",
	BadUTF8:       "a byte that belongs to no character; save the file as UTF-8",
	TooDeep:       "nested too deep for a record",
	Syntax:        "not allowed here in JSON",
	ByteOrderMark: "skipped here; Python's json refuses it",
}

// skip passes over white space and reports whether anything follows.
func (s *scanner) skip() (bool, error) {
	for {
		if s.pos = space(s.buf, s.pos); s.pos < len(s.buf) {
			return true, nil
		}
		if ok, err := s.more(); !ok {
			return false, err
		}
	}
}

// open reads what stands before the first record.
func (s *scanner) open() error {
	s.begun = true
	for len(s.buf) < 3 && !s.eof {
		if _, err := s.more(); err != nil {
			return err
		}
	}
	if bytes.HasPrefix(s.buf, []byte("\xef\xbb\xbf")) {
		s.bom, s.pos = true, 3
	}
	any, err := s.skip()
	switch {
	case err != nil:
		return err
	case !any:
		return s.fault(EmptyFile, s.pos)
	case s.lines:
		return nil
	case s.buf[s.pos] != '[':
		return s.fault(NotArray, s.pos)
	}
	s.pos++
	return nil
}

// next returns the next record, whose bytes hold until the following call, or io.EOF. After a fault in an array nothing
// follows; among lines the next call goes on with the next line.
func (s *scanner) next() ([]byte, place, error) {
	if s.done {
		return nil, place{}, io.EOF
	}
	b, p, err := s.step()
	if err != nil {
		var f *Fault
		if !s.lines || !errors.As(err, &f) || f.Kind == RecordTooLong || f.Kind == EmptyFile {
			s.done = true
		}
	}
	return b, p, err
}

func (s *scanner) step() ([]byte, place, error) {
	if !s.begun {
		if err := s.open(); err != nil {
			return nil, place{}, err
		}
	}
	if s.lines {
		return s.nextLine()
	}
	any, err := s.skip()
	if err != nil {
		return nil, place{}, err
	}
	if !any {
		return nil, place{}, s.fault(Cut, s.pos)
	}
	if c := s.buf[s.pos]; c == ']' {
		return nil, place{}, s.close()
	} else if s.n > 0 {
		if c != ',' {
			return nil, place{}, s.in(s.n, s.fault(Syntax, s.pos))
		}
		s.pos++
		if any, err = s.skip(); err != nil {
			return nil, place{}, err
		} else if !any {
			return nil, place{}, s.fault(Cut, s.pos)
		} else if s.buf[s.pos] == ']' {
			return nil, place{}, s.fault(TrailingComma, s.pos)
		}
	}
	for {
		s.lone = -1
		end, k := s.value(s.buf, s.pos, 0)
		if (k == Cut || end == len(s.buf)) && !s.eof {
			if _, err := s.more(); err != nil {
				return nil, place{}, err
			}
			continue
		}
		if k != "" {
			s.count(s.pos)
			return nil, place{}, s.in(s.n, s.fault(k, end))
		}
		return s.take(end)
	}
}

func (s *scanner) in(record int, f *Fault) error { f.Record = record; return f }

// take hands out buf[pos:end] as a record.
func (s *scanner) take(end int) ([]byte, place, error) {
	if end-s.pos > s.limit {
		f := s.fault(RecordTooLong, s.pos)
		f.Note = fmt.Sprintf("%d bytes; %d are allowed (Options.Record)", end-s.pos, s.limit)
		return nil, place{}, s.in(s.n, f)
	}
	s.count(s.pos)
	b := s.buf[s.pos:end]
	p := place{s.base + int64(s.pos), end - s.pos, s.line, s.start}
	s.pos = end
	s.n++
	return b, p, nil
}

// close reads what stands after the array.
func (s *scanner) close() error {
	s.pos++
	any, err := s.skip()
	if err != nil {
		return err
	}
	if any {
		return s.fault(TrailingData, s.pos)
	}
	return io.EOF
}

// nextLine returns the record of the next line that is not blank.
func (s *scanner) nextLine() ([]byte, place, error) {
	any, err := s.skip()
	if err != nil {
		return nil, place{}, err
	}
	if !any {
		return nil, place{}, io.EOF
	}
	stop, seen := 0, 0
	for {
		if i := bytes.IndexByte(s.buf[s.pos+seen:], '\n'); i >= 0 {
			stop = s.pos + seen + i
			break
		}
		seen = len(s.buf) - s.pos
		if s.eof {
			stop = len(s.buf)
			break
		}
		if _, err := s.more(); err != nil {
			return nil, place{}, err
		}
	}
	last := stop == len(s.buf) && s.eof
	line := s.buf[:stop]
	s.lone = -1
	end, k := s.value(line, s.pos, 0)
	if k == "" {
		if rest := space(line, end); rest < stop {
			k, end = TrailingData, rest
		}
	}
	if k == "" {
		return s.take(end)
	}
	if k == Cut && !last {
		k = Syntax
	}
	f := s.fault(k, end)
	switch {
	case k == Cut:
		f.Note = "the file ends within this line: it was not downloaded or written to its end"
	case end == stop:
		f.Note = "the line ends within its record: a record takes exactly one line"
	case k == TrailingData:
		f.Note = "a line holds one record"
	}
	f.Record = s.n
	s.n++
	s.pos = stop
	return nil, place{}, f
}
