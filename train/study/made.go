package study

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/generate"
	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/data/shapes/teacher"
)

// MadeDir is the folder of a run with annotations in COCO's form and the instructions made from them.
const MadeDir = "data"

// madeShares are the shares of images that are described and reasoned about; each gets a conversation. They bring the
// kinds near the proportions of [Instructions].
var madeShares = map[generate.Kind]float64{generate.Detail: 0.13, generate.Reasoning: 0.25}

// Make goes LLaVA's way from images to instructions (Liu et al. 2023, section 3), except that rules write: it writes
// the lesson's images as captions and boxes in COCO's form, has a [teacher.Rule] write conversations, descriptions and
// reasoning from these files, and reads the json that this gives. The course that it returns draws images as
// [Instructions] does, and says about each what the json has. A second call asks the teacher nothing.
func (j *Study) Make(ctx context.Context, l *Lesson) (Course, *generate.Report, error) {
	dir := filepath.Join(j.Flags.Out, MadeDir)
	if err := j.Alone(func() error { return j.World.WriteAnnotations(dir, l.Pool.Scenes) }); err != nil {
		return nil, nil, err
	}
	set, err := generate.OpenCOCO(filepath.Join(dir, "captions.json"), filepath.Join(dir, "instances.json"), "")
	if err != nil {
		return nil, nil, err
	}
	c, err := teacher.Config(j.World)
	if err != nil {
		return nil, nil, err
	}
	c.Seed, c.Shares = int64(j.Flags.seed), madeShares
	o := generate.Options{Teacher: teacher.Rule{World: j.World}, Out: dir, Comm: j.Comm}
	report, err := generate.Run(ctx, set, c, o)
	if err != nil {
		return nil, nil, err
	}
	course, err := readMade(filepath.Join(dir, "all.json"), l)
	return course, report, err
}

// readMade reads instructions in LLaVA's form about the lesson's images.
func readMade(path string, l *Lesson) (Course, error) {
	f, err := data.Open(path, data.Options{})
	if err != nil {
		return nil, err
	}
	defer f.Close()
	about := map[string][][]shapes.Question{} // by the image's name
	for i := range f.Len() {
		s, err := f.Sample(i)
		if err != nil {
			return nil, err
		}
		if len(s.Images) != 1 {
			return nil, fmt.Errorf("%s: sample %s is about %d images, not one", path, s.ID, len(s.Images))
		}
		var said []shapes.Question
		for k := 0; k+1 < len(s.Turns); k += 2 {
			text := strings.TrimSpace(strings.ReplaceAll(s.Turns[k].Value, chat.ImageToken, ""))
			said = append(said, shapes.Question{Text: text, Answer: s.Turns[k+1].Value})
			for _, t := range []string{text, s.Turns[k+1].Value} {
				if strange := l.Vocabulary.strange(t); len(strange) > 0 {
					return nil, fmt.Errorf("%s: sample %s has words that the vocabulary lacks: %v", path, s.ID, strange)
				}
			}
		}
		about[s.Images[0]] = append(about[s.Images[0]], said)
	}
	return func(l *Lesson, r *rand.Rand, at float64) (int, func(shapes.Scene) []shapes.Question) {
		objects, _ := Instructions(l, r, at)
		return objects, func(s shapes.Scene) []shapes.Question {
			if all := about[s.ImageName()]; len(all) > 0 {
				return all[r.IntN(len(all))]
			}
			return nil
		}
	}, nil
}

// CompareMade examines a model that was tuned on what a teacher made, one that was tuned on the world's own
// instructions, and one that was tuned on the first without images. It writes report.json, where own_minus_made is how
// far the first is behind the second; with -gate, more than three points are an error.
func (j *Study) CompareMade(ctx context.Context, made, own *connector.VLM, blind *Student) error {
	j.Report.Scores = map[string]float64{}
	exams := j.Exams(made.Vision, shapes.Test, j.Preset.Questions, false)
	columns := []column{j.prior(exams)}
	for _, s := range []struct {
		name, title string
		*Student
	}{
		{"own", "own", j.Looking(own, nil)}, {"mix", "made", j.Looking(made, nil)},
		{"shuffled", "shuffled", j.Looking(made, Shuffled)}, {"mean_picture", "mean", j.Looking(made, Averaged)},
		{"blind", "blind", blind},
	} {
		scores, answers, err := s.Take(ctx, exams)
		if err != nil {
			return err
		}
		columns = append(columns, column{s.name, s.title, scores, answers})
	}
	j.record(exams, columns)
	gap := j.Report.Scores["own"] - j.Report.Scores["mix"]
	j.Report.Scores["own_minus_made"] = gap
	if !j.first() {
		return nil
	}
	if err := j.Report.tally(j.Flags.Out); err != nil {
		return err
	}
	j.rows(exams, columns)
	j.Printf("own: stage 2 on the world's own instructions; made: on what rules wrote from captions and boxes, the")
	j.Printf("same start, images and steps; shuffled, mean: made, shown other questions' images or the mean of all;")
	j.Printf("blind: tuned on the same without images. made is %.1f points of mix behind own.", 100*gap)
	j.costs()
	if err := j.save(); err != nil {
		return err
	}
	if j.Flags.gate && gap > 0.03 {
		return fmt.Errorf("the gate of -made, seed %d: %.1f points of mix behind the world's own instructions, wanted "+
			"at most 3", j.Flags.seed, 100*gap)
	}
	return nil
}
