package serve

import "encoding/json"

// ordered is a JSON object that remembers the order of its keys: answers have their properties in the order of the
// schema.
type ordered struct {
	keys []string
	get  map[string]any
}

// readOrdered reads a value, of which objects are *ordered, lists []any and numbers json.Number.
func readOrdered(d *json.Decoder) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t {
	case json.Delim('['):
		list := []any{}
		for d.More() {
			v, err := readOrdered(d)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err := d.Token()
		return list, err
	case json.Delim('{'):
		o := &ordered{get: map[string]any{}}
		for d.More() {
			key, err := d.Token()
			if err != nil {
				return nil, err
			}
			v, err := readOrdered(d)
			if err != nil {
				return nil, err
			}
			name, _ := key.(string)
			if _, twice := o.get[name]; !twice {
				o.keys = append(o.keys, name)
			}
			o.get[name] = v
		}
		_, err := d.Token()
		return o, err
	}
	return t, nil
}

// MarshalJSON writes the keys in their order.
func (o *ordered) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, key := range o.keys {
		k, err := json.Marshal(key)
		if err != nil {
			return nil, err
		}
		v, err := json.Marshal(o.get[key])
		if err != nil {
			return nil, err
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, k...), ':'), v...)
	}
	return append(b, '}'), nil
}
