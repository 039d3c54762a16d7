package score

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gollava/gollava/internal/jsonrecord"
)

func vqaBenchmark() Benchmark {
	return Benchmark{
		Name: "vqav2", Title: "VQAv2", Main: "overall", Scale: 1, Max: 100,
		Needs: "questions, annotations (v2_mscoco_val2014_annotations.json; the test splits have none: see --upload)",
		Score: scoreVQA, Ask: askVQA, Upload: uploadVQA,
	}
}

// vqaTruth is a record of VQAv2's and VizWiz's annotations.
type vqaTruth struct {
	ID         jsonrecord.ID `json:"question_id"`
	Image      jsonrecord.ID `json:"image"`
	Type       string        `json:"question_type"`
	AnswerType string        `json:"answer_type"`
	Answers    []vqaSay      `json:"answers"`
}

// vqaSay is what one of the ten people answered.
type vqaSay struct {
	Answer     jsonrecord.ID `json:"answer"`
	Confidence string        `json:"answer_confidence"`
	ID         jsonrecord.ID `json:"answer_id"`
}

// quickVQA reads a plain record.
func quickVQA(b []byte) (t vqaTruth, ok bool) {
	ok = jsonrecord.Object(b, func(key, value []byte) (ok bool) {
		ok = true
		switch string(key) {
		case "question_id":
			t.ID, ok = jsonrecord.TextOrNumber(value)
		case "question_type":
			t.Type, ok = jsonrecord.Text(value)
		case "answer_type":
			t.AnswerType, ok = jsonrecord.Text(value)
		case "image":
			t.Image, ok = jsonrecord.TextOrNumber(value)
		case "answers":
			t.Answers = make([]vqaSay, 0, 10)
			ok = jsonrecord.Array(value, func(answer []byte) bool {
				var s vqaSay
				ok := jsonrecord.Object(answer, func(key, value []byte) (ok bool) {
					ok = true
					switch string(key) {
					case "answer":
						s.Answer, ok = jsonrecord.TextOrNumber(value)
					case "answer_confidence":
						s.Confidence, ok = jsonrecord.Text(value)
					case "answer_id":
						s.ID, ok = jsonrecord.TextOrNumber(value)
					}
					return ok
				})
				t.Answers = append(t.Answers, s)
				return ok
			})
		}
		return ok
	})
	return t, ok
}

// vqaRule is a revision of the official program's rule.
type vqaRule struct {
	strip     bool // line ends and white space around are removed from the truths too
	truths    bool // truths go through both steps, not through punctuation alone
	always    bool // the prediction goes through both steps even where all truths are equal
	processed map[string]string
}

// current is the rule of the official repository since 2017; older is that of the copy in LAVIS.
func vqaRules() (current, older *vqaRule) {
	return &vqaRule{
			strip:     true,
			truths:    true,
			processed: map[string]string{},
		}, &vqaRule{
			always:    true,
			processed: map[string]string{},
		}
}

// process normalises a text, remembering what it was before: people's answers repeat.
func (v *vqaRule) process(s string, both bool) string {
	key := s
	if both {
		key = "\x00" + s
	}
	if out, ok := v.processed[key]; ok {
		return out
	}
	out := punctuation(s, false)
	if both {
		out = digitsAndArticles(out)
	}
	if len(v.processed) < 1<<16 && len(s) < 64 {
		v.processed[key] = out
	}
	return out
}

// score is the accuracy of a prediction: over each of the truths, a third for each of the others that it equals, at
// most one.
func (v *vqaRule) score(truths []vqaSay, prediction string) float64 {
	texts := make([]string, len(truths))
	differ := false
	for i, t := range truths {
		texts[i] = string(t.Answer)
		if v.strip {
			texts[i] = oneLine(texts[i])
		}
		differ = differ || texts[i] != texts[0]
	}
	prediction = oneLine(prediction)
	if v.always || differ {
		prediction = v.process(prediction, true)
	}
	if differ {
		for i := range texts {
			texts[i] = v.process(texts[i], v.truths)
		}
	}
	sum := 0.0
	for i, t := range truths {
		same := 0
		for j, o := range truths {
			if texts[j] == prediction && (texts[i] != texts[j] || t.ID != o.ID || t.Confidence != o.Confidence) {
				same++
			}
		}
		sum += min(1, float64(same)/3)
	}
	return sum / float64(len(truths))
}

