package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/data/score"
	"github.com/gollava/gollava/internal/jsonrecord"
	"github.com/gollava/gollava/train"
)

// reply is a line of the answers, as LLaVA's scripts write it.
type reply struct {
	ID       json.RawMessage `json:"question_id"`
	Prompt   string          `json:"prompt"`
	Text     string          `json:"text"`
	AnswerID string          `json:"answer_id"`
	Model    string          `json:"model_id"`
	Metadata map[string]any  `json:"metadata"`
}

// asker asks questions and keeps the answers in files, from which a later run goes on. The model is loaded when the
// first question has no answer yet.
type asker struct {
	evalCommand
	console
	comm      train.Comm // processes that share the questions out; nil: this one alone
	questions []score.Question
	model     *connector.Assistant
	pictures  data.Source
}

// perRank is how many questions each of several processes answers between two writes to the file of answers.
const perRank = 8

// answer returns the answers to all questions, each about the picture that k gives it: those that the file at path
// holds, and the others by asking, which adds a line each to the file, in order.
func (s *asker) answer(ctx context.Context, path string, k baseline) ([]string, error) {
	if s.MaxTokens < 1 {
		return nil, fmt.Errorf("--max-tokens %d: an answer takes at least one", s.MaxTokens)
	}
	if same(s.Questions, path) {
		return nil, fmt.Errorf("--answers %s is the file of the questions: choose another", path)
	}
	read, err := train.Map(ctx, s.comm, 1, func(context.Context, int) (map[int]string, error) {
		return s.answered(path)
	})
	if err != nil {
		return nil, err
	}
	answers := make([]string, len(s.questions))
	var open []int // questions without an answer
	for i := range answers {
		text, ok := read[0][i]
		if answers[i] = text; !ok {
			open = append(open, i)
		}
	}
	if len(open) < len(answers) {
		fmt.Fprintf(s.err, "%d of %d answers are in %s already\n", len(answers)-len(open), len(answers), path)
	}
	if len(open) == 0 {
		return answers, nil
	}
	if err := s.open(); err != nil {
		return nil, err
	}
	var out *os.File
	if first(s.comm) {
		if out, err = os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666); err != nil {
			return nil, err
		}
		defer out.Close()
	}
	round := 1
	if s.comm != nil {
		round = perRank * s.comm.Size()
	}
	began, asked, last := time.Now(), 0, time.Now()
	for some := range slices.Chunk(open, round) {
		said, err := train.Map(ctx, s.comm, len(some), func(ctx context.Context, n int) (string, error) {
			text, err := s.ask(ctx, some[n], k)
			if err != nil {
				err = fmt.Errorf("%s: question %s: %w", s.Questions, s.questions[some[n]].ID, err)
			}
			return text, err
		})
		if err != nil {
			return nil, err
		}
		var lines []byte
		for n, i := range some {
			answers[i] = said[n]
			line, err := s.line(i, said[n])
			if err != nil {
				return nil, err
			}
			lines = append(append(lines, line...), '\n')
		}
		if out != nil {
			if _, err := out.Write(lines); err != nil {
				return nil, err
			}
		}
		asked += len(some)
		if now := time.Now(); now.Sub(last) >= time.Second || asked == len(open) {
			last = now
			left := time.Duration(float64(now.Sub(began)) / float64(asked) * float64(len(open)-asked))
			fmt.Fprintf(s.err, "%d of %d questions, %.1f a second, %s left\n", asked, len(open),
				float64(asked)/now.Sub(began).Seconds(), left.Round(time.Second))
		}
	}
	if out == nil {
		return answers, nil
	}
	return answers, out.Close()
}

// line is the answer to question i as a line of a file.
func (s *asker) line(i int, text string) ([]byte, error) {
	q := s.questions[i]
	id, err := json.Marshal(q.ID)
	if err != nil {
		return nil, err
	}
	if q.Numeric {
		id = []byte(q.ID)
	}
	metadata := map[string]any{"max_tokens": s.MaxTokens, "template": s.model.Template.Name}
	if s.Likelihood {
		metadata["likelihood"] = true
	}
	if q.Video != "" {
		metadata["frames"] = s.Frames
	}
	return json.Marshal(reply{ID: id, Prompt: q.Text, Text: text, AnswerID: fmt.Sprintf("%x", i),
		Model:    s.Source.name(),
		Metadata: metadata})
}

