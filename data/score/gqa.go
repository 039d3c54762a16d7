package score

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gollava/gollava/internal/jsonrecord"
)

func gqaBenchmark() Benchmark {
	return Benchmark{
		Name: "gqa", Title: "GQA", Main: "accuracy", Scale: 1, Max: 100,
		Needs: "annotations (testdev_balanced_questions.json); for validity and plausibility: choices; to ask: " +
			"questions (llava_gqa_testdev_balanced.jsonl)",
		Score: scoreGQA, Ask: askGQA, Upload: uploadGQA,
	}
}

// gqaQuestion is a member of GQA's question file.
type gqaQuestion struct {
	Semantic []gqaStep `json:"semantic"`
	Entailed []string  `json:"entailed"`
	Question string    `json:"question"`
	ImageID  string    `json:"imageId"`
	Balanced bool      `json:"isBalanced"`
	Groups   struct {
		Global *string `json:"global"`
	} `json:"groups"`
	Answer string `json:"answer"`
	Types  struct {
		Detailed   string `json:"detailed"`
		Semantic   string `json:"semantic"`
		Structural string `json:"structural"`
	} `json:"types"`
}

// gqaStep is an operation of a question's program.
type gqaStep struct {
	Operation string `json:"operation"`
	Argument  string `json:"argument"`
}

// quickGQA reads a plain question.
func quickGQA(b []byte) (q gqaQuestion, ok bool) {
	ok = jsonrecord.Object(b, func(key, value []byte) (ok bool) {
		ok = true
		switch string(key) {
		case "question":
			q.Question, ok = jsonrecord.Text(value)
		case "imageId":
			q.ImageID, ok = jsonrecord.Text(value)
		case "answer":
			q.Answer, ok = jsonrecord.Text(value)
		case "isBalanced":
			q.Balanced = string(value) == "true"
			ok = q.Balanced || string(value) == "false"
		case "entailed":
			ok = jsonrecord.Array(value, func(value []byte) bool {
				id, ok := jsonrecord.Text(value)
				q.Entailed = append(q.Entailed, id)
				return ok
			})
		case "semantic":
			ok = jsonrecord.Array(value, func(value []byte) bool {
				var s gqaStep
				ok := gqaTexts(value, map[string]*string{"operation": &s.Operation, "argument": &s.Argument})
				q.Semantic = append(q.Semantic, s)
				return ok
			})
		case "types":
			ok = gqaTexts(value, map[string]*string{"detailed": &q.Types.Detailed, "semantic": &q.Types.Semantic,
				"structural": &q.Types.Structural})
		case "groups":
			ok = jsonrecord.Object(value, func(key, value []byte) bool {
				if string(key) != "global" || string(value) == "null" {
					return true
				}
				s, ok := jsonrecord.Text(value)
				q.Groups.Global = &s
				return ok
			})
		}
		return ok
	})
	return q, ok
}

// gqaTexts reads members that are texts.
func gqaTexts(b []byte, to map[string]*string) bool {
	return jsonrecord.Object(b, func(key, value []byte) (ok bool) {
		p := to[string(key)]
		if p == nil {
			return true
		}
		*p, ok = jsonrecord.Text(value)
		return ok
	})
}

// gqaChoices are the answers to a question that are of the right kind, and those that the scenes make likely.
type gqaChoices struct {
	Valid     []string `json:"valid"`
	Plausible []string `json:"plausible"`
}

// gqaPrediction is how LLaVA writes an answer for GQA: without full stops behind, in lower case.
func gqaPrediction(text string) string { return lower(strings.TrimRight(text, ".")) }

// steps are the operations of a question's program that the official program counts.
func (q *gqaQuestion) steps() int {
	n := 0
	for _, s := range q.Semantic {
		step := s.Operation + ": " + s.Argument
		if !strings.Contains(step, "exist") && !strings.Contains(step, "query: name") &&
			!strings.Contains(step, "choose name") {
			n++
		}
	}
	return n
}

// pair collects scores for a mean.
type pair struct {
	sum float64
	n   int
}

func (p *pair) add(x float64) { p.sum += x; p.n++ }

// percent is the mean in percent, 0 of nothing.
func (p pair) percent() float64 {
	if p.n == 0 {
		return 0
	}
	return p.sum / float64(p.n) * 100
}

