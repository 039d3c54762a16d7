package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gollava/gollava/internal/safetensors"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// openDir takes the lock of Options.Dir and, if there is something to resume, goes on from it. notes are to be said
// once somebody can hear them.
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
	found, err := first(s, s.claim)
	notes = found.Notes
	if err == nil {
		err = s.sameDir()
	}
	if err != nil {
		return notes, err
	}
	if found.Name == "" {
		if s.o.Resume {
			notes = append(notes, fmt.Sprintf("%s holds no checkpoint to resume: beginning anew", s.o.Dir))
		}
		return notes, nil
	}
	s.known = found.Known
	said, err := s.adopt(found.Name)
	if err = s.agree(err); err != nil {
		return notes, fmt.Errorf("resume from %s: %w", filepath.Join(s.o.Dir, found.Name), err)
	}
	path := filepath.Join(s.o.Dir, found.Name)
	if notes = append(notes, said...); s.at.Stage == len(s.plan) {
		return append(notes, fmt.Sprintf("the run was finished: %s is its end, and nothing is left to train", path)), nil
	}
	return append(notes, "going on from "+path), nil
}

// found is what there is to resume.
type found struct {
	Name  string   // of the newest whole checkpoint; "": none
	Known []string // that look whole, oldest first
	Notes []string
}

// claim takes the lock of Options.Dir, tidies up, and looks for a checkpoint.
func (s *session) claim() (f found, err error) {
	if err := os.MkdirAll(s.o.Dir, 0o777); err != nil {
		return f, fmt.Errorf("directory of the run: %w", err)
	}
	l, dead, err := acquire(s.o.Dir)
	if err != nil {
		return f, err
	}
	s.lock = l
	if dead != 0 {
		f.Notes = append(f.Notes, fmt.Sprintf("process %d ended without giving back %s; taking it over", dead, s.o.Dir))
	}
	if err := s.sweep(); err != nil {
		return f, err
	}
	names, err := checkpoints(s.o.Dir)
	if err != nil || len(names) == 0 {
		return f, err
	}
	if !s.o.Resume {
		return f, fmt.Errorf("%s holds checkpoints of an earlier run, the newest %s: resume it (--resume), or choose "+
			"another folder", s.o.Dir, names[len(names)-1])
	}
	for _, name := range names {
		if _, err := readManifest(filepath.Join(s.o.Dir, name)); err == nil {
			f.Known = append(f.Known, name)
		}
	}
	var said []string
	f.Name, said, err = newest(s.o.Dir, names)
	f.Notes = append(f.Notes, said...)
	return f, err
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
	return "", notes, fmt.Errorf("none of the %d checkpoints in %s is whole (%s): start anew in another directory",
		len(names), dir, strings.Join(notes, "; "))
}

// adopt makes the run's state that of a verified checkpoint and fills in the weights. The optimizer's part waits for
// [session.load].
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
		return nil, fmt.Errorf("the config differs: %s; restore it, or start anew in another directory",
			differ(st.Config, config))
	}
	if st.State.Stage < 0 || st.State.Stage > len(s.plan) || st.State.Step < 0 || st.State.Micro < 0 {
		return nil, fmt.Errorf("it is at stage %d, step %d, which this run does not have", st.State.Stage, st.State.Step)
	}
	if st.Unit != tensor.Unit() && st.State.Stage < len(s.plan) {
		differ := fmt.Sprintf("it was computed on %s, and this process computes on %s, which rounds differently", st.Unit,
			tensor.Unit())
		if !s.o.AnyUnit {
			_, level, _ := strings.Cut(st.Unit, "/")
			level, _, _ = strings.Cut(level, "+")
			return nil, fmt.Errorf("%s: the run would not end in the bits of one that was never interrupted; resume on such a "+
				"processor (GOLLAVA_CPU=%s, if this one has it), "+
				"or allow any unit (Options.AnyUnit, flag --any-unit)", differ, level)
		}
		notes = append(notes, differ)
	}
	w, err := safetensors.Open(filepath.Join(s.o.Dir, name, weightsFile))
	if err != nil {
		return nil, err
	}
	defer w.Close()
	if err := s.sameModel(st.Model, func(n string) bool { _, ok := w.Info(n); return ok }); err != nil {
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

// optimizer lists the tensors of the stage in progress beside the weights, of a sharded one this rank's.
func (s *session) optimizer() []piece {
	var ps []piece
	add := func(kind, name string, x *tensor.Tensor) {
		if x != nil {
			ps = append(ps, piece{kind + "/" + name, x})
		}
	}
	for _, t := range s.all {
		add("m", t.name, t.m)
		add("v", t.name, t.v)
		add("master", t.name, t.master)
		add("ema", t.name, t.ema)
		if s.at.Micro > 0 {
			add("grad", t.name, t.p.Grad())
		}
	}
	for _, x := range s.own {
		name := fmt.Sprintf("%s@%d", x.of.name, x.from)
		add("m", name, x.m)
		add("v", name, x.v)
		add("master", name, x.master)
		add("ema", name, x.ema)
	}
	return ps
}

// load fills in optimizer and gradients of the stage from a checkpoint of it, by however many ranks it was written.
// weights also restores the parameters.
func (s *session) load(name string, weights bool) error {
	dir := filepath.Join(s.o.Dir, name)
	o, err := openShards(dir)
	if err != nil {
		return err
	}
	defer o.close()
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
		if o.has("grad/"+t.name) && !weights {
			t.p.SetGrad(tensor.New(t.p.Shape()...).To(t.p.Device()))
			if err := o.read("grad/"+t.name, 0, t.p.Grad()); err != nil {
				return err
			}
		}
	}
	for _, p := range s.optimizer() {
		if strings.HasPrefix(p.name, "grad/") {
			continue
		}
		name, from := position(p.name)
		if err := o.read(name, from, p.t); err != nil {
			return err
		}
	}
	return nil
}

