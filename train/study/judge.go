package study

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/data/shapes/eval"
	"github.com/gollava/gollava/vit"
)

// Exams are n questions of each family about a split that t looks at; only those of the mix where part is set.
func (j *Study) Exams(t vit.Tower, split shapes.Split, n int, part bool) []*Exam {
	families := j.World.Families(split)
	if part {
		families = nil
		for _, s := range eval.Weights() {
			families = append(families, s.Family)
		}
	}
	var all []*Exam
	for _, f := range families {
		e := NewExam(j.World, split, f, n)
		e.Pool.Look(t, j.Selects)
		all = append(all, e)
	}
	return all
}

// Telling measures the text stage while it trains: what does the language model answer when it is told what there is
// to see?
func (j *Study) Telling(m *Reader) func(context.Context) (map[string]float64, error) {
	var exams []*Exam
	return func(ctx context.Context) (map[string]float64, error) {
		if exams == nil {
			for _, s := range eval.Weights() {
				exams = append(exams, NewExam(j.World, shapes.Validation, s.Family, j.Preset.Quick))
			}
		}
		right, _, err := j.Told(m).Take(ctx, exams)
		return map[string]float64{"told": eval.Mean(eval.Weights(), right)}, err
	}
}

// Questioning measures stage 2 while it trains, on the validation split: with the right pictures, and with those of
// other questions.
func (j *Study) Questioning(m *connector.VLM) func(context.Context) (map[string]float64, error) {
	var exams []*Exam
	return func(ctx context.Context) (map[string]float64, error) {
		if exams == nil {
			exams = j.Exams(m.Vision, shapes.Validation, j.Preset.Quick, true)
		}
		right, _, err := j.Looking(m, nil).Take(ctx, exams)
		if err != nil {
			return nil, err
		}
		guessed, _, err := j.Looking(m, Shuffled).Take(ctx, exams)
		if err != nil {
			return nil, err
		}
		real, other := eval.Mean(eval.Weights(), right), eval.Mean(eval.Weights(), guessed)
		return map[string]float64{"mix": real, "shuffled": other, "vision_gain": real - other}, nil
	}
}

// Captioning measures the captions at the end of stage 1, with the right pictures and with shuffled ones.
func (j *Study) Captioning(m *connector.VLM) func(context.Context) (map[string]float64, error) {
	return func(ctx context.Context) (map[string]float64, error) {
		e := NewExam(j.World, shapes.Validation, shapes.Brief, 4*j.Preset.Quick)
		e.Pool.Look(m.Vision, j.Selects)
		right, err := j.Looking(m, nil).Answers(ctx, e)
		if err != nil {
			return nil, err
		}
		other, err := j.Looking(m, Shuffled).Answers(ctx, e)
		if err != nil {
			return nil, err
		}
		return map[string]float64{"caption_f1": eval.Captions(e.Set, right).F1,
			"caption_f1_shuffled": eval.Captions(e.Set, other).F1}, nil
	}
}

// column is what one student knows.
type column struct {
	name, title string // of its mix in the report, and in the table
	scores      map[shapes.Family]float64
	answers     map[shapes.Family][]string
}

// Sitting lets a student take exams, for a column of the table.
type Sitting func(name, title string, s *Student, exams []*Exam) error

// Judge examines the model on the test splits, and everything that compare lets sit the same exams. last changes the
// model, after all else.
func (j *Study) Judge(ctx context.Context, l *Lesson, clip *vit.CLIP, m *connector.VLM,
	compare func(exams []*Exam, sit Sitting) error, last func() error) error {
	j.Report.Scores = map[string]float64{}
	if err := j.zeroShot(clip); err != nil {
		return err
	}
	if err := j.perceive(ctx, l.Pool, m.Vision); err != nil {
		return err
	}
	exams := j.Exams(m.Vision, shapes.Test, j.Preset.Questions, false)
	columns := []column{j.prior(exams)}
	sit := func(name, title string, s *Student, exams []*Exam) error {
		scores, answers, err := s.Take(ctx, exams)
		columns = append(columns, column{name, title, scores, answers})
		return err
	}
	if err := sit("mix", "model", j.Looking(m, nil), exams); err != nil {
		return err
	}
	if err := sit("shuffled", "shuffled", j.Looking(m, Shuffled), exams); err != nil {
		return err
	}
	if err := sit("mean_picture", "mean", j.Looking(m, Averaged), exams); err != nil {
		return err
	}
	if err := compare(exams, sit); err != nil {
		return err
	}
	j.record(exams, columns)
	if err := j.details(ctx, m); err != nil {
		return err
	}
	if err := j.Alone(func() error { return j.drawSheet(ctx, m) }); err != nil {
		return err
	}
	if err := last(); err != nil || !j.first() {
		return err
	}
	if err := j.Report.tally(j.Flags.Out); err != nil {
		return err
	}
	j.afterAligning()
	j.table(exams, columns)
	if err := j.drawCurves(); err != nil {
		return err
	}
	j.Printf("contact-sheet.png, loss.png, vision-gain.png and report.json are in %s; talk with the model: %s",
		filepath.Clean(j.Flags.Out), j.Command("-chat"))
	if err := j.save(); err != nil || !j.Flags.gate {
		return err
	}
	return j.Report.Gate()
}

// prior is what the most frequent answers are worth.
func (j *Study) prior(exams []*Exam) column {
	c := column{"prior", "prior", map[shapes.Family]float64{}, nil}
	for _, e := range exams {
		c.scores[e.Family] = eval.Prior(j.World, shapes.Test, e.Family)
	}
	return c
}

