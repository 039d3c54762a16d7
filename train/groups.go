package train

import (
	"fmt"
	"sort"
	"strings"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// trained is a parameter that a stage trains, with its optimizer state.
type trained struct {
	name  string
	p     *tensor.Tensor
	group int
	decay float64

	m, v   *tensor.Tensor // float32, of p's shape
	master *tensor.Tensor // float32 value of a bfloat16 parameter, else nil
	ema    *tensor.Tensor // nil without averaging
	zero   *tensor.Tensor // gradient of a step that did not use p, made when first needed

	sum    *tensor.Tensor // gradient of the step's earlier micro-batches, while another is computed
	blocks []*block       // its pieces, of a run of several ranks
	whole  *tensor.Tensor // its gradient over all ranks
}

// resolve finds the parameters of each group, in the model's order, and freezes all others. Errors name the group and
// the parameter.
func resolve(model any, groups []Group) ([]*trained, error) {
	if len(groups) == 0 {
		return nil, fmt.Errorf("no parameter groups: nothing would train; add one such as {Params: \"**\", LR: 1e-3}")
	}
	var all []*trained
	hits := make([]int, len(groups))
	excepted := make([]int, len(groups))
	for name, p := range nn.Params(model) {
		p.SetTrainable(false)
		var mine *trained
		for i, g := range groups {
			if !nn.Match(g.Params, name) {
				continue
			}
			if matchAny(g.Except, name) {
				excepted[i]++
				continue
			}
			if mine != nil {
				return nil, fmt.Errorf("parameter %s is in two groups, %q and %q: narrow one, or exclude it with Except", name,
					groups[mine.group].Params, g.Params)
			}
			mine = &trained{name: name, p: p, group: i, decay: g.WeightDecay}
			if matchAny(g.NoDecay, name) {
				mine.decay = 0
			}
			hits[i]++
		}
		if mine != nil {
			if p.IsMeta() {
				return nil, fmt.Errorf("parameter %s of group %q has no weights yet: load a checkpoint, or build the model with "+
					"a random source", name, groups[mine.group].Params)
			}
			if p.DType().Quantized() {
				return nil, fmt.Errorf("parameter %s of group %q is in blocks (%v), which do not train: train "+
					"adapters over it (LoRA), or load it as float32",
					name, groups[mine.group].Params, p.DType())
			}
			all = append(all, mine)
		}
	}
	for i, n := range hits {
		switch {
		case n == 0 && excepted[i] > 0:
			return nil, fmt.Errorf("group %q: Except takes out every parameter that it matches", groups[i].Params)
		case n == 0:
			return nil, fmt.Errorf("group %q matches no parameter; the model has %s", groups[i].Params, examples(model))
		}
		if !(groups[i].LR >= 0) || !(groups[i].WeightDecay >= 0) {
			return nil, fmt.Errorf("group %q: lr %v and weight_decay %v must not be negative", groups[i].Params, groups[i].LR,
				groups[i].WeightDecay)
		}
	}
	for _, t := range all {
		t.p.SetTrainable(true)
	}
	return all, nil
}

func matchAny(patterns []string, name string) bool {
	for _, p := range patterns {
		if nn.Match(p, name) {
			return true
		}
	}
	return false
}

// examples names the top-level parts of a model.
func examples(model any) string {
	seen := map[string]bool{}
	for name := range nn.Params(model) {
		seen[part(name)+".**"] = true
	}
	var names []string
	for n := range seen {
		names = append(names, n)
	}
	if names == nil {
		return "none at all"
	}
	sort.Strings(names)
	return strings.Join(names, ", ")
}

// part is the first element of a name: the tower that a parameter belongs to.
func part(name string) string {
	head, _, _ := strings.Cut(name, ".")
	return head
}

// prepare gives the parameters fresh optimizer state, all of it on every rank.
func prepare(all []*trained, ema float64) {
	for _, t := range all {
		shape, at := t.p.Shape(), t.p.Device()
		t.m, t.v = tensor.New(shape...).To(at), tensor.New(shape...).To(at)
		if t.p.DType() == tensor.BFloat16 {
			t.master = t.p.Detach().Cast(tensor.Float32).Clone()
		}
		if ema > 0 {
			t.ema = t.value().Clone()
		}
	}
}

// value is the float32 truth of a parameter.
func (t *trained) value() *tensor.Tensor {
	if t.master != nil {
		return t.master
	}
	return t.p.Detach()
}

// keys lists the keys of both maps, sorted.
func keys(a, b map[string]any) []string {
	var ks []string
	for k := range a {
		ks = append(ks, k)
	}
	for k := range b {
		if _, ok := a[k]; !ok {
			ks = append(ks, k)
		}
	}
	sort.Strings(ks)
	return ks
}

// describe says what trains.
func (r *runner[B]) describe() string {
	var groups []string
	for i, n := range r.values() {
		groups = append(groups, fmt.Sprintf("%d values of %s", n, r.stage.Groups[i].Params))
	}
	return strings.Join(groups, " and ") + " train, the rest is frozen"
}

// values is how many values train, of each group.
func (r *runner[B]) values() []int {
	n := make([]int, len(r.stage.Groups))
	for _, t := range r.all {
		n[t.group] += t.p.Len()
	}
	return n
}
