package imaging

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"syscall"
)

// Kind says what is wrong with a picture. It is an error itself, so that errors.Is(err, imaging.Truncated) asks for it.
type Kind string

// What can be wrong with a picture.
const (
	Missing     Kind = "file_missing"       // no such file, or a link that leads nowhere
	Unreadable  Kind = "file_unreadable"    // the file exists but cannot be read: rights, a folder, the disk
	Empty       Kind = "file_empty"         // zero bytes
	NotImage    Kind = "not_an_image"       // the first bytes belong to no known format
	Unsupported Kind = "image_unsupported"  // a known format or a flavour of it that is not read here
	Truncated   Kind = "image_truncated"    // the data ends early
	TooLarge    Kind = "image_too_large"    // more bytes or pixels than the limits allow, said by the header
	BadHeader   Kind = "image_bad_header"   // a header that contradicts itself, or a picture without pixels
	BadChecksum Kind = "image_bad_checksum" // a PNG chunk fails its CRC
	Corrupt     Kind = "image_corrupt"      // the pixel data breaks the rules of the format
	BadAspect   Kind = "image_aspect"       // longer against its width than Limits.Aspect allows
)

// Error makes a Kind usable as the target of errors.Is.
func (k Kind) Error() string { return string(k) }

// Error is what reading a picture returns when it fails.
type Error struct {
	Kind   Kind
	File   string // path or name; empty where only bytes were given
	Format string // "jpeg", "png", …; empty where not recognised
	Err    error  // the cause
}

func (e *Error) Error() string {
	s := "imaging: "
	if e.File != "" {
		s += e.File + ": "
	}
	if e.Format != "" {
		s += e.Format + ": "
	}
	return s + string(e.Kind) + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is this error's kind.
func (e *Error) Is(target error) bool { k, ok := target.(Kind); return ok && k == e.Kind }

func fail(kind Kind, format string, args ...any) error {
	return &Error{Kind: kind, Err: fmt.Errorf(format, args...)}
}

// located adds file and format to an error, and makes any other error one of kind Truncated, where it says so, or
// Corrupt.
func located(err error, file, format string) error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		c := *e
		if c.File == "" {
			c.File = file
		}
		if c.Format == "" {
			c.Format = format
		}
		return &c
	}
	kind := Corrupt
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		kind = Truncated
	}
	return &Error{Kind: kind, File: file, Format: format, Err: err}
}

// opening classifies an error of the file system.
func opening(err error, file string) error {
	kind := Unreadable
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ELOOP) {
		kind = Missing
	}
	return &Error{Kind: kind, File: file, Err: err}
}
