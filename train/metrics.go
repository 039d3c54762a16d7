package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// metricsFile holds every event as one line of JSON. On resuming, what came after the checkpoint is cut off.
const metricsFile = "metrics.jsonl"

// recorder writes events to metrics.jsonl and to a file of TensorBoard's.
type recorder struct {
	f     *os.File
	size  int64
	board *board
}

// openRecorder opens the files in dir; size is how much of metrics.jsonl belongs to the past of this run.
func openRecorder(dir string, size int64, now time.Time) (*recorder, error) {
	f, err := os.OpenFile(filepath.Join(dir, metricsFile), os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	r := &recorder{f: f}
	info, err := f.Stat()
	if err == nil {
		r.size = min(size, info.Size())
		err = f.Truncate(r.size)
	}
	if err == nil {
		r.board, err = openBoard(dir, now)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return r, nil
}

// event writes one line, and one point for each number of it.
func (r *recorder) event(e Event) error {
	b, err := json.Marshal(e.plain())
	if err != nil {
		return err
	}
	n, err := r.f.WriteAt(append(b, '\n'), r.size)
	r.size += int64(n)
	if err != nil {
		return fmt.Errorf("%s: %w", metricsFile, err)
	}
	return r.board.event(e)
}

// sync makes the metrics durable and returns their size.
func (r *recorder) sync() (int64, error) { return r.size, r.f.Sync() }

func (r *recorder) close() error { return errors.Join(r.f.Close(), r.board.close()) }

// plain is e with the numbers that JSON cannot hold written as text.
func (e Event) plain() any {
	bad := func(m map[string]float64) bool {
		return slices.ContainsFunc(slices.Collect(maps.Values(m)), func(v float64) bool { return !finite(v) })
	}
	if !bad(e.Scores) && !bad(e.Norms) && finite(e.Loss) && finite(e.Average) && finite(e.GradNorm) {
		return e
	}
	scores := map[string]any{}
	for k, v := range e.Scores {
		scores[k] = v
		if !finite(v) {
			scores[k] = fmt.Sprint(v)
		}
	}
	return map[string]any{"time": e.Time, "kind": e.Kind, "stage": e.Stage, "step": e.Step, "scores": scores, "text": e.Text, "generated": e.Generated,
		"seconds": e.Seconds}
}

// sortedKeys are the keys of m in order.
func sortedKeys(m map[string]float64) []string { return slices.Sorted(maps.Keys(m)) }

// board writes TensorBoard's event files: TFRecords of tensorflow.Event messages.
type board struct {
	f     *os.File
	fresh map[string]bool // stages whose start is marked
}

func openBoard(dir string, now time.Time) (*board, error) {
	host, _ := os.Hostname()
	for i := 0; ; i++ { // several runs may begin within a second
		name := fmt.Sprintf("events.out.tfevents.%010d.%s.%d.%d", now.Unix(), filepath.Base("h"+host), os.Getpid(), i)
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		b := &board{f: f, fresh: map[string]bool{}}
		if err := b.write(now, 0, func(m []byte) []byte { return field(m, 3, []byte("brain.Event:2")) }); err != nil {
			f.Close()
			return nil, err
		}
		return b, nil
	}
}

// event writes the numbers of e under names that begin with the stage's.
func (b *board) event(e Event) error {
	values := map[string]float64{}
	switch e.Kind {
	case "step":
		values["loss"], values["loss_average"], values["grad_norm"], values["seconds"] = e.Loss, e.Average, e.GradNorm, e.Seconds
		for i, lr := range e.LR {
			values[fmt.Sprintf("lr/%d", i)] = lr
		}
		for k, v := range e.Norms {
			values["grad_norm/"+k] = v
		}
	case "evaluation":
		for k, v := range e.Scores {
			values[e.Text+"/"+k] = v
		}
	default:
		return nil
	}
	if !b.fresh[e.Stage] { // a SessionLog START makes TensorBoard forget later steps of the run before
		b.fresh[e.Stage] = true
		if err := b.write(e.Time, e.Step, func(m []byte) []byte { return field(m, 7, []byte{1 << 3, 1}) }); err != nil {
			return err
		}
	}
	return b.write(e.Time, e.Step, func(m []byte) []byte {
		var summary []byte
		for _, k := range sortedKeys(values) {
			v := field(nil, 1, []byte(e.Stage+"/"+k)) // tag
			v = append(v, 2<<3|5)                     // simple_value, a float
			v = appendFixed32(v, math.Float32bits(float32(values[k])))
			summary = field(summary, 1, v)
		}
		return field(m, 5, summary)
	})
}

func (b *board) close() error { return b.f.Close() }
