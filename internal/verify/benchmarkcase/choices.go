package benchmarkcase

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/gollava/gollava/data/score"
	"github.com/gollava/gollava/internal/verify"
)

func scienceQA(c *benchCase) ([]Row, error) {
	type split struct {
		Printed    string
		Acc        float64
		Correct    float64
		Count      float64
		ImgCorrect float64 `json:"img_correct"`
		ImgCount   float64 `json:"img_count"`
		Index      map[string]int
		Parsed     map[string]string
	}
	var official map[string]split
	var problems map[string]score.ScienceProblem
	if err := errors.Join(c.expected(&official, "official"), verify.ReadJSON(c.file("problems"), &problems)); err != nil {
		return nil, err
	}
	answers := map[string]string{}
	all, err := verify.Lines[struct {
		ID   string `json:"question_id"`
		Text string
	}](c.file("answers"))
	if err != nil {
		return nil, err
	}
	for _, a := range all {
		answers[a.ID] = a.Text
	}
	var rows []Row
	for _, name := range sorted(official) {
		w := official[name]
		r, err := scored(
			"scienceqa",
			score.Files{
				Annotations: c.file("problems"),
				Splits:      c.file("splits"),
				Split:       name,
				Answers:     []string{c.file("answers")},
			},
		)
		if err != nil {
			return nil, err
		}
		n := numbers{what: name}
		for k, v := range map[string]float64{"accuracy": w.Acc, "correct": w.Correct, "count": w.Count, "img_correct": w.ImgCorrect, "img_count": w.ImgCount} {
			n.add(r.GetOfficial, k, v)
		}
		parsed := verify.Tally{What: name + ": letters"}
		for _, id := range sorted(w.Parsed) {
			letter := score.ScienceQALetter(answers[id])
			got := letter
			if got == "" {
				got = "FAILED"
			}
			index := strings.Index("ABCDE"[:min(5, len(problems[id].Choices))], letter)
			if letter == "" {
				index = -1
			}
			parsed.Check(
				got == w.Parsed[id] && index == w.Index[id],
				"%s: got %s, %d, want %s, %d",
				id,
				got,
				index,
				w.Parsed[id],
				w.Index[id],
			)
		}
		rows = append(rows, n.row(), lines(name+": printed", r.Printed, []string{w.Printed}), parsed.Row())
	}
	prompts, err := each(c, "prompts.jsonl", func(v struct{ Format, ID, Human, GPT string }) error {
		human, gpt, ok := score.ScienceQAPrompt(problems[v.ID], v.Format)
		if !ok || human != v.Human || gpt != v.GPT {
			return fmt.Errorf("%s of %s: got %q, %q, want %q, %q", v.Format, v.ID, human, gpt, v.Human, v.GPT)
		}
		return nil
	})
	return append(rows, prompts...), err
}

// options are letters with their texts.
type options map[string]string

func (o options) lists() (letters, texts []string) {
	for _, l := range sorted(o) {
		letters, texts = append(letters, l), append(texts, o[l])
	}
	return letters, texts
}

