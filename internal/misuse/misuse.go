// Package misuse is how packages that know no tensors panic when a program calls them wrongly; tensor.Catch turns that
// into an error.
package misuse

import "fmt"

// Error is the value of such a panic.
type Error struct {
	Package string // whose function was misused, such as "data"
	Msg     string // operands and what is needed
}

func (e *Error) Error() string { return e.Package + ": " + e.Msg }

// Errorf makes the value to panic with: panic(misuse.Errorf("data", "record %d of %d", i, n)).
func Errorf(pkg, format string, args ...any) *Error {
	return &Error{Package: pkg, Msg: fmt.Sprintf(format, args...)}
}
