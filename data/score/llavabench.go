package score

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/gollava/gollava/internal/jsonrecord"
)

func llavaBenchmark() Benchmark {
	return Benchmark{
		Name: "llavabench", Title: "LLaVA-Bench", Main: "all", Scale: 1, Max: 100,
		Needs: "questions, context, rule, reference (answers_gpt4.jsonl); grades: a judge's reviews (see --judge-url)",
		Score: scoreLLaVABench, Ask: askRows(""),
	}
}

// BenchSystem is what the judge is told first, in our words; the official sentence is in eval_gpt_review_bench.py.
const BenchSystem = "You are a careful assistant who checks how good answers are."

// Review is a judge's review of an answer beside the reference answer: a line of LLaVA-Bench's review file.
type Review struct {
	ID         int             `json:"id"` // from 1
	QuestionID json.RawMessage `json:"question_id"`
	Reference  string          `json:"answer1_id"`
	Answer     string          `json:"answer2_id"`
	Category   string          `json:"category"`
	Content    string          `json:"content"`
	Tuple      [2]float64      `json:"tuple"`             // what is read of the content; (-1, -1) if nothing
	Request    string          `json:"request,omitempty"` // hash of what was asked
	Judge      string          `json:"judge,omitempty"`
}

// LLaVABenchScores reads the two scores of a review: its first line, commas as spaces, must have exactly two numbers
// with one space between. It is not ok otherwise; the official program then goes on with (-1, -1).
func LLaVABenchScores(review string) (reference, answer float64, ok bool) {
	first, _, _ := strings.Cut(review, "\n")
	parts := strings.Split(strings.ReplaceAll(first, ",", " "), " ")
	if len(parts) == 2 {
		var b bool
		reference, ok = parseFloat(parts[0])
		answer, b = parseFloat(parts[1])
		if ok && b {
			return reference, answer, true
		}
	}
	return -1, -1, false
}

// benchItem is a question with both answers, ready to be judged.
type benchItem struct {
	review  Review
	request JudgeRequest
}

// benchAnswer is a line of an answer file, with the id that reviews refer to.
type benchAnswer struct {
	ID   string `json:"answer_id"`
	Text string `json:"text"`
}

