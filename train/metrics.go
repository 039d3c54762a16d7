package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"slices"
)

// metricsFile holds every event as one line of JSON. On resuming, what came after the checkpoint is cut off.
const metricsFile = "metrics.jsonl"

// boardDir holds TensorBoard's event files, those of each stage in a folder of its own: the stages become runs whose
// curves lie over each other. In one file the second stage's first step would make TensorBoard drop the first stage, as
// what a restart has overtaken.
const boardDir = "tensorboard"

// recorder writes events to metrics.jsonl and to TensorBoard's files.
type recorder struct {
	dir   string
	f     *os.File
	size  int64
	board *board // of the present stage

	noLines, noCurves bool // since they could not be written
}

// openRecorder opens the files in dir; size is how much of metrics.jsonl belongs to the past of this run.
func openRecorder(dir string, size int64) (*recorder, error) {
	f, err := os.OpenFile(filepath.Join(dir, metricsFile), os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	r := &recorder{dir: dir, f: f}
	info, err := f.Stat()
	if err == nil {
		r.size = min(size, info.Size())
		err = f.Truncate(r.size)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return r, nil
}

// event writes one line, and one point for each number of it. What fails is given up for the rest of the run; the
// errors say what that is.
func (r *recorder) event(e Event) (failed []error) {
	if !r.noLines {
		if err := r.line(e); err != nil {
			r.noLines, failed = true, append(failed, fmt.Errorf("%s: %w", metricsFile, err))
		}
	}
	if !r.noCurves {
		if err := r.curves(e); err != nil {
			r.noCurves, failed = true, append(failed, fmt.Errorf("TensorBoard's curves: %w", err))
		}
	}
	return failed
}

// line writes an event to metrics.jsonl; of a line that does not fit nothing counts.
func (r *recorder) line(e Event) error {
	b, err := json.Marshal(e.plain())
	if err != nil {
		return err
	}
	if _, err := r.f.WriteAt(append(b, '\n'), r.size); err != nil {
		return errors.Join(err, r.f.Truncate(r.size))
	}
	r.size += int64(len(b) + 1)
	return nil
}

// curves writes the points of an event for TensorBoard.
func (r *recorder) curves(e Event) (err error) {
	if values := e.values(); len(values) > 0 {
		if r.board == nil || r.board.stage != e.Stage {
			if r.board != nil {
				err = r.board.close()
			}
			if err == nil {
				r.board, err = openBoard(filepath.Join(r.dir, boardDir), e)
			}
		}
		if err == nil {
			err = r.board.points(e, values)
		}
	}
	return err
}

// sync makes durable what is written of the metrics; another goroutine may go on writing.
func (r *recorder) sync() error { return r.f.Sync() }

func (r *recorder) close() error {
	err := r.f.Close()
	if r.board != nil {
		err = errors.Join(err, r.board.close())
	}
	return err
}

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
	return map[string]any{"time": e.Time, "kind": e.Kind, "stage": e.Stage, "step": e.Step, "scores": scores,
		"text": e.Text, "generated": e.Generated,
		"seconds": e.Seconds}
}

// sortedKeys are the keys of m in order.
func sortedKeys(m map[string]float64) []string { return slices.Sorted(maps.Keys(m)) }

// board writes an event file of TensorBoard's: TFRecords of tensorflow.Event messages.
type board struct {
	stage string
	f     *os.File
}

// openBoard begins a file of e's stage with a mark that makes TensorBoard forget what earlier files have of e's step
// and later ones: the run went back behind them.
func openBoard(dir string, e Event) (*board, error) {
	dir = filepath.Join(dir, url.PathEscape(e.Stage))
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	host, _ := os.Hostname()
	for i := 0; ; i++ { // several runs may begin within a second
		name := fmt.Sprintf("events.out.tfevents.%010d.%s.%d.%d", e.Time.Unix(), filepath.Base("h"+host), os.Getpid(), i)
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		b := &board{e.Stage, f}
		err = b.write(e.Time, 0, func(m []byte) []byte { return field(m, 3, []byte("brain.Event:2")) })
		if err == nil {
			err = b.write(e.Time, e.Step, func(m []byte) []byte { return field(m, 7, []byte{1 << 3, 1}) }) // SessionLog START
		}
		if err != nil {
			f.Close()
			return nil, err
		}
		return b, nil
	}
}

// values are the numbers of e that make curves, by their tags.
func (e Event) values() map[string]float64 {
	values := map[string]float64{}
	switch e.Kind {
	case "step":
		values["loss"], values["loss_average"], values["grad_norm"], values["seconds"] = e.Loss, e.Average, e.GradNorm,
			e.Seconds
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
	}
	return values
}

// points writes values at e's step.
func (b *board) points(e Event, values map[string]float64) error {
	return b.write(e.Time, e.Step, func(m []byte) []byte {
		var summary []byte
		for _, k := range sortedKeys(values) {
			v := field(nil, 1, []byte(k)) // tag
			v = append(v, 2<<3|5)         // simple_value, a float
			v = appendFixed32(v, math.Float32bits(float32(values[k])))
			summary = field(summary, 1, v)
		}
		return field(m, 5, summary)
	})
}

func (b *board) close() error { return b.f.Close() }