// fingerprint describes every parameter; of those that never trained also by all of their bits, so that another model's
// are noticed.
func (s *session) fingerprint() map[string]string {
	moved := make(map[string]bool, len(s.moved))
	for _, m := range s.moved {
		moved[m.name] = true
	}
	return s.describeParams(func(name string) bool { return moved[name] })
}

func (s *session) describeParams(moved func(string) bool) map[string]string {
	out := map[string]string{}
	for name, p := range nn.Params(s.model) {
		d := fmt.Sprintf("%v%v", p.DType(), p.Shape())
		if !moved(name) && !p.IsMeta() && p.Len() > 0 {
			d += " " + s.checksum(p)
		}
		out[name] = d
	}
	return out
}

// checksum is that of a frozen parameter's bits, computed once in a run.
func (s *session) checksum(p *tensor.Tensor) string {
	sum, ok := s.sums[p]
	if !ok {
		b := p.Host().Bytes()
		sum = fmt.Sprintf("%08x%08x", crc32.Checksum(b, castagnoli), crc32.ChecksumIEEE(b))
		if s.sums == nil {
			s.sums = map[*tensor.Tensor]string{}
		}
		s.sums[p] = sum
	}
	return sum
}

// sameModel returns an error that names the first parameter in which the model is not the one that a checkpoint was
// taken of.
func (s *session) sameModel(was map[string]string, moved func(string) bool) error {
	is := s.describeParams(moved)
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
			return fmt.Errorf("it is of another model: frozen parameter %s has other values; load the weights that the run "+
				"began with", name)
		}
	}
	return nil
}

// remember keeps a copy of the state in memory, where a run without a directory goes back to.
func (s *session) remember() error {
	if s.all == nil {
		return nil
	}
	if err := s.allFinite(); err != nil {
		return err
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
	visit := func(xs ...*tensor.Tensor) {
		for _, x := range xs {
			if x != nil {
				f(x)
			}
		}
	}
	for _, t := range s.all {
		visit(t.p, t.m, t.v, t.master, t.ema)
	}
	for _, x := range s.own {
		visit(x.m, x.v, x.master, x.ema)
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
	good, err := first(s, s.lastGood)
	if err != nil {
		return 0, err
	}
	if good.Step == 0 && good.Micro == 0 {
		return 0, s.agree(s.restart(filepath.Join(s.o.Dir, good.Name)))
	}
	s.at.Updates = good.Updates
	return good.Step, s.agree(s.load(good.Name, true))
}

// good is a checkpoint to go back to.
type good struct {
	Name                 string
	Step, Micro, Updates int
}

// lastGood finds the newest whole checkpoint of the stage that no bad step had come before.
func (s *session) lastGood() (g good, err error) {
	names, err := checkpoints(s.o.Dir)
	if err != nil {
		return g, err
	}
	names = slices.DeleteFunc(names,
		func(n string) bool { return !strings.HasPrefix(n, fmt.Sprintf("checkpoint-%02d-", s.at.Stage+1)) })
	if len(names) == 0 {
		return g, fmt.Errorf("there is no checkpoint of this stage to go back to (set Every)")
	}
	var st stored
	for ok := false; !ok; ok = st.State.Bad == 0 {
		if g.Name, _, err = newest(s.o.Dir, names); err != nil {
			return g, fmt.Errorf("there is no good checkpoint of this stage to go back to (set Every): %w", err)
		}
		if st, err = readState(filepath.Join(s.o.Dir, g.Name)); err != nil {
			return g, err
		}
		names = names[:slices.Index(names, g.Name)]
	}
	g.Step, g.Micro, g.Updates = st.State.Step, st.State.Micro, st.State.Updates
	return g, nil
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
			if x != nil {
				x.Fill(0)
			}
		}
		for _, x := range []*tensor.Tensor{t.master, t.ema} {
			if x != nil {
				x.CopyFrom(t.p)
			}
		}
	}
	if s.sharded() {
		ema := 0.0
		if len(s.own) > 0 && s.own[0].ema != nil {
			ema = 1
		}
		prepareShards(s.own, ema)
	}
	s.at.Updates = 0
	return nil
}