// record puts the scores into the report.
func (j *Study) record(exams []*Exam, columns []column) {
	scores := j.Report.Scores
	for _, c := range columns {
		scores[c.name] = eval.Mean(eval.Weights(), c.scores)
		for f, v := range c.scores {
			if c.name == "mix" {
				scores[string(f)] = v
			} else {
				scores[c.name+"/"+string(f)] = v
			}
		}
		if c.name != "mix" {
			continue
		}
		for _, e := range exams {
			switch e.Family {
			case shapes.PopeRandom, shapes.PopePopular, shapes.PopeAdversarial:
				p := eval.POPE(e.Set, c.answers[e.Family])
				name := string(e.Family)
				scores[name+"_precision"], scores[name+"_recall"], scores[name+"_f1"],
					scores[name+"_yes"] = p.Precision, p.Recall, p.F1, p.YesRatio
			case shapes.Walk:
				r := eval.Reasoning(e.Set, c.answers[e.Family])
				scores["walk_faithful"], scores["walk_direction"] = r.Faithful, r.Direction
			}
		}
	}
	scores["vision_gain"] = scores["mix"] - scores["shuffled"]
	if random, ok := scores["random_encoder"]; ok {
		scores["encoder_gain"] = scores["mix"] - random
	}
	if short, ok := scores["short"]; ok {
		scores["short_over_no_stage_1"], scores["short_over_random"] = short-scores["no_stage_1"],
			short-scores["random_encoder"]
	}
}

// afterAligning repeats what was measured at the end of stage 1 among the scores.
func (j *Study) afterAligning() {
	for _, p := range j.Report.Curves {
		if p.Stage != "align" {
			continue
		}
		for name, v := range p.Scores {
			j.Report.Scores["align_"+name] = v
		}
		if f1, ok := p.Scores["caption_f1"]; ok {
			j.Report.Scores["align_gain"] = f1 - p.Scores["caption_f1_shuffled"]
		}
	}
}

// zeroShot asks CLIP, which was never trained on the question, which pair a single object is.
func (j *Study) zeroShot(clip *vit.CLIP) error {
	for name, split := range map[string]shapes.Split{"zero_shot_seen": shapes.Test, "zero_shot_unseen": shapes.Comp} {
		z := eval.Classify(j.World, split, 2*j.Preset.Questions)
		c, err := vit.NewClassifier(clip, z.Labels, []string{"{}"}, func(text string) ([]int32, error) {
			return append(j.Vocabulary.encode([]int32{j.Vocabulary.BOS}, text), j.Vocabulary.EOS), nil
		})
		if err != nil {
			return err
		}
		p := poolOf(j.World, z.Scenes)
		var chosen []int
		for from := 0; from < len(z.Scenes); from += answerBatch {
			var batch []int
			for i := from; i < min(from+answerBatch, len(z.Scenes)); i++ {
				batch = append(batch, i)
			}
			for _, k := range c.Best(p.Pixels(batch).NoGrad()) {
				chosen = append(chosen, int(k))
			}
		}
		j.Report.Scores[name] = z.Accuracy(chosen)
	}
	return nil
}

// details examines what has no place in the table: captions, pairs of pictures that differ in one thing, and pictures
// unlike those of training.
func (j *Study) details(ctx context.Context, m *connector.VLM) error {
	n, scores, s := j.Preset.Questions, j.Report.Scores, j.Looking(m, nil)
	brief := NewExam(j.World, shapes.Test, shapes.Brief, n)
	brief.Pool.Look(m.Vision, j.Selects)
	captioners := map[string]*Student{"caption": s, "caption_shuffled": j.Looking(m, Shuffled)}
	for _, name := range slices.Sorted(maps.Keys(captioners)) { // in one order on all ranks
		said, err := captioners[name].Answers(ctx, brief)
		if err != nil {
			return err
		}
		c := eval.Captions(brief.Set, said)
		scores[name+"_f1"], scores[name+"_chair"], scores[name+"_all_right"] = c.F1, c.CHAIRi, c.AllRight
	}
	for _, f := range []shapes.Family{shapes.ColorOf, shapes.Where, shapes.PopeRandom} {
		twins := eval.Counterfactuals(j.World, shapes.Test, f, n)
		var both [2][]string
		for i, set := range []eval.Set{twins.A, twins.B} {
			e := examOf(j.World, f, set)
			e.Pool.Look(m.Vision, j.Selects)
			var err error
			if both[i], err = s.Answers(ctx, e); err != nil {
				return err
			}
		}
		scores["counterfactual_"+string(f)] = twins.Both(both[0], both[1])
	}
	others := map[shapes.Split][]shapes.Family{shapes.Comp: {shapes.PopeAdversarial, shapes.ShapeOf, shapes.ColorOf,
		shapes.Where},
		shapes.Count5: {shapes.CountAll, shapes.Where}, shapes.Style: {shapes.ColorOf, shapes.ShapeOf, shapes.Where,
			shapes.PopeAdversarial}}
	if j.World.Signs > 0 {
		others[shapes.NewWord] = []shapes.Family{shapes.ReadWord}
	}
	for _, split := range slices.Sorted(maps.Keys(others)) {
		for _, f := range others[split] {
			e := NewExam(j.World, split, f, n)
			e.Pool.Look(m.Vision, j.Selects)
			said, err := s.Answers(ctx, e)
			if err != nil {
				return err
			}
			scores[detailNames[split]+"_"+detailName(f)] = eval.Exact(e.Set, said)
		}
	}
	return nil
}

var detailNames = map[shapes.Split]string{shapes.Comp: "held_out", shapes.Count5: "five_objects",
	shapes.Style: "other_style", shapes.NewWord: "unseen"}

func detailName(f shapes.Family) string {
	if f == shapes.PopeAdversarial {
		return "existence"
	}
	return string(f)
}

// percent is a share for people.
func percent(x float64) string { return fmt.Sprintf("%.1f", 100*x) }
