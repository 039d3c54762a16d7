package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gollava/gollava/tensor"
)

// writing is a checkpoint under way. A goroutine writes this rank's files while the next step computes its gradients,
// which changes no tensor of a checkpoint; [session.hold] is called before something does. Once all ranks have written
// theirs, another makes it a checkpoint, both started by [session.begin] and [session.complete].
type writing struct {
	name, tmp string
	at        state             // that it is of
	state     []byte            // state.json
	improved  []string          // keys of state.Best that it is the best of
	was       map[string]bestOf // state.Best before
	stood     time.Duration     // how long training has waited for it

	from   *source
	files  []fileInfo // of this rank
	shared bool       // all ranks' files are written, and what is under way makes it a checkpoint
	done   chan struct{}
	err    error // once done is closed; panic too
	panic  any
}

// behind runs f on a goroutine of its own, and closes done at its end.
func (w *writing) behind(f func() error) {
	w.done = make(chan struct{})
	go func() {
		defer close(w.done)
		defer func() { w.panic = recover() }() // raised again where the run waits for it
		w.err = f()
	}()
}

// begin begins to write a checkpoint, all ranks together; nothing else may be under way. There is none of a run without
// a directory, which keeps a copy in memory, or of a state that has one.
func (s *session) begin() error {
	name := place(s.at)
	if s.o.Dir == "" {
		s.improved = nil
		return s.remember()
	}
	if s.last == name && len(s.improved) == 0 {
		return nil
	}
	start := s.now()
	w := &writing{name: name, tmp: filepath.Join(s.o.Dir, ".new-"+name), improved: s.improved,
		was: maps.Clone(s.at.Best)}
	for _, key := range w.improved {
		b := s.at.Best[key]
		b.Checkpoint = name
		s.at.Best[key] = b
	}
	s.improved = nil
	_, err := first(s, func() (ok bool, err error) {
		if s.metrics != nil {
			s.at.Metrics = s.metrics.size
		}
		if w.state, err = s.describeState(); err != nil {
			return false, err
		}
		if err := s.fs.RemoveAll(w.tmp); err != nil {
			return false, err
		}
		return true, s.fs.Mkdir(w.tmp)
	})
	if err != nil {
		return s.discard(w, err)
	}
	w.at = s.at
	w.at.Best = maps.Clone(s.at.Best)
	files, err := s.contents()
	if err != nil {
		return s.discard(w, err)
	}
	w.from = newSource(files, behind)
	s.writing = w
	go w.from.copyOn()
	w.behind(func() (err error) {
		defer w.from.end()
		w.files, err = s.write(w.tmp, files, w.from)
		return err
	})
	w.stood = s.now().Sub(start)
	return nil
}

// hold returns when the tensors of a checkpoint under way may change.
func (s *session) hold() {
	if w := s.writing; w != nil {
		start := s.now()
		w.from.release()
		w.stood += s.now().Sub(start)
	}
}

// complete makes what is under way a checkpoint, all ranks together, once they have written their files; wait waits for
// that. It returns nil if nothing was under way or still is. On an error the earlier checkpoints are as they were.
func (s *session) complete(wait bool) (*writing, error) {
	w := s.writing
	if w == nil {
		return nil, nil
	}
	start := s.now()
	defer func() { w.stood += s.now().Sub(start) }()
	for {
		if !wait {
			all, err := share(s.comm(), w.ended())
			if err != nil || slices.Contains(all, false) {
				return nil, err
			}
		}
		<-w.done
		if w.panic != nil {
			s.writing = nil
			panic(w.panic)
		}
		err := s.agree(w.err)
		var all [][]fileInfo
		if err == nil && !w.shared {
			all, err = share(s.comm(), w.files)
		}
		if err != nil {
			s.writing = nil
			return w, s.discard(w, err)
		}
		if w.shared {
			break
		}
		w.shared = true
		w.behind(func() error {
			if s.comm().Rank() > 0 {
				return nil
			}
			return s.publish(w, slices.Concat(all...))
		})
	}
	s.writing = nil
	s.last = w.name
	s.known = append(slices.DeleteFunc(s.known, func(n string) bool { return n == w.name }), w.name)
	s.prune(w)
	return w, nil
}

// ended reports whether the goroutine has ended.
func (w *writing) ended() bool {
	select {
	case <-w.done:
		return true
	default:
		return false
	}
}

// discard removes what there is of a checkpoint that err ended, and forgets that it was the best.
func (s *session) discard(w *writing, err error) error {
	for _, key := range w.improved {
		if b := s.at.Best[key]; b.Checkpoint == w.name {
			b.Checkpoint = w.was[key].Checkpoint
			s.at.Best[key] = b
		}
		if !slices.Contains(s.improved, key) {
			s.improved = append(s.improved, key)
		}
	}
	if s.comm().Rank() == 0 {
		err = errors.Join(err, s.fs.RemoveAll(w.tmp))
	}
	return err
}

// save writes a checkpoint and waits for it. Nothing may be under way.
func (s *session) save() error {
	if err := s.begin(); err != nil {
		return err
	}
	_, err := s.complete(true)
	return err
}

// contents are this rank's files of tensors: the first one's are the weights and, if it is not sharded, the optimizer.
func (s *session) contents() (files []contents, err error) {
	add := func(name string, ps []piece) {
		if err == nil {
			var head []byte
			head, ps, err = container(ps)
			files = append(files, contents{name, head, ps})
		}
	}
	rank, ranks := s.comm().Rank(), s.comm().Size()
	if rank == 0 {
		add(weightsFile, s.moved)
	}
	switch {
	case s.sharded() && s.all != nil:
		add(fmt.Sprintf("optimizer-%05d-of-%05d.safetensors", rank+1, ranks), s.optimizer())
	case rank == 0:
		add(optimizerFile, s.optimizer())
	}
	return files, err
}

