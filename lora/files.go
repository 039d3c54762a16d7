package lora

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gollava/gollava/internal/atomicfile"
	"github.com/gollava/gollava/internal/torchfile"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// prefix begins every name in PEFT's files: PeftModel.base_model is a LoraModel, whose model is the base.
const prefix = "base_model.model."

// Files of an adapter. LLaVA's own repository keeps what else it trained, the connector, in the last.
var (
	adapterFiles = []string{"adapter_model.safetensors", "adapter_model.bin"}
	othersFiles  = []string{"non_lora_trainables.bin", "non_lora_trainables.safetensors"}
)

// stored is a tensor of an adapter's files.
type stored struct {
	weights *nn.Weights
	file    string // its name there
}

// files are an adapter's files, opened together.
type files struct {
	dir     string
	tensors map[string]stored // by the name in the program: model.layers.0.self_attn.q_proj.lora_A.weight
	close   []func() error
}

func (f *files) Close() {
	for _, c := range f.close {
		c()
	}
}

func openFiles(dir string) (*files, error) {
	f := &files{dir: dir, tensors: map[string]stored{}}
	for _, list := range [][]string{adapterFiles, othersFiles} {
		for _, name := range list {
			path := filepath.Join(dir, name)
			if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
				continue
			}
			w, err := nn.OpenWeights(path)
			if err != nil {
				f.Close()
				return nil, err
			}
			f.close = append(f.close, w.Close)
			for _, n := range w.Names() {
				if other, twice := f.tensors[canonical(n)]; twice && other.weights == w {
					f.Close()
					return nil, fmt.Errorf("%s: both %q and %q are %s", path, other.file, n, canonical(n))
				}
				f.tensors[canonical(n)] = stored{w, n}
			}
			break
		}
	}
	if len(f.close) == 0 {
		return nil, fmt.Errorf("%s: holds neither %s: %w", dir, strings.Join(adapterFiles, " nor "), fs.ErrNotExist)
	}
	return f, nil
}

// canonical translates the spellings of older versions of PEFT, and takes the prefix off.
func canonical(name string) string {
	name = strings.TrimPrefix(name, prefix)
	name = strings.ReplaceAll(name, ".modules_to_save.default.", ".")
	name = strings.ReplaceAll(name, ".base_layer.", ".")
	name = strings.ReplaceAll(name, ".lora_A.default.", ".lora_A.")
	name = strings.ReplaceAll(name, ".lora_B.default.", ".lora_B.")
	if stem, ok := strings.CutSuffix(name, ".weight"); ok && strings.HasSuffix(stem, ".lora_magnitude_vector") {
		name = stem
	}
	return name
}

