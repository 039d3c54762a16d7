package verify

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/gollava/gollava/data/score"
)

// normalised is a row of an answer processor.
type normalised struct {
	Text, Out   string
	Punctuation *string
}

func textVQA(c *benchCase) {
	answers := c.file("answers")
	r := scoredBy("textvqa", score.Files{Annotations: c.file("annotations"), Answers: []string{answers}})
	official := expect[struct {
		Printed  string
		Accuracy float64
	}](c, "official")
	n := values{what: "official"}
	n.add(r.GetOfficial, "accuracy", official.Accuracy)
	c.add(n.row())
	stem := strings.TrimSuffix(filepath.Base(answers), filepath.Ext(answers))
	c.same("printed", []string{stem + " " + strings.Join(r.Printed, " ")}, []string{official.Printed})
	i := 0
	eachRow(c.Report, expect[string](c, "scores"), func(v struct {
		ID    int `json:"question_id"`
		Score float64
	}) error {
		if i++; i > len(r.Items) {
			return errors.New("the report has no such question")
		}
		return want(r.Items[i-1], score.Item{ID: strconv.Itoa(v.ID), Score: v.Score})
	})
	eachRow(c.Report, "normalise.jsonl", func(v normalised) error { return want(score.Normalise(v.Text), v.Out) })
	eachRow(c.Report, "anls.jsonl", func(v struct {
		Prediction string
		Answers    []string
		ANLS       float64
	}) error {
		return want(score.ANLS(v.Prediction, v.Answers), v.ANLS)
	})
}

// vqaExpected is what the VQA challenge's program gives.
type vqaExpected struct {
	Overall         float64
	PerQuestionType map[string]float64
	PerAnswerType   map[string]float64
	PerQuestion     map[string]float64 `json:"per_question"`
}

func (e vqaExpected) row(what string, get func(string) (float64, bool), items []score.Item) Row {
	n := values{what: what}
	n.add(get, "overall", e.Overall)
	for _, k := range sorted(e.PerQuestionType) {
		n.add(get, "perQuestionType/"+k, e.PerQuestionType[k])
	}
	for _, k := range sorted(e.PerAnswerType) {
		n.add(get, "perAnswerType/"+k, e.PerAnswerType[k])
	}
	by := scores(items)
	for _, k := range sorted(e.PerQuestion) {
		x, ok := by[k]
		n.add(func(string) (float64, bool) { return score.Round(100*x, 2), ok }, k, e.PerQuestion[k])
	}
	return n.row()
}

func vqa(c *benchCase) {
	if c.Files["annotations"] == "" {
		uploads(c, "vqav2")
		return
	}
	r := scoredBy("vqav2", score.Files{Annotations: c.file("annotations"), Answers: []string{c.file("results")}})
	older := slices.Clone(r.Items)
	for i, s := range r.OfficialScores {
		older[i].Score = s
	}
	c.add(expect[vqaExpected](c, "official").row("official", r.GetOfficial, older),
		expect[vqaExpected](c, "current").row("current", r.Get, r.Items))
	eachRow(c.Report, "normalise.jsonl", func(v normalised) error {
		p, out := score.NormaliseVQA(v.Text)
		if v.Punctuation != nil && p != *v.Punctuation {
			return fmt.Errorf("punctuation: got %q, want %q", p, *v.Punctuation)
		}
		return want(out, v.Out)
	})
}

func vizWiz(c *benchCase) { uploads(c, "vizwiz") }

// uploads compares the upload file and the line that the official program prints: answers, questions, lines that it
// cannot read.
func uploads(c *benchCase, name string) {
	official := expect[struct{ Upload, Printed string }](c, "official")
	f := score.Files{Questions: c.file("questions"), Answers: []string{c.file("answers")}}
	c.upload(name, f, official.Upload)
	a := must(score.OpenAnswers(nil, f.Answers...))
	defer a.Close()
	questions, faults := 0, a.Faults()
	check(must(score.Find(name)).Ask(f, func(score.Question) error { questions++; return nil }))
	got := fmt.Sprintf("total results: %d, total split: %d, error_line: %d", a.Len()-faults.Count(score.Double), questions,
		faults.Count(score.CutLine)+faults.Count(score.Unreadable))
	c.same("printed", []string{got}, []string{official.Printed})
}

func gqa(c *benchCase) {
	f := score.Files{Questions: c.file("questions"), Answers: []string{c.file("answers")}}
	c.upload("gqa", f, expect[string](c, "predictions"))
	printed := expect[map[string][]string](c, "official")
	for _, k := range sorted(printed) {
		if f.Choices = ""; k == "with_choices" {
			f.Choices = c.file("choices")
		}
		c.same(k, scoredBy("gqa", f).Printed, printed[k])
	}
}

func captions(c *benchCase) {
	official := expect[struct {
		BLEU  []float64
		CIDEr float64
		ROUGE float64 `json:"ROUGE_L"`
	}](c, "official")
	r := scoredBy("captions", score.Files{Annotations: c.file("annotations"), Answers: []string{c.file("results")}})
	n := values{what: "official", tol: ulp}
	for k, b := range official.BLEU {
		n.add(r.Get, fmt.Sprintf("BLEU-%d", k+1), b)
	}
	n.add(r.Get, "CIDEr", official.CIDEr)
	n.add(r.Get, "ROUGE-L", official.ROUGE)
	all := readLines[struct {
		ID         int `json:"image_id"`
		References []string
		Prediction string
		BLEU       []float64
		CIDEr      float64
		ROUGE      float64 `json:"ROUGE_L"`
	}](c.path(expect[string](c, "scores")))
	var references [][]string
	var predictions []string
	for _, l := range all {
		references, predictions = append(references, l.References), append(predictions, l.Prediction)
	}
	s := score.ScoreCaptions(references, predictions)
	per := values{what: "scores", tol: ulp}
	for i, l := range all {
		per.got = append(append(per.got, s.BLEUs[i][:min(len(l.BLEU), len(s.BLEUs[i]))]...), s.CIDErs[i], s.ROUGEs[i])
		per.want = append(append(per.want, l.BLEU...), l.CIDEr, l.ROUGE)
	}
	c.add(n.row(), per.row())
	at := len(c.rows)
	eachRow(c.Report, "tokens.jsonl", func(v struct{ Text, Tokens string }) error {
		return want(strings.Join(score.PTBTokens(v.Text), " "), v.Tokens)
	})
	if slices.Contains(c.Optional, "tokens.jsonl") {
		for i := range c.rows[at:] {
			c.rows[at+i].What += " (optional)"
			c.rows[at+i].Pass, c.rows[at+i].MaxAbs, c.rows[at+i].MaxRel = true, 0, 0
		}
	}
}

func chair(c *benchCase) {
	w := score.NewChair(must(score.ReadSynonyms(c.file("synonyms"))), c.Double, c.Irregular)
	truths := map[string]score.ChairTruth{}
	readJSON(c.file("truth"), &truths)
	r := must(w.Score(score.Files{Annotations: c.file("truth"), Answers: []string{c.file("captions")}}, truths))
	n := values{what: "official"}
	for _, name := range []string{"CHAIRs", "CHAIRi"} {
		n.add(r.Get, name, expect[float64](c, name))
	}
	c.add(n.row())
	texts := map[string]string{}
	for _, line := range records(c.file("captions")) {
		var x struct {
			ID      json.Number `json:"image_id"`
			Caption string
		}
		check(json.Unmarshal([]byte(line), &x))
		texts[x.ID.String()] = x.Caption
	}
	eachRow(c.Report, expect[string](c, "rows"), func(v struct {
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
}
