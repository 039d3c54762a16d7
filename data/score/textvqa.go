package score

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/gollava/gollava/internal/jsonrecord"
)

func textVQABenchmark() Benchmark {
	return Benchmark{
		Name: "textvqa", Title: "TextVQA", Main: "accuracy", Scale: 100, Max: 100,
		Needs: "annotations (TextVQA_0.5.1_val.json); to ask: questions (llava_textvqa_val_v051_ocr.jsonl)",
		Score: scoreTextVQA, Ask: askRows(shortAnswer),
	}
}

// textTruth is a record of TextVQA's annotations.
type textTruth struct {
	Question   string          `json:"question"`
	ImageID    string          `json:"image_id"`
	QuestionID jsonrecord.ID   `json:"question_id"`
	Answers    []jsonrecord.ID `json:"answers"`
}

// quickText reads a plain record.
func quickText(b []byte) (t textTruth, ok bool) {
	ok = jsonrecord.Object(b, func(key, value []byte) (ok bool) {
		ok = true
		switch string(key) {
		case "question":
			t.Question, ok = jsonrecord.Text(value)
		case "image_id":
			t.ImageID, ok = jsonrecord.Text(value)
		case "question_id":
			t.QuestionID, ok = jsonrecord.TextOrNumber(value)
		case "answers":
			t.Answers = make([]jsonrecord.ID, 0, 10)
			ok = jsonrecord.Array(value, func(answer []byte) bool {
				s, ok := jsonrecord.TextOrNumber(answer)
				t.Answers = append(t.Answers, s)
				return ok
			})
		}
		return ok
	})
	return t, ok
}

// TextVQAQuestion finds the question, in lower case, in the prompt that it was asked with.
func TextVQAQuestion(prompt string) (string, error) {
	lines := strings.Split(prompt, "\n")
	switch {
	case strings.HasPrefix(prompt, "OCR tokens: "):
		_, q, ok := strings.Cut(prompt, "Question: ")
		q, _, end := strings.Cut(q, " Short answer:")
		if ok && end {
			return lower(q), nil
		}
	case strings.Contains(prompt, "Reference OCR token: ") && len(lines) == 3:
		if strings.HasPrefix(prompt, "Reference OCR token:") {
			return lower(lines[1]), nil
		}
		return lower(lines[0]), nil
	case len(lines) == 2:
		return lower(lines[0]), nil
	}
	return "", fmt.Errorf("prompt %q has none of the four forms that hold a question", prompt)
}

// textScore is the soft accuracy of TextVQA: over each of the ten answers, a third for each of the others that the
// prediction equals.
func textScore(truths []string, prediction string) float64 {
	same := 0
	for _, t := range truths {
		if t == prediction {
			same++
		}
	}
	if same == 0 {
		return 0
	}
	sum := 0.0
	for _, t := range truths {
		others := same
		if t == prediction {
			others--
		}
		sum += min(1, float64(others)/3)
	}
	return sum / float64(len(truths))
}

func scoreTextVQA(f Files) (*Report, error) {
	if err := needs("annotation", f.Annotations); err != nil {
		return nil, err
	}
	faults := 0
	a, err := OpenAnswers(func(x Answer) string {
		q, err := TextVQAQuestion(x.Prompt)
		if err != nil {
			faults++
		}
		return x.ID + "\n" + q
	}, f.Answers...)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	r := &Report{Benchmark: "textvqa", Main: "accuracy", Faults: a.faults}
	scores := map[uint64]float64{}
	processed := map[string]string{}
	normalise := func(s string) string {
		out, ok := processed[s]
		if !ok {
			if out = Normalise(s); len(processed) < 1<<16 && len(s) < 64 {
				processed[s] = out
			}
		}
		return out
	}
	sum, last, inOrder := 0.0, int32(-1), true
	err = jsonrecord.Each(f.Annotations, "data", func(rec jsonrecord.Record) error {
		t, ok := quickText(rec.Raw)
		if !ok {
			var err error
			if t, err = jsonrecord.Decode[textTruth](rec); err != nil {
				return err
			}
		}
		if len(t.Answers) != 10 {
			return fmt.Errorf(
				"%s: %d answers, and TextVQA has 10 for each question (the test split has none)",
				rec.At(),
				len(t.Answers),
			)
		}
		key := t.ImageID + "\n" + lower(t.Question)
		text, ok, err := a.findText(key)
		if err != nil {
			return err
		}
		s := 0.0
		if ok {
			truths := make([]string, len(t.Answers))
			for i, g := range t.Answers {
				truths[i] = normalise(string(g))
			}
			s = textScore(truths, normalise(text))
		}
		place, _ := a.last(key)
		inOrder = inOrder && ok && place > last
		last = place
		sum += s
		scores[hash(key)] = s
		r.Items = append(r.Items, Item{string(t.QuestionID), s})
		return nil
	})
	if err == nil {
		err = a.done(f.Annotations, len(r.Items))
	}
	if err != nil {
		return nil, err
	}
	n := len(r.Items)
	r.add("accuracy", sum/float64(n), n)
	if inOrder && faults+a.faults.Count(Double)+a.faults.Count(Foreign) == 0 {
		r.Printed = []string{fmt.Sprintf("Samples: %d", n), fmt.Sprintf("Accuracy: %.2f%%", 100*(sum/float64(n)))}
		return r, nil
	}
	// The official program goes by the answers, in their order: each of them that has an annotation.
	total, count := 0.0, 0
	err = a.each(func(x Answer) error {
		s, ok := scores[hash(a.key(x))]
		if !ok && r.Stopped == "" {
			r.Stopped = fmt.Sprintf("KeyError: %s", x.ID)
		}
		total, count = total+s, count+1
		return nil
	})
	if err != nil {
		return nil, err
	}
	if faults > 0 {
		r.Stopped = "AssertionError"
	}
	if r.Stopped == "" && count > 0 {
		r.official("accuracy", total/float64(count), count)
		r.Printed = []string{
			fmt.Sprintf("Samples: %d", count),
			fmt.Sprintf("Accuracy: %.2f%%", 100*(total/float64(count))),
		}
	}
	r.differ("it averages over the answers that are there, double ones included, instead of over the questions")
	return r, nil
}

// ANLS is the average normalised Levenshtein similarity of ST-VQA for one question: 1 − distance / length of the
// longer text, below one half 0, of the truth that is nearest. Case and white space around do not count.
func ANLS(prediction string, truths []string) float64 {
	best := 0.0
	p := strip(lower(prediction))
	for _, t := range truths {
		t = strip(lower(t))
		n := max(utf8.RuneCountInString(p), utf8.RuneCountInString(t))
		if n == 0 {
			return 1
		}
		if s := 1 - float64(levenshtein(p, t))/float64(n); s >= 0.5 {
			best = max(best, s)
		}
	}
	return best
}
