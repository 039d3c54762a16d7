package train

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/gollava/gollava/tensor"
)

// progress writes what a person wants to see: on a terminal one line that is written again and again, elsewhere a line now and then.
type progress struct {
	w        io.Writer
	terminal bool
	rate     float64 // FLOP/s of a large matrix product on this machine

	stage   string
	steps   int
	shown   time.Time
	open    bool // the terminal's line is not finished
	history []moment
}

// moment is the end of a step.
type moment struct {
	at      time.Time
	samples int
	tokens  int
	flops   float64
}

// window is over how many steps rates are averaged.
const window = 50

// pause is how long a line stays at least.
const (
	pauseTerminal = 200 * time.Millisecond
	pausePlain    = 10 * time.Second
)

func newProgress(w io.Writer) *progress {
	p := &progress{w: w, rate: gemmRate()}
	if f, ok := w.(*os.File); ok {
		p.terminal = term.IsTerminal(int(f.Fd()))
	}
	return p
}

// gemmRate is how many floating-point operations per second a large matrix product of this machine reaches: the best that a tenth of a second of this process showed.
var gemmRate = sync.OnceValue(func() float64 {
	const n = 512
	r := rand.New(rand.NewPCG(1, 1))
	a, b := tensor.Randn(r, 1, n, n), tensor.Randn(r, 1, n, n)
	best := 0.0
	for start, i := time.Now(), 0; i < 3 || time.Since(start) < 100*time.Millisecond; i++ {
		t := time.Now()
		tensor.Scope(func(s *tensor.Arena) { a.In(s).MatMulT(b) })
		best = max(best, 2*n*n*n/time.Since(t).Seconds())
	}
	return best
})

// begin starts a stage.
func (p *progress) begin(stage string, steps int, now time.Time) {
	p.stage, p.steps, p.history = stage, steps, append(p.history[:0], moment{at: now})
	p.shown = time.Time{}
}

// event shows e.
func (p *progress) event(e Event) error {
	if e.Kind == "step" {
		if len(p.history) > window {
			p.history = append(p.history[:0], p.history[1:]...)
		}
		p.history = append(p.history, moment{e.Time, e.Samples, e.Tokens, e.FLOPs})
		pause := pausePlain
		if p.terminal {
			pause = pauseTerminal
		}
		if e.Time.Sub(p.shown) < pause && e.Step < p.steps {
			return nil
		}
		p.shown = e.Time
		return p.line(p.step(e), p.terminal && e.Step < p.steps)
	}
	text := e.Text
	for _, k := range sortedKeys(e.Scores) {
		text += fmt.Sprintf(" · %s %.4g", k, e.Scores[k])
	}
	text = strings.TrimSpace(fmt.Sprintf("%s %d/%d %s: %s", e.Stage, e.Step, p.steps, e.Kind, text))
	for _, g := range e.Generated {
		text += "\n    " + strings.ReplaceAll(g, "\n", "\n    ")
	}
	return p.line(text, false)
}

// line writes a line, over the one that is open on a terminal.
func (p *progress) line(s string, stay bool) error {
	if p.open {
		s = "\r" + s + "\x1b[K"
	}
	if p.open = stay; !stay {
		s += "\n"
	}
	_, err := io.WriteString(p.w, s)
	return err
}

// step is the line of a step.
func (p *progress) step(e Event) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %d/%d · loss %.4f (%.4f)", e.Stage, e.Step, p.steps, e.Loss, e.Average)
	if len(e.LR) > 0 {
		fmt.Fprintf(&b, " · lr %.3g", e.LR[0])
	}
	took := e.Time.Sub(p.history[0].at).Seconds()
	var sum moment
	for _, m := range p.history[1:] {
		sum.samples, sum.tokens, sum.flops = sum.samples+m.samples, sum.tokens+m.tokens, sum.flops+m.flops
	}
	if took > 0 {
		if sum.samples > 0 {
			fmt.Fprintf(&b, " · %.3g samples/s", float64(sum.samples)/took)
		}
		if sum.tokens > 0 {
			fmt.Fprintf(&b, " · %.0f tokens/s", float64(sum.tokens)/took)
		}
		if p.rate > 0 {
			fmt.Fprintf(&b, " · %.0f%% of GEMM", 100*sum.flops/took/p.rate)
		}
		left := took / float64(len(p.history)-1) * float64(p.steps-e.Step)
		fmt.Fprintf(&b, " · ETA %v", time.Duration(left*float64(time.Second)).Round(time.Second))
	}
	fmt.Fprintf(&b, " · %s", bytesText(resident()))
	return b.String()
}

// resident is how much memory of the process is in RAM, in bytes; where the system does not say, what Go has taken.
func resident() int64 {
	if b, err := os.ReadFile("/proc/self/statm"); err == nil {
		if f := bytes.Fields(b); len(f) > 1 {
			if n, err := strconv.ParseInt(string(f[1]), 10, 64); err == nil {
				return n * int64(os.Getpagesize())
			}
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.Sys)
}

// bytesText is n in a unit that suits it.
func bytesText(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.2f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
}
