package verify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/gollava/gollava/data/score"
)

func scienceQA(c *benchCase) {
	var problems map[string]score.ScienceProblem
	readJSON(c.file("problems"), &problems)
	answers := map[string]string{}
	for _, a := range readLines[struct {
		ID   string `json:"question_id"`
		Text string
	}](c.file("answers")) {
		answers[a.ID] = a.Text
	}
	official := expect[map[string]struct {
		Printed    string
		Acc        float64
		Correct    float64
		Count      float64
		ImgCorrect float64 `json:"img_correct"`
		ImgCount   float64 `json:"img_count"`
		Index      map[string]int
		Parsed     map[string]string
	}](c, "official")
	for _, name := range sorted(official) {
		w := official[name]
		r := scoredBy("scienceqa", score.Files{Annotations: c.file("problems"), Splits: c.file("splits"), Split: name,
			Answers: []string{c.file("answers")}})
		n := values{what: name}
		for k, v := range map[string]float64{"accuracy": w.Acc, "correct": w.Correct, "count": w.Count,
			"img_correct": w.ImgCorrect, "img_count": w.ImgCount} {
			n.add(r.GetOfficial, k, v)
		}
		c.add(n.row())
		c.same(name+": printed", r.Printed, []string{w.Printed})
		parsed := tally{What: name + ": letters"}
		for _, id := range sorted(w.Parsed) {
			letter := score.ScienceQALetter(answers[id])
			got, index := letter, strings.Index("ABCDE"[:min(5, len(problems[id].Choices))], letter)
			if letter == "" {
				got, index = "FAILED", -1
			}
			parsed.check(got == w.Parsed[id] && index == w.Index[id], "%s: got %s, %d, want %s, %d", id, got, index,
				w.Parsed[id], w.Index[id])
		}
		c.add(parsed.row())
	}
	eachRow(c.Report, "prompts.jsonl", func(v struct{ Format, ID, Human, GPT string }) error {
		human, gpt, ok := score.ScienceQAPrompt(problems[v.ID], v.Format)
		if !ok || human != v.Human || gpt != v.GPT {
			return fmt.Errorf("%s of %s: got %q, %q, want %q, %q", v.Format, v.ID, human, gpt, v.Human, v.GPT)
		}
		return nil
	})
}

// orEmpty is a text, or "" where there is none.
func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func mmBench(c *benchCase) {
	for _, kind := range []string{"circular", "vanilla"} {
		official := expect[struct{ Hits, Report map[string]float64 }](c, "official", kind)
		r := scoredBy("mmbench", score.Files{Questions: c.file("questions"), Answers: []string{c.file("predictions")},
			Vanilla: kind == "vanilla"})
		n, hits := values{what: kind}, values{what: kind + ": hits"}
		for _, k := range sorted(official.Report) {
			name := "category/" + k
			if k == "Overall" {
				name = "overall"
			} else if _, ok := r.Get("l2/" + k); ok {
				name = "l2/" + k
			}
			n.add(r.Get, name, official.Report[k])
		}
		by := scores(r.Items)
		for _, k := range sorted(official.Hits) {
			x, ok := by[k]
			hits.add(func(string) (float64, bool) { return x, ok }, k, official.Hits[k])
		}
		if len(by) != len(official.Hits) {
			hits.missing = fmt.Sprintf("%d questions: it has %d", len(official.Hits), len(by))
		}
		c.add(n.row(), hits.row())
	}
	eachRow(c.Report, "parse.jsonl", func(v struct {
		Text    string
		Options map[string]string // texts by their letters
		Answer  *string
	}) error {
		var texts []string
		for _, l := range sorted(v.Options) {
			texts = append(texts, v.Options[l])
		}
		return want(score.MMBenchLetter(v.Text, sorted(v.Options), texts), orEmpty(v.Answer))
	})
	asked := map[string]score.Question{}
	check(must(score.Find("mmbench")).Ask(score.Files{Questions: c.file("questions")}, func(q score.Question) error {
		asked[q.ID] = q
		return nil
	}))
	eachRow(c.Report, "prompts.jsonl", func(v struct {
		Index  json.Number
		Lang   string
		Round  int
		Prompt string
		Asked  string
		Chars  []string `json:"option_char"`
	}) error {
		q := asked[v.Index.String()]
		head, _, _ := strings.Cut(q.Text, "\nA. ")
		prompt, chars := score.MMBenchPrompt(head, "", q.Options, v.Round)
		if prompt != v.Prompt || !slices.Equal(chars, v.Chars) {
			return fmt.Errorf("got %q %v, want %q %v", prompt, chars, v.Prompt, v.Chars)
		}
		return want("<image>\n"+prompt+score.LetterInstruction(v.Lang == "cn"), v.Asked)
	})
}

