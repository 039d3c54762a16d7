package benchmarkcase

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/gollava/gollava/data/score"
	"github.com/gollava/gollava/internal/verify"
)

// normalised is a row of an answer processor.
type normalised struct {
	Text, Out   string
	Punctuation *string
}

func textVQA(c *benchCase) ([]Row, error) {
	answers := c.file("answers")
	r, err := scored("textvqa", score.Files{Annotations: c.file("annotations"), Answers: []string{answers}})
	if err != nil {
		return nil, err
	}
	var official struct {
		Printed  string
		Accuracy float64
	}
	var scores string
	if err := errors.Join(c.expected(&official, "official"), c.expected(&scores, "scores")); err != nil {
		return nil, err
	}
	n := numbers{what: "official"}
	n.add(r.GetOfficial, "accuracy", official.Accuracy)
	stem := strings.TrimSuffix(filepath.Base(answers), filepath.Ext(answers))
	rows := []Row{
		n.row(),
		lines("printed", []string{stem + " " + strings.Join(r.Printed, " ")}, []string{official.Printed}),
	}
	i := 0
	per, err := each(c, scores, func(v struct {
		ID    int `json:"question_id"`
		Score float64
	}) error {
		i++
		if i > len(r.Items) {
			return errors.New("the report has no such question")
		}
		return want(r.Items[i-1], score.Item{ID: strconv.Itoa(v.ID), Score: v.Score})
	})
	if err != nil {
		return nil, err
	}
	m4c, err := each(c, "normalise.jsonl", func(v normalised) error { return want(score.Normalise(v.Text), v.Out) })
	if err != nil {
		return nil, err
	}
	anls, err := each(c, "anls.jsonl", func(v struct {
		Prediction string
		Answers    []string
		ANLS       float64
	}) error {
		return want(score.ANLS(v.Prediction, v.Answers), v.ANLS)
	})
	return slices.Concat(rows, per, m4c, anls), err
}

// vqaExpected is what the VQA challenge's program gives.
type vqaExpected struct {
	Overall         float64
	PerQuestionType map[string]float64
	PerAnswerType   map[string]float64
	PerQuestion     map[string]float64 `json:"per_question"`
}

func (e vqaExpected) row(what string, get func(string) (float64, bool), items []score.Item) Row {
	n := numbers{what: what}
	n.add(get, "overall", e.Overall)
	for _, k := range sorted(e.PerQuestionType) {
		n.add(get, "perQuestionType/"+k, e.PerQuestionType[k])
	}
	for _, k := range sorted(e.PerAnswerType) {
		n.add(get, "perAnswerType/"+k, e.PerAnswerType[k])
	}
	by := map[string]float64{}
	for _, i := range items {
		by[i.ID] = i.Score
	}
	for _, k := range sorted(e.PerQuestion) {
		x, ok := by[k]
		n.add(func(string) (float64, bool) { return score.Round(100*x, 2), ok }, k, e.PerQuestion[k])
	}
	return n.row()
}

func vqa(c *benchCase) ([]Row, error) {
	if c.Files["annotations"] == "" {
		return uploads(c, "vqav2", "answers")
	}
	r, err := scored("vqav2", score.Files{Annotations: c.file("annotations"), Answers: []string{c.file("results")}})
	if err != nil {
		return nil, err
	}
	var official, current vqaExpected
	if err := errors.Join(c.expected(&official, "official"), c.expected(&current, "current")); err != nil {
		return nil, err
	}
	older := slices.Clone(r.Items)
	for i, s := range r.OfficialScores {
		older[i].Score = s
	}
	rows := []Row{official.row("official", r.GetOfficial, older), current.row("current", r.Get, r.Items)}
	more, err := each(c, "normalise.jsonl", func(v normalised) error {
		p, out := score.NormaliseVQA(v.Text)
		if v.Punctuation != nil && p != *v.Punctuation {
			return fmt.Errorf("punctuation: got %q, want %q", p, *v.Punctuation)
		}
		return want(out, v.Out)
	})
	return append(rows, more...), err
}

func vizWiz(c *benchCase) ([]Row, error) { return uploads(c, "vizwiz", "answers") }

// uploads compares the upload file and the line that the official program prints: answers, questions, lines that it
// cannot read.
func uploads(c *benchCase, name, answers string) ([]Row, error) {
	var official struct{ Upload, Printed string }
	if err := c.expected(&official, "official"); err != nil {
		return nil, err
	}
	f := score.Files{Questions: c.file("questions"), Answers: []string{c.file(answers)}}
	row, err := upload(c, name, f, official.Upload)
	if err != nil {
		return nil, err
	}
	a, err := score.OpenAnswers(nil, f.Answers...)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	questions := 0
	b, err := score.Find(name)
	if err == nil {
		err = b.Ask(f, func(score.Question) error { questions++; return nil })
	}
	if err != nil {
		return nil, err
	}
	faults := a.Faults()
	got := fmt.Sprintf(
		"total results: %d, total split: %d, error_line: %d",
		a.Len()-faults.Count(score.Double),
		questions,
		faults.Count(score.CutLine)+faults.Count(score.Unreadable),
	)
	return []Row{row, lines("printed", []string{got}, []string{official.Printed})}, nil
}

