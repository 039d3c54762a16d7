package nn

import (
	"fmt"
	"strings"
)

// Summary prints the tensors of a checkpoint as [Summary] prints a model, without reading them.
func (w *Weights) Summary() string {
	root := &branch{}
	for _, name := range w.Names() {
		s := w.stored[name]
		n := 1
		for _, d := range s.shape {
			n *= d
		}
		root.add(strings.SplitN(name, ".", deepest),
			leaf{shape: s.shape, dtype: s.dtype, sum: sum{values: n, bytes: s.size()}})
	}
	p := &printer{file: true}
	p.row("", "TENSOR", "SHAPE", "VALUES", "DTYPE", "BYTES", "")
	p.children(root, 0)
	total := root.total()
	fmt.Fprintf(&p.b, "%s values, %s\n", thousands(total.values), Bytes(total.bytes))
	return p.b.String()
}
