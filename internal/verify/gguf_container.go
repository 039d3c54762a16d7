package verify

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"
	"reflect"
	"strconv"

	"github.com/gollava/gollava/internal/gguf"
)

// description is what a file says, as the cases record it.
type description struct {
	File      string        `json:"file"`
	Version   uint32        `json:"version"`
	Alignment int           `json:"alignment"`
	Data      *int          `json:"data_offset"`
	Metadata  []pair        `json:"metadata"`
	Tensors   []tensorEntry `json:"tensors"`
}

type pair struct {
	Key   string `json:"key"`
	Type  string `json:"type"`
	Of    string `json:"of,omitempty"` // elements of an array that has some
	Value any    `json:"value"`
}

type tensorEntry struct {
	Name   string `json:"name"`
	Type   string `json:"type"`
	Shape  []int  `json:"shape"`
	Offset int    `json:"offset"`
	Bytes  int    `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// describe reads a file.
func describe(path string) (d description, err error) {
	f, err := gguf.Open(path)
	if err != nil {
		return d, err
	}
	defer f.Close()
	d = description{File: filepath.Base(path), Version: f.Version, Alignment: f.Alignment, Metadata: []pair{},
		Tensors: []tensorEntry{}}
	if len(f.Tensors()) > 0 {
		d.Data = &f.DataStart
	}
	for _, key := range f.Keys() {
		v, _ := f.Value(key)
		p := pair{Key: key, Type: v.Kind.String(), Value: v.Any()}
		if v.Kind == gguf.Array && v.Len > 0 {
			p.Of = v.Elem.String()
		}
		p.Value = readable(p.Value, p.Of == "uint64" || p.Of == "int64")
		d.Metadata = append(d.Metadata, p)
	}
	for _, t := range f.Tensors() {
		sum := sha256.Sum256(f.Bytes(t))
		d.Tensors = append(d.Tensors, tensorEntry{t.Name, t.Type.String(), t.Shape, t.Offset, t.Size,
			hex.EncodeToString(sum[:])})
	}
	return d, nil
}

// readable writes integers beyond JSON's numbers, and all elements of 64 bits, as text.
func readable(v any, text bool) any {
	const limit = 1 << 53
	switch x := v.(type) {
	case []any:
		out := make([]any, len(x))
		for i := range x {
			out[i] = readable(x[i], text)
		}
		return out
	case uint64:
		if text || x > limit {
			return strconv.FormatUint(x, 10)
		}
	case int64:
		if text || x > limit || x < -limit {
			return strconv.FormatInt(x, 10)
		}
	}
	return v
}

// compareDescription says where what a file says departs from want, "" if nowhere.
func compareDescription(path string, want map[string]any) (string, error) {
	d, err := describe(path)
	if err != nil {
		return "", err
	}
	b, err := json.Marshal(d)
	if err != nil {
		return "", err
	}
	var got map[string]any // as JSON has it
	if err := json.Unmarshal(b, &got); err != nil {
		return "", err
	}
	if len(d.Tensors) == 0 {
		delete(want, "data_offset")
		delete(got, "data_offset")
	}
	for key, w := range want {
		if key == "file" || reflect.DeepEqual(got[key], w) {
			continue
		}
		a, isList := got[key].([]any)
		b, _ := w.([]any)
		for i := range min(len(a), len(b)) {
			if isList && !reflect.DeepEqual(a[i], b[i]) {
				return fmt.Sprintf("%s %d is %v, want %v", key, i, a[i], b[i]), nil
			}
		}
		return fmt.Sprintf("%s is %v, want %v", key, got[key], w), nil
	}
	return "", nil
}

// ggufContainer checks what valid files say.
func ggufContainer(r *Report, c struct{ Expected string }) {
	var files []map[string]any
	readJSON(inside(r.Dir, c.Expected), &files)
	r.tally("what files say", func(t *tally) {
		for _, want := range files {
			name, _ := want["file"].(string)
			fault, err := compareDescription(inside(r.Dir, name), want)
			t.check(fault == "" && err == nil, "%s: %s %v", name, fault, err)
		}
	})
}
