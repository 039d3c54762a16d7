package score

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/gollava/gollava/internal/jsonrecord"
)

func mmVetBenchmark() Benchmark {
	return Benchmark{
		Name: "mmvet", Title: "MM-Vet", Main: "total", Scale: 1, Max: 100,
		Needs: "questions (mm-vet.json); grades: what a judge said (see --judge-url)",
		Score: scoreMMVet, Ask: askMMVet, Upload: uploadTexts,
	}
}

// vetQuestion is a member of mm-vet.json.
type vetQuestion struct {
	Image      string   `json:"imagename"`
	Question   string   `json:"question"`
	Answer     string   `json:"answer"`
	Capability []string `json:"capability"`
}

// VetGrade is what a judge gave one answer, run by run: a member of MM-Vet's grade file.
type VetGrade struct {
	Model   []string  `json:"model"`
	Content []string  `json:"content"`
	Score   []float64 `json:"score"`
}

// VetPrompt is the instruction and the examples before MM-Vet's question, in our words: the official ones are in
// mm-vet_evaluator.py, and scores of the two are not comparable to the last digit.
const VetPrompt = `Compare the reference answer with the predicted answer and grade the prediction with a number from 0.0 (wrong) to 1.0 (right), in steps of 0.1. <AND> in the reference means that the prediction must have all of its parts, <OR> that one of them is enough. Fill in the last cell of the table with the number alone.

Question | Reference | Prediction | Grade
--- | --- | --- | ---
What is 3 times y if y = -2? | -6 | 3 times y is -6. | 1.0
What is 3 times y if y = -2? | -6 | It is 6. | 0.0
Which fruits are in the bowl? | apples <AND> pears | There are apples. | 0.5
What is the animal? | cat <OR> kitten | A kitten is on the mat. | 1.0
Why is the picture funny? | A dog that should guard the house sleeps in the bed of a cat, which watches the door. | A dog sleeps in a small bed. | 0.4`

