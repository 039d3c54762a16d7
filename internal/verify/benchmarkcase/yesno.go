package benchmarkcase

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/gollava/gollava/data/score"
	"github.com/gollava/gollava/internal/verify"
)

// popeExpected is what eval_pope.py gives: numbers of each category, or the error that ends it.
type popeExpected struct {
	Categories map[string]map[string]any
	MeanF1     *float64 `json:"mean_f1"`
	Error      string
	Before     map[string]map[string]any
}

func pope(c *benchCase) ([]Row, error) {
	if c.Files["segmentation"] != "" {
		return popeBuild(c)
	}
	r, err := scored(
		"pope",
		score.Files{
			Questions:   c.file("questions"),
			Annotations: c.file("annotations"),
			Answers:     []string{c.file("answers")},
		},
	)
	if err != nil {
		return nil, err
	}
	var official popeExpected
	if err := c.expected(&official, "official"); err != nil {
		return nil, err
	}
	rows := popeRows("official", official, r.GetOfficial)
	rows = append(
		rows,
		verify.Row{
			What:   "official: error",
			Pass:   official.Error == r.Stopped,
			Detail: fmt.Sprintf("got %q, want %q", r.Stopped, official.Error),
		},
	)
	if raw := c.Expected["direct"]; raw != nil {
		direct, err := popeDirect(c, raw)
		if err != nil {
			return nil, err
		}
		rows = append(rows, popeRows("direct", direct, r.Get)...)
		missing := 0.0
		for _, v := range direct.Categories {
			n, _ := v["missing"].(float64)
			missing += n
		}
		if got := r.Faults.Count(score.Missing); got != int(missing) {
			rows = append(rows, verify.Failed("direct: missing answers", fmt.Errorf("got %d, want %v", got, missing)))
		}
	}
	more, err := each(c, "parse.jsonl", func(v struct{ Text, Answer string }) error {
		return want(score.SaysYes(v.Text), v.Answer != "no")
	})
	return append(rows, more...), err
}

// popeDirect reads the right numbers, which are in the case itself or in a file, with or without a level of
// categories.
func popeDirect(c *benchCase, raw json.RawMessage) (popeExpected, error) {
	var name string
	if json.Unmarshal(raw, &name) == nil {
		var all map[string]map[string]any
		err := verify.ReadJSON(c.path(name), &all)
		return popeExpected{Categories: all}, err
	}
	var direct popeExpected
	if err := json.Unmarshal(raw, &direct); err != nil {
		return direct, err
	}
	if direct.Categories == nil {
		return direct, json.Unmarshal(raw, &direct.Categories)
	}
	return direct, nil
}

func popeRows(what string, e popeExpected, get func(string) (float64, bool)) []Row {
	n := numbers{what: what}
	text := verify.Tally{What: what + ": printed line"}
	for _, categories := range []map[string]map[string]any{e.Categories, e.Before} {
		for _, name := range sorted(categories) {
			for _, key := range sorted(categories[name]) {
				switch v := categories[name][key].(type) {
				case float64:
					if key != "missing" {
						n.add(get, name+"/"+key, v)
					}
				case string:
					var part []string
					for _, key := range []string{"f1", "accuracy", "precision", "recall", "yes_ratio"} {
						x, _ := get(name + "/" + key)
						part = append(part, fmt.Sprintf("%.3f", x))
					}
					line := strings.Join(part, ", ")
					text.Check(line == v, "%s: got %q, want %q", name, line, v)
				}
			}
		}
	}
	rows := append([]Row{n.row()}, verify.Rows(&text)...)
	if e.MeanF1 != nil {
		m := numbers{what: what + ": mean F1", tol: ulp} // the official program's order is that of a folder
		m.add(get, "mean_f1", *e.MeanF1)
		rows = append(rows, m.row())
	}
	return rows
}

// popeBuild builds POPE's questions. What the official program draws at random is taken from what it drew.
func popeBuild(c *benchCase) ([]Row, error) {
	pictures, err := verify.Lines[score.Objects](c.file("segmentation"))
	if err != nil {
		return nil, err
	}
	_, count, beside := score.Counted(pictures)
	var counts map[string]int
	var together map[string][]string
	if err := errors.Join(c.expected(&counts, "ground_truth_objects"), c.expected(&together, "co_occur")); err != nil {
		return nil, err
	}
	tables := verify.Tally{What: "frequencies and companions"}
	tables.Check(reflect.DeepEqual(count, counts), "got %v, want %v", count, counts)
	tables.Check(reflect.DeepEqual(beside, together), "got %v, want %v", beside, together)
	rows := verify.Rows(&tables)
	for _, strategy := range []string{"popular", "adversarial"} {
		var file string
		if err := c.expected(&file, strategy); err != nil {
			return nil, err
		}
		right, err := verify.Lines[score.POPEQuestion](c.path(file))
		if err != nil {
			return nil, err
		}
		b := score.POPEBuild{Strategy: strategy, Template: c.Template, PerImage: c.SampleNum, OfficialArticle: true}
		b.Pick = func(question int, candidates []string) string { // what the official program drew, if it was free to
			for _, o := range candidates {
				if question < len(right) && b.Text(o) == right[question].Text {
					return o
				}
			}
			return candidates[0]
		}
		got := b.Questions(pictures)
		t := verify.Tally{What: strategy}
		for i := range max(len(got), len(right)) {
			t.Check(i < len(got) && i < len(right) && got[i] == right[i], "line %d", i+1)
		}
		rows = append(rows, t.Row())
	}
	return rows, nil
}

func mme(c *benchCase) ([]Row, error) {
	r, err := scored("mme", score.Files{Answers: []string{c.file("results")}})
	if err != nil {
		return nil, err
	}
	var official map[string]struct {
		Total float64
		Tasks map[string]map[string]float64
	}
	if err := c.expected(&official, "official"); err != nil {
		return nil, err
	}
	n := numbers{what: "official"}
	for _, part := range sorted(official) {
		n.add(r.GetOfficial, part, official[part].Total)
		for _, task := range sorted(official[part].Tasks) {
			for _, key := range sorted(official[part].Tasks[task]) {
				n.add(r.GetOfficial, part+"/"+task+"/"+key, official[part].Tasks[task][key])
			}
		}
	}
	rows := []Row{n.row()}
	parse, err := each(
		c,
		"parse.jsonl",
		func(v struct{ Text, Label string }) error { return want(score.MMELabel(v.Text), v.Label) },
	)
	if err != nil {
		return nil, err
	}
	convert, err := each(c, "convert.jsonl", func(v struct{ Asked, Truth string }) error {
		if got := score.MMEQuestions(v.Asked); !slices.Contains(got, v.Truth) {
			return fmt.Errorf("got %q, want %q", got, v.Truth)
		}
		return nil
	})
	return append(append(rows, parse...), convert...), err
}
