package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/data/shapes/eval"
	"github.com/gollava/gollava/vit"
)

// exams are n questions of each family about a split that t looks at; only those of the mix where part is set.
func (j *job) exams(t vit.Tower, split shapes.Split, n int, part bool) []*exam {
	families := j.world.Families(split)
	if part {
		families = nil
		for _, s := range eval.Weights() {
			families = append(families, s.Family)
		}
	}
	var all []*exam
	for _, f := range families {
		e := newExam(j.world, split, f, n)
		e.pool.look(t, j.selects())
		all = append(all, e)
	}
	return all
}

// telling measures the text stage while it trains: what does the language model answer when it is told what there is to see?
func (j *job) telling(m *reader) func(context.Context) (map[string]float64, error) {
	var exams []*exam
	return func(ctx context.Context) (map[string]float64, error) {
		if exams == nil {
			for _, s := range eval.Weights() {
				exams = append(exams, newExam(j.world, shapes.Validation, s.Family, j.preset.Quick))
			}
		}
		right, _, err := j.told(m).take(ctx, exams)
		return map[string]float64{"told": eval.Mean(eval.Weights(), right)}, err
	}
}

// questioning measures stage 2 while it trains, on the validation split: with the right pictures, and with those of other questions.
func (j *job) questioning(m *connector.VLM) func(context.Context) (map[string]float64, error) {
	var exams []*exam
	return func(ctx context.Context) (map[string]float64, error) {
		if exams == nil {
			exams = j.exams(m.Vision, shapes.Validation, j.preset.Quick, true)
		}
		right, _, err := j.looking(m, nil).take(ctx, exams)
		if err != nil {
			return nil, err
		}
		guessed, _, err := j.looking(m, shuffled).take(ctx, exams)
		if err != nil {
			return nil, err
		}
		real, other := eval.Mean(eval.Weights(), right), eval.Mean(eval.Weights(), guessed)
		return map[string]float64{"mix": real, "shuffled": other, "vision_gain": real - other}, nil
	}
}

// captioning measures the captions at the end of stage 1, with the right pictures and with shuffled ones.
func (j *job) captioning(m *connector.VLM) func(context.Context) (map[string]float64, error) {
	return func(ctx context.Context) (map[string]float64, error) {
		e := newExam(j.world, shapes.Validation, shapes.Brief, 4*j.preset.Quick)
		e.pool.look(m.Vision, j.selects())
		right, err := j.looking(m, nil).answers(ctx, e)
		if err != nil {
			return nil, err
		}
		other, err := j.looking(m, shuffled).answers(ctx, e)
		if err != nil {
			return nil, err
		}
		return map[string]float64{"caption_f1": eval.Captions(e.set, right).F1, "caption_f1_shuffled": eval.Captions(e.set, other).F1}, nil
	}
}

// column is what one student knows.
type column struct {
	name, title string // of its mix in the report, and in the table
	scores      map[shapes.Family]float64
	answers     map[shapes.Family][]string
}

