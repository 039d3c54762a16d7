package train

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// String is a table of several lines, without a line end behind the last one.
func (e Estimate) String() string {
	var b strings.Builder
	row := func(name, value, note string) {
		fmt.Fprintln(&b, strings.TrimRight(fmt.Sprintf("  %-13s %11s  %s", name, value, note), " "))
	}
	fmt.Fprintf(&b, "stage %s", e.Stage)
	if e.Ranks > 1 {
		fmt.Fprintf(&b, ", each of %d ranks", e.Ranks)
	}
	fmt.Fprintln(&b)
	for i, g := range e.groups {
		row("trains", strconv.Itoa(e.values[i]), fmt.Sprintf("values of %s at rate %g", g.Params, g.LR))
	}
	row("memory", bytesText(e.Memory()), "")
	for _, n := range e.needs() {
		row("  "+n.name, bytesText(n.size), n.note)
	}
	row("checkpoint", bytesText(e.Checkpoint), "each, on disk")
	if e.Ranks > 1 {
		row("traffic", bytesText(e.Traffic), "sent in a step, and as much received")
	}
	if n := max(1, e.accumulate); e.Samples > 0 {
		row("batch", strconv.Itoa(n*e.Samples),
			fmt.Sprintf("samples a step, as %s of %d", counted(n, "micro-batch", "micro-batches"), e.Samples))
	}
	row("steps", strconv.Itoa(e.Steps), fmt.Sprintf("of %.3g FLOPs", e.FLOPs))
	if e.Step > 0 {
		row("time", durationText(e.Duration),
			durationText(e.Step)+" a step; without evaluations and checkpoints")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// need is what a part of a run takes of the memory.
type need struct {
	name string
	size int64
	note string
}

func (e Estimate) needs() []need {
	needs := []need{
		{"weights", e.Weights, "of the whole model"},
		{"gradients", e.Gradients, ""},
		{"optimizer", e.Optimizer, "moments, float32 copies, averages"},
		{"activations", e.Activations, "of a micro-batch"},
		{"loader", e.Loader, "batches that are ready"},
		{"other", e.Other, "what waits for the garbage collector"},
	}
	if e.Ranks > 1 {
		needs = append(needs, need{"sums", e.Sums, "of gradients, and transfers under way"})
	}
	return needs
}

// memoryText is the memory and its parts in a line.
func (e Estimate) memoryText() string {
	var parts []string
	for _, n := range e.needs() {
		parts = append(parts, n.name+" "+bytesText(n.size))
	}
	s := fmt.Sprintf("stage %q needs %s of memory (%s)", e.Stage, bytesText(e.Memory()), strings.Join(parts, ", "))
	if e.Ranks > 1 {
		s = fmt.Sprintf("each of %d ranks: %s", e.Ranks, s)
	}
	return s
}

// counted is a number with its noun.
func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// durationText is d to a second, or to three digits where it is shorter than a minute.
func durationText(d time.Duration) string {
	switch {
	case d >= time.Minute:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return fmt.Sprintf("%.3gs", d.Seconds())
	case d >= time.Millisecond:
		return fmt.Sprintf("%.3gms", d.Seconds()*1e3)
	}
	return d.Round(time.Microsecond).String()
}

// bytesText is n in a unit that suits it.
func bytesText(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.2f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d B", n)
}
