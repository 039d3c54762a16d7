// Package jsonrecord reads files of many JSON records as streams: arrays, objects of records, and one record a line.
// Memory holds one Record at a time, and errors name file and line.
package jsonrecord

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/gollava/gollava/internal/jsonfile"
)

// longest is the longest record that is read, in bytes. MMBench's hold a picture as text.
const longest = 256 << 20

// Record is one record of a file. Its bytes are valid until the next one is read.
type Record struct {
	Path   string
	Raw    []byte
	Key    string // its name, if the records are the members of an object
	Line   int    // from 1
	Offset int64  // of Raw in the file
}

// At names the record's place.
func (r Record) At() string { return fmt.Sprintf("%s:%d", r.Path, r.Line) }

// Decode reads the record as T. An error names file, line and field in the file's own terms.
func Decode[T any](r Record) (T, error) {
	var v T
	if err := jsonfile.Explain(r.Raw, json.Unmarshal(r.Raw, &v)); err != nil {
		return v, fmt.Errorf("%s: %w", r.At(), err)
	}
	return v, nil
}

// ErrStop ends a reading early without an error.
var ErrStop = errors.New("stop")

// Begins reports whether a line that was cut anywhere can have been an object with key as its first key, written by
// this program.
func (r Record) Begins(key string) bool {
	head := `{"` + key + `"`
	n := min(len(r.Raw), len(head))
	return string(r.Raw[:n]) == head[:n]
}

// EachLine calls f with each line that is not blank, which need not be JSON. The last line has cut set if no line end
// follows it.
func EachLine(path string, f func(r Record, cut bool) error) error {
	s, err := open(path)
	if err != nil {
		return err
	}
	defer s.close()
	for s.more() {
		r, cut, err := s.textLine()
		if err != nil {
			return err
		}
		if len(bytes.TrimSpace(r.Raw)) == 0 {
			continue
		}
		if err := f(r, cut); err == ErrStop {
			return nil
		} else if err != nil {
			return err
		}
	}
	return s.err
}

// Each calls f with each record of a JSON file: the elements of an array; the members of an object; or with within,
// the elements or members of what the object has under that key, other keys being passed over.
func Each(path, within string, f func(r Record) error) error {
	s, err := open(path)
	if err != nil {
		return err
	}
	defer s.close()
	s.space()
	switch {
	case !s.more():
		return fmt.Errorf("%s is empty", path)
	case s.peek() == '{' && within != "":
		found := false
		err = s.members(func(key string) error {
			if key != within || found {
				_, err := s.value()
				return err
			}
			found = true
			return s.list(f)
		})
		if err == nil && !found {
			err = fmt.Errorf("%s has no key %q at its top: is it the file of another benchmark?", path, within)
		}
	default:
		if err = s.list(f); err == nil {
			if s.space(); s.more() {
				err = s.fault("something follows the end of the JSON value")
			}
		}
	}
	if err == ErrStop {
		return nil
	}
	return err
}

// EachRow calls f with each record of a file that has one a line, or of a JSON array.
func EachRow(path string, f func(r Record) error) error {
	s, err := open(path)
	if err != nil {
		return err
	}
	s.space()
	array := s.more() && s.peek() == '['
	s.close()
	if array {
		return Each(path, "", f)
	}
	return EachLine(path, func(r Record, _ bool) error { return f(r) })
}

// OneALine reports whether a file has a JSON object on its first line, and is not a JSON value as a whole.
func OneALine(path string) (bool, error) {
	lines := false
	err := EachLine(path, func(r Record, cut bool) error {
		lines = len(r.Raw) > 0 && r.Raw[0] == '{' && json.Valid(r.Raw) &&
			(!cut || bytes.Contains(r.Raw, []byte(`"question_id"`)) &&
				!bytes.Contains(r.Raw, []byte(`"questions"`)))
		return ErrStop
	})
	return lines, err
}