// Load puts the adapter in dir, as PEFT or LLaVA's repository wrote it, around m: adapter_config.json with
// adapter_model.safetensors or .bin, and non_lora_trainables.bin if there is one. namings are the programs that may
// have written it; the first counts under which every tensor has its place in m, and none stands for the names of m.
// Everything but the adapter is frozen. It is strict: tensors that are missing, unexpected or misshapen are listed in
// one error, and m is as before.
func Load(m any, dir string, namings ...Naming) (*Adapter, error) {
	c, err := ReadConfig(dir)
	if err != nil {
		return nil, err
	}
	f, err := openFiles(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if len(namings) == 0 {
		namings = []Naming{nil}
	}
	var best error
	for _, n := range namings {
		a, err := f.load(m, c, n)
		if err == nil {
			return a, nil
		}
		if best == nil || len(err.Error()) < len(best.Error()) {
			best = err // the one with the fewest faults
		}
	}
	return nil, best
}

// load reads the files, if they fit m under the naming.
func (f *files) load(m any, c Config, naming Naming) (*Adapter, error) {
	match, err := newMatcher(&c)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(f.dir, "adapter_config.json"), err)
	}
	a := &Adapter{config: c, model: m, naming: naming}
	var faults []string
	left := maps.Clone(f.tensors)
	targets, first := map[string]bool{}, map[*tensor.Tensor]string{}
	for name, p := range nn.Params(m) {
		first[p] = name
	}
	// An adapter of a language model alone names layers that a vision tower around it has too; the parts without any
	// adapter are left alone.
	adapted := map[string]bool{}
	for name := range nn.Layers(m) {
		adapted[head(name)] = adapted[head(name)] || f.has(called(naming, name))
	}
	nn.Map(m, func(name string, l nn.Layer) nn.Layer {
		n := called(naming, name)
		lin, ok := l.(*nn.Linear)
		switch {
		case !ok:
			if _, twice := l.(*Linear); twice {
				faults = append(faults, fmt.Sprintf("has an adapter already, which must be merged or removed first: %s",
					name))
			}
		case f.has(n) || match.targeted(n) && adapted[head(name)]:
			if first[lin.Weight] != name+".weight" {
				faults = append(faults, fmt.Sprintf("not supported: an adapter of %s, whose weight is tied to %s", name,
					first[lin.Weight]))
			}
			if match.leftOut(n) {
				faults = append(faults, fmt.Sprintf("contradicts adapter_config.json: an adapter of %s, which "+
					"exclude_modules or layers_to_transform leaves out", n))
			}
			targets[name] = true
			faults = append(faults, f.layer(left, n, lin, match)...)
		}
		return l
	})
	params, bases := map[string]*tensor.Tensor{}, map[string]stored{}
	tied := tiedNames(m)
	for name, p := range nn.Params(m) {
		n := called(naming, name)
		s, ok := left[n]
		if ok && len(tied[p]) > 1 {
			continue // below
		}
		switch {
		case !ok && match.saved(n):
			faults = append(faults, fmt.Sprintf("missing     %s %v", n, p.Shape()))
		case !ok:
		case !slices.Equal(s.weights.Shape(s.file), p.Shape()):
			faults = append(faults, fmt.Sprintf("misshapen   %s: %v in the file, %v in the model", n,
				s.weights.Shape(s.file), p.Shape()))
			delete(left, n)
		case strings.Contains(s.file, ".base_layer."): // PEFT adds what lies below an adapter of an embedding or a head
			bases[name] = s
			delete(left, n)
		default:
			params[name] = p
			delete(left, n)
		}
	}
	for p, names := range tied {
		for _, name := range names {
			n := called(naming, name)
			s, ok := left[n]
			if !ok || len(names) < 2 {
				continue
			}
			delete(left, n)
			switch {
			case match.saved(n):
				faults = append(faults,
					fmt.Sprintf("not supported: %s trained in full, though it is tied to %s: PEFT parts the two", name,
						others(names, name)))
			case !slices.Equal(s.weights.Shape(s.file), p.Shape()):
				faults = append(faults, fmt.Sprintf("misshapen   %s: %v in the file, %v in the model", n,
					s.weights.Shape(s.file), p.Shape()))
			default: // PEFT adds the table of embeddings to an adapter of the head
				bases[first[p]] = s
			}
		}
	}
	for n, s := range left {
		faults = append(faults, fmt.Sprintf("unexpected  %s %v", s.file, s.weights.Shape(s.file))+hint(n))
	}
	if len(faults) > 0 {
		slices.Sort(faults)
		return nil, fmt.Errorf("%s: the adapter does not fit the model:\n  %s", f.dir, strings.Join(faults, "\n  "))
	}
	for name, p := range nn.Params(m) {
		if params[name] != nil {
			a.keep(name, p)
		}
	}
	for name, p := range nn.Params(m) {
		if s, ok := bases[name]; ok {
			if err := a.rebase(name, p, s); err != nil {
				a.Remove()
				return nil, err
			}
		}
	}
	a.wrap(match, targets, nil)
	for _, p := range a.named() {
		s := f.tensors[called(naming, p.name)]
		t, err := s.weights.Read(s.file, tensor.Float32)
		if err != nil {
			a.Remove()
			return nil, err
		}
		p.param.SetStorage(t)
	}
	return a, nil
}

// others joins all names but one.
func others(names []string, but string) string {
	return strings.Join(slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == but }), ", ")
}

// rebase gives a parameter of the base the values that the adapter's files hold of it, if they differ.
func (a *Adapter) rebase(name string, p *tensor.Tensor, s stored) error {
	t, err := s.weights.Read(s.file, tensor.Float32)
	if err != nil {
		return err
	}
	if p.IsMeta() {
		p.SetStorage(t)
		return nil
	}
	is := tensor.NewOf(p.DType(), p.Shape()...)
	is.CopyFrom(t)
	if bytes.Equal(is.Bytes(), p.Host().Bytes()) {
		return nil
	}
	a.rebased = append(a.rebased, part{name, p, alias(p)})
	p.SetStorage(is)
	return nil
}

