package mutate

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

const document = `{"a": [1, {"b": 2}, 3], "c": "d"}`

func TestAll(t *testing.T) {
	seen := map[string]string{}
	for what, b := range All([]byte(document)) {
		seen[what] = string(b)
	}
	require.Len(t, seen, 6*len(Values)+3)
	require.Equal(t, `{"a":[1,{"b":-1},3],"c":"d"}`, seen[".a[1].b = -1"])
	require.Equal(t, `{"a":[1,{"b":2},3]}`, seen[".c left out"])
	require.Equal(t, `null`, seen[" = null"])
}

// One program reaches every place with every value, and several places one after another.
func TestVariant(t *testing.T) {
	all, reached := map[string]bool{}, map[string]bool{}
	for _, b := range All([]byte(document)) {
		all[string(b)] = true
	}
	d := Read([]byte(document))
	for p := range byte(6) {
		for what := range byte(len(Values) + 1) {
			b := d.Variant([]byte{0, p, what}, []byte("[1"))
			if json.Valid(b) {
				require.True(t, all[string(b)], "%s", b)
				reached[string(b)] = true
			}
		}
	}
	require.Len(t, reached, len(all))
	last := byte(len(Values) + 1)
	require.Equal(t, `{"a":[-1,{"b":2},3],"c":[1}`,
		string(d.Variant([]byte{0, 2, 1, 0, 5, last}, []byte("[1"))))
	require.Equal(t, `x`, string(d.Variant([]byte{0, 0, last}, []byte("x"))))
	d.Variant([]byte{0, 0, 12, 0, 1, 0}, nil)
	require.JSONEq(t, document, string(d.Variant(nil, nil)), "the document stays as it is")
	require.Nil(t, Values[12].(map[string]any)["a"], "the values stay as they are")
}
