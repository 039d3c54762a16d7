package nn

import (
	"reflect"

	"github.com/gollava/gollava/tensor"
)

// Share returns a second model over the same weights: every layer and every parameter is its own, but parameters use
// the storage of m's. What is done to its layers ([Map], an adapter) and which of its parameters train does not touch
// m; tied weights stay tied. Values that are written into a parameter are seen by both, a storage that a parameter is
// given (SetStorage) by one. Parts that are not layers or parameters, such as configurations and tables, are shared.
// Nobody may change m meanwhile; it may compute.
func Share[M any](m M) M {
	s := sharer{parts: map[any]reflect.Value{}}
	v := reflect.New(reflect.TypeFor[M]()).Elem()
	v.Set(s.copy(reflect.ValueOf(&m).Elem()))
	return v.Interface().(M)
}

// sharer keeps what was copied, by its pointer, so that what is one stays one.
type sharer struct{ parts map[any]reflect.Value }

func (s sharer) copy(v reflect.Value) reflect.Value {
	switch v.Kind() {
	case reflect.Interface:
		if v.IsNil() {
			return v
		}
		return s.copy(v.Elem())
	case reflect.Pointer:
		return s.pointer(v)
	case reflect.Slice:
		if v.IsNil() || !holdsModules(v.Type().Elem()) {
			return v
		}
		out := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		for i := range v.Len() {
			out.Index(i).Set(s.copy(v.Index(i)))
		}
		return out
	case reflect.Struct:
		out := reflect.New(v.Type()).Elem()
		out.Set(v)
		s.fields(out)
		return out
	}
	return v
}

// pointer copies what v points to, once.
func (s sharer) pointer(v reflect.Value) reflect.Value {
	if v.IsNil() {
		return v
	}
	if out, ok := s.parts[v.Interface()]; ok {
		return out
	}
	if t, ok := v.Interface().(*tensor.Tensor); ok {
		own := t.Detach()
		own.SetTrainable(t.Trainable())
		s.parts[t] = reflect.ValueOf(own)
		return s.parts[t]
	}
	if v.Type().Elem().Kind() != reflect.Struct {
		return v
	}
	out := reflect.New(v.Type().Elem())
	s.parts[v.Interface()] = out
	out.Elem().Set(v.Elem())
	s.fields(out.Elem())
	return out
}

// fields replaces the layers and parameters that walk finds in a struct by copies.
func (s sharer) fields(v reflect.Value) {
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.IsExported() && holdsModules(f.Type) && f.Tag.Get("param") != "-" {
			v.Field(i).Set(s.copy(v.Field(i)))
		}
	}
}
