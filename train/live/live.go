// Package live shows a training run in a browser: curves, speed, memory, what the model answers to its probes, the log,
// and buttons that save and that stop after the step. The same page shows a run from its files, later.
//
//	control := &train.Control{}
//	page := live.New(live.Config{Dir: "run", Control: control})
//	go http.ListenAndServe("127.0.0.1:6006", page)
//	report, err := train.Run(ctx, model, train.Options{Dir: "run", Observe: page.Observe, Control: control}, stages...)
//
// A run may keep images of its probes in its folder: the page shows [train.ProbeFile] n beside what the model makes of
// probe n.
//
// It answers requests for this machine's own addresses only, and from its own page only.
package live

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"sync"

	"github.com/gollava/gollava/train"
)

// metricsFile is where package train keeps the events of a run, checkpoints the folder of a run of package train/llava
// that holds it.
const (
	metricsFile = "metrics.jsonl"
	checkpoints = "checkpoints"
)

// mostSteps bounds the steps that are kept and sent; beyond it every other one of the older half is forgotten.
const mostSteps = 20_000

// Config says what a page shows.
type Config struct {
	Dir     string         // of the run, whose past events are shown too; "": there are none
	Hosts   []string       // names that a Host header may hold besides this machine's own; "*": any
	Control *train.Control // what the buttons ask; nil: there are none
}

// Page is an http.Handler with a run's page. It is safe for concurrent use.
type Page struct {
	config Config
	past   bool // the run is over, or another process's: its files say all

	mu      sync.Mutex
	begun   bool  // the past was read
	rows    []row // in the order of their numbers
	steps   int   // of rows
	next    int
	changed chan struct{} // closed at the next event
}

// row is an event as the page gets it.
type row struct {
	number int
	step   bool
	data   []byte // JSON
}

// New returns the page of a run that is about to begin; [Page.Observe] sees its events.
func New(c Config) *Page { return &Page{config: c, changed: make(chan struct{})} }

// Open returns the page of a run from its files. It is read again whenever somebody looks.
func Open(c Config) (*Page, error) {
	c.Control = nil
	p := New(c)
	p.past = true
	return p, p.read()
}

// Observe adds an event of the run: it is for [train.Options].Observe.
func (p *Page) Observe(e train.Event) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.begun {
		p.begun = true
		if p.config.Dir != "" && p.load() == nil && len(p.rows) > 0 { // the file holds e already
			p.announce()
			return nil
		}
	}
	p.add(e)
	p.announce()
	return nil
}

// announce wakes who waits for events. p.mu is held.
func (p *Page) announce() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// read reads the files of a run that is not observed, or not yet: then there may be none.
func (p *Page) read() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.begun {
		return nil
	}
	err := p.load()
	switch {
	case !errors.Is(err, fs.ErrNotExist):
		return err
	case p.past:
		return fmt.Errorf("live: %s holds no %s: is it the folder of a run?", p.config.Dir, metricsFile)
	}
	return nil
}

// load reads the events of the run's file, in place of what there was. A last line that is cut off, or a line that is
// no event, is left out.
func (p *Page) load() error {
	p.rows, p.steps, p.next = nil, 0, 0
	name := filepath.Join(p.config.Dir, metricsFile)
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		name = filepath.Join(p.config.Dir, checkpoints, metricsFile)
		f, err = os.Open(name)
	}
	if err != nil {
		return fmt.Errorf("live: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e train.Event
		if json.Unmarshal(lines.Bytes(), &e) == nil {
			p.add(e)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("live: %s: %w", name, err)
	}
	return nil
}

// add keeps an event. p.mu is held.
func (p *Page) add(e train.Event) {
	b, err := json.Marshal(pointOf(e))
	if err != nil {
		return // every field of a point has a JSON form
	}
	p.rows = append(p.rows, row{p.next, e.Kind == "step", b})
	p.next++
	if e.Kind != "step" {
		return
	}
	if p.steps++; p.steps <= mostSteps {
		return
	}
	var kept []row
	seen, half := 0, p.steps/2
	for _, r := range p.rows {
		if r.step {
			if seen++; seen <= half && seen%2 == 0 {
				p.steps--
				continue
			}
		}
		kept = append(kept, r)
	}
	p.rows = kept
}

// since are the rows from a number on, and a channel that is closed when there are more.
func (p *Page) since(number int) ([]row, chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := len(p.rows)
	for at > 0 && p.rows[at-1].number >= number {
		at--
	}
	return append([]row(nil), p.rows[at:]...), p.changed
}

// point is an event in the page's form: numbers that JSON cannot hold are null.
type point struct {
	Time  int64  `json:"time"` // milliseconds
	Kind  string `json:"kind"`
	Stage string `json:"stage"`
	Step  int    `json:"step"`
	Steps int    `json:"steps,omitempty"`

	Loss      *float64            `json:"loss"`
	Average   *float64            `json:"average"`
	GradNorm  *float64            `json:"grad_norm"`
	Norms     map[string]*float64 `json:"grad_norms,omitempty"`
	LR        []float64           `json:"lr,omitempty"`
	Tokens    int                 `json:"tokens,omitempty"`
	Samples   int                 `json:"samples,omitempty"`
	Seconds   float64             `json:"seconds,omitempty"`
	Memory    int64               `json:"memory,omitempty"`
	Scores    map[string]*float64 `json:"scores,omitempty"`
	Text      string              `json:"text,omitempty"`
	Generated []string            `json:"generated,omitempty"`
}

func pointOf(e train.Event) point {
	return point{Time: e.Time.UnixMilli(), Kind: e.Kind, Stage: e.Stage, Step: e.Step, Steps: e.Steps,
		Loss:    finite(e.Loss),
		Average: finite(e.Average), GradNorm: finite(e.GradNorm), Norms: finites(e.Norms), LR: e.LR, Tokens: e.Tokens,
		Samples: e.Samples, Seconds: e.Seconds, Memory: e.Memory, Scores: finites(e.Scores), Text: e.Text,
		Generated: e.Generated}
}

func finite(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

func finites(m map[string]float64) map[string]*float64 {
	out := map[string]*float64{}
	for k, v := range m {
		out[k] = finite(v)
	}
	return out
}
