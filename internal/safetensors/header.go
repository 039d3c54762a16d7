package safetensors

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"unicode/utf8"
)

// MaxHeader is the format's limit on the length of a header in bytes.
const MaxHeader = 100_000_000

// Info describes one stored tensor.
type Info struct {
	Name       string
	DType      string // as the format spells it: F32, BF16, …
	Shape      []int
	Begin, End int64 // bytes within the data section
}

// header is what a file says about itself.
type header struct {
	tensors  []Info // by Begin
	metadata map[string]string
}

// parseHeader reads the JSON of a file whose data section has size bytes, and checks everything that the format
// demands.
func parseHeader(raw []byte, size int64) (*header, error) {
	if len(raw) == 0 || raw[0] != '{' {
		return nil, errors.New("header does not begin with {")
	}
	if !utf8.Valid(raw) {
		return nil, errors.New("header is not UTF-8")
	}
	d := &decoder{json.NewDecoder(bytes.NewReader(raw))}
	d.UseNumber()
	h := &header{}
	seen := map[string]bool{}
	err := d.object("header", func(name string) error {
		if seen[name] {
			return fmt.Errorf("key %q occurs twice", name)
		}
		seen[name] = true
		if name == "__metadata__" {
			return d.metadata(h)
		}
		t := Info{Name: name, Begin: -1}
		if err := d.entry(&t); err != nil {
			return fmt.Errorf("tensor %q: %w", name, err)
		}
		h.tensors = append(h.tensors, t)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	if rest := bytes.TrimLeft(raw[d.InputOffset():], " \t\r\n"); len(rest) > 0 {
		return nil, fmt.Errorf("header: %d bytes follow its JSON", len(rest))
	}
	return h, h.check(size)
}

// check demands that the tensors cover the data section without hole and overlap.
func (h *header) check(size int64) error {
	slices.SortFunc(h.tensors, func(a, b Info) int {
		if a.Begin != b.Begin {
			return compare(a.Begin, b.Begin)
		}
		if a.End != b.End {
			return compare(a.End, b.End)
		}
		return bytes.Compare([]byte(a.Name), []byte(b.Name))
	})
	at := int64(0)
	for _, t := range h.tensors {
		n, err := Size(t.DType, t.Shape)
		switch {
		case err != nil:
			return fmt.Errorf("tensor %q: %w", t.Name, err)
		case t.Begin < at:
			return fmt.Errorf("tensor %q: data_offsets [%d, %d) overlap the tensor before, which ends at %d", t.Name,
				t.Begin, t.End, at)
		case t.Begin > at:
			return fmt.Errorf("tensor %q: data_offsets [%d, %d) leave a hole after %d", t.Name, t.Begin, t.End, at)
		case t.End-t.Begin != n:
			return fmt.Errorf("tensor %q: data_offsets [%d, %d) hold %d bytes, %s%v needs %d", t.Name, t.Begin, t.End,
				t.End-t.Begin, t.DType, t.Shape, n)
		case t.End > size:
			return fmt.Errorf("tensor %q: data_offsets [%d, %d) reach beyond the file's %d bytes of data: the file "+
				"is cut off", t.Name, t.Begin, t.End, size)
		}
		at = t.End
	}
	if at != size {
		return fmt.Errorf("%d bytes of data belong to no tensor", size-at)
	}
	return nil
}

func compare(a, b int64) int {
	if a < b {
		return -1
	}
	return 1
}

// decoder reads JSON token by token, which lets it see duplicate keys and stop early.
type decoder struct{ *json.Decoder }

func (d *decoder) delim(what string, want json.Delim) error {
	t, err := d.Token()
	if err != nil {
		return bad(err)
	}
	if t != want {
		return fmt.Errorf("%s: got %v, want %v", what, t, want)
	}
	return nil
}

func bad(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// object calls field for every key; field reads the value.
func (d *decoder) object(what string, field func(key string) error) error {
	if err := d.delim(what, '{'); err != nil {
		return err
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return bad(err)
		}
		if err := field(t.(string)); err != nil { // the decoder lets only strings through
			return err
		}
	}
	return d.delim(what, '}')
}

func (d *decoder) text(what string) (string, error) {
	t, err := d.Token()
	if err != nil {
		return "", bad(err)
	}
	s, ok := t.(string)
	if !ok {
		return "", fmt.Errorf("%s: got %v, want a string", what, t)
	}
	return s, nil
}

// integers reads a list of at most limit whole numbers ≥ 0.
func (d *decoder) integers(what string, limit int) ([]int64, error) {
	if err := d.delim(what, '['); err != nil {
		return nil, err
	}
	list := []int64{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, bad(err)
		}
		n, ok := t.(json.Number)
		if !ok {
			return nil, fmt.Errorf("%s: got %v, want a number", what, t)
		}
		v, err := strconv.ParseInt(n.String(), 10, 64)
		if err != nil || v < 0 {
			return nil, fmt.Errorf("%s: %s is not a whole number from 0 to 2⁶³−1", what, n)
		}
		if list = append(list, v); len(list) > limit {
			return nil, fmt.Errorf("%s: more than %d numbers", what, limit)
		}
	}
	return list, d.delim(what, ']')
}

func (d *decoder) metadata(h *header) error {
	h.metadata = map[string]string{}
	return d.object("__metadata__", func(key string) error {
		if _, ok := h.metadata[key]; ok {
			return fmt.Errorf("__metadata__: key %q occurs twice", key)
		}
		v, err := d.text("__metadata__: " + key)
		h.metadata[key] = v
		return err
	})
}

func (d *decoder) entry(t *Info) error {
	err := d.object("entry", func(key string) (err error) {
		switch key {
		case "dtype":
			if t.DType != "" {
				return errors.New("dtype occurs twice")
			}
			t.DType, err = d.text(key)
			return err
		case "shape":
			if t.Shape != nil {
				return errors.New("shape occurs twice")
			}
			dims, err := d.integers(key, maxRank)
			if err != nil {
				return err
			}
			t.Shape = make([]int, len(dims))
			for i, v := range dims {
				if t.Shape[i] = int(v); int64(t.Shape[i]) != v {
					return fmt.Errorf("shape: %d does not fit this machine's integers", v)
				}
			}
			return nil
		case "data_offsets":
			if t.Begin >= 0 {
				return errors.New("data_offsets occur twice")
			}
			at, err := d.integers(key, 2)
			if err != nil {
				return err
			}
			if len(at) != 2 || at[1] < at[0] {
				return fmt.Errorf("data_offsets %v: want [begin, end] with begin ≤ end", at)
			}
			t.Begin, t.End = at[0], at[1]
			return nil
		}
		return fmt.Errorf("field %q is not part of the format", key)
	})
	if err == nil && (t.DType == "" || t.Shape == nil || t.Begin < 0) {
		err = errors.New("needs dtype, shape and data_offsets")
	}
	return err
}
