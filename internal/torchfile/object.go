package torchfile

import (
	"errors"
	"fmt"
	"math"

	"github.com/gollava/gollava/internal/safetensors"
)

// dtypes are the storages that may be named, and safetensors' names for what they hold.
var dtypes = map[global]string{
	"torch FloatStorage": "F32", "torch HalfStorage": "F16", "torch BFloat16Storage": "BF16",
	"torch DoubleStorage": "F64",
	"torch LongStorage":   "I64", "torch IntStorage": "I32", "torch ShortStorage": "I16", "torch CharStorage": "I8",
	"torch ByteStorage": "U8", "torch BoolStorage": "BOOL",
}

// The other names that may occur.
const (
	orderedDict      global = "collections OrderedDict"
	rebuildTensor    global = "torch._utils _rebuild_tensor_v2"
	rebuildParameter global = "torch._utils _rebuild_parameter"
)

// storage is raw memory that tensors look into.
type storage struct {
	key   string
	dtype string
	len   int64 // elements
	at    int64 // where it begins in the file
	found bool
}

// view is a tensor: an offset and strides into a storage, in elements.
type view struct {
	storage *storage
	offset  int64
	shape   []int
	strides []int64
}

// object runs the opcodes that name and make objects. Anything that is not on the list is refused by its name.
func (m *machine) object(op byte) error {
	switch op {
	case 'c', 0x93: // GLOBAL, STACK_GLOBAL
		module, name, err := m.named(op)
		if err != nil {
			return err
		}
		g := global(module + " " + name)
		if g != orderedDict && g != rebuildTensor && g != rebuildParameter && dtypes[g] == "" {
			return fmt.Errorf("the pickle names %s.%s, which is not one of the few things that weights need: it is "+
				"refused, nothing of it ran", module, name)
		}
		return m.push(g)
	case 'Q': // BINPERSID
		id, err := m.pop()
		if err != nil {
			return err
		}
		v, err := m.persist(id)
		return m.pushed(v, err)
	}
	arg, err := m.pop()
	if err != nil {
		return err
	}
	if op == 'b' { // BUILD: a state_dict has attributes that do not matter
		v, err := m.top()
		if _, ok := v.(*dict); err == nil && !ok {
			err = fmt.Errorf("the pickle sets attributes of %s", kind(v))
		}
		return err
	}
	f, err := m.pop() // REDUCE
	if err != nil {
		return err
	}
	g, ok := f.(global)
	args, tup := arg.(tuple)
	if !ok || !tup {
		return fmt.Errorf("the pickle calls %s", kind(f))
	}
	v, err := reduce(g, args)
	return m.pushed(v, err)
}

func (m *machine) named(op byte) (module, name string, err error) {
	if op == 'c' {
		if module, err = m.line(); err == nil {
			name, err = m.line()
		}
		return module, name, err
	}
	n, err := m.pop()
	if err != nil {
		return "", "", err
	}
	mod, err := m.pop()
	if err != nil {
		return "", "", err
	}
	name, ok := n.(string)
	module, ok2 := mod.(string)
	if !ok || !ok2 {
		err = errors.New("the pickle names an object by something that is no text")
	}
	return module, name, err
}

// reduce makes what a call of g would return.
func reduce(g global, args tuple) (any, error) {
	switch {
	case g == orderedDict && len(args) == 0:
		return &dict{}, nil
	case g == orderedDict && len(args) == 1: // a list of pairs
		l, ok := args[0].(*list)
		if !ok {
			break
		}
		d := &dict{}
		for _, p := range l.items {
			var pair []any
			switch p := p.(type) {
			case tuple:
				pair = p
			case *list:
				pair = p.items
			}
			if len(pair) != 2 {
				return nil, fmt.Errorf("OrderedDict of %s", kind(p))
			}
			d.keys, d.values = append(d.keys, pair[0]), append(d.values, pair[1])
		}
		return d, nil
	case g == rebuildParameter && len(args) == 3:
		if v, ok := args[0].(*view); ok {
			return v, nil
		}
	case g == rebuildTensor && (len(args) == 6 || len(args) == 7):
		return newView(args)
	}
	return nil, fmt.Errorf("the pickle calls %s with %d arguments that do not fit", g, len(args))
}

// maxRank is far above any real tensor's.
const maxRank = 64

// newView checks that every element of the tensor lies in its storage.
func newView(args tuple) (*view, error) {
	s, ok := args[0].(*storage)
	offset, ok2 := args[1].(int64)
	size, ok3 := args[2].(tuple)
	stride, ok4 := args[3].(tuple)
	if !ok || !ok2 || !ok3 || !ok4 || len(size) != len(stride) || len(size) > maxRank || offset < 0 {
		return nil, errors.New("a tensor's description makes no sense")
	}
	dims, ok := integers(size)
	strides, ok2 := integers(stride)
	if !ok || !ok2 {
		return nil, errors.New("a tensor whose size or stride is not of whole numbers ≥ 0")
	}
	v := &view{storage: s, offset: offset, shape: make([]int, len(dims)), strides: strides}
	last, count := offset, int64(1) // largest element, and how many
	empty := false
	for i, d := range dims {
		v.shape[i] = int(d)
		if d == 0 {
			empty = true
			continue
		}
		if st := strides[i]; st > 0 && d-1 > (math.MaxInt64-last)/st || count > math.MaxInt64/16/d || int64(int(d)) != d {
			return nil, fmt.Errorf("a tensor of size %v and stride %v overflows", dims, strides)
		}
		last += (d - 1) * strides[i]
		count *= d
	}
	switch {
	case empty && offset > s.len, !empty && last >= s.len:
		return nil, fmt.Errorf("a tensor of size %v, stride %v and offset %d reaches beyond its storage of %d elements",
			dims, strides, offset, s.len)
	case !empty && count > max(s.len, 1<<20): // a stride of 0 repeats elements
		return nil, fmt.Errorf("a tensor of size %v repeats a storage of %d elements too often", dims, s.len)
	}
	return v, nil
}

func integers(t tuple) ([]int64, bool) {
	out := make([]int64, len(t))
	for i, v := range t {
		n, ok := v.(int64)
		if !ok || n < 0 {
			return nil, false
		}
		out[i] = n
	}
	return out, true
}

// contiguous reports whether the elements lie one after another.
func (v *view) contiguous() bool {
	n := int64(1)
	for i := len(v.shape) - 1; i >= 0; i-- {
		if v.shape[i] != 1 && v.strides[i] != n {
			return v.len() == 0
		}
		n *= int64(v.shape[i])
	}
	return true
}

func (v *view) len() int64 {
	n := int64(1)
	for _, d := range v.shape {
		n *= int64(d)
	}
	return n
}

// size is the number of bytes of n elements of a dtype of the list.
func size(dtype string, n int64) int64 {
	b, _ := safetensors.Size(dtype, []int{1})
	return n * b
}

// kind names a value for messages.
func kind(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case tuple:
		return "a tuple"
	case *list:
		return "a list"
	case *dict:
		return "a dict"
	case *view:
		return "a tensor"
	case *storage:
		return "a storage"
	case global:
		return string(v)
	case string:
		return "a text"
	}
	return fmt.Sprintf("%T", v)
}
