package jsonfile

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// Only returns an error that names the first field, by the alphabet, of the object raw whose value is none of those
// that harmless allows, as JSON: a field that would change the result and is not supported. A field that is missing or
// null is harmless.
func Only(raw []byte, harmless map[string][]string) error {
	var given map[string]json.RawMessage
	if err := Unmarshal(raw, &given); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(harmless)) {
		v, ok := given[name]
		if !ok || IsNull(v) {
			continue
		}
		if !slices.ContainsFunc(harmless[name], func(h string) bool { return equal(v, []byte(h)) }) {
			return fmt.Errorf("%s %s is not supported (%v is)", name, v, harmless[name])
		}
	}
	return nil
}

func equal(a, b []byte) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}