// means collects scores by group and averages them as the official program does, in percent with two decimals.
type means struct {
	sum map[string]float64
	n   map[string]int
}

func newMeans() *means { return &means{map[string]float64{}, map[string]int{}} }

func (m *means) add(name string, x float64) { m.sum[name] += x; m.n[name]++ }

func (m *means) write(add func(string, float64, int)) {
	for _, name := range slices.Sorted(maps.Keys(m.n)) {
		add(name, Round(100*m.sum[name]/float64(m.n[name]), 2), m.n[name])
	}
}

func scoreVQA(f Files) (*Report, error) {
	if err := needs("annotation", f.Annotations); err != nil {
		return nil, err
	}
	a, err := OpenAnswers(nil, f.Answers...)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	r := &Report{Benchmark: "vqav2", Main: "overall", Faults: a.faults}
	current, older := vqaRules()
	now, then := newMeans(), newMeans()
	err = jsonrecord.Each(f.Annotations, "annotations", func(rec jsonrecord.Record) error {
		t, ok := quickVQA(rec.Raw)
		if !ok {
			var err error
			if t, err = jsonrecord.Decode[vqaTruth](rec); err != nil {
				return err
			}
		}
		id := string(t.ID)
		if id == "" || len(t.Answers) == 0 {
			return fmt.Errorf("%s: no question_id, or no answers", rec.At())
		}
		text, ok, err := a.findText(id)
		if err != nil {
			return err
		}
		s, old := 0.0, 0.0
		if ok {
			s, old = current.score(t.Answers, text), older.score(t.Answers, text)
			for _, name := range []string{"overall", "perQuestionType/" + t.Type, "perAnswerType/" + t.AnswerType} {
				then.add(name, old)
			}
		}
		for _, name := range []string{"overall", "perQuestionType/" + t.Type, "perAnswerType/" + t.AnswerType} {
			now.add(name, s)
		}
		r.Items = append(r.Items, Item{id, s})
		r.OfficialScores = append(r.OfficialScores, old)
		return nil
	})
	if err == nil {
		err = a.done(f.Annotations, len(r.Items))
	}
	if err != nil {
		return nil, err
	}
	now.write(r.add)
	then.write(r.official)
	if n := a.faults.Count(Missing); n > 0 {
		r.Stopped = fmt.Sprintf("AssertionError: the results do not match the question ids (%d are missing)", n)
	}
	r.differ("official is the older rule, as in LAVIS's copy: the prediction is always normalised, the truths " +
		"lose their punctuation only, and only where they differ; " +
		"since 2017 both sides are normalised in full where the truths differ, and neither where all ten agree")
	return r, nil
}

// vqaAsk is a question of VQAv2's question file or of LLaVA's.
type vqaAsk struct {
	askRow
	ImageID jsonrecord.ID `json:"image_id"`
}

// askVQA asks the questions of VQAv2's own file, or of LLaVA's.
func askVQA(files Files, f func(Question) error) error {
	if err := needs("question", files.Questions); err != nil {
		return err
	}
	if lines, err := jsonrecord.OneALine(files.Questions); err != nil {
		return err
	} else if lines {
		return askRows(shortAnswer)(files, f)
	}
	subtype := "val2014"
	for _, name := range []string{"train2014", "test2015", "test-dev2015"} {
		if strings.Contains(filepath.Base(files.Questions), name) {
			subtype = strings.Replace(name, "-dev", "", 1)
		}
	}
	return jsonrecord.Each(files.Questions, "questions", func(r jsonrecord.Record) error {
		q, err := jsonrecord.Decode[vqaAsk](r)
		if err != nil {
			return err
		}
		image := q.Image
		if image == "" {
			image = fmt.Sprintf("COCO_%s_%012s.jpg", subtype, string(q.ImageID))
		}
		id, number, err := q.id()
		if err != nil {
			return fmt.Errorf("%s: %w", r.At(), err)
		}
		return f(Question{ID: id, Numeric: number, Image: image, Text: asked(q.Question, shortAnswer)})
	})
}
