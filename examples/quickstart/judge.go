package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
)

// exams are n questions of each family about a split; only those of the mix where part is set.
func (j *job) exams(split shapes.Split, n int, part bool) []*exam {
	var all []*exam
	for _, f := range j.world.Families(split) {
		if !part || weights[f] > 0 {
			all = append(all, newExam(j.world, split, f, n))
		}
	}
	return all
}

// show lets the tower look at the exams' pictures.
func (j *job) show(exams []*exam, t vit.Tower) {
	for _, e := range exams {
		if e.pool.features == nil {
			e.pool.look(t, j.selects())
		}
	}
}

// questioning measures stage 2 while it trains, on the validation split: with the right pictures, and with those of other questions.
func (j *job) questioning(m *connector.VLM) func(context.Context) (map[string]float64, error) {
	var exams []*exam
	return func(ctx context.Context) (map[string]float64, error) {
		if exams == nil {
			exams = j.exams(shapes.Validation, j.preset.Quick, true)
			j.show(exams, m.Vision)
		}
		right, _, err := j.looking(m, nil).take(ctx, exams)
		if err != nil {
			return nil, err
		}
		guessed, _, err := j.looking(m, shuffled).take(ctx, exams)
		if err != nil {
			return nil, err
		}
		return map[string]float64{"mix": mix(right), "shuffled": mix(guessed), "vision_gain": mix(right) - mix(guessed)}, nil
	}
}

// column is a student's row of scores in the table, and under what name its mix stands in the report.
type column struct {
	name, title string
	student     *student
	exams       []*exam
	right, yes  map[string]float64
}

// judge examines the model and everything it is to be compared with.
func (j *job) judge(ctx context.Context, l *lesson, clip *vit.CLIP, m *connector.VLM) error {
	j.report.Scores = map[string]float64{}
	if err := j.zeroShot(clip); err != nil {
		return err
	}
	exams := j.exams(shapes.Test, j.preset.Questions, false)
	j.show(exams, m.Vision)
	columns := []*column{
		{"mix", "model", j.looking(m, nil), exams, nil, nil},
		{"shuffled", "shuffled", j.looking(m, shuffled), exams, nil, nil},
		{"mean_picture", "mean", j.looking(m, averaged), exams, nil, nil},
	}
	told, err := j.quietly().language(ctx, l)
	if err != nil {
		return err
	}
	columns = append(columns, &column{"text_oracle", "told", j.told(told), exams, nil, nil})
	blind, err := j.trainBlind(ctx, l)
	if err != nil {
		return err
	}
	columns = append(columns, &column{"blind", "blind", j.blind(blind), exams, nil, nil})
	unaligned, err := j.trainUnaligned(ctx, l, clip)
	if err != nil {
		return err
	}
	columns = append(columns, &column{"no_stage_1", "no stage 1", j.looking(unaligned, nil), exams, nil, nil})
	random, err := j.trainRandom(ctx, l)
	if err != nil {
		return err
	}
	others := make([]*exam, len(exams)) // the same questions, seen by another tower
	for i, e := range exams {
		others[i] = &exam{e.name, e.family, e.pool.unseen(), e.questions}
	}
	j.show(others, random.Vision)
	columns = append(columns, &column{"random_encoder", "random tower", j.looking(random, nil), others, nil, nil})

	for _, c := range columns {
		if c.right, c.yes, err = c.student.take(ctx, c.exams); err != nil {
			return err
		}
		j.report.Scores[c.name] = mix(c.right)
		for family, score := range c.right {
			if c.name == "mix" {
				j.report.Scores[family] = score
			} else {
				j.report.Scores[c.name+"/"+family] = score
			}
		}
	}
	j.report.Scores["vision_gain"] = j.report.Scores["mix"] - j.report.Scores["shuffled"]
	for _, e := range exams {
		if slices.Equal(j.world.Answers(shapes.Test, e.family), []string{"yes", "no"}) {
			j.report.Scores["yes_ratio/"+e.name] = columns[0].yes[e.name]
		}
	}
	if err := j.heldOut(ctx, m); err != nil {
		return err
	}
	j.table(exams, columns)
	if err := j.drawSheet(ctx, m); err != nil {
		return err
	}
	if err := j.report.tally(j.flags.out); err != nil {
		return err
	}
	if err := j.drawCurves(); err != nil {
		return err
	}
	return j.save()
}

// zeroShot asks CLIP, without any training on the question, which of the pairs a single object is: of those that training shows, and, for pictures of pairs that it never
// showed, of all.
func (j *job) zeroShot(clip *vit.CLIP) error {
	for name, split := range map[string]shapes.Split{"zero_shot_seen": shapes.Test, "zero_shot_unseen": shapes.Comp} {
		pairs := j.world.SeenPairs()
		if split == shapes.Comp {
			pairs = shapes.AllPairs()
		}
		var classes []string
		for _, p := range pairs {
			classes = append(classes, p.String())
		}
		c, err := vit.NewClassifier(clip, classes, []string{"a {} ."}, func(text string) ([]int32, error) {
			return append(j.vocabulary.encode([]int32{j.vocabulary.BOS}, text), j.vocabulary.EOS), nil
		})
		if err != nil {
			return err
		}
		n := 2 * j.preset.Questions
		scenes := make([]shapes.Scene, n)
		for i := range scenes {
			scenes[i] = j.world.Scene(split, i, shapes.Options{MinObjects: 1, MaxObjects: 1, Sign: shapes.NoSign})
		}
		p := poolOf(j.world, scenes)
		right := 0
		for from := 0; from < n; from += answerBatch {
			var chosen []int
			for i := from; i < min(from+answerBatch, n); i++ {
				chosen = append(chosen, i)
			}
			tensor.Scope(func() {
				for k, best := range c.Best(p.pixels(chosen).NoGrad()) {
					if pairs[best] == scenes[chosen[k]].Objects[0].Pair() {
						right++
					}
				}
			})
		}
		j.report.Scores[name] = float64(right) / float64(n)
	}
	return nil
}

// heldOut asks about objects whose colour and shape were never seen together.
func (j *job) heldOut(ctx context.Context, m *connector.VLM) error {
	var exams []*exam
	for _, f := range []shapes.Family{shapes.PopeAdversarial, shapes.ShapeOf, shapes.ColorOf, shapes.Where} {
		exams = append(exams, newExam(j.world, shapes.Comp, f, j.preset.Questions))
	}
	j.show(exams, m.Vision)
	right, _, err := j.looking(m, nil).take(ctx, exams)
	if err != nil {
		return err
	}
	for _, e := range exams {
		name := map[shapes.Family]string{shapes.PopeAdversarial: "existence", shapes.ShapeOf: "shape", shapes.ColorOf: "color", shapes.Where: "where"}[e.family]
		j.report.Scores["held_out_"+name] = right[e.name]
	}
	return nil
}

// table prints what everybody knows of each family.
func (j *job) table(exams []*exam, columns []*column) {
	line := "%-18s"
	cells := []any{"question"}
	for _, c := range columns {
		line += " %12s"
		cells = append(cells, c.title)
	}
	j.printf(line, cells...)
	row := func(name string, value func(c *column) float64) {
		cells = append(cells[:0], name)
		for _, c := range columns {
			cells = append(cells, percent(value(c)))
		}
		j.printf(line, cells...)
	}
	for _, e := range exams {
		row(e.name, func(c *column) float64 { return c.right[e.name] })
	}
	row("mix", func(c *column) float64 { return mix(c.right) })
}

// percent is a share for people.
func percent(x float64) string { return fmt.Sprintf("%.1f", 100*x) }
