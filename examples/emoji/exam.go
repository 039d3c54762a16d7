package main

import (
	"context"
	"encoding/json"
	"fmt"
	"image"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data/shapes/eval"
	"github.com/gollava/gollava/train/study"
)

// report is what report.json holds. Scores are shares.
type report struct {
	Names    int              `json:"names"` // that were learnt
	ZeroShot zeroShot         `json:"zero_shot"`
	Scores   map[string]share `json:"scores"`
	Before   study.Knowledge  `json:"text_before"`
	After    study.Knowledge  `json:"text_after"`
}

// zeroShot is how many of the pictures of the style that was never shown CLIP names, by the nearest name.
type zeroShot struct {
	First float64 `json:"first"` // right, among the names that were learnt
	Five  float64 `json:"five"`  // right among five guesses
	All   float64 `json:"all"`   // right, unseen names and pictures among them
}

// share is a kind of question's share of right answers.
type share struct {
	Right    float64  `json:"right"`             // about pictures of the style that was never shown
	Shuffled float64  `json:"shuffled"`          // about another thing's picture
	Trained  *float64 `json:"trained,omitempty"` // about pictures that were trained on; nil: there are none
	Prior    float64  `json:"prior"`             // of a guesser who knows the questions and not the pictures
	Yes      float64  `json:"yes"`               // share of yes, of a yes or no question
	Of       int      `json:"of"`
}

// question is one of the exam.
type question struct {
	about study.Thing
	text  string
	right func(answer string) bool
	yes   bool // the answer is yes
}

// questions of each kind about things, in the order of the table.
func (o options) questions(all []study.Thing) (kinds []string, asked map[string][]question) {
	asked = map[string][]question{}
	add := func(kind string, q question) {
		if asked[kind] == nil {
			kinds = append(kinds, kind)
		}
		asked[kind] = append(asked[kind], q)
	}
	learnt := study.Trained(all)
	r := o.rand("exam", 0)
	sample := learnt
	if len(sample) > o.Questions {
		sample = nil
		for _, i := range r.Perm(len(learnt))[:o.Questions] {
			sample = append(sample, learnt[i])
		}
	}
	kindOf := map[string]string{}
	for _, t := range all {
		kindOf[strings.ToLower(t.Name)] = t.Sort()
	}
	for _, t := range sample {
		add("name", question{about: t, text: askName[0], right: func(a string) bool { return same(a, t.Name) }})
		add("name of the right kind", question{about: t, text: askName[0], right: func(a string) bool {
			return kindOf[strings.ToLower(strings.Trim(a, " ."))] == t.Sort()
		}})
		add("category", question{about: t, text: askCategory[0],
			right: func(a string) bool { return same(a, t.Category) }})
		if t.Kind != "" {
			add("kind", question{about: t, text: askKind[0], right: func(a string) bool { return same(a, t.Kind) }})
		}
	}
	for i, t := range sample {
		for _, of := range []string{"any", "same kind"} {
			name, yes := t.Name, i%2 == 0
			if !yes {
				name = other(t, learnt, of == "same kind", r).Name
			}
			add("yes or no, "+of, yesNo(t, name, yes))
		}
	}
	for _, t := range all {
		if len(t.Shown) == 0 {
			add("unseen: name", question{about: t, text: askName[0], right: func(a string) bool { return same(a, t.Name) }})
			add("unseen: category", question{about: t, text: askCategory[0],
				right: func(a string) bool { return same(a, t.Category) }})
			add("unseen: yes or no", yesNo(t, t.Name, true))
			add("unseen: yes or no", yesNo(t, other(t, learnt, true, r).Name, false))
		}
	}
	return kinds, asked
}

func yesNo(t study.Thing, name string, yes bool) question {
	want := map[bool]string{true: "Yes", false: "No"}[yes]
	return question{t, fmt.Sprintf(askWhether[0], name), func(a string) bool { return same(a, want) }, yes}
}