// answered reads the answers that a file holds, and cuts off a last line that a killed run left unfinished. An answer
// belongs to one question by id, words, model and settings; one that belongs to none is refused: answers are never
// mixed.
func (s *asker) answered(path string) (map[int]string, error) {
	answers := map[int]string{} // by the question's index
	open := map[string][]int{}  // questions without an answer, by id
	for i, q := range s.questions {
		open[q.ID] = append(open[q.ID], i)
	}
	unfinished := int64(-1)
	err := jsonrecord.EachLine(path, func(r jsonrecord.Record, cut bool) error {
		if cut && !r.Begins("question_id") {
			return fmt.Errorf("%s: this is no answer of a run: choose another file for --answers", r.At())
		}
		if cut {
			unfinished = r.Offset
			return nil
		}
		v, err := jsonrecord.Decode[struct {
			ID       jsonrecord.ID  `json:"question_id"`
			Prompt   string         `json:"prompt"`
			Text     string         `json:"text"`
			Model    string         `json:"model_id"`
			Metadata map[string]any `json:"metadata"`
		}](r)
		if err != nil {
			return fmt.Errorf("%w: mend or delete the line, or choose another file for --answers", err)
		}
		id := string(v.ID)
		at := slices.IndexFunc(open[id], func(i int) bool { return v.Prompt == "" || v.Prompt == s.questions[i].Text })
		wrong := ""
		frames := v.Metadata["frames"]
		switch tokens, template := v.Metadata["max_tokens"], v.Metadata["template"]; {
		case v.Model != "" && v.Model != s.Source.name():
			wrong = fmt.Sprintf("is of the model %s, and this is %s", v.Model, s.Source.name())
		case tokens != nil && fmt.Sprint(tokens) != fmt.Sprint(s.MaxTokens):
			wrong = fmt.Sprintf("was made with --max-tokens %v, and this run has %d", tokens, s.MaxTokens)
		case (v.Metadata["likelihood"] == true) != s.Likelihood && v.Metadata != nil:
			wrong = "was made with --likelihood, and this run is without"
			if s.Likelihood {
				wrong = "was made without --likelihood, and this run is with it"
			}
		case frames != nil && fmt.Sprint(frames) != fmt.Sprint(s.Frames):
			wrong = fmt.Sprintf("was made with --frames %v, and this run has %d", frames, s.Frames)
		case template != nil && s.Template != "" && template != s.Template:
			wrong = fmt.Sprintf("was made with --template %v, and this run has %s", template, s.Template)
		case at < 0:
			wrong = "is to no question that is open here: the file is of other questions, or answers one twice"
		}
		if wrong != "" {
			return fmt.Errorf("%s: the answer to question %s %s: choose another file for --answers", r.At(), id, wrong)
		}
		answers[open[id][at]] = v.Text
		open[id] = slices.Delete(open[id], at, at+1)
		return nil
	})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return answers, nil
	case err == nil && unfinished >= 0:
		fmt.Fprintf(s.err, "the last line of %s was cut; it is asked again\n", path)
		err = os.Truncate(path, unfinished)
	}
	return answers, err
}

// open loads the model and finds the pictures, unless that is done.
func (s *asker) open() error {
	images := s.Images
	if images == "" && s.Questions != "" {
		images = filepath.Join(filepath.Dir(s.Questions), "images")
		if _, err := os.Stat(images); err != nil {
			images = filepath.Dir(s.Questions)
		}
	}
	if images != "" && s.pictures == nil {
		source, err := data.OpenSource(images)
		if err != nil {
			return err
		}
		s.pictures = source
	}
	if s.model != nil {
		return nil
	}
	a, err := s.Source.assistant(s.Template)
	if err != nil {
		return err
	}
	a.Options.MaxNewTokens, a.Options.Sampling.Temperature = s.MaxTokens, 0
	s.ignored(a.Ignored)
	s.template(s.Source, a, s.Template)
	s.model = a
	return nil
}

// ask asks question i about the picture that the baseline gives it.
func (s *asker) ask(ctx context.Context, i int, k baseline) (string, error) {
	q := s.questions[i]
	if q.Video != "" {
		said, err := s.watch(ctx, q)
		return strings.TrimSpace(said), err
	}
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
		if s.pictures != nil {
			raw, err = s.pictures.Load(from.Image)
		}
		switch {
		case s.Images == "" && (s.pictures == nil || err != nil):
			return "", fmt.Errorf("picture %s: name the folder, zip or tar of the pictures with --images", from.Image)
		case err != nil:
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
	turns := []chat.Turn{{From: chat.Human, Value: text}}
	if letters := q.Letters(); s.Likelihood && len(letters) > 0 {
		return likeliest(ctx, s.model, turns, pictures, letters)
	}
	said, err := s.model.Reply(ctx, turns, pictures, nil)
	return strings.TrimSpace(said), err
}

// watch asks a question about its video, as [connector.Assistant.AskVideo] does.
func (s *asker) watch(ctx context.Context, q score.Question) (string, error) {
	frames, err := data.LoadVideo(ctx, s.pictures, q.Video, s.Frames, imaging.Options{})
	if err != nil {
		return "", err
	}
	text := strings.NewReplacer(chat.ImageToken, "", chat.VideoToken, "").Replace(q.Text)
	turns := []chat.Turn{{From: chat.Human, Value: chat.ImageToken + "\n" + strings.TrimSpace(text)}}
	return s.model.NewSession().Watch(ctx, turns, []connector.Visual{{Video: frames}}, nil)
}

// likeliest is the answer that the model finds most likely, of several equally likely ones the first.
func likeliest(ctx context.Context, a *connector.Assistant, turns []chat.Turn, images []*imaging.RGB,
	answers []string) (string, error) {
	all, err := a.LogProbs(ctx, turns, images, answers)
	if err != nil {
		return "", err
	}
	best, most := "", math.Inf(-1)
	for i, tokens := range all {
		if p := sum(tokens); best == "" || p > most {
			best, most = answers[i], p
		}
	}
	return best, nil
}
