// Package mutate makes broken variants of JSON texts for tests of what reads them.
package mutate

import (
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"
)

// Values are what each place of a document is replaced by: all of JSON's kinds, and numbers at the edges.
var Values = []any{nil, -1, 0, 1 << 40, 1e300, 0.5, "", "text", true, []any{}, []any{nil}, map[string]any{}, map[string]any{"a": nil}}

// All yields every variant of a document in which one value, at any depth, is replaced by one of [Values] or left out, with the place and what
// was done. The document must be valid; of a list it goes into the first few elements only.
func All(document []byte) iter.Seq2[string, []byte] {
	var root any
	if err := json.Unmarshal(document, &root); err != nil {
		panic(fmt.Sprintf("mutate: %v", err)) // the test's own document
	}
	return func(yield func(string, []byte) bool) {
		out := func(what string) bool {
			b, err := json.Marshal(root)
			return err != nil || yield(what, b)
		}
		var walk func(path string, v any, set func(any), drop func() func()) bool
		walk = func(path string, v any, set func(any), drop func() func()) bool {
			for _, x := range Values {
				set(x)
				if text, _ := json.Marshal(x); !out(path + " = " + string(text)) {
					return false
				}
			}
			set(v)
			if drop != nil {
				undo := drop()
				if !out(path + " left out") {
					return false
				}
				undo()
			}
			switch v := v.(type) {
			case map[string]any:
				for _, k := range slices.Sorted(maps.Keys(v)) {
					old := v[k]
					ok := walk(path+"."+k, old, func(x any) { v[k] = x }, func() func() { delete(v, k); return func() { v[k] = old } })
					if !ok {
						return false
					}
				}
			case []any:
				for i := range min(len(v), 2) {
					if !walk(fmt.Sprintf("%s[%d]", path, i), v[i], func(x any) { v[i] = x }, nil) {
						return false
					}
				}
			}
			return true
		}
		walk("", root, func(x any) { root = x }, nil)
	}
}