// gqaTally is what the official program adds up.
type gqaTally struct {
	binary, open, accuracy, consistency, validity, plausibility pair

	groups map[string]map[string]*pair // by kind and name
	counts map[int]map[int]*pair       // steps and words are sorted as numbers: [0] steps, [1] words
	gold   map[string]map[string]int   // by global group: how often each answer is right
	said   map[string]map[string]int   // and is given
	link   []struct {
		id string
		to []string
	} // right answers with entailed questions
}

// scoreGQA follows GQA's eval.py. Consistency, validity and plausibility need the choices file, as the official
// program's flags do.
func scoreGQA(f Files) (*Report, error) {
	if f.Annotations == "" {
		f.Annotations = f.Questions
	}
	if err := needs("annotation", f.Annotations); err != nil {
		return nil, err
	}
	a, err := OpenAnswers(nil, f.Answers...)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	r := &Report{Benchmark: "gqa", Main: "accuracy", Faults: a.faults}
	t := &gqaTally{
		groups: map[string]map[string]*pair{"structural type": {}, "semantic type": {}},
		counts: map[int]map[int]*pair{0: {}, 1: {}},
		gold:   map[string]map[string]int{},
		said:   map[string]map[string]int{},
	}
	choices := map[string]gqaChoices{}
	if f.Choices != "" {
		err := jsonrecord.Each(f.Choices, "", func(rec jsonrecord.Record) error {
			c, err := jsonrecord.Decode[gqaChoices](rec)
			choices[rec.Key] = c
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	right := map[string]bool{} // of all questions, for consistency
	err = jsonrecord.Each(f.Annotations, "", func(rec jsonrecord.Record) error {
		q, ok := quickGQA(rec.Raw)
		if !ok {
			var err error
			if q, err = jsonrecord.Decode[gqaQuestion](rec); err != nil {
				return err
			}
		}
		if rec.Key == "" {
			return fmt.Errorf("%s: GQA's question file is an object from ids to questions", rec.At())
		}
		text, ok, err := a.findText(rec.Key)
		if err != nil {
			return err
		}
		if !ok && !q.Balanced {
			a.faults.forgive(Missing)
			return nil
		}
		prediction := gqaPrediction(text)
		good := ok && prediction == q.Answer
		if f.Choices != "" {
			right[rec.Key] = good
		}
		if !q.Balanced {
			return nil
		}
		s := 0.0
		if good {
			s = 1
		}
		r.Items = append(r.Items, Item{rec.Key, s})
		t.add(rec.Key, &q, prediction, s, good)
		if f.Choices != "" {
			c, ok := choices[rec.Key]
			if !ok {
				return fmt.Errorf(
					"%s has no choices for question %s of %s: it is the file of another split",
					f.Choices,
					rec.Key,
					f.Annotations,
				)
			}
			if strings.Contains(q.Types.Detailed, "Common") {
				c = gqaChoices{[]string{"color", "material", "shape"}, []string{"color", "material", "shape"}}
			}
			t.validity.add(number(slices.Contains(c.Valid, prediction)))
			t.plausibility.add(number(slices.Contains(c.Plausible, prediction)))
		}
		return nil
	})
	if err == nil {
		err = a.done(f.Annotations, len(r.Items))
	}
	if err != nil {
		return nil, err
	}
	if f.Choices != "" {
		for _, l := range t.link {
			sum := 0.0
			for _, id := range l.to {
				if _, ok := right[id]; !ok && r.Stopped == "" {
					r.Stopped = "KeyError: " + id
				}
				sum += number(right[id])
			}
			t.consistency.add(sum / float64(len(l.to)))
		}
	}
	if n := a.faults.Count(Missing); n > 0 {
		r.Stopped = fmt.Sprintf("no prediction for %d questions: please add prediction for all questions", n)
	}
	t.report(r, f.Choices != "")
	r.differ("it wants an answer to every balanced question; here those without one are wrong")
	return r, nil
}

func number(ok bool) float64 {
	if ok {
		return 1
	}
	return 0
}

func (t *gqaTally) add(id string, q *gqaQuestion, prediction string, s float64, good bool) {
	t.accuracy.add(s)
	if q.Types.Structural == "query" {
		t.open.add(s)
	} else {
		t.binary.add(s)
	}
	into := func(m map[string]*pair, k string) {
		if m[k] == nil {
			m[k] = &pair{}
		}
		m[k].add(s)
	}
	into(t.groups["structural type"], q.Types.Structural)
	into(t.groups["semantic type"], q.Types.Semantic)
	for k, n := range []int{q.steps(), len(fields(q.Question))} {
		if t.counts[k][n] == nil {
			t.counts[k][n] = &pair{}
		}
		t.counts[k][n].add(s)
	}
	if good {
		others := slices.DeleteFunc(slices.Clone(q.Entailed), func(e string) bool { return e == id })
		if len(others) > 0 {
			t.link = append(t.link, struct {
				id string
				to []string
			}{id, others})
		}
	}
	if g := q.Groups.Global; g != nil {
		if t.gold[*g] == nil {
			t.gold[*g], t.said[*g] = map[string]int{}, map[string]int{}
		}
		t.gold[*g][q.Answer]++
		t.said[*g][prediction]++
	}
}

// distribution is the χ² distance between answers given and right ones, over the global groups and weighted by their
// size.
func (t *gqaTally) distribution() float64 {
	sum, all := 0.0, 0.0
	for _, g := range slices.Sorted(maps.Keys(t.gold)) {
		chi, n := 0.0, 0
		for _, answer := range slices.Sorted(maps.Keys(t.gold[g])) {
			e := t.gold[g][answer]
			d := float64(t.said[g][answer] - e)
			chi += d * d / float64(e)
			n += e
		}
		sum += chi * float64(n)
		all += float64(n)
	}
	if all == 0 {
		return 0
	}
	return sum / all / 100
}

// report writes the numbers, and the lines of the official program.
func (t *gqaTally) report(r *Report, choices bool) {
	line := func(name string, p pair) {
		r.add(strings.ToLower(name), p.percent(), p.n)
		r.Printed = append(r.Printed, fmt.Sprintf("%s: %.2f%%", name, p.percent()))
	}
	line("Binary", t.binary)
	line("Open", t.open)
	line("Accuracy", t.accuracy)
	if choices {
		line("Consistency", t.consistency)
		line("Validity", t.validity)
		line("Plausibility", t.plausibility)
	} else {
		r.Printed = append(r.Printed, "Validity: 0.00%", "Plausibility: 0.00%")
	}
	r.add("distribution", t.distribution(), 0)
	r.Printed = append(r.Printed, fmt.Sprintf("Distribution: %.2f (lower is better)", t.distribution()))
	detail := func(kind, name string, p *pair) {
		r.add(kind+"/"+name, p.percent(), p.n)
		r.Printed = append(r.Printed, fmt.Sprintf("  %s: %.2f%% (%d questions)", name, p.percent(), p.n))
	}
	for _, kind := range []string{"structural type", "semantic type"} {
		r.Printed = append(r.Printed, "", "Accuracy / "+kind+":")
		for _, name := range slices.Sorted(maps.Keys(t.groups[kind])) {
			detail(kind, name, t.groups[kind][name])
		}
	}
	for k, kind := range []string{"steps number", "words number"} {
		r.Printed = append(r.Printed, "", "Accuracy / "+kind+":")
		for _, n := range slices.Sorted(maps.Keys(t.counts[k])) {
			detail(kind, fmt.Sprint(n), t.counts[k][n])
		}
	}
}

// askGQA asks the questions of GQA's own file, or of LLaVA's.
func askGQA(files Files, f func(Question) error) error {
	if files.Questions == "" {
		files.Questions = files.Annotations
	}
	if err := needs("question", files.Questions); err != nil {
		return err
	}
	if lines, err := jsonrecord.OneALine(files.Questions); err != nil {
		return err
	} else if lines {
		return askRows(shortAnswer)(files, f)
	}
	return jsonrecord.Each(files.Questions, "", func(r jsonrecord.Record) error {
		q, err := jsonrecord.Decode[gqaQuestion](r)
		if err != nil || !q.Balanced {
			return err
		}
		return f(Question{ID: r.Key, Image: q.ImageID + ".jpg", Text: asked(q.Question, shortAnswer)})
	})
}