// write puts files into the directory tmp.
func (s *session) write(tmp string, files []contents, from *source) (out []fileInfo, err error) {
	for _, f := range files {
		info, err := s.put(tmp, f.name, func(w io.Writer) error { return f.write(w, from) })
		if err != nil {
			return nil, err
		}
		out = append(out, info)
	}
	if s.comm().Rank() > 0 && len(files) > 0 {
		err = s.fs.SyncDir(tmp) // the first rank does, after the manifest
	}
	return out, err
}

// describeState is the content of state.json.
func (s *session) describeState() ([]byte, error) {
	config, err := json.Marshal(s.plan)
	if err != nil {
		return nil, err
	}
	return json.MarshalIndent(stored{State: s.at, Config: config, Hash: digest(config), Model: s.fingerprint(),
		Unit: tensor.Unit()}, "", " ")
}

// publish completes the directory w.tmp, which holds files, and makes it the checkpoint of that name.
func (s *session) publish(w *writing, files []fileInfo) error {
	if err := s.finish(w, files); err != nil {
		return err
	}
	to, old := filepath.Join(s.o.Dir, w.name), filepath.Join(s.o.Dir, ".old-"+w.name)
	replace := false
	if _, err := os.Lstat(to); err == nil {
		replace = true
		if err := s.fs.Rename(to, old); err != nil {
			return err
		}
	}
	if err := s.fs.Rename(w.tmp, to); err != nil {
		if replace {
			err = errors.Join(err, s.fs.Rename(old, to))
		}
		return err
	}
	if replace {
		if err := s.fs.RemoveAll(old); err != nil {
			return err
		}
	}
	return s.fs.SyncDir(s.o.Dir)
}

// finish writes state and manifest beside the files of all ranks, once the metrics that the state counts on are
// durable.
func (s *session) finish(w *writing, files []fileInfo) error {
	if s.metrics != nil {
		if err := s.metrics.sync(); err != nil {
			return err
		}
	}
	f, err := s.put(w.tmp, stateFile, func(to io.Writer) error { _, err := to.Write(w.state); return err })
	if err != nil {
		return err
	}
	m := manifest{Format: format, Stage: w.at.Stage, Step: w.at.Step, Micro: w.at.Micro, Files: append(files, f)}
	b, err := m.seal()
	if err != nil {
		return err
	}
	err = writeFile(s.fs, w.tmp, manifestFile, func(to io.Writer) error { _, err := to.Write(b); return err })
	if err != nil {
		return err
	}
	return s.fs.SyncDir(w.tmp)
}

// removal is old checkpoints that a goroutine of the first rank removes while training goes on.
type removal struct {
	names []string
	done  chan struct{} // closed when the rest is there
	err   error
	panic any
}

// wait waits for the goroutine, and raises its panic again.
func (r *removal) wait() error {
	<-r.done
	if r.panic != nil {
		panic(r.panic)
	}
	return r.err
}

// prune begins to remove all but the newest checkpoints and the best, now and when w began. Nothing else may be under
// way.
func (s *session) prune(w *writing) {
	keep := map[string]bool{}
	for _, best := range []map[string]bestOf{s.at.Best, w.at.Best} {
		for _, b := range best {
			keep[b.Checkpoint] = true
		}
	}
	var old []string
	n := 0
	for _, name := range slices.Backward(s.known) {
		if keep[name] {
			continue
		}
		if n++; n > s.o.Keep {
			old = append(old, name)
		}
	}
	if len(old) == 0 {
		return
	}
	s.known = slices.DeleteFunc(s.known, func(n string) bool { return slices.Contains(old, n) })
	r := &removal{names: old, done: make(chan struct{})}
	s.old = r
	if s.comm().Rank() > 0 {
		return
	}
	go func() {
		defer close(r.done)
		defer func() { r.panic = recover() }()
		for _, name := range old {
			if err := s.fs.RemoveAll(filepath.Join(s.o.Dir, name)); err != nil {
				r.err = fmt.Errorf("removing an old checkpoint: %w", err)
				return
			}
		}
	}()
}

// pruned waits, all ranks together, until the old checkpoints are removed. Those that could not be are tried again
// with the next.
func (s *session) pruned() error {
	r := s.old
	if r == nil {
		return nil
	}
	s.old = nil
	_, err := first(s, func() (bool, error) { return true, r.wait() })
	if err != nil {
		s.known = append(r.names, s.known...)
	}
	return err
}

// checkpoint begins to save in the middle of a stage, once what is under way is there.
func (r *runner[B]) checkpoint() error {
	if err := r.settle(true); err != nil {
		return err
	}
	if err := r.cleared(); err != nil {
		return err
	}
	if err := r.begin(); err != nil {
		return r.unsaved(r.at.Step, err)
	}
	return nil
}

// cleared waits for the removal of old checkpoints, and reports what could not be removed.
func (r *runner[B]) cleared() error {
	if err := r.pruned(); err != nil {
		return r.note("note", "%v", err)
	}
	return nil
}

// settle completes the checkpoint under way, as [session.complete] does, and reports it.
func (r *runner[B]) settle(wait bool) error {
	w, err := r.complete(wait)
	switch {
	case w == nil:
		return err
	case err != nil:
		return r.unsaved(w.at.Step, err)
	}
	return r.emit(Event{Kind: "checkpoint", Stage: r.stage.Name, Step: w.at.Step, Text: w.name,
		Seconds: w.stood.Seconds()})
}

// unsaved reports a checkpoint that could not be written. The run goes on with the one before.
func (r *runner[B]) unsaved(step int, err error) error {
	return r.note("note", "checkpoint of step %d not written, the ones before stay: %v", step, err)
}
