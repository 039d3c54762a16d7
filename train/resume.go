package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gollava/gollava/internal/safetensors"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// openDir takes the lock of Options.Dir and, if there is something to resume, goes on from it. notes are to be said once somebody can hear them.
func (s *session) openDir() (notes []string, err error) {
	if s.fs == nil {
		s.fs = disk{}
	}
	if s.o.Keep == 0 {
		s.o.Keep = 2
	}
	if s.o.Keep < 0 {
		return nil, fmt.Errorf("keep %d is negative", s.o.Keep)
	}
	if s.o.Dir == "" {
		if s.o.Resume {
			return nil, fmt.Errorf("resume: there is no directory to resume from (set Dir)")
		}
		return nil, nil
	}
	if err := os.MkdirAll(s.o.Dir, 0o777); err != nil {
		return nil, fmt.Errorf("directory of the run: %w", err)
	}
	if s.comm().Rank() == 0 {
		l, dead, err := acquire(s.o.Dir)
		if err != nil {
			return nil, err
		}
		s.lock = l
		if dead != 0 {
			notes = append(notes, fmt.Sprintf("process %d ended without giving back %s; taking it over", dead, s.o.Dir))
		}
		if err := s.sweep(); err != nil {
			return notes, err
		}
	}
	names, err := checkpoints(s.o.Dir)
	if err != nil {
		return notes, err
	}
	if len(names) == 0 {
		return notes, nil
	}
	if !s.o.Resume {
		return notes, fmt.Errorf("%s holds checkpoints of an earlier run, the newest %s: set Resume to go on, or choose another directory", s.o.Dir, names[len(names)-1])
	}
	for _, name := range names {
		if _, err := readManifest(filepath.Join(s.o.Dir, name)); err == nil {
			s.known = append(s.known, name)
		}
	}
	name, said, err := newest(s.o.Dir, names)
	notes = append(notes, said...)
	if err != nil {
		return notes, err
	}
	if said, err = s.adopt(name); err != nil {
		return notes, fmt.Errorf("resume from %s: %w", filepath.Join(s.o.Dir, name), err)
	}
	return append(append(notes, said...), fmt.Sprintf("going on from %s", filepath.Join(s.o.Dir, name))), nil
}

// sweep removes what a killed process had not finished writing, and puts back what it had not finished replacing.
func (s *session) sweep() error {
	es, err := os.ReadDir(s.o.Dir)
	for _, e := range es {
		at := filepath.Join(s.o.Dir, e.Name())
		if name, ok := strings.CutPrefix(e.Name(), ".old-checkpoint-"); ok {
			to := filepath.Join(s.o.Dir, "checkpoint-"+name)
			if _, missing := os.Lstat(to); missing != nil {
				err = errors.Join(err, s.fs.Rename(at, to))
				continue
			}
			err = errors.Join(err, s.fs.RemoveAll(at))
		}
		if strings.HasPrefix(e.Name(), ".new-checkpoint-") {
			err = errors.Join(err, s.fs.RemoveAll(at))
		}
	}
	return err
}

// newest finds the last of names that is whole, and says which are not.
func newest(dir string, names []string) (name string, notes []string, err error) {
	for _, name := range slices.Backward(names) {
		at := filepath.Join(dir, name)
		m, err := readManifest(at)
		if err == nil {
			err = m.verify(at)
		}
		if err == nil {
			return name, notes, nil
		}
		notes = append(notes, fmt.Sprintf("%s is damaged: %v; trying the one before", at, err))
	}
	return "", notes, fmt.Errorf("none of the %d checkpoints in %s is whole (%s): start anew in another directory", len(names), dir, strings.Join(notes, "; "))
}

