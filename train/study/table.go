package study

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gollava/gollava/data/shapes/eval"
)

// rows prints what everybody knows of each family.
func (j *Study) rows(exams []*Exam, columns []column) {
	j.Printf("")
	head := fmt.Sprintf("%-18s", "questions, % right")
	for _, c := range columns {
		head += fmt.Sprintf("%12s", c.title)
	}
	j.Printf("%s", head)
	row := func(name string, value func(c column) float64) {
		line := fmt.Sprintf("%-18s", name)
		for _, c := range columns {
			line += fmt.Sprintf("%12s", percent(value(c)))
		}
		j.Printf("%s", line)
	}
	for _, e := range exams {
		row(string(e.Family), func(c column) float64 { return c.scores[e.Family] })
	}
	row("mix", func(c column) float64 { return eval.Mean(eval.Weights(), c.scores) })
	j.Printf("")
}

// table prints what everybody knows, and everything else that was measured.
func (j *Study) table(exams []*Exam, columns []column) {
	j.rows(exams, columns)
	j.Printf("Each student answered %d questions of every kind about unseen pictures. prior: the best guess without "+
		"a picture; shuffled, mean: the model, shown other", j.Preset.Questions)
	j.Printf("questions' pictures or the mean of all; told: the language model before it saw anything, told in " +
		"words what each cell holds.")
	switch steps := j.Compared().Steps; {
	case j.Flags.Full:
		j.Printf("The last three were tuned as long as the model: without pictures, without stage 1, and with a " +
			"vision tower that never learnt anything.")
	case steps > 0:
		j.Printf("The last four were tuned for %d steps (the model: %d). short: the model itself; the others: "+
			"without pictures, without stage 1, and with a vision tower", steps, j.Preset.Tune.Steps)
		j.Printf("that never learnt anything. How far short is ahead of them is what each of these is worth at that " +
			"length.")
	}
	j.Printf("")

	shown := map[string]bool{}
	for _, c := range columns {
		shown[c.name] = true
	}
	for _, e := range exams {
		shown[string(e.Family)] = true
	}
	var rest []string
	for _, name := range slices.Sorted(maps.Keys(j.Report.Scores)) {
		if !shown[name] && !strings.Contains(name, "/") {
			rest = append(rest, name+" "+percent(j.Report.Scores[name]))
		}
	}
	for line := range slices.Chunk(rest, 5) {
		j.Printf("%s", strings.Join(line, " · "))
	}
	j.costs()
}

// costs prints what the stages took.
func (j *Study) costs() {
	for _, c := range j.Report.Stages {
		j.Printf("%-24s %5d steps %7.1f s %7.2f TFLOP %7.1f GFLOP/s · loss %.3f", c.Name, c.Steps, c.Seconds,
			c.FLOPs/1e12, c.FLOPs/1e9/max(c.Seconds, 1e-9), c.Loss)
	}
}
