package tokenizer

import (
	"errors"
	"fmt"
)

// FormatError says which field of which file cannot be used, and why.
type FormatError struct {
	File  string // as it was opened
	Field string // such as model.merges[17]; empty if the file as a whole is meant
	Err   error
}

func (e *FormatError) Error() string {
	s := "tokenizer"
	if e.File != "" {
		s += ": " + e.File
	}
	if e.Field != "" {
		s += ": " + e.Field
	}
	return s + ": " + e.Err.Error()
}

func (e *FormatError) Unwrap() error { return e.Err }

// ErrUnsupported is wrapped by errors about things that the format allows and this package does not do.
var ErrUnsupported = errors.New("not supported")

func fieldError(field, format string, args ...any) error {
	return &FormatError{Field: field, Err: fmt.Errorf(format, args...)}
}

func unsupported(field, format string, args ...any) error {
	return &FormatError{Field: field, Err: fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), ErrUnsupported)}
}

// inFile puts the file's name on an error.
func inFile(file string, err error) error {
	if err == nil {
		return nil
	}
	var f *FormatError
	if errors.As(err, &f) && f.File == "" {
		return &FormatError{File: file, Field: f.Field, Err: f.Err}
	}
	if errors.As(err, &f) {
		return err
	}
	return &FormatError{File: file, Err: err}
}