// benchItems matches questions, references and answers by question_id.
func benchItems(f Files, faults *Faults) ([]benchItem, error) {
	if err := needs("question", f.Questions, "context", f.Context, "rule", f.Rule, "reference", f.Reference); err != nil {
		return nil, err
	}
	captions := map[string]texts{}
	err := jsonrecord.EachRow(f.Context, func(r jsonrecord.Record) error {
		c, err := jsonrecord.Decode[struct {
			Image   string `json:"image"`
			Caption texts  `json:"caption"`
		}](r)
		captions[c.Image] = c.Caption
		return err
	})
	if err != nil {
		return nil, err
	}
	var rules map[string]struct{ Role, Prompt string }
	if err := jsonrecord.ReadAll(f.Rule, &rules); err != nil {
		return nil, err
	}
	sides := make([]map[string]benchAnswer, 2)
	for k, paths := range [][]string{{f.Reference}, f.Answers} {
		sides[k] = map[string]benchAnswer{}
		for _, path := range paths {
			err := jsonrecord.EachRow(path, func(r jsonrecord.Record) error {
				x, err := jsonrecord.Decode[struct {
					benchAnswer
					ID jsonrecord.ID `json:"question_id"`
				}](r)
				if err == nil && x.ID == "" {
					err = fmt.Errorf("%s: no question_id", r.At())
				}
				if _, ok := sides[k][string(x.ID)]; ok && k == 1 {
					faults.add(Double, string(x.ID), r.At())
				}
				sides[k][string(x.ID)] = x.benchAnswer
				return err
			})
			if err != nil {
				return nil, err
			}
		}
	}
	var items []benchItem
	asked := map[string]bool{}
	err = jsonrecord.EachRow(f.Questions, func(r jsonrecord.Record) error {
		q, err := jsonrecord.Decode[struct {
			ID       json.RawMessage `json:"question_id"`
			Image    string          `json:"image"`
			Text     string          `json:"text"`
			Category string          `json:"category"`
		}](r)
		if err != nil {
			return err
		}
		var id jsonrecord.ID
		if err := json.Unmarshal(q.ID, &id); err != nil {
			return fmt.Errorf("%s: no question_id", r.At())
		}
		asked[string(id)] = true
		category := "llava_bench_" + q.Category
		rule, ok := rules[category]
		if !ok {
			return fmt.Errorf("%s has no rule %s, which question %s needs", f.Rule, category, id)
		}
		caption, ok := captions[q.Image]
		if !ok {
			return fmt.Errorf("%s has no line for the picture %s of question %s", f.Context, q.Image, id)
		}
		reference, ok := sides[0][string(id)]
		if !ok {
			return fmt.Errorf("%s has no answer to question %s", f.Reference, id)
		}
		answer, ok := sides[1][string(id)]
		if !ok {
			faults.add(Missing, string(id), "")
			return nil
		}
		content := fmt.Sprintf("[Context]\n%s\n\n[Question]\n%s\n\n[%[3]s 1]\n%[4]s\n\n[End of %[3]s 1]\n\n[%[3]s "+
			"2]\n%[5]s\n\n[End of %[3]s 2]\n\n[System]\n%[6]s\n\n",
			strings.Join(caption, "\n"), q.Text, rule.Role, reference.Text, answer.Text, rule.Prompt)
		request := JudgeRequest{
			Messages:    []Message{{"system", BenchSystem}, {"user", content}},
			Temperature: 0.2,
			MaxTokens:   1024,
		}
		items = append(items, benchItem{
			Review{
				ID:         len(items) + 1,
				QuestionID: q.ID,
				Reference:  reference.ID,
				Answer:     answer.ID,
				Category:   category,
				Request:    request.hash(),
			}, request,
		})
		return nil
	})
	for id := range sides[1] {
		if !asked[id] {
			faults.add(Foreign, id, "")
		}
	}
	return items, err
}

// ReviewLLaVABench asks a judge to compare each answer with the reference and adds its reviews to the file path, one
// a line; what was asked there before in the same words is not asked again.
func ReviewLLaVABench(ctx context.Context, f Files, path string, judge Judge) error {
	items, err := benchItems(f, &Faults{})
	if err != nil {
		return err
	}
	done := map[string]bool{}
	out, err := continueLog(path, "id", func(r jsonrecord.Record) error {
		v, err := jsonrecord.Decode[Review](r)
		done[v.Request] = true
		return err
	})
	if err != nil {
		return err
	}
	defer out.Close()
	for _, i := range items {
		if done[i.review.Request] {
			continue
		}
		reply, err := judge(ctx, i.request)
		if err != nil {
			return fmt.Errorf("question %s: %w", i.review.QuestionID, err)
		}
		i.review.Content, i.review.Judge = reply.Text, reply.Model
		i.review.Tuple[0], i.review.Tuple[1], _ = LLaVABenchScores(reply.Text)
		line, err := json.Marshal(i.review)
		if err == nil {
			_, err = out.Write(append(line, '\n'))
		}
		if err != nil {
			return err
		}
	}
	return out.Close()
}