// judge examines the model and everything that it is to be compared with, on the test splits.
func (j *job) judge(ctx context.Context, l *lesson, clip *vit.CLIP, m *connector.VLM) error {
	j.report.Scores = map[string]float64{}
	if err := j.zeroShot(clip); err != nil {
		return err
	}
	if err := j.perceive(ctx, l.pool, m.Vision); err != nil {
		return err
	}
	exams := j.exams(m.Vision, shapes.Test, j.preset.Questions, false)
	prior := column{"prior", "prior", map[shapes.Family]float64{}, nil}
	for _, e := range exams {
		prior.scores[e.family] = eval.Prior(j.world, shapes.Test, e.family)
	}
	columns := []column{prior}
	sit := func(name, title string, s *student, exams []*exam) error {
		scores, answers, err := s.take(ctx, exams)
		columns = append(columns, column{name, title, scores, answers})
		return err
	}
	if err := sit("mix", "model", j.looking(m, nil), exams); err != nil {
		return err
	}
	if err := sit("shuffled", "shuffled", j.looking(m, shuffled), exams); err != nil {
		return err
	}
	if err := sit("mean_picture", "mean", j.looking(m, averaged), exams); err != nil {
		return err
	}
	if err := j.compare(ctx, l, clip, exams, sit); err != nil {
		return err
	}
	j.record(exams, columns)
	if err := j.details(ctx, m); err != nil {
		return err
	}
	if err := j.drawSheet(ctx, m); err != nil {
		return err
	}
	if err := j.learnWidgets(ctx, l, m); err != nil { // it changes the connector, hence last
		return err
	}
	if err := j.report.tally(j.flags.out); err != nil {
		return err
	}
	j.afterAligning()
	j.table(exams, columns)
	if err := j.drawCurves(); err != nil {
		return err
	}
	j.printf("contact-sheet.png, loss.png, vision-gain.png and report.json are in %s; talk with the model: %s", filepath.Clean(j.flags.out), j.command("-chat"))
	if err := j.save(); err != nil || !j.flags.gate {
		return err
	}
	return j.report.gate()
}

// compare trains the baselines and examines them.
func (j *job) compare(ctx context.Context, l *lesson, clip *vit.CLIP, exams []*exam, sit func(name, title string, s *student, exams []*exam) error) error {
	told, err := j.quietly().language(ctx, l)
	if err != nil {
		return err
	}
	if err := sit("text_oracle", "told", j.told(told), exams); err != nil {
		return err
	}
	if j.compared().Steps == 0 {
		return nil
	}
	if !j.flags.full {
		short, err := j.trainShort(ctx, l, clip)
		if err != nil {
			return err
		}
		if err := sit("short", "short", j.looking(short, nil), exams); err != nil {
			return err
		}
	}
	blind, err := j.trainBlind(ctx, l)
	if err != nil {
		return err
	}
	if err := sit("blind", "blind", j.blind(blind), exams); err != nil {
		return err
	}
	unaligned, err := j.trainUnaligned(ctx, l, clip)
	if err != nil {
		return err
	}
	if err := sit("no_stage_1", "no stage 1", j.looking(unaligned, nil), exams); err != nil {
		return err
	}
	random, err := j.trainRandom(ctx, l)
	if err != nil {
		return err
	}
	others := make([]*exam, len(exams)) // the same questions, as another tower sees them
	for i, e := range exams {
		others[i] = &exam{e.family, e.set, e.pool.unseen()}
		others[i].pool.look(random.Vision, j.selects())
	}
	return sit("random_encoder", "random", j.looking(random, nil), others)
}

// record puts the scores into the report.
func (j *job) record(exams []*exam, columns []column) {
	scores := j.report.Scores
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
			switch e.family {
			case shapes.PopeRandom, shapes.PopePopular, shapes.PopeAdversarial:
				p := eval.POPE(e.set, c.answers[e.family])
				name := string(e.family)
				scores[name+"_precision"], scores[name+"_recall"], scores[name+"_f1"], scores[name+"_yes"] = p.Precision, p.Recall, p.F1, p.YesRatio
			case shapes.Walk:
				r := eval.Reasoning(e.set, c.answers[e.family])
				scores["walk_faithful"], scores["walk_direction"] = r.Faithful, r.Direction
			}
		}
	}
	scores["vision_gain"] = scores["mix"] - scores["shuffled"]
	if random, ok := scores["random_encoder"]; ok {
		scores["encoder_gain"] = scores["mix"] - random
	}
	if short, ok := scores["short"]; ok {
		scores["short_over_no_stage_1"], scores["short_over_random"] = short-scores["no_stage_1"], short-scores["random_encoder"]
	}
}

// afterAligning repeats what was measured at the end of stage 1 among the scores.
func (j *job) afterAligning() {
	for _, p := range j.report.Curves {
		if p.Stage != "align" {
			continue
		}
		for name, v := range p.Scores {
			j.report.Scores["align_"+name] = v
		}
		if f1, ok := p.Scores["caption_f1"]; ok {
			j.report.Scores["align_gain"] = f1 - p.Scores["caption_f1_shuffled"]
		}
	}
}