// Head tells what a file holds: its first byte that is no white space, 0 if there is none; and of an object the first
// key, and the first byte of that key's value.
func Head(path string) (first byte, key string, value byte, err error) {
	s, err := open(path)
	if err != nil {
		return 0, "", 0, err
	}
	defer s.close()
	if s.space(); !s.more() {
		return 0, "", 0, s.err
	}
	if first = s.peek(); first != '{' {
		return first, "", 0, nil
	}
	err = s.members(func(k string) error {
		if key = k; s.more() {
			value = s.peek()
		}
		return ErrStop
	})
	if err != nil && err != ErrStop {
		return first, "", 0, nil // no object after all: its reader says so
	}
	return first, key, value, nil
}

// scanner passes over JSON without building it.
type scanner struct {
	path string
	file *os.File
	buf  []byte // what is read and not passed over starts at buf[pos]
	pos  int
	base int64 // offset of buf[0]
	line int
	end  bool
	err  error
	text []byte // the value being read
}

func open(path string) (*scanner, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	s := &scanner{path: path, file: f, buf: make([]byte, 0, 1<<18), line: 1}
	if s.more() && bytes.HasPrefix(s.buf, []byte("\ufeff")) { // a byte order mark
		s.pos = len("\ufeff")
	}
	return s, nil
}

func (s *scanner) close() { s.file.Close() }

// more reports whether there is a byte at s.pos, and reads on if need be.
func (s *scanner) more() bool {
	if s.pos < len(s.buf) {
		return true
	}
	if s.end {
		return false
	}
	s.base += int64(len(s.buf))
	s.pos = 0
	n, err := io.ReadAtLeast(s.file, s.buf[:cap(s.buf)], 1)
	s.buf = s.buf[:n]
	if err != nil {
		s.end = true
		if err != io.EOF {
			s.err = fmt.Errorf("%s: %w", s.path, err)
		}
	}
	return n > 0
}

func (s *scanner) peek() byte { return s.buf[s.pos] }

func (s *scanner) fault(format string, args ...any) error {
	if s.err != nil {
		return s.err
	}
	return fmt.Errorf("%s:%d: %s", s.path, s.line, fmt.Sprintf(format, args...))
}

func (s *scanner) space() {
	for s.more() {
		switch s.peek() {
		case '\n':
			s.line++
		case ' ', '\t', '\r':
		default:
			return
		}
		s.pos++
	}
}

// expect passes over white space and the byte c.
func (s *scanner) expect(c byte) error {
	if s.space(); !s.more() {
		return s.fault("the file ends early: it was cut, copy it again")
	}
	if s.peek() != c {
		return s.fault("%q where %q belongs: not well-formed JSON", s.peek(), c)
	}
	s.pos++
	return nil
}

// members calls f at the value of each member of the object at s.pos.
func (s *scanner) members(f func(key string) error) error {
	if err := s.expect('{'); err != nil {
		return err
	}
	for first := true; ; first = false {
		s.space()
		if s.more() && s.peek() == '}' && first {
			s.pos++
			return nil
		}
		raw, err := s.value()
		if err != nil {
			return err
		}
		var key string
		if json.Unmarshal(raw, &key) != nil {
			return s.fault("a key that is no string: not well-formed JSON")
		}
		if err := s.expect(':'); err != nil {
			return err
		}
		s.space()
		if err := f(key); err != nil {
			return err
		}
		if s.space(); s.more() && s.peek() == '}' {
			s.pos++
			return nil
		}
		if err := s.expect(','); err != nil {
			return err
		}
	}
}

// list calls f with the elements or members of the value at s.pos.
func (s *scanner) list(f func(Record) error) error {
	s.space()
	if s.more() && s.peek() == '{' {
		return s.members(func(key string) error { return s.record(key, f) })
	}
	if err := s.expect('['); err != nil {
		return err
	}
	for first := true; ; first = false {
		s.space()
		if s.more() && s.peek() == ']' && first {
			s.pos++
			return nil
		}
		if err := s.record("", f); err != nil {
			return err
		}
		if s.space(); s.more() && s.peek() == ']' {
			s.pos++
			return nil
		}
		if err := s.expect(','); err != nil {
			return err
		}
	}
}

