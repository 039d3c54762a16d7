package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/data/score"
	"github.com/gollava/gollava/lora"
)

type evalCommand struct {
	Source    source `embed:""`
	Questions string `placeholder:"FILE" help:"Questions in LLaVA's form, one JSON object a line: question_id, image, text; label or answer and category, if there are any."`
	Images    string `help:"Folder, zip or tar of the pictures; default: images beside the questions, then their folder."`
	Answers   string `required:"" placeholder:"FILE" help:"Where answers go, in LLaVA's form; those that are there already are kept."`
	Template  string `help:"Conversation template; default: what the model was trained with."`
	MaxTokens int    `default:"128" help:"Tokens of an answer at most."`

	Benchmark string         `help:"Ask and score a benchmark by its own files and rules: see gollava score --help."`
	Files     benchmarkTruth `embed:""`
	Judge     judgeFlags     `embed:""`
	Baselines bool           `help:"With --benchmark: also ask without pictures, and about other questions' pictures."`
}

func (evalCommand) Help() string {
	return `Answers every question greedily, as LLaVA's evaluation scripts do, and scores what has a label: yes and no by POPE's accuracy, precision,
recall, F1 and share of yes, everything else by exact match. A run that was stopped goes on where it was.

Example:

  gollava eval ./llava-1.5-7b-hf --template vicuna_v1 --questions coco_pope_random.jsonl --images val2014 --answers pope.jsonl
  gollava eval ./llava-1.5-7b-hf --template vicuna_v1 --benchmark pope --questions llava_pope_test.jsonl --annotations coco --images val2014
    --answers pope.jsonl --baselines`
}

// question is a line of the questions.
type question struct {
	ID       json.RawMessage `json:"question_id"`
	Image    string          `json:"image"`
	Text     string          `json:"text"`
	Label    words           `json:"label"`
	Answer   words           `json:"answer"`
	Category words           `json:"category"`
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

// reply is a line of the answers.
type reply struct {
	ID       json.RawMessage `json:"question_id"`
	Prompt   string          `json:"prompt"`
	Text     string          `json:"text"`
	AnswerID string          `json:"answer_id"`
	Model    string          `json:"model_id"`
	Metadata map[string]any  `json:"metadata"`
}

func (v evalCommand) Run(ctx context.Context, c console) error {
	err := v.run(ctx, c)
	if err != nil {
		return fmt.Errorf("eval: %w", err)
	}
	return nil
}

func (v evalCommand) run(ctx context.Context, c console) error {
	if v.Benchmark != "" {
		return v.benchmark(ctx, c)
	}
	if v.Questions == "" {
		return errors.New("name the questions with --questions, or a benchmark with --benchmark")
	}
	questions, err := readLines[question](v.Questions)
	if err != nil {
		return err
	}
	if len(questions) == 0 {
		return fmt.Errorf("%s holds no questions", v.Questions)
	}
	for i, q := range questions {
		if strings.TrimSpace(q.Text) == "" {
			return fmt.Errorf("%s: question %d (%s): text is missing or empty: what is to be asked?", v.Questions, i+1, q.ID)
		}
	}
	if same(v.Questions, v.Answers) {
		return fmt.Errorf("--answers %s is the file of the questions: choose another", v.Answers)
	}
	done, whole, err := readAnswers(v.Answers)
	if err != nil {
		return err
	}
	answers, err := v.match(questions, done)
	if err != nil {
		return err
	}
	if len(done) > 0 {
		fmt.Fprintf(c.err, "%d of %d answers are in %s already\n", len(done), len(questions), v.Answers)
	}
	if len(done) < len(questions) {
		if err := v.answer(ctx, c, questions, answers, whole); err != nil {
			return err
		}
	}
	printScores(c.out, questions, answers)
	c.next("the answers are in %s; gollava chat %s asks more", v.Answers, v.Source.Dir)
	return nil
}

// answer asks what is not answered yet.
func (v evalCommand) answer(ctx context.Context, c console, questions []question, answers []*string, whole int64) error {
	images := v.Images
	if images == "" {
		images = filepath.Join(filepath.Dir(v.Questions), "images")
		if _, err := os.Stat(images); err != nil {
			images = filepath.Dir(v.Questions)
		}
	}
	pictures, err := data.OpenSource(images)
	if err != nil {
		return err
	}
	a, _, err := v.Source.open()
	if err == nil {
		err = lora.Merge(a.Model)
	}
	if err == nil && v.Template != "" {
		a.Template, err = chat.Lookup(v.Template)
	}
	if err != nil {
		return err
	}
	if v.MaxTokens < 1 {
		return fmt.Errorf("--max-tokens %d: an answer takes at least one", v.MaxTokens)
	}
	a.Options.MaxNewTokens, a.Options.Sampling.Temperature = v.MaxTokens, 0
	c.ignored(a.Ignored)
	out, err := os.OpenFile(v.Answers, os.O_CREATE|os.O_WRONLY, 0o666)
	if err != nil {
		return err
	}
	defer out.Close()
	if err := out.Truncate(whole); err != nil { // what a run that was killed left of a line
		return err
	}
	if _, err := out.Seek(whole, io.SeekStart); err != nil {
		return err
	}
	for i, q := range questions {
		if answers[i] != nil {
			continue
		}
		text, err := ask(ctx, a, pictures, q)
		if err != nil {
			return fmt.Errorf("%s:%d: question %s: %w", v.Questions, i+1, q.ID, err)
		}
		answers[i] = &text
		line, err := json.Marshal(reply{ID: q.ID, Prompt: q.Text, Text: text, AnswerID: fmt.Sprintf("%x", i), Model: v.Source.name(),
			Metadata: map[string]any{"max_tokens": v.MaxTokens, "template": a.Template.Name}})
		if err == nil {
			_, err = out.Write(append(line, '\n'))
		}
		if err != nil {
			return err
		}
		if (i+1)%100 == 0 || i+1 == len(questions) {
			fmt.Fprintf(c.err, "%d of %d questions\n", i+1, len(questions))
		}
	}
	return out.Close()
}

// ask is one question about one picture, or about none.
func ask(ctx context.Context, a *connector.Assistant, source data.Source, q question) (string, error) {
	text := strings.TrimSpace(strings.ReplaceAll(q.Text, chat.ImageToken, ""))
	var pictures []*imaging.RGB
	if q.Image != "" {
		raw, err := source.Load(q.Image)
		if err != nil {
			return "", err
		}
		m, err := imaging.Decode(raw, imaging.Options{Limits: data.DefaultLimits()})
		if err != nil {
			return "", fmt.Errorf("picture %s: %w", q.Image, err)
		}
		pictures, text = []*imaging.RGB{m}, chat.ImageToken+"\n"+text
	}
	return a.Reply(ctx, []chat.Turn{{From: chat.Human, Value: text}}, pictures, nil)
}

// printScores prints what the answers are worth, category by category.
func printScores(w io.Writer, questions []question, answers []*string) {
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
		s.truths, s.said = append(s.truths, want), append(s.said, *answers[i])
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
		fmt.Fprintf(w, "%-20s %6d questions  accuracy %.4f  precision %.4f  recall %.4f  F1 %.4f  yes %.4f\n", name, len(s.truths),
			p.Accuracy(), p.Precision(), p.Recall(), p.F1(), p.YesRatio())
	}
	if len(sets) == 0 {
		fmt.Fprintln(w, "no question has a label or an answer: nothing to score")
	}
}