// continueLog reads a judge's words, a line each, and opens the file for more of them. A last line that a killed run
// has left unended, which begins with the key, is cut off and so asked again.
func continueLog(path, key string, f func(jsonrecord.Record) error) (*os.File, error) {
	err := jsonrecord.EachLine(path, func(r jsonrecord.Record, cut bool) error {
		if cut && !r.Begins(key) {
			return fmt.Errorf("%s: this is no reply of a judge: choose another file for them", r.At())
		}
		if cut {
			return nil
		}
		return f(r)
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	out, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o666)
	if err != nil {
		return nil, err
	}
	if err := endLine(out); err != nil {
		out.Close()
		return nil, err
	}
	return out, nil
}

// endLine cuts off a last line without its end, as a killed run leaves it.
func endLine(f *os.File) error {
	size, err := f.Seek(0, 2)
	if err != nil || size == 0 {
		return err
	}
	b := make([]byte, 1)
	for at := size; at > 0; at-- {
		if _, err := f.ReadAt(b, at-1); err != nil {
			return err
		}
		if b[0] == '\n' {
			return f.Truncate(at)
		}
	}
	return f.Truncate(0)
}

// scoreLLaVABench averages reviews: the answer's mean in percent of the reference's, and both means times ten, by
// category and over all.
func scoreLLaVABench(f Files) (*Report, error) {
	if f.Grades == "" {
		return nil, fmt.Errorf("score: LLaVA-Bench needs a judge's reviews: ask one with --judge-url, or name a " +
			"review file with --grades")
	}
	r := &Report{Benchmark: "llavabench", Main: "all", Faults: &Faults{}}
	wanted := map[string]bool{}
	if f.Questions != "" && f.Context != "" {
		items, err := benchItems(f, r.Faults)
		if err != nil {
			return nil, err
		}
		for _, i := range items {
			wanted[i.review.Request] = true
		}
	}
	right, official := map[string][][2]float64{}, map[string][][2]float64{}
	err := jsonrecord.EachLine(f.Grades, func(rec jsonrecord.Record, cut bool) error {
		v, err := jsonrecord.Decode[Review](rec)
		if err != nil {
			if cut {
				r.Faults.add(CutLine, rec.At(), "")
				return nil
			}
			return err
		}
		if v.Request != "" && len(wanted) > 0 && !wanted[v.Request] {
			return nil // of other answers, in the same file
		}
		var t [2]float64
		var ok bool
		t[0], t[1], ok = LLaVABenchScores(v.Content)
		id := strings.Trim(string(v.QuestionID), `"`)
		for _, k := range []string{v.Category, "all"} {
			official[k] = append(official[k], t)
			if ok {
				right[k] = append(right[k], t)
			}
		}
		if !ok {
			r.Faults.add(NoReview, id, rec.At())
			return nil
		}
		r.Items = append(r.Items, Item{id, t[1] / 10})
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(r.Items) == 0 {
		return nil, fmt.Errorf("%s holds no review that can be read", f.Grades)
	}
	for _, k := range slices.Sorted(maps.Keys(right)) {
		m := [2]float64{benchMean(right[k], 0), benchMean(right[k], 1)}
		r.add(k, Round(m[1]/m[0]*100, 1), len(right[k]))
		r.add(k+"/reference", Round(m[0]*10, 1), 0)
		r.add(k+"/answer", Round(m[1]*10, 1), 0)
	}
	for _, k := range slices.Sorted(maps.Keys(official)) {
		m := [2]float64{Round(benchMean(official[k], 0), 3), Round(benchMean(official[k], 1), 3)}
		if m[0] == 0 {
			r.Stopped = "ZeroDivisionError: float division by zero"
			break
		}
		v := [3]float64{Round(m[1]/m[0]*100, 1), Round(m[0]*10, 1), Round(m[1]*10, 1)}
		r.official(k, v[0], len(official[k]))
		r.official(k+"/reference", v[1], 0)
		r.official(k+"/answer", v[2], 0)
		r.Printed = append(r.Printed, fmt.Sprintf("%s %s %s %s", k, str(v[0]), str(v[1]), str(v[2])))
	}
	r.differ("it averages the (-1, -1) of reviews that it cannot read, and rounds before it divides; here they " +
		"are left out")
	return r, nil
}

func benchMean(t [][2]float64, k int) float64 {
	sum := 0.0
	for _, x := range t {
		sum += x[k]
	}
	return sum / float64(len(t))
}

// LLaVABenchRequests are what a judge is asked, question by question; those without an answer are left out.
func LLaVABenchRequests(f Files) ([]JudgeRequest, error) {
	items, err := benchItems(f, &Faults{})
	var out []JudgeRequest
	for _, i := range items {
		out = append(out, i.request)
	}
	return out, err
}