// head is the first element of a name.
func head(name string) string {
	h, _, _ := strings.Cut(name, ".")
	return h
}

// has reports whether the files hold an adapter of that layer.
func (f *files) has(layer string) bool {
	_, ok := f.tensors[layer+".lora_A.weight"]
	return ok
}

// layer takes the tensors of one layer's adapter out of left and says what is wrong with them.
func (f *files) layer(left map[string]stored, n string, lin *nn.Linear, match *matcher) (faults []string) {
	out, in := lin.Weight.Dims2()
	r := match.rank(n)
	want := map[string][]int{".lora_A.weight": {r, in}, ".lora_B.weight": {out, r}}
	if match.c.DoRA {
		want[".lora_magnitude_vector"] = []int{out}
	}
	for kind, shape := range want {
		s, ok := left[n+kind]
		delete(left, n+kind)
		if !ok {
			faults = append(faults, fmt.Sprintf("missing     %s%s %v", n, kind, shape))
		} else if got := s.weights.Shape(s.file); !slices.Equal(got, shape) {
			faults = append(faults, fmt.Sprintf("misshapen   %s%s: %v in the file, %v by the config and the model", n,
				kind, got, shape))
		}
	}
	return faults
}

func hint(name string) string {
	switch {
	case strings.Contains(name, ".lora_embedding_"):
		return ": adapters of embeddings are not supported"
	case strings.Contains(name, ".lora_B.bias"):
		return ": lora_bias is not supported"
	case strings.HasSuffix(name, ".lora_magnitude_vector"):
		return ": adapter_config.json does not say use_dora"
	}
	return ""
}

// SaveOptions say how [Adapter.Save] writes.
type SaveOptions struct {
	// Others are the parts that train in full but are written apart, to non_lora_trainables.bin, as LLaVA's repository
	// does with its connector; patterns of [nn.Match] over the model's names. They are included whether or not the
	// adapter itself trained them.
	Others []string

	// Naming replaces that of the adapter.
	Naming Naming
}

// Save writes adapter_config.json and adapter_model.safetensors to dir, for PEFT, and what o.Others names. Every part
// that the adapter trains is there, the connector included if it is one of [Config].Save or of o.Others.
func (a *Adapter) Save(dir string, o SaveOptions) error {
	naming := o.Naming
	if naming == nil {
		naming = a.naming
	}
	apart := func(name string) bool {
		return slices.ContainsFunc(o.Others, func(p string) bool { return nn.Match(p, name) })
	}
	inside := map[string]bool{}
	c := a.config
	for _, p := range a.named() {
		if inside[p.name] = !apart(p.name); !inside[p.name] {
			c.Save = nil // PEFT would look for them in its own file
		}
	}
	bases := map[string]bool{}
	for _, p := range a.rebased {
		bases[p.name] = true
	}
	err := nn.Save(a.model, filepath.Join(dir, adapterFiles[0]), nn.SaveOptions{Rename: func(name string) string {
		stem, isWeight := strings.CutSuffix(called(naming, name), ".weight")
		switch {
		case inside[name]:
			return prefix + called(naming, name)
		case bases[name] && isWeight:
			return prefix + stem + ".base_layer.weight"
		}
		return ""
	}})
	if err != nil {
		return err
	}
	if len(o.Others) > 0 {
		if err := saveOthers(a.model, dir, naming, apart); err != nil {
			return err
		}
	}
	c.PeftType, c.InferenceMode = "LORA", true
	if c.Bias == "" {
		c.Bias = "none"
	}
	return atomicfile.Write(filepath.Join(dir, "adapter_config.json"), func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(c)
	})
}

// saveOthers writes non_lora_trainables.bin.
func saveOthers(m any, dir string, naming Naming, apart func(string) bool) error {
	var list []torchfile.Tensor
	for name, p := range nn.Params(m) {
		if !apart(name) || strings.Contains(name, ".lora_") {
			continue
		}
		dtype := map[tensor.DType]string{tensor.Float32: "F32", tensor.BFloat16: "BF16"}[p.DType()]
		list = append(list, torchfile.Tensor{Name: prefix + called(naming, name), DType: dtype, Shape: p.Shape(),
			Bytes: p.Host().Bytes()})
	}
	if len(list) == 0 {
		return fmt.Errorf("lora: save %s: the model has no parameter that the patterns of what to write apart fit", dir)
	}
	return torchfile.Write(filepath.Join(dir, othersFiles[0]), list)
}
