package score

import "github.com/gollava/gollava/internal/jsonrecord"

import "fmt"

func vizWizBenchmark() Benchmark {
	return Benchmark{
		Name: "vizwiz", Title: "VizWiz", Main: "overall", Scale: 1, Max: 100,
		Needs: "questions (llava_test.jsonl); to score: annotations with answers (val.json: a list of image, " +
			"question, answers)",
		Score: scoreVizWiz, Ask: askRows(unanswerable + shortAnswer), Upload: uploadVizWiz,
	}
}

// scoreVizWiz scores against the annotations of train or val by the VQA challenge's current rule, which VizWiz took
// over; the test split's truth is with the server alone.
func scoreVizWiz(f Files) (*Report, error) {
	if err := needs("annotation", f.Annotations); err != nil {
		return nil, fmt.Errorf("%w; VizWiz's test split has none: write the file for the server with --upload", err)
	}
	a, err := OpenAnswers(nil, f.Answers...)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	r := &Report{Benchmark: "vizwiz", Main: "overall", Faults: a.faults}
	rule, _ := vqaRules()
	m := newMeans()
	err = jsonrecord.Each(f.Annotations, "", func(rec jsonrecord.Record) error {
		t, err := jsonrecord.Decode[vqaTruth](rec)
		if err != nil {
			return err
		}
		id := string(t.Image)
		if id == "" || len(t.Answers) == 0 {
			return fmt.Errorf("%s: no image, or no answers", rec.At())
		}
		for i := range t.Answers { // VizWiz does not number the ten people; equal answers of two are still two
			if t.Answers[i].ID == "" {
				t.Answers[i].ID = jsonrecord.ID(fmt.Sprint(i))
			}
		}
		x, ok, err := a.find(id)
		if err != nil {
			return err
		}
		s := 0.0
		if ok {
			s = rule.score(t.Answers, x.Text)
		}
		m.add("overall", s)
		if t.AnswerType != "" {
			m.add("perAnswerType/"+t.AnswerType, s)
		}
		r.Items = append(r.Items, Item{id, s})
		return nil
	})
	if err == nil {
		err = a.done(f.Annotations, len(r.Items))
	}
	if err != nil {
		return nil, err
	}
	m.write(r.add)
	return r, nil
}
