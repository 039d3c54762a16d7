package score

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gollava/gollava/internal/jsonrecord"
	"github.com/gollava/gollava/internal/misuse"
)

// YesNo counts answers to yes-or-no questions; positive is yes.
type YesNo struct{ TP, FP, TN, FN int }

// Add counts an answer.
func (c *YesNo) Add(yes, truth bool) {
	switch {
	case yes && truth:
		c.TP++
	case yes:
		c.FP++
	case truth:
		c.FN++
	default:
		c.TN++
	}
}

// Accuracy is the share of right answers, 0 if there are none.
func (c YesNo) Accuracy() float64 { return ratio(c.TP+c.TN, c.TP+c.TN+c.FP+c.FN) }

// Precision is the share of yes answers that are right, 0 if there are none.
func (c YesNo) Precision() float64 { return ratio(c.TP, c.TP+c.FP) }

// Recall is the share of questions with the truth yes that are answered so, 0 if there are none.
func (c YesNo) Recall() float64 { return ratio(c.TP, c.TP+c.FN) }

// F1 is the harmonic mean of precision and recall, 0 if both are.
func (c YesNo) F1() float64 {
	p, r := c.Precision(), c.Recall()
	if p+r == 0 {
		return 0
	}
	return 2 * p * r / (p + r)
}

// YesRatio is the share of answers that are yes, 0 if there are none.
func (c YesNo) YesRatio() float64 { return ratio(c.TP+c.FP, c.TP+c.TN+c.FP+c.FN) }

func ratio(a, b int) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}

// SaysYes reads an answer as POPE's and LLaVA's eval_pope do: it is no if the text before the first full stop,
// without commas, has the word No, not or no between single spaces, and yes otherwise, the empty
// answer included.
func SaysYes(answer string) bool {
	first, _, _ := strings.Cut(answer, ".")
	words := strings.Split(strings.ReplaceAll(first, ",", ""), " ")
	return !slices.ContainsFunc(words, func(w string) bool { return w == "No" || w == "not" || w == "no" })
}

// Exact is the share of answers that equal the truth, in capitals or not, without white space around and full stops
// behind. It panics if there are not as many of each.
func Exact(truths, answers []string) float64 {
	if len(truths) != len(answers) {
		panic(misuse.Errorf("score", "%d answers to %d questions", len(answers), len(truths)))
	}
	right := 0
	for i, t := range truths {
		if Same(answers[i], t) {
			right++
		}
	}
	return ratio(right, len(truths))
}

// Same reports whether an answer is the truth word for word: in capitals or not, without white space around and full
// stops behind.
func Same(answer, truth string) bool {
	plain := func(s string) string { return strings.ToLower(strings.TrimRight(strings.TrimSpace(s), ".")) }
	return plain(answer) == plain(truth)
}

func popeBenchmark() Benchmark {
	return Benchmark{
		Name: "pope", Title: "POPE", Main: "mean_f1", Scale: 100, Max: 100,
		Needs: "questions (llava_pope_test.jsonl), annotations (the folder of coco_pope_*.json)",
		Score: scorePOPE, Ask: askRows(shortAnswer),
	}
}

// popeRow is a line of a question file or an annotation file.
type popeRow struct {
	ID       jsonrecord.ID  `json:"question_id"`
	Image    string         `json:"image"`
	Text     string         `json:"text"`
	Category string         `json:"category"`
	Label    *jsonrecord.ID `json:"label"`
}

// quickPOPE reads a plain line.
func quickPOPE(b []byte) (q popeRow, ok bool) {
	ok = jsonrecord.Object(b, func(key, value []byte) (ok bool) {
		switch string(key) {
		case "question_id":
			q.ID, ok = jsonrecord.TextOrNumber(value)
		case "image":
			q.Image, ok = jsonrecord.Text(value)
		case "category":
			q.Category, ok = jsonrecord.Text(value)
		case "text":
			ok = true
		case "label":
			var v jsonrecord.ID
			v, ok = jsonrecord.TextOrNumber(value)
			q.Label = &v
		}
		return ok
	})
	return q, ok
}

// popeSet is a category: its questions in order, with their truth.
type popeSet struct {
	name   string
	ids    []string
	images []uint64 // hashes of their names, where there are annotations
	truth  []bool
}

