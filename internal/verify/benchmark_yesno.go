package verify

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/gollava/gollava/data/score"
)

// popeCategories are numbers and printed lines of each category.
type popeCategories map[string]map[string]any

// popeExpected is what eval_pope.py gives, or the error that ends it.
type popeExpected struct {
	Categories popeCategories
	MeanF1     *float64 `json:"mean_f1"`
	Error      string
	Before     popeCategories
}

func pope(c *benchCase) {
	if c.Files["segmentation"] != "" {
		popeBuild(c)
		return
	}
	r := scoredBy("pope", score.Files{Questions: c.file("questions"), Annotations: c.file("annotations"),
		Answers: []string{c.file("answers")}})
	official := expect[popeExpected](c, "official")
	popeRows(c, "official", official, r.GetOfficial)
	c.add(Row{What: "official: error", Pass: official.Error == r.Stopped,
		Detail: fmt.Sprintf("got %q, want %q", r.Stopped, official.Error)})
	if raw := c.Expected["direct"]; raw != nil {
		direct := popeDirect(c, raw)
		popeRows(c, "direct", direct, r.Get)
		missing := 0.0
		for _, v := range direct.Categories {
			n, _ := v["missing"].(float64)
			missing += n
		}
		if got := r.Faults.Count(score.Missing); got != int(missing) {
			c.add(failed("direct: missing answers", fmt.Errorf("got %d, want %v", got, missing)))
		}
	}
	eachRow(c.Report, "parse.jsonl", func(v struct{ Text, Answer string }) error {
		return want(score.SaysYes(v.Text), v.Answer != "no")
	})
}

// popeDirect reads the right numbers, which are in the case itself or in a file, with or without a level of
// categories.
func popeDirect(c *benchCase, raw json.RawMessage) (direct popeExpected) {
	var name string
	if json.Unmarshal(raw, &name) == nil {
		readJSON(c.path(name), &direct.Categories)
		return direct
	}
	check(json.Unmarshal(raw, &direct))
	if direct.Categories == nil {
		check(json.Unmarshal(raw, &direct.Categories))
	}
	return direct
}

func popeRows(c *benchCase, what string, e popeExpected, get func(string) (float64, bool)) {
	n := values{what: what}
	text := tally{What: what + ": printed line"}
	for _, categories := range []popeCategories{e.Categories, e.Before} {
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
					text.check(line == v, "%s: got %q, want %q", name, line, v)
				}
			}
		}
	}
	c.add(n.row())
	c.add(tallied(&text)...)
	if e.MeanF1 != nil {
		m := values{what: what + ": mean F1", tol: ulp} // the official program's order is that of a folder
		m.add(get, "mean_f1", *e.MeanF1)
		c.add(m.row())
	}
}

// popeBuild builds POPE's questions. What the official program draws at random is taken from what it drew.
func popeBuild(c *benchCase) {
	images := readLines[score.Objects](c.file("segmentation"))
	_, count, beside := score.Counted(images)
	counts, together := expect[map[string]int](c, "ground_truth_objects"), expect[map[string][]string](c, "co_occur")
	c.tally("frequencies and companions", func(t *tally) {
		t.check(reflect.DeepEqual(count, counts), "got %v, want %v", count, counts)
		t.check(reflect.DeepEqual(beside, together), "got %v, want %v", beside, together)
	})
	for _, strategy := range []string{"popular", "adversarial"} {
		right := readLines[score.POPEQuestion](c.path(expect[string](c, strategy)))
		b := score.POPEBuild{Strategy: strategy, Template: c.Template, PerImage: c.SampleNum, OfficialArticle: true}
		b.Pick = func(question int, candidates []string) string { // what the official program drew, if it was free to
			for _, o := range candidates {
				if question < len(right) && b.Text(o) == right[question].Text {
					return o
				}
			}
			return candidates[0]
		}
		got := b.Questions(images)
		t := tally{What: strategy}
		for i := range max(len(got), len(right)) {
			t.check(i < len(got) && i < len(right) && got[i] == right[i], "line %d", i+1)
		}
		c.add(t.row())
	}
}

func mme(c *benchCase) {
	r := scoredBy("mme", score.Files{Answers: []string{c.file("results")}})
	official := expect[map[string]struct {
		Total float64
		Tasks map[string]map[string]float64
	}](c, "official")
	n := values{what: "official"}
	for _, part := range sorted(official) {
		n.add(r.GetOfficial, part, official[part].Total)
		for _, task := range sorted(official[part].Tasks) {
			for _, key := range sorted(official[part].Tasks[task]) {
				n.add(r.GetOfficial, part+"/"+task+"/"+key, official[part].Tasks[task][key])
			}
		}
	}
	c.add(n.row())
	eachRow(c.Report, "parse.jsonl", func(v struct{ Text, Label string }) error {
		return want(score.MMELabel(v.Text), v.Label)
	})
	eachRow(c.Report, "convert.jsonl", func(v struct{ Asked, Truth string }) error {
		if got := score.MMEQuestions(v.Asked); !slices.Contains(got, v.Truth) {
			return fmt.Errorf("got %q, want %q", got, v.Truth)
		}
		return nil
	})
}
