package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/data/score"
	"github.com/gollava/gollava/internal/jsonrecord"
	"github.com/gollava/gollava/lora"
)

// baseline says which picture a question is asked about.
type baseline string

const (
	seeing   baseline = ""         // its own
	blind    baseline = "blind"    // none
	shuffled baseline = "shuffled" // that of the question half the set further on
)

// benchmark asks and scores a benchmark, and its baselines if they are wanted.
func (v evalCommand) benchmark(ctx context.Context, c console) error {
	b, err := score.Find(v.Benchmark)
	if err != nil {
		return err
	}
	files := v.Files.files()
	files.Questions = v.Questions
	if b.Ask == nil {
		return fmt.Errorf("%s can be scored only: gollava score %s", b.Title, b.Name)
	}
	var questions []score.Question
	err = b.Ask(files, func(q score.Question) error {
		questions = append(questions, q)
		return nil
	})
	if err != nil {
		return fmt.Errorf("%w\n%s needs: %s", err, b.Title, b.Needs)
	}
	if len(questions) == 0 {
		return fmt.Errorf("%s: the files hold no questions", b.Title)
	}
	kinds := []baseline{seeing}
	if v.Baselines {
		kinds = append(kinds, blind, shuffled)
	}
	session := &benchmarkSession{evalCommand: v, console: c, questions: questions}
	var reports []*score.Report
	for _, k := range kinds {
		path := answersPath(v.Answers, k)
		if err := session.answer(ctx, path, k); err != nil {
			return err
		}
		files.Answers = []string{path}
		if err := v.Judge.judge(ctx, b, &files); err != nil {
			return err
		}
		r, err := b.Score(files)
		if err != nil {
			c.next("the answers are in %s; gollava score %s scores them once the truth is at hand, --upload "+
				"writes them for the server", path, b.Name)
			return fmt.Errorf("%w\n%s needs: %s", err, b.Title, b.Needs)
		}
		reports = append(reports, r)
	}
	if err := printReport(c, reports[0]); err != nil {
		return err
	}
	for i, r := range reports[1:] {
		x, _ := r.Get(b.Main)
		fmt.Fprintf(c.out, "  %s: %s %.6g\n", kinds[i+1], b.Main, x)
		printComparison(c, string(kinds[i+1]), score.Compare(reports[0].Items, r.Items))
	}
	c.next(
		"the answers are in %s; gollava score %s compares them with those of another model (--against)",
		v.Answers,
		b.Name,
	)
	return nil
}

// answersPath is where the answers of a baseline go: beside the others.
func answersPath(path string, k baseline) string {
	if k == seeing {
		return path
	}
	ext := filepath.Ext(path)
	return strings.TrimSuffix(path, ext) + "-" + string(k) + ext
}

// benchmarkSession asks the questions of a benchmark. The model is loaded when the first question has no answer yet.
type benchmarkSession struct {
	evalCommand
	console
	questions []score.Question
	model     *connector.Assistant
	pictures  data.Source
}

// key tells questions apart: some benchmarks ask several under one id.
func key(id, prompt string) string { return id + "\x00" + prompt }

// answer asks what a file of answers lacks and adds it, a line each.
func (s *benchmarkSession) answer(ctx context.Context, path string, k baseline) error {
	done, err := s.answered(path)
	if err != nil {
		return err
	}
	missing := 0
	seen := map[string]bool{}
	for _, q := range s.questions {
		id := key(q.ID, q.Text)
		if seen[id] {
			return fmt.Errorf("question %s is asked twice in the same words: the question file has a line twice", q.ID)
		}
		if seen[id] = true; !done[id] {
			missing++
		}
	}
	if len(done) > 0 {
		fmt.Fprintf(s.err, "%d of %d answers are in %s already\n", len(s.questions)-missing, len(s.questions), path)
	}
	if missing == 0 {
		return nil
	}
	if err := s.open(); err != nil {
		return err
	}
	out, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
	if err != nil {
		return err
	}
	defer out.Close()
	began, asked, last := time.Now(), 0, time.Now()
	for i, q := range s.questions {
		if done[key(q.ID, q.Text)] {
			continue
		}
		text, err := s.ask(ctx, i, k)
		if err != nil {
			return fmt.Errorf("question %s: %w", q.ID, err)
		}
		id, err := json.Marshal(q.ID)
		if err != nil {
			return err
		}
		if q.Numeric {
			id = []byte(q.ID)
		}
		line, err := json.Marshal(
			reply{ID: id, Prompt: q.Text, Text: text, AnswerID: fmt.Sprintf("%x", i), Model: s.modelID()},
		)
		if err == nil {
			_, err = out.Write(append(line, '\n'))
		}
		if err != nil {
			return err
		}
		asked++
		if now := time.Now(); now.Sub(last) >= time.Second || asked == missing {
			last = now
			left := time.Duration(float64(now.Sub(began)) / float64(asked) * float64(missing-asked))
			fmt.Fprintf(
				s.err,
				"%d of %d questions, %.1f a second, %s left\n",
				asked,
				missing,
				float64(asked)/now.Sub(began).Seconds(),
				left.Round(time.Second),
			)
		}
	}
	return out.Close()
}