func gqa(c *benchCase) ([]Row, error) {
	var predictions string
	var printed map[string][]string
	if err := errors.Join(c.expected(&predictions, "predictions"), c.expected(&printed, "official")); err != nil {
		return nil, err
	}
	f := score.Files{Questions: c.file("questions"), Answers: []string{c.file("answers")}}
	row, err := upload(c, "gqa", f, predictions)
	if err != nil {
		return nil, err
	}
	rows := []Row{row}
	for _, k := range sorted(printed) {
		if f.Choices = ""; k == "with_choices" {
			f.Choices = c.file("choices")
		}
		r, err := scored("gqa", f)
		if err != nil {
			return nil, err
		}
		rows = append(rows, lines(k, r.Printed, printed[k]))
	}
	return rows, nil
}

func captions(c *benchCase) ([]Row, error) {
	var official struct {
		BLEU  []float64
		CIDEr float64
		ROUGE float64 `json:"ROUGE_L"`
	}
	var file string
	if err := errors.Join(c.expected(&official, "official"), c.expected(&file, "scores")); err != nil {
		return nil, err
	}
	r, err := scored("captions", score.Files{Annotations: c.file("annotations"), Answers: []string{c.file("results")}})
	if err != nil {
		return nil, err
	}
	n := numbers{what: "official", tol: ulp}
	for k, b := range official.BLEU {
		n.add(r.Get, fmt.Sprintf("BLEU-%d", k+1), b)
	}
	n.add(r.Get, "CIDEr", official.CIDEr)
	n.add(r.Get, "ROUGE-L", official.ROUGE)
	type line struct {
		ID         int `json:"image_id"`
		References []string
		Prediction string
		BLEU       []float64
		CIDEr      float64
		ROUGE      float64 `json:"ROUGE_L"`
	}
	all, err := verify.Lines[line](c.path(file))
	if err != nil {
		return nil, err
	}
	var references [][]string
	var predictions []string
	for _, l := range all {
		references, predictions = append(references, l.References), append(predictions, l.Prediction)
	}
	s := score.ScoreCaptions(references, predictions)
	per := numbers{what: "scores", tol: ulp}
	for i, l := range all {
		for k, b := range l.BLEU {
			per.got, per.want = append(per.got, s.BLEUs[i][k]), append(per.want, b)
		}
		per.got, per.want = append(per.got, s.CIDErs[i], s.ROUGEs[i]), append(per.want, l.CIDEr, l.ROUGE)
	}
	tokens, err := each(c, "tokens.jsonl", func(v struct{ Text, Tokens string }) error {
		return want(strings.Join(score.PTBTokens(v.Text), " "), v.Tokens)
	})
	if slices.Contains(c.Optional, "tokens.jsonl") {
		for i := range tokens {
			tokens[i].What += " (optional)"
			tokens[i].Pass, tokens[i].MaxAbs, tokens[i].MaxRel = true, 0, 0
		}
	}
	return append([]Row{n.row(), per.row()}, tokens...), err
}

func chair(c *benchCase) ([]Row, error) {
	synonyms, err := score.ReadSynonyms(c.file("synonyms"))
	if err != nil {
		return nil, err
	}
	truths := map[string]score.ChairTruth{}
	if err := verify.ReadJSON(c.file("truth"), &truths); err != nil {
		return nil, err
	}
	w := score.NewChair(synonyms, c.Double, c.Irregular)
	r, err := w.Score(score.Files{Annotations: c.file("truth"), Answers: []string{c.file("captions")}}, truths)
	if err != nil {
		return nil, err
	}
	n := numbers{what: "official"}
	var file string
	err = c.expected(&file, "rows")
	for _, name := range []string{"CHAIRs", "CHAIRi"} {
		var x float64
		err = errors.Join(err, c.expected(&x, name))
		n.add(r.Get, name, x)
	}
	if err != nil {
		return nil, err
	}
	texts := map[string]string{}
	a, err := verify.Lines[json.RawMessage](c.file("captions"))
	if err != nil || len(a) != 1 {
		var list []struct {
			ID      json.Number `json:"image_id"`
			Caption string
		}
		if err := verify.ReadJSON(c.file("captions"), &list); err != nil {
			return nil, err
		}
		for _, x := range list {
			texts[x.ID.String()] = x.Caption
		}
	}
	rows, err := each(c, file, func(v struct {
		ID                                  json.Number `json:"image_id"`
		Words, Objects, Truth, Hallucinated []string
	}) error {
		all, mentions := w.Words(texts[v.ID.String()])
		there := w.Truth(truths[v.ID.String()])
		var objects, wrong []string
		for _, m := range mentions {
			o, _ := w.Object(m)
			objects = append(objects, o)
			if !slices.Contains(there, o) {
				wrong = append(wrong, m)
			}
		}
		for _, pair := range [][2][]string{{all, v.Words}, {objects, v.Objects}, {there, v.Truth}, {wrong, v.Hallucinated}} {
			if !slices.Equal(pair[0], pair[1]) {
				return fmt.Errorf("got %q, want %q", pair[0], pair[1])
			}
		}
		return nil
	})
	return append([]Row{n.row()}, rows...), err
}