// examine asks the questions about the held-out pictures, about other things' and about trained ones, and writes the
// shares of right answers as a table.
func (o options) examine(ctx context.Context, a *connector.Assistant, all []study.Thing, out io.Writer) (
	map[string]share, error) {
	scores := map[string]share{}
	kinds, asked := o.questions(all)
	fmt.Fprintf(out, "| question | right | another picture | trained picture | prior | of |\n|---|---|---|---|---|---|\n")
	answered := map[string][]string{} // kinds that ask the same are asked once
	for _, kind := range kinds {
		set := asked[kind]
		var texts []string
		var held, others, shown []image.Image
		order := eval.Shuffle(len(set), 1)
		for i, q := range set {
			texts = append(texts, q.text)
			held = append(held, study.OnWhite(q.about.Held))
			others = append(others, study.OnWhite(set[order[i]].about.Held))
			if len(q.about.Shown) > 0 {
				shown = append(shown, study.OnWhite(q.about.Shown[0]))
			}
		}
		s := share{Of: len(set), Prior: prior(set, all)}
		trained := "–"
		if len(shown) == len(set) {
			s.Trained = new(float64)
		}
		for i, sit := range []struct {
			images []image.Image
			to     *float64
		}{{held, &s.Right}, {others, &s.Shuffled}, {shown, s.Trained}} {
			if sit.to == nil {
				continue
			}
			key := fmt.Sprint(i, set[0].about.Name, len(set), texts)
			if answered[key] == nil {
				answers, err := study.Ask(ctx, a, texts, sit.images, 16)
				if err != nil {
					return nil, err
				}
				answered[key] = answers
			}
			for i, answer := range answered[key] {
				if set[i].right(answer) {
					*sit.to += 1 / float64(len(set))
				}
				if sit.to == &s.Right && same(answer, "Yes") {
					s.Yes += 1 / float64(len(set))
				}
			}
		}
		scores[kind] = s
		if s.Trained != nil {
			trained = fmt.Sprintf("%.1f", 100**s.Trained)
		}
		fmt.Fprintf(out, "| %s | %.1f | %.1f | %s | %.1f | %d |\n", kind, 100*s.Right, 100*s.Shuffled, trained,
			100*s.Prior, s.Of)
	}
	return scores, nil
}

// prior is the share of right answers of the best answer that is always the same.
func prior(set []question, all []study.Thing) (best float64) {
	candidates := []string{"Yes", "No"}
	for _, t := range all {
		candidates = append(candidates, t.Name, t.Category, t.Kind)
	}
	for _, c := range candidates {
		right := 0.0
		for _, q := range set {
			if q.right(c) {
				right += 1 / float64(len(set))
			}
		}
		best = max(best, right)
	}
	return best
}

// show writes held-out pictures side by side to pictures.png, and what is said about each.
func (o options) show(ctx context.Context, a *connector.Assistant, all []study.Thing, out io.Writer) error {
	r := o.rand("show", 0)
	var images []image.Image
	var questions, wanted []string
	for i, at := range r.Perm(len(all))[:min(20, len(all))] {
		t := all[at]
		images = append(images, study.OnWhite(t.Held))
		q, want := askName[0], t.Name
		switch i % 4 {
		case 1:
			q, want = askCategory[0], t.Category
		case 2:
			if t.Kind != "" {
				q, want = askKind[0], t.Kind
			}
		case 3:
			q, want = fmt.Sprintf(askWhether[0], t.Name), "Yes"
			if r.IntN(2) == 0 {
				q, want = fmt.Sprintf(askWhether[0], other(t, study.Trained(all), true, r).Name), "No"
			}
		}
		questions, wanted = append(questions, q), append(wanted, want)
	}
	answers, err := study.Ask(ctx, a, questions, images, 32)
	if err != nil {
		return err
	}
	fmt.Fprint(out, "\n| picture | question | answer |\n|---|---|---|\n")
	for i, answer := range answers {
		if !same(answer, wanted[i]) {
			answer += " (right: " + wanted[i] + ")"
		}
		cell := strings.NewReplacer("\n", " ", "|", `\|`).Replace(answer)
		fmt.Fprintf(out, "| %d | %s | %s |\n", i+1, questions[i], cell)
	}
	half := (len(images) + 1) / 2
	return eval.WriteSheet(filepath.Join(o.out, "pictures.png"), 1, [][]image.Image{images[:half], images[half:]})
}

// short lists the scores below what the default preset reached, less a margin.
func (r report) short() []string {
	scores := map[string]float64{"zero-shot": r.ZeroShot.First,
		"perplexity, after to before": r.After.Perplexity / r.Before.Perplexity}
	for kind, s := range r.Scores {
		scores[kind] = s.Right
	}
	return study.Short(scores, []study.Limit{{Score: "zero-shot", Least: 0.52}, {Score: "name", Least: 0.03},
		{Score: "kind", Least: 0.19}, {Score: "category", Least: 0.34}, {Score: "perplexity, after to before", Least: -1.7}})
}

// store writes report.json.
func (r report) store(dir string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "report.json"), b, 0o644)
}