// adopt makes the run's state that of a verified checkpoint and fills in the weights. The optimizer's part waits for [session.load].
func (s *session) adopt(name string) (notes []string, err error) {
	st, err := readState(filepath.Join(s.o.Dir, name))
	if err != nil {
		return nil, err
	}
	config, err := json.Marshal(s.plan)
	if err != nil {
		return nil, err
	}
	if digest(config) != st.Hash {
		return nil, fmt.Errorf("the config differs: %s; restore it, or start anew in another directory", differ(st.Config, config))
	}
	if st.State.Stage < 0 || st.State.Stage > len(s.plan) || st.State.Step < 0 || st.State.Micro < 0 {
		return nil, fmt.Errorf("it is at stage %d, step %d, which this run does not have", st.State.Stage, st.State.Step)
	}
	if st.Unit != tensor.Unit() && st.State.Stage < len(s.plan) {
		differ := fmt.Sprintf("it was computed on %s, and this process computes on %s, which rounds differently", st.Unit, tensor.Unit())
		if !s.o.AnyUnit {
			_, level, _ := strings.Cut(st.Unit, "/")
			level, _, _ = strings.Cut(level, "+")
			return nil, fmt.Errorf("%s: the run would not end in the bits of one that was never interrupted; resume on such a processor (GOLLAVA_CPU=%s, if this one has it), "+
				"or allow any unit (Options.AnyUnit, flag --any-unit)", differ, level)
		}
		notes = append(notes, differ)
	}
	w, err := safetensors.Open(filepath.Join(s.o.Dir, name, weightsFile))
	if err != nil {
		return nil, err
	}
	defer w.Close()
	if err := sameModel(s.model, st.Model, func(n string) bool { _, ok := w.Info(n); return ok }); err != nil {
		return nil, err
	}
	for n, p := range nn.Params(s.model) {
		if _, ok := w.Info(n); !ok {
			continue
		}
		p.Allocate()
		if err := readPiece(w, n, p); err != nil {
			return nil, err
		}
		s.move(n, p)
	}
	s.at, s.last, s.resumed = st.State, name, name
	s.report.Stages = append(s.report.Stages, s.at.Done...)
	return notes, nil
}

func readState(dir string) (stored, error) {
	var st stored
	b, err := readSmall(filepath.Join(dir, stateFile))
	if err != nil {
		return st, err
	}
	if err := json.Unmarshal(b, &st); err != nil {
		return st, fmt.Errorf("%s: %w", stateFile, err)
	}
	return st, nil
}

// move notes that a parameter is part of checkpoints from now on.
func (s *session) move(name string, p *tensor.Tensor) {
	if !slices.ContainsFunc(s.moved, func(m piece) bool { return m.t == p }) {
		s.moved = append(s.moved, piece{name, p})
	}
}

// optimizer lists the tensors of the stage in progress beside the weights.
func (s *session) optimizer() []piece {
	var ps []piece
	for _, t := range s.all {
		add := func(kind string, x *tensor.Tensor) {
			if x != nil {
				ps = append(ps, piece{kind + "/" + t.name, x})
			}
		}
		add("m", t.m)
		add("v", t.v)
		add("master", t.master)
		add("ema", t.ema)
		if s.at.Micro > 0 {
			add("grad", t.p.Grad())
		}
	}
	return ps
}

// load fills in optimizer and gradients of the stage from a checkpoint of it. weights also restores the parameters.
func (s *session) load(name string, weights bool) error {
	dir := filepath.Join(s.o.Dir, name)
	o, err := safetensors.Open(filepath.Join(dir, optimizerFile))
	if err != nil {
		return err
	}
	defer o.Close()
	if weights {
		w, err := safetensors.Open(filepath.Join(dir, weightsFile))
		if err != nil {
			return err
		}
		defer w.Close()
		for _, t := range s.all {
			if err := readPiece(w, t.name, t.p); err != nil {
				return err
			}
		}
	}
	for _, t := range s.all {
		if _, ok := o.Info("grad/" + t.name); ok && !weights {
			t.p.SetGrad(tensor.New(t.p.Shape()...))
			if err := readPiece(o, "grad/"+t.name, t.p.Grad()); err != nil {
				return err
			}
		}
	}
	for _, p := range s.optimizer() {
		if strings.HasPrefix(p.name, "grad/") {
			continue
		}
		if err := readPiece(o, p.name, p.t); err != nil {
			return err
		}
	}
	return nil
}

// fingerprint describes every parameter; of those that never trained it samples the bits, so that another model's are noticed.
func (s *session) fingerprint() map[string]string {
	moved := make(map[string]bool, len(s.moved))
	for _, m := range s.moved {
		moved[m.name] = true
	}
	return fingerprint(s.model, func(name string) bool { return moved[name] })
}

func fingerprint(model any, moved func(string) bool) map[string]string {
	out := map[string]string{}
	for name, p := range nn.Params(model) {
		d := fmt.Sprintf("%v%v", p.DType(), p.Shape())
		if !moved(name) && !p.IsMeta() && p.Len() > 0 {
			h := fnv.New64a()
			b := p.Bytes()
			const samples, width = 64, 4
			for i := range samples {
				at := (len(b) - min(width, len(b))) / (samples - 1) * i
				h.Write(b[at : at+min(width, len(b))])
			}
			d += fmt.Sprintf(" %016x", h.Sum64())
		}
		out[name] = d
	}
	return out
}