func (s *benchmarkSession) modelID() string { return filepath.Base(filepath.Clean(s.Source.Dir)) }

// answered reads which questions a file answers, cutting off a last line that a killed run left unfinished. Answers
// of another model or to other questions are refused: an answer file is never mixed.
func (s *benchmarkSession) answered(path string) (map[string]bool, error) {
	done, asked := map[string]bool{}, map[string]bool{}
	for _, q := range s.questions {
		asked[key(q.ID, q.Text)] = true
	}
	var whole int64
	err := jsonrecord.EachLine(path, func(r jsonrecord.Record, cut bool) error {
		v, err := jsonrecord.Decode[struct {
			ID     jsonrecord.ID `json:"question_id"`
			Prompt string        `json:"prompt"`
			Model  string        `json:"model_id"`
		}](r)
		switch {
		case cut:
			return nil
		case err != nil:
			return fmt.Errorf("%w: mend or delete the line, or name another file", err)
		case v.Model != s.modelID():
			return fmt.Errorf(
				"%s: the answer is of model %q, and %q is evaluated: name another file of answers",
				r.At(),
				v.Model,
				s.modelID(),
			)
		case !asked[key(string(v.ID), v.Prompt)]:
			return fmt.Errorf("%s: question %s is not asked here in these words: the file is of another benchmark "+
				"or split; name another file of answers", r.At(), v.ID)
		}
		done[key(string(v.ID), v.Prompt)] = true
		whole = r.Offset + int64(len(r.Raw)) + 1
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return done, nil
	}
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if err == nil && info.Size() > whole {
		fmt.Fprintf(s.err, "the last line of %s was cut; it is asked again\n", path)
		err = os.Truncate(path, whole)
	}
	return done, err
}

// open loads the model and finds the pictures.
func (s *benchmarkSession) open() error {
	if s.model != nil {
		return nil
	}
	if s.Images != "" {
		source, err := data.OpenSource(s.Images)
		if err != nil {
			return err
		}
		s.pictures = source
	}
	a, _, err := s.Source.open()
	if err == nil {
		err = lora.Merge(a.Model)
	}
	if err == nil && s.Template != "" {
		a.Template, err = chat.Lookup(s.Template)
	}
	if err != nil {
		return err
	}
	a.Options.MaxNewTokens = s.MaxTokens
	s.model = a
	return nil
}

// ask asks question i about the picture that the baseline gives it.
func (s *benchmarkSession) ask(ctx context.Context, i int, k baseline) (string, error) {
	q := s.questions[i]
	text := strings.TrimSpace(strings.ReplaceAll(q.Text, chat.ImageToken, ""))
	from := q
	if k == shuffled && (q.Image != "" || q.Inline != nil) {
		for step := range s.questions { // the next that has a picture, and another one
			from = s.questions[(i+len(s.questions)/2+step)%len(s.questions)]
			if (from.Image != "" || from.Inline != nil) &&
				(from.Image != q.Image || from.Image == "" && from.ID != q.ID) {
				break
			}
		}
	}
	raw := from.Inline
	if k == blind {
		raw, from.Image = nil, ""
	}
	var err error
	if raw == nil && from.Image != "" {
		if s.pictures == nil {
			return "", fmt.Errorf("picture %s: name the folder, zip or tar of the pictures with --images", from.Image)
		}
		if raw, err = s.pictures.Load(from.Image); err != nil {
			return "", err
		}
	}
	var pictures []*imaging.RGB
	if raw != nil {
		m, err := imaging.Decode(raw, imaging.Options{Limits: data.DefaultLimits()})
		if err != nil {
			return "", fmt.Errorf("picture %s: %w", from.Image, err)
		}
		pictures, text = []*imaging.RGB{m}, chat.ImageToken+"\n"+text
	}
	said, err := s.model.Reply(ctx, []chat.Turn{{From: chat.Human, Value: text}}, pictures, nil)
	return strings.TrimSpace(said), err
}
