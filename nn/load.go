package nn

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unsafe"

	"github.com/gollava/gollava/tensor"
)

// LoadOptions say how [Load] matches and keeps tensors. The zero value demands the very names of the model. The
// packages of whole systems have LoadOptions of their own: there names of tensors are the system's and no choice, what
// remains are DType and Alias, and where the parts of the system are.
type LoadOptions struct {
	// Rename translates a name in the file into the model's; "" drops the tensor. nil: they are the same.
	Rename func(name string) string

	// Ignore lists patterns ([Match]) of names in the file that may be there in vain.
	Ignore []string

	// Optional lists patterns of the model's parameters that may be missing from the file; they stay as they are.
	Optional []string

	// DType decides what a parameter is kept as, given its name and the dtype in the file, with float16 and float64
	// counted as float32. nil: as in the file. Scalars and vectors are kept in float32 in any case. A block type
	// ([tensor.Q8_0] and the others) is for the weights of [Linear] and [Embedding] layers; other parameters stay
	// float32. Where a row is no whole number of blocks, a near type takes its place, as in llama.cpp: Q5_0 for Q4_K,
	// Q5_1 for Q5_K, Q8_0 for Q6_K and float32 for the rest. Weights in blocks do not train. See [As].
	DType func(name string, stored tensor.DType) tensor.DType

	// Rounding lets products round their inputs where that is faster: with weights in blocks to eight bits
	// ([tensor.Tensor.SetRounding]), with weights kept in bfloat16 to bfloat16 ([tensor.Tensor.SetAutocast]). It is for
	// generating text.
	Rounding bool

	// Device is where the parameters are kept; the zero value is the host.
	Device tensor.Device

	// Alias lets tensors that need no conversion share the file's memory mapping where there is one. They must not be
	// written to, hence not be trained, and not be used after [Weights.Close].
	Alias bool
}

// As keeps every parameter as dt.
func As(dt tensor.DType) func(string, tensor.DType) tensor.DType {
	return func(string, tensor.DType) tensor.DType { return dt }
}

// Load fills the parameters of m from w. It is strict: if a parameter has no tensor of its name, a tensor no parameter,
// or two shapes differ, it changes nothing and returns one error that lists all of these, sorted by name. Tied
// parameters may be stored under any of their names; if they are stored under several, and differ, and nothing else is
// wrong, the error wraps [ErrTied]. Memory for all tensors is new, unless they alias and are kept on the host.
func Load(m any, w *Weights, o LoadOptions) error {
	jobs, err := plan(m, w, o)
	if err != nil {
		return err
	}
	type filled struct{ param, with *tensor.Tensor }
	var done []filled
	var reads []job
	matrices := matrices(m)
	for _, j := range jobs {
		dt, err := kept(j, o, matrices[j.to])
		if err != nil {
			return fmt.Errorf("load: %s: %w", j.from.file, err)
		}
		if o.Alias {
			if t := j.alias(dt); t != nil {
				done = append(done, filled{j.to, t})
				continue
			}
		}
		t := tensor.NewOf(dt, j.from.shape...)
		done = append(done, filled{j.to, t})
		reads = append(reads, job{j.name, j.from, t})
	}
	if err := fetch(reads); err != nil {
		return fmt.Errorf("load: %w", err)
	}
	for _, d := range done {
		d.param.SetStorage(d.with.To(o.Device))
		d.param.SetRounding(o.Rounding)
		d.param.SetAutocast(o.Rounding && d.with.DType() == tensor.BFloat16 && tensor.FastBFloat16())
	}
	return nil
}

// ErrTied is wrapped by the error of [Load] for tensors of a file that differ, though the model takes them for one.
var ErrTied = errors.New("differ, but the model ties them")

// Fit tells what Load would do without reading a tensor: as what dtype, in safetensors' spelling, each parameter is
// stored, and Load's error if the weights do not fit.
func Fit(m any, w *Weights, o LoadOptions) (map[string]string, error) {
	jobs, err := plan(m, w, o)
	dtypes := map[string]string{}
	name := map[*tensor.Tensor]string{}
	for n, p := range Params(m) {
		name[p] = n
	}
	for _, j := range jobs {
		dtypes[name[j.to]] = j.from.dtype
	}
	return dtypes, err
}

// matrices are the parameters that may be kept in blocks: the weights of linear layers and embeddings.
func matrices(m any) map[*tensor.Tensor]bool {
	found := map[*tensor.Tensor]bool{}
	walk(reflect.ValueOf(m), "", func(f field) bool {
		v := f.value
		if v.Kind() == reflect.Interface {
			v = v.Elem()
		}
		if v.Kind() == reflect.Pointer && v.IsNil() || !v.IsValid() {
			return true
		}
		switch l := v.Interface().(type) {
		case *Linear:
			found[l.Weight] = true
		case *Embedding:
			found[l.Weight] = true
		}
		return true
	})
	return found
}