// sameModel returns an error that names the first parameter in which the model is not the one that a checkpoint was taken of.
func sameModel(model any, was map[string]string, moved func(string) bool) error {
	is := fingerprint(model, moved)
	all := maps.Clone(was)
	maps.Copy(all, is)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		a, b := was[name], is[name]
		switch {
		case a == b:
		case a == "":
			return fmt.Errorf("it is of another model: that has no parameter %s", name)
		case b == "":
			return fmt.Errorf("it is of another model: this one has no parameter %s", name)
		case strings.HasSuffix(a, "]") || strings.HasSuffix(b, "]"):
			return fmt.Errorf("it is of another model: parameter %s was %s and is %s", name, a, b)
		default:
			return fmt.Errorf("it is of another model: frozen parameter %s has other values; load the weights that the run began with", name)
		}
	}
	return nil
}

// remember keeps a copy of the state in memory, where a run without a directory goes back to.
func (s *session) remember() error {
	if s.all == nil {
		return nil
	}
	if ok, bad := tensor.AllFinite(s.weights()); !ok {
		return fmt.Errorf("parameter %s is not finite", s.all[bad].name)
	}
	s.memory.step, s.memory.updates = s.at.Step, s.at.Updates
	fresh := s.memory.copies == nil
	i := 0
	s.mutable(func(t *tensor.Tensor) {
		if fresh {
			s.memory.copies = append(s.memory.copies, tensor.NewOf(t.DType(), t.Shape()...))
		}
		s.memory.copies[i].CopyFrom(t)
		i++
	})
	return nil
}

// mutable visits every tensor that a step changes.
func (s *session) mutable(f func(*tensor.Tensor)) {
	for _, t := range s.all {
		for _, x := range []*tensor.Tensor{t.p, t.m, t.v, t.master, t.ema} {
			if x != nil {
				f(x)
			}
		}
	}
}

// memory is the last good state of a run without a directory.
type memory struct {
	step, updates int
	copies        []*tensor.Tensor
}

// rollback puts the weights and the optimizer back to the last good state of the stage and returns its step.
func (s *session) rollback() (step int, err error) {
	if s.o.Dir == "" {
		if s.memory.copies == nil {
			return 0, fmt.Errorf("there is no earlier state to go back to (set Every)")
		}
		i := 0
		s.mutable(func(t *tensor.Tensor) {
			t.CopyFrom(s.memory.copies[i])
			i++
		})
		s.at.Updates = s.memory.updates
		return s.memory.step, nil
	}
	names, err := checkpoints(s.o.Dir)
	if err != nil {
		return 0, err
	}
	names = slices.DeleteFunc(names, func(n string) bool { return !strings.HasPrefix(n, fmt.Sprintf("checkpoint-%02d-", s.at.Stage+1)) })
	if len(names) == 0 {
		return 0, fmt.Errorf("there is no checkpoint of this stage to go back to (set Every)")
	}
	var name string
	var st stored
	for ok := false; !ok; ok = st.State.Bad == 0 {
		if name, _, err = newest(s.o.Dir, names); err != nil {
			return 0, fmt.Errorf("there is no good checkpoint of this stage to go back to (set Every): %w", err)
		}
		if st, err = readState(filepath.Join(s.o.Dir, name)); err != nil {
			return 0, err
		}
		names = names[:slices.Index(names, name)]
	}
	if st.State.Step == 0 && st.State.Micro == 0 {
		return 0, s.restart(filepath.Join(s.o.Dir, name))
	}
	s.at.Updates = st.State.Updates
	return st.State.Step, s.load(name, true)
}

// restart goes back to the checkpoint of the end of the stage before.
func (s *session) restart(dir string) error {
	w, err := safetensors.Open(filepath.Join(dir, weightsFile))
	if err != nil {
		return err
	}
	defer w.Close()
	for _, t := range s.all {
		if _, ok := w.Info(t.name); !ok {
			return fmt.Errorf("there is no checkpoint of this stage to go back to (set Every)")
		}
	}
	for _, t := range s.all {
		if err := readPiece(w, t.name, t.p); err != nil {
			return err
		}
		for _, x := range []*tensor.Tensor{t.m, t.v} {
			clear(x.Data())
		}
		for _, x := range []*tensor.Tensor{t.master, t.ema} {
			if x != nil {
				x.CopyFrom(t.p)
			}
		}
	}
	s.at.Updates = 0
	return nil
}
