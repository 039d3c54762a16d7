package train

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/gollava/gollava/tensor"
)

// progress writes what a person wants to see: on a terminal one line that is written again and again, elsewhere a line
// now and then.
type progress struct {
	w     io.Writer
	width func() int // of the terminal in columns; nil: no terminal
	rate  float64    // FLOP/s of a large matrix product on this machine

	groups  []Group
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
		if fd := int(f.Fd()); term.IsTerminal(fd) {
			p.width = func() int {
				columns, _, err := term.GetSize(fd)
				if err != nil || columns <= 0 {
					return 80
				}
				return columns
			}
		}
	}
	return p
}

// gemmRate is how many floating-point operations per second a large matrix product of this machine reaches: the best
// that a tenth of a second of this process showed.
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
func (p *progress) begin(groups []Group, steps int, now time.Time) {
	p.groups, p.steps, p.history = groups, steps, append(p.history[:0], moment{at: now})
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
		if p.width != nil {
			pause = pauseTerminal
		}
		if e.Time.Sub(p.shown) < pause && e.Step < p.steps {
			return nil
		}
		p.shown = e.Time
		return p.line(p.step(e), p.width != nil && e.Step < p.steps)
	}
	text := e.Text
	for _, k := range sortedKeys(e.Scores) {
		text += fmt.Sprintf(" · %s %.4g", k, e.Scores[k])
	}
	text = strings.TrimSpace(text)
	if e.Kind != "stage" {
		text = strings.TrimSpace(e.Kind + ": " + text)
	}
	if e.Stage != "" {
		text = fmt.Sprintf("%s %d/%d · %s", e.Stage, e.Step, p.steps, text)
	}
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

// step is the line of a step. On a terminal it leaves out what does not fit, the least important first.
func (p *progress) step(e Event) string {
	took := e.Time.Sub(p.history[0].at).Seconds()
	var sum moment
	for _, m := range p.history[1:] {
		sum.samples, sum.tokens, sum.flops = sum.samples+m.samples, sum.tokens+m.tokens, sum.flops+m.flops
	}
	head := fmt.Sprintf("%s %d/%d · loss %.4f", e.Stage, e.Step, p.steps, e.Loss)
	mean := fmt.Sprintf("mean %.4f", e.Average)
	var samples, tokens, share, left string
	if took > 0 {
		if sum.samples > 0 {
			samples = fmt.Sprintf("%.3g samples/s", float64(sum.samples)/took)
		}
		if sum.tokens > 0 {
			tokens = fmt.Sprintf("%.0f tokens/s", float64(sum.tokens)/took)
		}
		if p.rate > 0 {
			share = fmt.Sprintf("%.0f%% of matrix product speed", 100*sum.flops/took/p.rate)
		}
		seconds := took / float64(len(p.history)-1) * float64(p.steps-e.Step)
		left = time.Duration(seconds*float64(time.Second)).Round(time.Second).String() + " left"
	}
	memory := bytesText(resident())
	if p.width == nil {
		return joined(head, mean, p.rates(e.LR, math.MaxInt), samples, tokens, share, left, memory)
	}
	columns := p.width() - 1 // many terminals wrap a line that fills them
	rates := p.rates(e.LR, columns-columnsOf(joined(head, "", left)+" · "))
	line := joined(head, rates, left)
	for _, kept := range [][]string{ // in the order of the whole line, with more and more left out
		{mean, rates, samples, tokens, share, left, memory}, {mean, rates, samples, tokens, left, memory},
		{mean, rates, samples, tokens, left}, {mean, rates, tokens, left}, {mean, rates, left},
	} {
		if s := joined(append([]string{head}, kept...)...); columnsOf(s) <= columns {
			line = s
			break
		}
	}
	if r := []rune(line); len(r) > columns {
		line = string(r[:max(0, columns)])
	}
	return line
}

// joined are the parts of a line that are not empty.
func joined(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), " · ")
}

func columnsOf(s string) int { return utf8.RuneCountInString(s) }

// rates are the learning rates with the names of their groups, which are cut to fit into so many columns. Where all
// are the same, it is given once.
func (p *progress) rates(lr []float64, columns int) string {
	if len(lr) == 0 {
		return ""
	}
	if len(lr) != len(p.groups) || len(slices.Compact(slices.Clone(lr))) == 1 {
		return fmt.Sprintf("lr %.3g", lr[0])
	}
	var names []string
	longest := 0
	for _, g := range p.groups {
		names = append(names, strings.Trim(g.Params, "*."))
		longest = max(longest, columnsOf(names[len(names)-1]))
	}
	for n := longest; ; n-- {
		var parts []string
		for i, name := range names {
			if r := []rune(name); len(r) > n {
				name = string(r[:n-1]) + "…"
			}
			parts = append(parts, strings.TrimSpace(fmt.Sprintf("%s %.3g", name, lr[i])))
		}
		if s := "lr " + strings.Join(parts, ", "); n <= 3 || columnsOf(s) <= columns {
			return s
		}
	}
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