// zeroShot asks CLIP, which was never trained on the question, which pair a single object is.
func (j *job) zeroShot(clip *vit.CLIP) error {
	for name, split := range map[string]shapes.Split{"zero_shot_seen": shapes.Test, "zero_shot_unseen": shapes.Comp} {
		z := eval.Classify(j.world, split, 2*j.preset.Questions)
		c, err := vit.NewClassifier(clip, z.Labels, []string{"{}"}, func(text string) ([]int32, error) {
			return append(j.vocabulary.encode([]int32{j.vocabulary.BOS}, text), j.vocabulary.EOS), nil
		})
		if err != nil {
			return err
		}
		p := poolOf(j.world, z.Scenes)
		var chosen []int
		for from := 0; from < len(z.Scenes); from += answerBatch {
			var batch []int
			for i := from; i < min(from+answerBatch, len(z.Scenes)); i++ {
				batch = append(batch, i)
			}
			for _, k := range c.Best(p.pixels(batch).NoGrad()) {
				chosen = append(chosen, int(k))
			}
		}
		j.report.Scores[name] = z.Accuracy(chosen)
	}
	return nil
}

// details examines what has no place in the table: captions, pairs of pictures that differ in one thing, and pictures unlike those of training.
func (j *job) details(ctx context.Context, m *connector.VLM) error {
	n, scores, s := j.preset.Questions, j.report.Scores, j.looking(m, nil)
	brief := newExam(j.world, shapes.Test, shapes.Brief, n)
	brief.pool.look(m.Vision, j.selects())
	for name, s := range map[string]*student{"caption": s, "caption_shuffled": j.looking(m, shuffled)} {
		said, err := s.answers(ctx, brief)
		if err != nil {
			return err
		}
		c := eval.Captions(brief.set, said)
		scores[name+"_f1"], scores[name+"_chair"], scores[name+"_all_right"] = c.F1, c.CHAIRi, c.AllRight
	}
	for _, f := range []shapes.Family{shapes.ColorOf, shapes.Where, shapes.PopeRandom} {
		twins := eval.Counterfactuals(j.world, shapes.Test, f, n)
		var both [2][]string
		for i, set := range []eval.Set{twins.A, twins.B} {
			e := examOf(j.world, f, set)
			e.pool.look(m.Vision, j.selects())
			var err error
			if both[i], err = s.answers(ctx, e); err != nil {
				return err
			}
		}
		scores["counterfactual_"+string(f)] = twins.Both(both[0], both[1])
	}
	others := map[shapes.Split][]shapes.Family{shapes.Comp: {shapes.PopeAdversarial, shapes.ShapeOf, shapes.ColorOf, shapes.Where},
		shapes.Count5: {shapes.CountAll, shapes.Where}, shapes.Style: {shapes.ColorOf, shapes.ShapeOf, shapes.Where, shapes.PopeAdversarial}}
	if j.world.Signs > 0 {
		others[shapes.NewWord] = []shapes.Family{shapes.ReadWord}
	}
	for split, families := range others {
		for _, f := range families {
			e := newExam(j.world, split, f, n)
			e.pool.look(m.Vision, j.selects())
			said, err := s.answers(ctx, e)
			if err != nil {
				return err
			}
			scores[detailNames[split]+"_"+detailName(f)] = eval.Exact(e.set, said)
		}
	}
	return nil
}

var detailNames = map[shapes.Split]string{shapes.Comp: "held_out", shapes.Count5: "five_objects", shapes.Style: "other_style", shapes.NewWord: "unseen"}

func detailName(f shapes.Family) string {
	if f == shapes.PopeAdversarial {
		return "existence"
	}
	return string(f)
}

// percent is a share for people.
func percent(x float64) string { return fmt.Sprintf("%.1f", 100*x) }