func mmBench(c *benchCase) ([]Row, error) {
	var rows []Row
	for _, kind := range []string{"circular", "vanilla"} {
		var official struct {
			Hits   map[string]float64
			Report map[string]float64
		}
		if err := c.expected(&official, "official", kind); err != nil {
			return nil, err
		}
		r, err := scored(
			"mmbench",
			score.Files{
				Questions: c.file("questions"),
				Answers:   []string{c.file("predictions")},
				Vanilla:   kind == "vanilla",
			},
		)
		if err != nil {
			return nil, err
		}
		n, hits := numbers{what: kind}, numbers{what: kind + ": hits"}
		for _, k := range sorted(official.Report) {
			name := "category/" + k
			if k == "Overall" {
				name = "overall"
			} else if _, ok := r.Get("l2/" + k); ok {
				name = "l2/" + k
			}
			n.add(r.Get, name, official.Report[k])
		}
		by := map[string]float64{}
		for _, i := range r.Items {
			by[i.ID] = i.Score
		}
		for _, k := range sorted(official.Hits) {
			x, ok := by[k]
			hits.add(func(string) (float64, bool) { return x, ok }, k, official.Hits[k])
		}
		if len(by) != len(official.Hits) {
			return append(
				rows,
				verify.Failed(kind+": hits", fmt.Errorf("%d questions, want %d", len(by), len(official.Hits))),
			), nil
		}
		rows = append(rows, n.row(), hits.row())
	}
	parse, err := each(c, "parse.jsonl", func(v struct {
		Text    string
		Options options
		Answer  *string
	}) error {
		letters, texts := v.Options.lists()
		right := ""
		if v.Answer != nil {
			right = *v.Answer
		}
		return want(score.MMBenchLetter(v.Text, letters, texts), right)
	})
	if err != nil {
		return nil, err
	}
	asked := map[string]score.Question{}
	b, err := score.Find("mmbench")
	if err == nil {
		err = b.Ask(score.Files{Questions: c.file("questions")}, func(q score.Question) error {
			asked[q.ID] = q
			return nil
		})
	}
	if err != nil {
		return nil, err
	}
	prompts, err := each(c, "prompts.jsonl", func(v struct {
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
	return slices.Concat(rows, parse, prompts), err
}

func seedBench(c *benchCase) ([]Row, error) {
	var official struct {
		Printed []string
		Upload  string
	}
	if err := c.expected(&official, "official"); err != nil {
		return nil, err
	}
	f := score.Files{Questions: c.file("questions"), Answers: []string{c.file("answers")}}
	r, err := scored("seedbench", f)
	if err != nil {
		return nil, err
	}
	row, err := upload(c, "seedbench", f, official.Upload)
	return []Row{lines("printed", r.Printed, official.Printed), row}, err
}

func mmmu(c *benchCase) ([]Row, error) {
	var official map[string]struct{ Num, Acc float64 }
	if err := c.expected(&official, "official"); err != nil {
		return nil, err
	}
	r, err := scored("mmmu", score.Files{Annotations: c.file("answers"), Answers: []string{c.file("outputs")}})
	if err != nil {
		return nil, err
	}
	n := numbers{what: "official"}
	for _, k := range sorted(official) {
		n.add(r.GetOfficial, k, official[k].Acc)
		n.add(func(name string) (float64, bool) {
			for _, values := range [][]score.Value{r.Official, r.Values} {
				for _, v := range values {
					if v.Name == name {
						return float64(v.N), true
					}
				}
			}
			return 0, false
		}, k, official[k].Num)
	}
	parse, err := each(c, "parse_choice.jsonl", func(v struct {
		Response string
		Options  []string
		Answer   *string
	}) error {
		right := ""
		if v.Answer != nil {
			right = *v.Answer
		}
		return want(score.MMMULetter(v.Response, v.Options), right)
	})
	if err != nil {
		return nil, err
	}
	open, err := each(c, "parse_open.jsonl", func(v struct {
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
		var gold []string
		switch g := v.Gold.(type) {
		case []any:
			for _, x := range g {
				gold = append(gold, fmt.Sprint(x))
			}
		default:
			gold = append(gold, fmt.Sprint(g))
		}
		return want(score.MMMUOpenRight(v.Response, gold), v.Correct)
	})
	return slices.Concat([]Row{n.row()}, parse, open), err
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

func mathVista(c *benchCase) ([]Row, error) {
	r, err := scored("mathvista", score.Files{Answers: []string{c.file("results")}})
	if err != nil {
		return nil, err
	}
	var official map[string]json.RawMessage
	if err := c.expected(&official, "official"); err != nil {
		return nil, err
	}
	type cell struct{ Accuracy, Correct, Total float64 }
	n := numbers{what: "official"}
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
	for _, k := range sorted(official) {
		if k == "average" {
			var v cell
			if err := json.Unmarshal(official[k], &v); err != nil {
				return nil, err
			}
			add(k, v)
			continue
		}
		var group map[string]cell
		if err := json.Unmarshal(official[k], &group); err != nil {
			return nil, err
		}
		for _, name := range sorted(group) {
			add(k+"/"+name, group[name])
		}
	}
	read := func(raw json.RawMessage) (v any, err error) {
		d := json.NewDecoder(bytes.NewReader(raw))
		d.UseNumber()
		err = d.Decode(&v)
		return v, err
	}
	normal, err := each(c, "normalise.jsonl", func(v mathRow) error {
		x, err := read(v.Extraction)
		if err != nil {
			return err
		}
		ignoring := v.Prediction
		if v.Ignoring != nil {
			if err := json.Unmarshal(v.Ignoring, &ignoring); err != nil {
				return err
			}
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
	if err != nil {
		return nil, err
	}
	extract, err := each(c, "extract.jsonl", func(v mathRow) error {
		got, ok := score.MathVistaExtract(v.Response, v.MathProblem, v.Quick)
		right, err := read(v.Extraction)
		if err != nil {
			return err
		}
		if right == nil {
			return want(ok, false)
		}
		if !ok || got != fmt.Sprint(right) {
			return fmt.Errorf("got %q (%v), want %v", got, ok, right)
		}
		return nil
	})
	return slices.Concat([]Row{n.row()}, normal, extract), err
}
