package nn

import (
	"iter"
	"path"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/gollava/gollava/tensor"
)

var (
	tensorType = reflect.TypeFor[*tensor.Tensor]()
	layerType  = reflect.TypeFor[Layer]()
)

// field is a place in a model that holds something: a parameter, a layer, a struct.
type field struct {
	name     string // dotted path of tags
	value    reflect.Value
	optional bool
}

// Params yields every parameter of m with its checkpoint name, in the order of declaration. A tensor that several
// fields share (tied weights) comes once, under its first name.
func Params(m any) iter.Seq2[string, *tensor.Tensor] {
	return func(yield func(string, *tensor.Tensor) bool) {
		seen := map[*tensor.Tensor]bool{}
		walk(reflect.ValueOf(m), "", func(f field) bool {
			t, ok := f.value.Interface().(*tensor.Tensor)
			if !ok || t == nil || seen[t] {
				return true
			}
			seen[t] = true
			return yield(f.name, t)
		})
	}
}

// To moves the parameters of m to device d, where all that is computed from them will be. A parameter without memory
// yet stays so; [LoadOptions].Device says where it is loaded. Gradients and optimizer state do not move along: call it
// before training.
func To(m any, d tensor.Device) {
	for _, p := range Params(m) {
		if !p.IsMeta() {
			p.SetStorage(p.Detach().To(d))
		}
	}
}

// Map replaces every field of type [Layer] in m by fn(name, l). It collects the fields first, inner before outer, so
// that it never enters what fn has just put in.
func Map(m any, fn func(name string, l Layer) Layer) {
	var sites []field
	walk(reflect.ValueOf(m), "", func(f field) bool {
		if f.value.Type() == layerType && !f.value.IsNil() {
			sites = append(sites, f)
		}
		return true
	})
	for _, s := range slices.Backward(sites) {
		l := s.value.Interface().(Layer)
		if next := fn(s.name, l); next != l {
			s.value.Set(reflect.ValueOf(&next).Elem())
		}
	}
}

// Layers yields every non-nil layer of m with its name: fields of type [Layer], and fields whose own type is one, such
// as *Linear.
func Layers(m any) iter.Seq2[string, Layer] {
	return func(yield func(string, Layer) bool) {
		walk(reflect.ValueOf(m), "", func(f field) bool {
			if k := f.value.Kind(); (k == reflect.Pointer || k == reflect.Interface) && f.value.IsNil() {
				return true
			}
			if l, ok := f.value.Interface().(Layer); ok {
				return yield(f.name, l)
			}
			return true
		})
	}
}

// Train arms every [Dropout] of m for one step: what it drops is a function of seed, step and its name.
func Train(m any, seed, step uint64) {
	eachDropout(m, func(name string, d *Dropout) { d.armed, d.key = true, tensor.DropoutKey(seed, step, name) })
}

// Eval disarms every [Dropout] of m.
func Eval(m any) {
	eachDropout(m, func(_ string, d *Dropout) { d.armed = false })
}

func eachDropout(m any, f func(name string, d *Dropout)) {
	walk(reflect.ValueOf(m), "", func(s field) bool {
		switch {
		case s.value.Type() == reflect.TypeFor[*Dropout]() && !s.value.IsNil():
			f(s.name, s.value.Interface().(*Dropout))
		case s.value.CanAddr() && s.value.Type() == reflect.TypeFor[Dropout]():
			f(s.name, s.value.Addr().Interface().(*Dropout))
		}
		return true
	})
}

// Match reports whether a dotted name matches a pattern: "*" and "?" match within one element as in path.Match, an
// element "**" matches any number of elements. It panics if the pattern is malformed.
func Match(pattern, name string) bool {
	return match(strings.Split(pattern, "."), strings.Split(name, "."))
}

func match(p, n []string) bool {
	switch {
	case len(p) == 0:
		return len(n) == 0
	case p[0] == "**":
		return match(p[1:], n) || len(n) > 0 && match(p, n[1:])
	case len(n) == 0:
		return false
	}
	ok, err := path.Match(p[0], n[0])
	if err != nil {
		tensor.Fail("Match", "pattern element %q: %v", p[0], err)
	}
	return ok && match(p[1:], n[1:])
}

// Locate adds to a *tensor.Error the path, within m, of the layer that it passed through. Other errors it returns as
// they are.
func Locate(m any, err error) error {
	te, ok := err.(*tensor.Error)
	if !ok || te.Layer == nil || te.Path != "" {
		return err
	}
	walk(reflect.ValueOf(m), "", func(f field) bool {
		v := f.value
		if v.Kind() == reflect.Interface {
			v = v.Elem()
		}
		if v.Kind() == reflect.Pointer && !v.IsNil() && v.Interface() == te.Layer {
			te.Path = f.name
			return false
		}
		return true
	})
	return te
}

// walk visits the exported fields below v, descending through pointers, interfaces, slices and structs. f sees a field
// before walk descends into it, and ends the walk by returning false.
func walk(v reflect.Value, name string, f func(field) bool) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() || v.Type() == tensorType {
			return true
		}
		return walk(v.Elem(), name, f)
	case reflect.Slice:
		if !holdsModules(v.Type().Elem()) {
			return true
		}
		for i := range v.Len() {
			n := element(name, i)
			if !f(field{name: n, value: v.Index(i)}) || !walk(v.Index(i), n, f) {
				return false
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			sf := v.Type().Field(i)
			if !sf.IsExported() || !holdsModules(sf.Type) {
				continue
			}
			tag, option, _ := strings.Cut(sf.Tag.Get("param"), ",")
			if tag == "-" {
				continue
			}
			n := name
			if option != "inline" {
				if tag == "" {
					tag = strings.ToLower(sf.Name)
				}
				n = join(name, tag)
			}
			if !f(field{n, v.Field(i), option == "optional"}) || !walk(v.Field(i), n, f) {
				return false
			}
		}
	}
	return true
}

// element names the i-th element of a slice: "layers" becomes "layers.0", and a tag that ends in #, such as "linear_#",
// "linear_1".
func element(name string, i int) string {
	if stem, ok := strings.CutSuffix(name, "#"); ok {
		return stem + strconv.Itoa(i+1)
	}
	return join(name, strconv.Itoa(i))
}

// holdsModules reports whether a field of type t may hold layers or parameters.
func holdsModules(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice:
		return t == tensorType || holdsModules(t.Elem())
	case reflect.Interface, reflect.Struct:
		return true
	}
	return false
}

func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "." + b
}
