package lora

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// Naming translates the name of a model's parameter or layer into what the program calls it that adapters are exchanged
// with. nil: it has the same.
type Naming = func(name string) string

func called(n Naming, name string) string {
	if n == nil {
		return name
	}
	return n(name)
}

// Adapter is what [Wrap] or [Load] has put into a model.
// It serves one goroutine at a time; the model that it is in may compute meanwhile.
type Adapter struct {
	config Config
	model  any
	naming Naming
	saved  []part

	rebased []part // parameters of the base that the adapter's files replace
}

// part is a parameter that trains in full.
type part struct {
	name  string
	param *tensor.Tensor
	base  *tensor.Tensor // what it was
}

// Wrap puts fresh adapters around the Linears of m that c targets, and prepares the parts in c.Save for training. A
// fresh adapter changes nothing (unless c.Init says so). Everything else is frozen. With a nil r the adapters are to be
// loaded. naming is nil if layers are called as in PEFT's program; c's names are those of the program. An entry of c
// that fits no layer is an error, as is a layer that cannot be adapted.
func Wrap(m any, c Config, r *rand.Rand, naming Naming) (*Adapter, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("lora: %w", err)
	}
	if c.Targets.Empty() {
		return nil, fmt.Errorf("lora: target_modules is empty: which layers are to be adapted?")
	}
	match, err := newMatcher(&c)
	if err != nil {
		return nil, fmt.Errorf("lora: %w", err)
	}
	a := &Adapter{config: c, model: m, naming: naming}
	targets, err := a.targets(match)
	if err != nil {
		return nil, fmt.Errorf("lora: %w", err)
	}
	if err := a.keepParts(match); err != nil {
		return nil, fmt.Errorf("lora: %w", err)
	}
	if err := match.unmatched(); err != nil {
		return nil, fmt.Errorf("lora: %w", err)
	}
	a.wrap(match, targets, r)
	return a, nil
}

// targets are the names of the layers to wrap.
func (a *Adapter) targets(match *matcher) (map[string]bool, error) {
	first := map[*tensor.Tensor]string{}
	for name, p := range nn.Params(a.model) {
		first[p] = name
	}
	targets := map[string]bool{}
	var err error
	nn.Map(a.model, func(name string, l nn.Layer) nn.Layer {
		switch lin, ok := l.(*nn.Linear); {
		case err != nil:
		case !ok:
			if _, twice := l.(*Linear); twice {
				err = fmt.Errorf("%s has an adapter already: merge or remove it first", name)
			}
		case !match.targeted(called(a.naming, name)):
		case first[lin.Weight] != name+".weight":
			err = fmt.Errorf("%s cannot get an adapter: its weight is tied to %s", name, first[lin.Weight])
		default:
			targets[name] = true
		}
		return l
	})
	if err == nil && len(targets) == 0 {
		err = fmt.Errorf("target_modules %v fits no Linear of the model", a.config.Targets)
	}
	return targets, err
}

// keepParts notes the parameters that train in full.
func (a *Adapter) keepParts(match *matcher) error {
	tied := tiedNames(a.model)
	for name, p := range nn.Params(a.model) {
		if !match.saved(called(a.naming, name)) {
			continue
		}
		if n := tied[p]; len(n) > 1 {
			return fmt.Errorf("modules_to_save: %s is tied to %s, of which PEFT would train copies: that is not "+
				"supported", n[0], n[1])
		}
		a.keep(name, p)
	}
	return nil
}

// keep gives a part memory of its own, in float32, so that the base's stays.
func (a *Adapter) keep(name string, p *tensor.Tensor) {
	if p.IsMeta() {
		a.saved = append(a.saved, part{name: name, param: p})
		return
	}
	a.saved = append(a.saved, part{name, p, alias(p)})
	own := tensor.NewOf(tensor.Float32, p.Shape()...).To(p.Device())
	own.CopyFrom(p)
	p.SetStorage(own)
}

// tiedNames lists all names of each parameter.
func tiedNames(m any) map[*tensor.Tensor][]string {
	names := map[*tensor.Tensor][]string{}
	for name, l := range nn.Layers(m) {
		if lin, ok := l.(*nn.Linear); ok {
			names[lin.Weight] = append(names[lin.Weight], name+".weight")
		}
	}
	for name, p := range nn.Params(m) {
		if !slices.Contains(names[p], name) {
			names[p] = append(names[p], name)
		}
	}
	return names
}

func (a *Adapter) wrap(match *matcher, targets map[string]bool, r *rand.Rand) {
	nn.Map(a.model, func(name string, l nn.Layer) nn.Layer {
		lin, ok := l.(*nn.Linear)
		if !ok || !targets[name] {
			return l
		}
		n := called(a.naming, name)
		return newLinear(r, lin, &a.config, match.rank(n), match.scale(n))
	})
	trains := map[*tensor.Tensor]bool{}
	for _, p := range a.Params() {
		trains[p] = true
	}
	for _, p := range nn.Params(a.model) {
		p.SetTrainable(trains[p])
	}
}

// Config is the adapter's.
func (a *Adapter) Config() Config { return a.config }

// Params yields what the adapter trains, under the names of PEFT's files: base_model.model.….
func (a *Adapter) Params() iter.Seq2[string, *tensor.Tensor] {
	return func(yield func(string, *tensor.Tensor) bool) {
		for _, p := range a.named() {
			if !yield(prefix+called(a.naming, p.name), p.param) {
				return
			}
		}
	}
}

// Patterns name the parameters that the adapter trains, as [nn.Match] reads them: the groups of a training stage.
func (a *Adapter) Patterns() []string {
	list := []string{"**.lora_*.**"}
	for _, p := range a.saved {
		list = append(list, p.name)
	}
	return list
}

// named lists what trains under the model's names.
func (a *Adapter) named() []part {
	var list []part
	each(a.model, func(name string, l *Linear) {
		list = append(list, part{name: name + ".lora_A.weight", param: l.A},
			part{name: name + ".lora_B.weight", param: l.B})
		if l.Magnitude != nil {
			list = append(list, part{name: name + ".lora_magnitude_vector", param: l.Magnitude})
		}
	})
	return append(list, a.saved...)
}

// Trainable is the number of values that train: r·(in+out) for each Linear, and those of the parts that train in full.
func (a *Adapter) Trainable() int {
	n := 0
	for _, p := range a.Params() {
		n += p.Len()
	}
	return n
}

// Remove takes the adapters off without folding them in, and restores the parts that trained: the base model as it was.
func (a *Adapter) Remove() {
	nn.Map(a.model, func(_ string, l nn.Layer) nn.Layer {
		if w, ok := l.(*Linear); ok {
			w.setMerged(false)
			return w.Base
		}
		return l
	})
	for _, p := range append(a.saved, a.rebased...) {
		if p.base != nil {
			p.param.SetStorage(p.base)
		}
	}
	a.saved, a.rebased = nil, nil
}
