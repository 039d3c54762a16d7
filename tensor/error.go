package tensor

import (
	"fmt"

	"github.com/gollava/gollava/internal/misuse"
)

// Error is the value that this package, and the packages built on it, panic with on misuse: wrong shape, dtype, rank,
// axis or index, use after release, Backward on an unrecorded loss. Data from outside never causes one. [Catch] turns
// it into an error.
type Error struct {
	Op   string // the operation, such as "MatMulT"
	Msg  string // operands and what to do
	Path string // of the layer it happened in, when known

	Layer any // the innermost layer it passed through, or nil

	pkg string // whose misuse it was; "": this package's
}

func (e *Error) Error() string {
	s := "tensor: " + e.Op + ": " + e.Msg
	if e.pkg != "" {
		s = e.pkg + ": " + e.Msg
	}
	if e.Path != "" {
		s += " in " + e.Path
	}
	return s
}

// Fail panics with an *Error. It is for packages that extend this one with their own operations.
func Fail(op, format string, args ...any) {
	panic(&Error{Op: op, Msg: fmt.Sprintf(format, args...)})
}

// Catch runs fn and returns the *Error that it panicked with, if any. Any other panic passes through.
func Catch(fn func()) (err error) {
	defer func() {
		switch e := recover().(type) {
		case nil:
		case *Error:
			err = e
		case *misuse.Error:
			err = &Error{pkg: e.Package, Msg: e.Msg}
		default:
			panic(e)
		}
	}()
	fn()
	return nil
}

// Blame is deferred by a layer's Forward: it notes the layer on any *Error that passes, unless an inner layer did.
// nn.Locate turns the note into the layer's path.
//
//	defer tensor.Blame(l)
func Blame(layer any) {
	if e := recover(); e != nil {
		if te, ok := e.(*Error); ok && te.Layer == nil {
			te.Layer = layer
		}
		panic(e)
	}
}