// popeSets reads the questions of each category, and their labels.
func popeSets(f Files) ([]*popeSet, error) {
	if err := needs("question", f.Questions); err != nil {
		return nil, err
	}
	byName := map[string]*popeSet{}
	seen := map[uint64]int32{}
	labelled := 0
	err := jsonrecord.EachRow(f.Questions, func(r jsonrecord.Record) error {
		q, ok := quickPOPE(r.Raw)
		if !ok {
			var err error
			if q, err = jsonrecord.Decode[popeRow](r); err != nil {
				return err
			}
		}
		if q.ID == "" {
			return fmt.Errorf("%s: no question_id", r.At())
		}
		if line, ok := seen[hash(string(q.ID))]; ok {
			return fmt.Errorf(
				"%s: question_id %s is in line %d already: answers could not be told apart",
				r.At(),
				q.ID,
				line,
			)
		}
		seen[hash(string(q.ID))] = int32(r.Line)
		s := byName[q.Category]
		if s == nil {
			s = &popeSet{name: q.Category}
			byName[q.Category] = s
		}
		s.ids = append(s.ids, string(q.ID))
		if f.Annotations != "" {
			s.images = append(s.images, hash(q.Image))
		}
		if q.Label != nil {
			labelled++
			s.truth = append(s.truth, *q.Label != "no")
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var names []string
	for name := range byName {
		names = append(names, name)
	}
	slices.Sort(names)
	var sets []*popeSet
	for _, name := range names {
		sets = append(sets, byName[name])
	}
	if labelled == len(seen) && f.Annotations == "" {
		return sets, nil
	}
	if f.Annotations == "" {
		return nil, fmt.Errorf("%s: %d of %d questions have no label: name the annotations, POPE's folder of "+
			"coco_pope_*.json", f.Questions, len(seen)-labelled, len(seen))
	}
	for _, s := range sets {
		if err := s.annotate(f); err != nil {
			return nil, err
		}
	}
	return sets, nil
}

// annotate reads the labels of a category from its annotation file: the i-th line belongs to the i-th question.
func (s *popeSet) annotate(f Files) error {
	path := f.Annotations
	if info, err := os.Stat(path); err != nil {
		return err
	} else if info.IsDir() {
		found, err := filepath.Glob(filepath.Join(path, "*_"+s.name+".json*"))
		if err != nil || len(found) != 1 {
			return fmt.Errorf("%s holds %d files *_%s.json, and there must be one for each category of %s", path,
				len(found), s.name, f.Questions)
		}
		path = found[0]
	}
	s.truth = s.truth[:0]
	err := jsonrecord.EachRow(path, func(r jsonrecord.Record) error {
		q, err := jsonrecord.Decode[popeRow](r)
		if err != nil {
			return err
		}
		i := len(s.truth)
		switch {
		case q.Label == nil:
			return fmt.Errorf("%s: no label", r.At())
		case i >= len(s.ids):
			return fmt.Errorf(
				"%s: %s has only %d questions of category %s: these are files of different splits",
				r.At(),
				f.Questions,
				len(s.ids),
				s.name,
			)
		case hash(q.Image) != s.images[i]:
			return fmt.Errorf("%s: the picture is %s, and question %s in %s is about another: these are files of "+
				"different splits",
				r.At(), q.Image, s.ids[i], f.Questions)
		}
		s.truth = append(s.truth, *q.Label != "no")
		return nil
	})
	if err == nil && len(s.truth) < len(s.ids) {
		err = fmt.Errorf("%s has %d lines, and %s has %d questions of category %s: these are files of different "+
			"splits", path, len(s.truth), f.Questions, len(s.ids), s.name)
	}
	return err
}

func scorePOPE(f Files) (*Report, error) {
	sets, err := popeSets(f)
	if err != nil {
		return nil, err
	}
	a, err := OpenAnswers(nil, f.Answers...)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	r := &Report{Benchmark: "pope", Main: "mean_f1", Faults: a.faults}
	sum, n, inOrder := 0.0, 0, true
	for _, s := range sets {
		last := int32(-1)
		var c YesNo
		yes := 0
		for i, id := range s.ids {
			text, ok, err := a.findText(id)
			if err != nil {
				return nil, err
			}
			says := SaysYes(text)
			if !ok {
				says = !s.truth[i] // wrong either way
			} else if says {
				yes++
			}
			c.Add(says, s.truth[i])
			place, _ := a.last(id)
			inOrder = inOrder && ok && place > last
			last = place
			right := 0.0
			if says == s.truth[i] {
				right = 1
			}
			r.Items = append(r.Items, Item{id, right})
		}
		popeValues(r.add, s.name, c, yes, len(s.ids))
		sum, n = sum+c.F1(), n+len(s.ids)
	}
	if err := a.done(f.Questions, n); err != nil {
		return nil, err
	}
	r.add("mean_f1", sum/float64(len(sets)), n)
	inOrder = inOrder && a.faults.Count(Double) == 0 && a.faults.Count(Foreign) == 0
	if err := officialPOPE(r, sets, a, inOrder); err != nil {
		return nil, err
	}
	why := "it pairs the i-th answer of a category with the i-th label, so an answer that is missing, doubled or " +
		"out of order shifts all that follow; here they are matched by question_id"
	if strings.HasPrefix(r.Stopped, "ZeroDivisionError") {
		why = "with no yes among answers or labels it divides by zero; here 0/0 is 0"
	}
	r.differ(why)
	return r, nil
}

// popeValues adds the numbers of a category; yes is the number of answers that say yes.
func popeValues(add func(string, float64, int), category string, c YesNo, yes, n int) {
	for _, v := range []Value{{"accuracy", c.Accuracy(), n}, {"precision", c.Precision(), 0}, {"recall", c.Recall(), 0},
		{"f1", c.F1(), 0},
		{"yes_ratio", ratio(yes, n), 0}, {"samples", float64(n), 0},
		{"TP", float64(c.TP), 0}, {"FP", float64(c.FP), 0}, {"TN", float64(c.TN), 0}, {"FN", float64(c.FN), 0}} {
		add(join(category, v.Name), v.Number, v.N)
	}
}

// join makes a name of parts, leaving empty ones out.
func join(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(p string) bool { return p == "" }), "/")
}

// officialPOPE follows eval_pope.py: the answers of a category in the files' order against its labels in theirs.
func officialPOPE(r *Report, sets []*popeSet, a *Answers, inOrder bool) error {
	if inOrder && plainPOPE(r, sets) { // position and id pair the same
		r.Printed = popePrinted(r, sets)
		return nil
	}
	byID := map[uint64]int32{}
	for k, s := range sets {
		for _, id := range s.ids {
			byID[hash(id)] = int32(k)
		}
	}
	counts, yes, next := make([]YesNo, len(sets)), make([]int, len(sets)), make([]int, len(sets))
	err := a.each(func(x Answer) error {
		k, ok := byID[hash(x.ID)]
		if !ok {
			if r.Stopped == "" {
				r.Stopped = "KeyError: " + x.ID
			}
			return nil
		}
		says := SaysYes(x.Text)
		if says {
			yes[k]++
		}
		if i := next[k]; i < len(sets[k].truth) {
			counts[k].Add(says, sets[k].truth[i])
		}
		next[k]++
		return nil
	})
	if err != nil || r.Stopped != "" {
		return err
	}
	sum := 0.0
	for k, s := range sets {
		c := counts[k]
		if next[k] == 0 || c.TP+c.FP == 0 || c.TP+c.FN == 0 || c.TP == 0 {
			r.Stopped = "ZeroDivisionError: float division by zero"
			for _, v := range []Value{{"TP", float64(c.TP), 0}, {"FP", float64(c.FP), 0}, {"TN", float64(c.TN), 0},
				{"FN", float64(c.FN), 0}} {
				r.official(join(s.name, v.Name), v.Number, 0)
			}
			r.official(join(s.name, "samples"), float64(next[k]), 0)
			continue
		}
		popeValues(r.official, s.name, c, yes[k], next[k])
		sum += c.F1()
	}
	if r.Stopped == "" {
		r.official("mean_f1", sum/float64(len(sets)), 0)
	}
	r.Printed = popePrinted(r, sets)
	return nil
}

// plainPOPE reports whether no category makes the official program divide by zero.
func plainPOPE(r *Report, sets []*popeSet) bool {
	for _, s := range sets {
		if tp, _ := r.Get(join(s.name, "TP")); tp == 0 {
			return false
		}
	}
	return true
}

// popePrinted are the lines "F1, accuracy, precision, recall, yes ratio" of the official program, one a category.
func popePrinted(r *Report, sets []*popeSet) []string {
	var lines []string
	for _, s := range sets {
		line := s.name + ":"
		for i, name := range []string{"f1", "accuracy", "precision", "recall", "yes_ratio"} {
			v, _ := r.GetOfficial(join(s.name, name))
			if i > 0 {
				line += ","
			}
			line += fmt.Sprintf(" %.3f", v)
		}
		lines = append(lines, line)
	}
	return lines
}