func (s *scanner) record(key string, f func(Record) error) error {
	s.space()
	r := Record{Path: s.path, Key: key, Line: s.line, Offset: s.base + int64(s.pos)}
	var err error
	if r.Raw, err = s.value(); err != nil {
		return err
	}
	return f(r)
}

// value returns the bytes of the value at s.pos. It finds where the value ends; whether it is well-formed is for its
// reader to see.
func (s *scanner) value() ([]byte, error) {
	s.text = s.text[:0]
	depth, quoted, escaped := 0, false, false
	for s.more() {
		from, done := s.pos, false
		for ; s.pos < len(s.buf) && !done; s.pos++ {
			switch c := s.buf[s.pos]; {
			case escaped:
				escaped = false
			case quoted:
				i := bytes.IndexByte(s.buf[s.pos:], '"')
				if i < 0 {
					i = len(s.buf) - s.pos
				}
				if j := bytes.IndexByte(s.buf[s.pos:s.pos+i], '\\'); j >= 0 {
					s.pos, escaped = s.pos+j, true
					break
				}
				if s.pos += i; s.pos == len(s.buf) {
					s.pos--
					break
				}
				quoted, done = false, depth == 0
			case c == '"':
				quoted = true
			case c == '{' || c == '[':
				depth++
			case c == '}' || c == ']':
				if depth--; depth < 0 {
					return s.finish(from)
				}
				done = depth == 0
			case c == '\n':
				s.line++
				fallthrough
			case c == ' ' || c == ',' || c == ':' || c == '\t' || c == '\r':
				if depth == 0 {
					if c == '\n' {
						s.line--
					}
					return s.finish(from)
				}
			}
		}
		s.text = append(s.text, s.buf[from:s.pos]...)
		if done {
			return s.text, nil
		}
		if len(s.text) > longest {
			return nil, s.fault("a record of more than %d MB", longest>>20)
		}
	}
	if depth > 0 || quoted || len(s.text) == 0 {
		return nil, s.fault("the file ends early: it was cut, copy it again")
	}
	return s.text, s.err
}

// finish ends a number or a word, which the byte at s.pos does not belong to.
func (s *scanner) finish(from int) ([]byte, error) {
	if s.text = append(s.text, s.buf[from:s.pos]...); len(s.text) == 0 {
		return nil, s.fault("%q where a value belongs: not well-formed JSON", s.peek())
	}
	return s.text, nil
}

// textLine returns the line at s.pos without its end; cut says that the file ends before the line does.
func (s *scanner) textLine() (r Record, cut bool, err error) {
	s.text = s.text[:0]
	r = Record{Path: s.path, Line: s.line, Offset: s.base + int64(s.pos)}
	for s.more() {
		i := bytes.IndexByte(s.buf[s.pos:], '\n')
		if i >= 0 {
			s.text = append(s.text, s.buf[s.pos:s.pos+i]...)
			s.pos += i + 1
			s.line++
			r.Raw = s.text
			return r, false, nil
		}
		s.text = append(s.text, s.buf[s.pos:]...)
		if s.pos = len(s.buf); len(s.text) > longest {
			return r, false, s.fault("a line of more than %d MB", longest>>20)
		}
	}
	r.Raw = s.text
	return r, true, s.err
}

// ID is a question's id: a JSON string's text, or a number as it is written, so that 100 and "100" are the same.
type ID string

// UnmarshalJSON reads a string or a number.
func (id *ID) UnmarshalJSON(b []byte) error {
	switch {
	case len(b) > 0 && b[0] == '"':
		return json.Unmarshal(b, (*string)(id))
	case string(b) == "null":
		return nil
	case len(b) > 0 && (b[0] == '-' || b[0] >= '0' && b[0] <= '9'):
		*id = ID(b)
		return nil
	}
	return fmt.Errorf("an id is a string or a number, not %.20s", b)
}

// ReadAll reads a small file as one JSON value, keeping numbers as they are written.
func ReadAll(path string, v any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	d := json.NewDecoder(strings.NewReader(strings.TrimPrefix(string(b), "\ufeff")))
	d.UseNumber()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
