package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/gollava/gollava/data/score"
	"github.com/gollava/gollava/internal/jsonfile"
	"github.com/gollava/gollava/internal/jsonrecord"
	"github.com/gollava/gollava/train"
)

type evalCommand struct {
	Source    source `embed:""`
	Questions string `placeholder:"FILE" help:"Questions in LLaVA's form, one JSON object a line: question_id, image or video, text; label or answer and category, if there are any."`
	Images    string `help:"Folder, zip or tar of the pictures and videos; default: images beside the questions, then their folder."`
	Frames    int    `default:"8" help:"Frames of a video that the model sees: as many as it was trained with."`
	Answers   string `required:"" placeholder:"FILE" help:"Where answers go, in LLaVA's form; those that are there already are kept. With --suite: the folder for them."`
	Template  string `help:"Conversation template; default: what the model was trained with."`
	MaxTokens int    `default:"128" help:"Tokens of an answer at most."`

	Benchmark  string         `help:"Ask and score a benchmark by its own files and rules: see gollava score --help."`
	Files      benchmarkTruth `embed:""`
	Judge      judgeFlags     `embed:""`
	Likelihood bool           `help:"With --benchmark: answer questions with options by the letter that the model finds most likely, instead of letting it write."`
	Baselines  bool           `help:"With --benchmark: also ask without pictures, and about other questions' pictures."`

	Suite suiteFlags `embed:""`
}

func (evalCommand) Help() string {
	return `Answers every question greedily, as LLaVA's evaluation scripts do, and scores what has a label: yes and no by
POPE's accuracy, precision, recall, F1 and share of yes, everything else by exact match. A run that was stopped goes on
where it was. Several processes (mpirun, of a gollava with MPI) share the questions out, with the same answers.

Example:

  gollava eval ./llava-1.5-7b-hf --template vicuna_v1 --questions coco_pope_random.jsonl --images val2014
    --answers pope.jsonl
  gollava eval ./llava-1.5-7b-hf --template vicuna_v1 --benchmark pope --questions llava_pope_test.jsonl
    --annotations coco --images val2014 --answers pope.jsonl --baselines
  gollava eval ./llava-1.5-7b-hf --suite suite.json --answers answers --table table.md --picture table.png`
}

// question is a line of the questions.
type question struct {
	ID       writtenID `json:"question_id"`
	Image    string    `json:"image"`
	Video    string    `json:"video"`
	Text     string    `json:"text"`
	Label    words     `json:"label"`
	Answer   words     `json:"answer"`
	Category words     `json:"category"`
}

// writtenID is a question's id and whether it is written as a number.
type writtenID struct {
	jsonrecord.ID
	numeric bool
}

func (w *writtenID) UnmarshalJSON(raw []byte) error {
	w.numeric = raw[0] != '"' && !jsonfile.IsNull(raw)
	return w.ID.UnmarshalJSON(raw)
}

// words is a text, or a number or a truth value as JSON writes it.
type words string

func (w *words) UnmarshalJSON(raw []byte) error {
	var s string
	switch err := json.Unmarshal(raw, &s); {
	case err == nil:
		*w = words(s)
	case raw[0] == '[' || raw[0] == '{':
		return fmt.Errorf("label, answer or category is %.40s, where text or a number belongs", raw)
	default:
		*w = words(raw)
	}
	return nil
}

// truth is what the answer should be, if that is known.
func (q question) truth() string {
	if q.Label != "" {
		return string(q.Label)
	}
	return string(q.Answer)
}

func (v evalCommand) Run(ctx context.Context, c console) error {
	err := c.ranks(func(c console, comm train.Comm) error { return v.run(ctx, c, comm) })
	if err != nil {
		return fmt.Errorf("eval: %w", err)
	}
	return nil
}

func (v evalCommand) run(ctx context.Context, c console, comm train.Comm) error {
	if v.Frames < 1 {
		return fmt.Errorf("--frames %d: at least one", v.Frames)
	}
	if v.Baselines && v.Benchmark == "" || v.Likelihood && v.Benchmark == "" && v.Suite.Suite == "" {
		return errors.New("--baselines and --likelihood are for the questions of a --benchmark (--likelihood for those of " +
			"a --suite, too): leave them out")
	}
	if v.Suite.Suite != "" {
		return v.suite(ctx, c, comm)
	}
	if v.Benchmark != "" {
		return v.benchmark(ctx, c, comm)
	}
	if v.Questions == "" {
		return errors.New("name the questions with --questions, or a benchmark with --benchmark, or many with --suite")
	}
	var questions []question
	session := &asker{evalCommand: v, console: c, comm: comm}
	err := jsonrecord.EachRow(v.Questions, func(r jsonrecord.Record) error {
		q, err := jsonrecord.Decode[question](r)
		if err != nil {
			return err
		}
		if strings.TrimSpace(q.Text) == "" {
			return fmt.Errorf("%s: question %s: text is missing or empty: what is to be asked?", r.At(), q.ID.ID)
		}
		if q.Image != "" && q.Video != "" {
			return fmt.Errorf("%s: question %s is about image %s and video %s: name one", r.At(), q.ID.ID, q.Image, q.Video)
		}
		questions = append(questions, q)
		session.questions = append(session.questions,
			score.Question{ID: string(q.ID.ID), Numeric: q.ID.numeric, Image: q.Image, Video: q.Video, Text: q.Text})
		return nil
	})
	if err != nil {
		return err
	}
	if len(questions) == 0 {
		return fmt.Errorf("%s holds no questions", v.Questions)
	}
	answers, err := session.answer(ctx, v.Answers, seeing)
	if err != nil {
		return err
	}
	printScores(c.out, questions, answers)
	c.hint("the answers are in %s", v.Answers)
	c.next(v.Source.asked(v.Template)...)
	return nil
}

// printScores prints what the answers are worth, category by category.
func printScores(w io.Writer, questions []question, answers []string) {
	type set struct {
		truths, said []string
		binary       bool // every truth is yes or no
	}
	sets := map[string]*set{}
	for i, q := range questions {
		want := strings.ToLower(strings.TrimSpace(q.truth()))
		if want == "" {
			continue
		}
		s := sets[string(q.Category)]
		if s == nil {
			s = &set{binary: true}
			sets[string(q.Category)] = s
		}
		s.binary = s.binary && (want == "yes" || want == "no")
		s.truths, s.said = append(s.truths, want), append(s.said, answers[i])
	}
	for _, name := range slices.Sorted(maps.Keys(sets)) {
		s := sets[name]
		if name == "" {
			name = "all"
		}
		if !s.binary {
			fmt.Fprintf(w, "%-20s %6d questions  exact %.4f\n", name, len(s.truths), score.Exact(s.truths, s.said))
			continue
		}
		var p score.YesNo
		for i, said := range s.said {
			p.Add(score.SaysYes(said), s.truths[i] == "yes")
		}
		fmt.Fprintf(w, "%-20s %6d questions  accuracy %.4f  precision %.4f  recall %.4f  F1 %.4f  yes %.4f\n", name,
			len(s.truths), p.Accuracy(), p.Precision(), p.Recall(), p.F1(), p.YesRatio())
	}
	if len(sets) == 0 {
		fmt.Fprintln(w, "no question has a label or an answer: nothing to score; where a benchmark keeps them in "+
			"other files, as "+
			"POPE does for llava_pope_test.jsonl, --benchmark reads those")
	}
}