// kept is the dtype that a parameter gets.
func kept(j job, o LoadOptions, matrix bool) (tensor.DType, error) {
	dt := tensor.Float32
	if j.from.dtype == "BF16" {
		dt = tensor.BFloat16
	} else if b, ok := tensor.ParseDType(j.from.dtype); ok && b.Quantized() {
		dt = b
	}
	stored := dt
	switch {
	case len(j.from.shape) < 2:
		return tensor.Float32, nil
	case o.DType != nil:
		if dt = o.DType(j.name, stored); dt == tensor.Int32 {
			tensor.Fail("Load", "parameter %s cannot be kept as %v", j.name, dt)
		}
	}
	switch {
	case !dt.Quantized():
		return dt, nil
	case !matrix:
		return tensor.Float32, nil
	case dt != stored && !dt.Blocks().CanEncode():
		return dt, fmt.Errorf("parameter %s: weights cannot be written as %v, only read", j.name, dt)
	}
	return fitting(dt, j.from.shape), nil
}

// fitting is dt, or what takes its place where rows are no whole number of its blocks.
func fitting(dt tensor.DType, shape []int) tensor.DType {
	for !tensor.Fits(dt, shape) {
		switch dt {
		case tensor.Q4_K:
			dt = tensor.Q5_0
		case tensor.Q5_K:
			dt = tensor.Q5_1
		case tensor.Q6_K:
			dt = tensor.Q8_0
		default:
			return tensor.Float32
		}
	}
	return dt
}

// alias is a tensor over the file's mapping, or nil if it cannot be: wrong dtype, no mapping, or an address that is not
// aligned.
func (j job) alias(dt tensor.DType) *tensor.Tensor {
	if j.from.mapped == nil || !native(j.from.dtype, dt) || j.to.Len() == 0 {
		return nil
	}
	b, err := j.from.mapped()
	if err == nil && dt.Quantized() {
		return tensor.WrapBlocks(dt, b, j.from.shape...)
	}
	if err != nil || uintptr(unsafe.Pointer(unsafe.SliceData(b)))%uintptr(dt.Bytes(1)) != 0 {
		return nil
	}
	if dt == tensor.BFloat16 {
		return tensor.WrapBFloat16(as[uint16](b), j.from.shape...)
	}
	return tensor.Wrap(as[float32](b), j.from.shape...)
}

// plan pairs the parameters of m with stored tensors.
func plan(m any, w *Weights, o LoadOptions) ([]job, error) {
	var faults []fault
	var tied error
	files := map[string]string{} // name in the model: name in the file
	for _, file := range w.Names() {
		if matchAny(o.Ignore, file) {
			continue
		}
		name := file
		if o.Rename != nil {
			name = o.Rename(file)
		}
		if name == "" {
			continue
		}
		if other, ok := files[name]; ok {
			faults = append(faults, fault{name, fmt.Sprintf("ambiguous   %s: both %q and %q of the file", name, other,
				file)})
		}
		files[name] = file
	}

	var jobs []job
	var order []*tensor.Tensor
	names := map[*tensor.Tensor][]string{} // all names of each parameter
	walk(reflect.ValueOf(m), "", func(f field) bool {
		if t, ok := f.value.Interface().(*tensor.Tensor); ok && t != nil {
			if names[t] == nil {
				order = append(order, t)
			}
			names[t] = append(names[t], f.name)
		}
		return true
	})
	for _, t := range order {
		found := ""
		for _, name := range names[t] {
			file, ok := files[name]
			if !ok {
				continue
			}
			delete(files, name)
			s := w.stored[file]
			if !slices.Equal(s.shape, t.Shape()) {
				faults = append(faults, fault{name, fmt.Sprintf("misshapen   %s: %v in the file, %v in the model", name,
					s.shape, t.Shape())})
			} else if err := convertible(s.dtype, tensor.Float32); err != nil {
				faults = append(faults, fault{name, fmt.Sprintf("unreadable  %s: %v", name, err)})
			} else if found == "" {
				jobs = append(jobs, job{name, s, t})
			} else if same, err := w.equal(found, file); err != nil {
				faults = append(faults, fault{name, fmt.Sprintf("unreadable  %s: %v", name, err)})
			} else if !same {
				tied = fmt.Errorf("%s: tensors %s and %s %w", w.path, found, file, ErrTied)
			}
			found = file
		}
		if found == "" && !matchAny(o.Optional, names[t][0]) {
			faults = append(faults, fault{names[t][0], fmt.Sprintf("missing     %s %v", names[t][0], t.Shape())})
		}
	}
	for name, file := range files {
		line := fmt.Sprintf("unexpected  %s %v", name, w.stored[file].shape)
		if name != file {
			line += fmt.Sprintf(" (%s in the file)", file)
		}
		faults = append(faults, fault{name, line})
	}
	if len(faults) == 0 {
		return jobs, tied
	}
	slices.SortStableFunc(faults, func(a, b fault) int { return strings.Compare(a.name, b.name) })
	lines := []string{fmt.Sprintf("%s: the weights do not fit the model:", w.path)}
	for _, f := range faults {
		lines = append(lines, "  "+f.line)
	}
	return jobs, errors.New(strings.Join(lines, "\n"))
}

type fault struct{ name, line string }

func matchAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return Match(p, name) })
}