func seedBench(c *benchCase) {
	official := expect[struct {
		Printed []string
		Upload  string
	}](c, "official")
	f := score.Files{Questions: c.file("questions"), Answers: []string{c.file("answers")}}
	c.same("printed", scoredBy("seedbench", f).Printed, official.Printed)
	c.upload("seedbench", f, official.Upload)
}

func mmmu(c *benchCase) {
	r := scoredBy("mmmu", score.Files{Annotations: c.file("answers"), Answers: []string{c.file("outputs")}})
	official := expect[map[string]struct{ Num, Acc float64 }](c, "official")
	n := values{what: "official"}
	for _, k := range sorted(official) {
		n.add(r.GetOfficial, k, official[k].Acc)
		n.add(func(name string) (float64, bool) {
			for _, v := range slices.Concat(r.Official, r.Values) {
				if v.Name == name {
					return float64(v.N), true
				}
			}
			return 0, false
		}, k, official[k].Num)
	}
	c.add(n.row())
	eachRow(c.Report, "parse_choice.jsonl", func(v struct {
		Response string
		Options  []string
		Answer   *string
	}) error {
		return want(score.MMMULetter(v.Response, v.Options), orEmpty(v.Answer))
	})
	eachRow(c.Report, "parse_open.jsonl", func(v struct {
		Response string
		Parsed   []any
		Gold     any
		Correct  bool
	}) error {
		texts, nums := score.MMMUOpen(v.Response)
		for _, p := range v.Parsed {
			switch p := p.(type) {
			case string:
				if !slices.Contains(texts, p) {
					return fmt.Errorf("%q is not among %q", p, texts)
				}
			case float64:
				if !slices.Contains(nums, p) {
					return fmt.Errorf("%v is not among %v", p, nums)
				}
			}
		}
		if len(texts)+len(nums) != len(v.Parsed) {
			return fmt.Errorf("got %q %v, want %v", texts, nums, v.Parsed)
		}
		list, many := v.Gold.([]any)
		if !many {
			list = []any{v.Gold}
		}
		var gold []string
		for _, x := range list {
			gold = append(gold, fmt.Sprint(x))
		}
		return want(score.MMMUOpenRight(v.Response, gold), v.Correct)
	})
}

// mathRow is a row of normalise.jsonl or extract.jsonl.
type mathRow struct {
	score.MathProblem
	Quick      bool
	Extraction json.RawMessage
	Prediction *string
	Ignoring   json.RawMessage `json:"prediction_ignoring_empty"`
	True       bool
}

// extraction is what was taken from the answer.
func (v mathRow) extraction() (x any) {
	d := json.NewDecoder(bytes.NewReader(v.Extraction))
	d.UseNumber()
	check(d.Decode(&x))
	return x
}

func mathVista(c *benchCase) {
	r := scoredBy("mathvista", score.Files{Answers: []string{c.file("results")}})
	type cell struct{ Accuracy, Correct, Total float64 }
	n := values{what: "official"}
	add := func(name string, v cell) {
		n.add(r.Get, name, v.Accuracy)
		n.add(func(name string) (float64, bool) {
			for _, x := range r.Values {
				if x.Name == name {
					return float64(x.N), math.Round(x.Number*float64(x.N)) == v.Correct
				}
			}
			return 0, false
		}, name, v.Total)
	}
	for _, k := range sorted(expect[map[string]json.RawMessage](c, "official")) {
		if k == "average" {
			add(k, expect[cell](c, "official", k))
			continue
		}
		group := expect[map[string]cell](c, "official", k)
		for _, name := range sorted(group) {
			add(k+"/"+name, group[name])
		}
	}
	c.add(n.row())
	eachRow(c.Report, "normalise.jsonl", func(v mathRow) error {
		x, ignoring := v.extraction(), v.Prediction
		if v.Ignoring != nil {
			check(json.Unmarshal(v.Ignoring, &ignoring))
		}
		for i, right := range []*string{v.Prediction, ignoring} {
			got, ok := score.MathVistaNormalise(x, v.MathProblem, i == 1)
			if ok != (right != nil) || ok && got != *right {
				return fmt.Errorf("got %q (%v), want %v", got, ok, right)
			}
			if i == 0 && v.True != (ok && got == string(v.Answer)) {
				return fmt.Errorf("%q against %q", got, v.Answer)
			}
		}
		return nil
	})
	eachRow(c.Report, "extract.jsonl", func(v mathRow) error {
		got, ok := score.MathVistaExtract(v.Response, v.MathProblem, v.Quick)
		right := v.extraction()
		if right == nil {
			return want(ok, false)
		}
		if !ok || got != fmt.Sprint(right) {
			return fmt.Errorf("got %q (%v), want %v", got, ok, right)
		}
		return nil
	})
}