// GradeMMVet asks a judge about every answer, as often as runs says, and adds its grades to those that are there. A
// reply whose text up to the first space is no number from 0 to 1 is asked for again, up to five times and at rising
// temperatures; then the grade is 0. After each grade save is called; nil: never.
func GradeMMVet(
	ctx context.Context,
	f Files,
	prompt string,
	runs int,
	judge Judge,
	grades map[string]*VetGrade,
	save func() error,
) error {
	a, err := OpenAnswers(nil, f.Answers...)
	if err != nil {
		return err
	}
	defer a.Close()
	if err := needs("question", f.Questions); err != nil {
		return err
	}
	for run := range runs {
		err := jsonrecord.Each(f.Questions, "", func(rec jsonrecord.Record) error {
			q, err := jsonrecord.Decode[vetQuestion](rec)
			if err != nil {
				return err
			}
			x, ok, err := a.find(rec.Key)
			if err != nil || !ok {
				return err // a missing answer is reported when it is scored
			}
			g := grades[rec.Key]
			if g == nil {
				g = &VetGrade{}
				grades[rec.Key] = g
			}
			if len(g.Score) > run {
				return nil
			}
			reply, score, err := gradeVet(ctx, q, x.Text, prompt, judge)
			if err != nil {
				return fmt.Errorf("%s: question %s: %w", rec.At(), rec.Key, err)
			}
			g.Model, g.Content = append(g.Model, reply.Model), append(g.Content, reply.Text)
			g.Score = append(g.Score, score)
			if save != nil {
				return save()
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// gradeVet asks about one answer.
func gradeVet(ctx context.Context, q vetQuestion, answer, prompt string, judge Judge) (JudgeReply, float64, error) {
	truth := strings.ReplaceAll(strings.ReplaceAll(q.Answer, "<AND>", " <AND> "), "<OR>", " <OR> ")
	content := prompt + "\n" + q.Question + " | " + truth + " | " + answer + " | "
	r := JudgeRequest{Messages: []Message{{"user", content}}, MaxTokens: 3}
	reply, err := judge(ctx, r)
	for retry := 0; err == nil; retry++ {
		word, _, _ := strings.Cut(reply.Text, " ")
		reply.Text = strip(word)
		if score, ok := parseFloat(reply.Text); ok && score >= 0 && score <= 1 && retry < 5 {
			return reply, score, nil
		}
		if retry == 5 {
			return reply, 0, nil
		}
		r.Messages[0].Content += "\nPredict the correctness of the answer (digit): "
		r.Temperature = 0.5 * float64(retry)
		reply, err = judge(ctx, r)
	}
	return reply, 0, err
}

// scoreMMVet averages a judge's grades over capabilities and their exact combinations.
func scoreMMVet(f Files) (*Report, error) {
	if err := needs("question", f.Questions); err != nil {
		return nil, err
	}
	if f.Grades == "" {
		return nil, fmt.Errorf("score: MM-Vet needs a judge's grades: ask one with --judge-url, or name the grade " +
			"file of another program with --grades")
	}
	grades := map[string]*VetGrade{}
	if err := jsonrecord.ReadAll(f.Grades, &grades); err != nil {
		return nil, err
	}
	r := &Report{Benchmark: "mmvet", Main: "total", Faults: &Faults{}}
	runs := 0
	for _, g := range grades {
		runs = max(runs, len(gradesOf(g)))
	}
	sums, counts := map[string][]float64{}, map[string]int{}
	var names []string
	known := 0
	err := jsonrecord.Each(f.Questions, "", func(rec jsonrecord.Record) error {
		q, err := jsonrecord.Decode[vetQuestion](rec)
		if err != nil {
			return err
		}
		if len(q.Capability) == 0 {
			return fmt.Errorf("%s: question %s has no capability: is this mm-vet.json?", rec.At(), rec.Key)
		}
		g := grades[rec.Key]
		if g == nil || len(g.Score) < runs {
			r.Faults.add(Missing, rec.Key, "")
			g = &VetGrade{Score: append(append([]float64{}, gradesOf(g)...), make([]float64, runs-len(gradesOf(g)))...)}
		} else {
			known++
		}
		set := slices.Compact(slices.Sorted(slices.Values(q.Capability)))
		all := 0.0
		for _, name := range append(append([]string{"total"}, prefixed("capability/", set)...),
			"integration/"+strings.Join(set, "_")) {
			if sums[name] == nil {
				sums[name] = make([]float64, runs)
				names = append(names, name)
			}
			counts[name]++
			for i := range runs {
				s := g.Score[i]
				if math.IsNaN(s) || s < 0 || s > 1 {
					return fmt.Errorf(
						"%s: question %s has the grade %v, and grades are from 0 to 1",
						f.Grades,
						rec.Key,
						s,
					)
				}
				sums[name][i] += s
			}
		}
		for _, s := range g.Score[:runs] {
			all += s
		}
		r.Items = append(r.Items, Item{rec.Key, all / float64(max(runs, 1))})
		return nil
	})
	if err != nil {
		return nil, err
	}
	if known == 0 {
		return nil, fmt.Errorf(
			"%s grades no question of %s: these are the files of different benchmarks",
			f.Grades,
			f.Questions,
		)
	}
	for id := range grades {
		if !slices.ContainsFunc(r.Items, func(i Item) bool { return i.ID == id }) {
			r.Faults.add(Foreign, id, f.Grades)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		total, squares := 0.0, 0.0
		for i := range sums[name] {
			sums[name][i] = sums[name][i] / float64(counts[name]) * 100
			total += sums[name][i]
		}
		m := total / float64(runs)
		r.add(name, numpyRound(m, 1), counts[name])
		if name == "total" {
			for _, s := range sums[name] {
				squares += (s - m) * (s - m)
			}
			r.add("std", numpyRound(math.Sqrt(squares/float64(runs)), 1), 0)
		}
	}
	return r, nil
}

func gradesOf(g *VetGrade) []float64 {
	if g == nil {
		return nil
	}
	return g.Score
}

func prefixed(prefix string, names []string) []string {
	var out []string
	for _, n := range names {
		out = append(out, prefix+n)
	}
	return out
}

// askMMVet asks the question alone.
func askMMVet(files Files, f func(Question) error) error {
	if err := needs("question", files.Questions); err != nil {
		return err
	}
	if lines, err := jsonrecord.OneALine(files.Questions); err != nil {
		return err
	} else if lines {
		return askRows("")(files, f)
	}
	return jsonrecord.Each(files.Questions, "", func(r jsonrecord.Record) error {
		q, err := jsonrecord.Decode[vetQuestion](r)
		if err != nil {
			return err
		}
		return f(Question{ID: r.Key, Image: q.Image, Text: q.Question})
	})
}
