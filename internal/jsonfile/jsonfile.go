// Package jsonfile reads small JSON files that other programs wrote, such as config.json: only regular files of a
// bounded size, with or without a byte order mark, and with errors in the words of the file rather than of Go's types.
package jsonfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"

	"github.com/gollava/gollava/internal/mapfile"
)

// Max is how many bytes a config file may have.
const Max = 64 << 20

// Read reads the file at path into v; a file that holds null is an error. Errors name the file and the field.
func Read(path string, v any) error {
	raw, err := Bytes(path, Max)
	if err != nil {
		return err
	}
	if err := Unmarshal(raw, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// Bytes reads a regular file of at most most bytes, without the byte order mark that it may begin with. Its errors name
// the file.
func Bytes(path string, most int64) ([]byte, error) {
	f, err := mapfile.Regular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if int64(len(raw)) > most {
		return nil, fmt.Errorf("%s: is larger than %d bytes, the most that such a file may have", path, most)
	}
	if err := Pointer(raw); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf")), nil
}

// Pointer returns an error if a file that begins with raw is what Git leaves in place of a large file that it keeps
// elsewhere, or the web page that a download got instead of the file.
func Pointer(raw []byte) error {
	head := bytes.ToLower(bytes.TrimLeft(raw[:min(len(raw), 64)], " \t\r\n"))
	switch {
	case bytes.HasPrefix(head, []byte("version https://git-lfs")):
		return errors.New("is only a pointer of Git LFS, not the file itself: run `git lfs pull` in its folder, or download the file")
	case bytes.HasPrefix(head, []byte("<!doctype html")), bytes.HasPrefix(head, []byte("<html")):
		return errors.New("is a web page, not the file itself: the download went wrong")
	}
	return nil
}

// Unmarshal is json.Unmarshal with the errors of this package. A null in place of the whole value is an error.
func Unmarshal(raw []byte, v any) error {
	if len(bytes.TrimSpace(raw)) == 0 {
		return errors.New("is empty, not JSON")
	}
	if IsNull(raw) {
		return errors.New("is null, where an object or a list belongs")
	}
	return Explain(raw, json.Unmarshal(raw, v))
}

// IsNull reports whether raw, a field's value, is JSON's null or is not there. Nearly everywhere the two mean the same.
func IsNull(raw []byte) bool {
	raw = bytes.TrimSpace(raw)
	return len(raw) == 0 || string(raw) == "null"
}

// Zero returns the first of the fields of a JSON object that is written as 0, "" if none is. A dot leads into an object
// within it. Readers for which a missing field is 0 refuse those that may not be 0.
func Zero(raw []byte, fields ...string) string {
	for _, field := range fields {
		value := json.RawMessage(raw)
		for name := range strings.SplitSeq(field, ".") {
			var object map[string]json.RawMessage
			if json.Unmarshal(value, &object) != nil {
				value = nil
				break
			}
			value = object[name]
		}
		var number *float64
		if json.Unmarshal(value, &number) == nil && number != nil && *number == 0 {
			return field
		}
	}
	return ""
}

// Explain puts an error of encoding/json about raw into words without Go's types.
func Explain(raw []byte, err error) error {
	var kind *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &kind):
		text := fmt.Sprintf("is %s, where %s belongs", found(kind.Value), wanted(kind.Type))
		if kind.Field != "" {
			text = kind.Field + " " + text
		}
		return errors.New(text)
	case errors.As(err, &syntax):
		at := min(max(int(syntax.Offset), 0), len(raw))
		line := 1 + bytes.Count(raw[:at], []byte{'\n'})
		column := at - bytes.LastIndexByte(raw[:at], '\n') - 1
		if syntax.Error() == "unexpected end of JSON input" {
			return fmt.Errorf("line %d, column %d: the JSON ends too early: the file is cut off", line, column)
		}
		text := syntax.Error()
		if rest, ok := strings.CutPrefix(text, "invalid character "); ok {
			char, _, _ := strings.Cut(rest, " ")
			text = char + " is not allowed here in JSON"
		}
		return fmt.Errorf("line %d, column %d: %s", line, column, text)
	}
	return err
}

// found names what stands in the file: "number 1.5", "string".
func found(value string) string {
	kind, what, _ := strings.Cut(value, " ")
	switch kind {
	case "number":
		if what == "" {
			return "a number"
		}
		return what
	case "string":
		return "text"
	case "array":
		return "a list"
	case "object":
		return "an object"
	case "bool":
		return "true or false"
	}
	return value
}

// wanted names what a type holds.
func wanted(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "text"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice:
		return "a list"
	case reflect.Array:
		return "a list of " + strconv.Itoa(t.Len())
	case reflect.Map, reflect.Struct:
		return "an object"
	}
	if t.Kind() >= reflect.Int && t.Kind() <= reflect.Uint64 {
		return "a whole number"
	}
	return "something else"
}
