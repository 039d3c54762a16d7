package score

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/gollava/gollava/internal/jsonrecord"
)

func scienceQABenchmark() Benchmark {
	return Benchmark{
		Name: "scienceqa", Title: "ScienceQA-IMG", Main: "img_accuracy", Scale: 1, Max: 100,
		Needs: "annotations (problems.json), splits (pid_splits.json), split (test)",
		Score: scoreScienceQA, Ask: askScienceQA,
	}
}

// ScienceProblem is a member of ScienceQA's problems.json.
type ScienceProblem struct {
	Question string   `json:"question"`
	Choices  []string `json:"choices"`
	Answer   int      `json:"answer"` // index of the right choice
	Hint     string   `json:"hint"`
	Image    *string  `json:"image"`
	Lecture  string   `json:"lecture"`
	Solution string   `json:"solution"`
}

// scienceLetters name the choices: no problem has more.
const scienceLetters = "ABCDE"

// ScienceQALetter reads the letter of an answer as LLaVA's eval_science_qa does: the text is a letter; or begins with
// one, a full stop and a space; or says "The answer is X." exactly once, where the stop may be any character. Else it
// is empty: FAILED there.
func ScienceQALetter(text string) string {
	if len(text) == 1 && strings.Contains(scienceLetters, text) {
		return text
	}
	if len(text) >= 3 && strings.Contains(scienceLetters, text[:1]) && text[1:3] == ". " {
		return text[:1]
	}
	found := ""
	const lead = "The answer is "
	for rest := text; ; {
		i := strings.Index(rest, lead)
		if i < 0 {
			return found
		}
		rest = rest[i+len(lead):]
		if rest == "" || rest[0] < 'A' || rest[0] > 'Z' {
			continue
		}
		if next, n := utf8.DecodeRuneInString(rest[1:]); n == 0 || next == '\n' {
			continue
		}
		if found != "" {
			return ""
		}
		found, rest = rest[:1], rest[2:]
	}
}

// scienceIndex is the choice that a letter names, or -1.
func scienceIndex(letter string, choices int) int {
	if i := strings.Index(scienceLetters[:min(choices, len(scienceLetters))], letter); letter != "" {
		return i
	}
	return -1
}

// scienceSplit reads the ids of a split in order.
func scienceSplit(f *Files) ([]string, error) {
	if f.Annotations == "" {
		f.Annotations = f.Questions
	}
	if err := needs("problems", f.Annotations, "splits", f.Splits); err != nil {
		return nil, err
	}
	if f.Split == "" {
		f.Split = "test"
	}
	var splits map[string][]string
	if err := jsonrecord.ReadAll(f.Splits, &splits); err != nil {
		return nil, err
	}
	ids, ok := splits[f.Split]
	if !ok || len(ids) == 0 {
		return nil, fmt.Errorf("%s has no split %q, or nothing in it", f.Splits, f.Split)
	}
	return ids, nil
}

func scoreScienceQA(f Files) (*Report, error) {
	ids, err := scienceSplit(&f)
	if err != nil {
		return nil, err
	}
	a, err := OpenAnswers(nil, f.Answers...)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	r := &Report{Benchmark: "scienceqa", Main: "img_accuracy", Faults: a.faults}
	type truth struct {
		answer, choices int
		image           bool
	}
	truths := map[string]truth{}
	err = jsonrecord.Each(f.Annotations, "", func(rec jsonrecord.Record) error {
		p, err := jsonrecord.Decode[ScienceProblem](rec)
		truths[rec.Key] = truth{p.Answer, len(p.Choices), p.Image != nil}
		return err
	})
	if err != nil {
		return nil, err
	}
	correct, images, rightImages, asked, rightAsked := 0, 0, 0, 0, 0
	for _, id := range ids {
		t, ok := truths[id]
		if !ok {
			return nil, fmt.Errorf(
				"%s has no problem %s, which split %s of %s names",
				f.Annotations,
				id,
				f.Split,
				f.Splits,
			)
		}
		x, ok, err := a.find(id)
		if err != nil {
			return nil, err
		}
		letter := ""
		if ok {
			if letter = ScienceQALetter(x.Text); letter == "" && strip(x.Text) != "" {
				a.faults.add(NoLetter, id, "")
			}
		}
		s := number(scienceIndex(letter, t.choices) == t.answer)
		correct += int(s)
		if t.image {
			images, rightImages = images+1, rightImages+int(s)
		}
		if ok && strings.Contains(x.Prompt, "<image>") {
			asked, rightAsked = asked+1, rightAsked+int(s)
		}
		r.Items = append(r.Items, Item{id, s})
	}
	a.forgiveForeign(func(id string) bool { _, ok := truths[id]; return ok }) // the problems of other splits
	if err := a.done(f.Annotations, len(ids)); err != nil {
		return nil, err
	}
	r.add("img_accuracy", ratio(rightImages, images)*100, images)
	r.add("accuracy", ratio(correct, len(ids))*100, len(ids))
	r.add("correct", float64(correct), 0)
	r.add("count", float64(len(ids)), 0)
	r.add("img_correct", float64(rightImages), 0)
	r.add("img_count", float64(images), 0)
	if asked == 0 {
		r.Stopped = "ZeroDivisionError: division by zero"
	} else {
		r.official("img_accuracy", ratio(rightAsked, asked)*100, asked)
		r.official("img_correct", float64(rightAsked), 0)
		r.official("img_count", float64(asked), 0)
		r.Printed = []string{fmt.Sprintf("Total: %d, Correct: %d, Accuracy: %.2f%%, IMG-Accuracy: %.2f%%", len(ids),
			correct,
			ratio(correct, len(ids))*100, ratio(rightAsked, asked)*100)}
	}
	r.differ("it takes a question for one with a picture if the answer's prompt has <image>, so one that is not " +
		"answered, or was asked without its picture, drops out; " +
		"here it is one if the problem has a picture")
	return r, nil
}

// askScienceQA asks the problems of a split as LLaVA-1.5 does (CQM-A, single prediction).
func askScienceQA(f Files, ask func(Question) error) error {
	ids, err := scienceSplit(&f)
	if err != nil {
		return err
	}
	at := map[string]int{}
	for i, id := range ids {
		at[id] = i
	}
	asked := make([]*Question, len(ids))
	err = jsonrecord.Each(f.Annotations, "", func(rec jsonrecord.Record) error {
		i, ok := at[rec.Key]
		if !ok {
			return nil
		}
		p, err := jsonrecord.Decode[ScienceProblem](rec)
		if err != nil {
			return err
		}
		q := &Question{ID: rec.Key, Options: p.Choices}
		if p.Hint != "" {
			q.Text = "Context: " + p.Hint + "\n"
		}
		q.Text += p.Question + lettered(p.Choices) + letterAnswer
		if p.Image != nil {
			q.Image = f.Split + "/" + rec.Key + "/" + *p.Image
		}
		asked[i] = q
		return nil
	})
	for i := 0; i < len(ids) && err == nil; i++ {
		if asked[i] == nil {
			return fmt.Errorf(
				"%s has no problem %s, which split %s of %s names",
				f.Annotations,
				ids[i],
				f.Split,
				f.Splits,
			)
		}
		err = ask(*asked[i])
	}
	return err
}

// ScienceQAPrompt makes a training conversation of a problem in one of the formats of LLaVA's convert_sqa_to_llava,
// such as QCM-LEA: the order of question, context and multiple choice (and what else is given away) in the prompt,
// then what the answer holds. It is not ok for a format that there is not.
func ScienceQAPrompt(p ScienceProblem, format string) (human, gpt string, ok bool) {
	context := strip(p.Hint)
	if context == "" {
		context = "N/A"
	}
	if p.Answer < 0 || p.Answer >= len(p.Choices) || len(p.Choices) > len(scienceLetters) {
		return "", "", false
	}
	var options []string
	for i, c := range p.Choices {
		options = append(options, fmt.Sprintf("(%c) %s", scienceLetters[i], c))
	}
	lecture, solution := p.Lecture, p.Solution
	answer := string(scienceLetters[p.Answer])
	in, out, _ := strings.Cut(format, "-")
	parts := map[rune]string{
		'Q': "Question: " + p.Question,
		'C': "Context: " + context,
		'M': "Options: " + strings.Join(options, " "),
	}
	because := map[string]string{"L": lecture, "E": solution, "LE": lecture + " " + solution}
	for i := 0; i < len(in); i++ {
		part, known := parts[rune(in[i])]
		if !known {
			n := 1
			if strings.HasPrefix(in[i:], "LE") {
				n = 2
			}
			why, reason := because[in[i:i+n]]
			if !reason {
				return "", "", false
			}
			part, i = "BECAUSE: "+why, i+n-1
		}
		human += part + "\n"
	}
	is := "The answer is " + answer + "."
	switch out {
	case "A":
		gpt = is
	case "AL": // the official program has lecture and solution the wrong way round in these two
		gpt = is + " BECAUSE: " + solution
	case "AE":
		gpt = is + " BECAUSE: " + lecture
	case "ALE":
		gpt = is + " BECAUSE: " + lecture + " " + solution
	case "AEL":
		gpt = is + " BECAUSE: " + solution + " " + lecture
	case "LA":
		gpt = lecture + " " + is
	case "EA":
		gpt = solution + " " + is
	case "LEA":
		gpt = lecture + " " + solution + " " + is
	case "ELA":
		gpt = solution + " " + lecture + " " + is
	case "LEPA":
		if strip(lecture) != "" {
			gpt += "LECTURE: " + lecture + "\n"
		}
		if strip(solution) != "" {
			gpt += "SOLUTION: " + solution + "\n"
		}
		gpt += "###\nANSWER: " + answer + "."
	default:
		return "", "", false
	}
	if out != "LEPA" {
		gpt = "Answer: " + gpt
	}
	tidy := func(s string) string {
		s = strip(strings.ReplaceAll(s, "  ", " "))
		if strings.HasSuffix(s, "BECAUSE:") {
			s = strip(strings.ReplaceAll(s, "BECAUSE:", ""))
		}
		return s
	}
	human, gpt = tidy(human), tidy(gpt)
	if strings.HasPrefix(human, "Question: ") {
		human = strings.ReplaceAll(human, "Question: ", "")
	}
	if strings.HasPrefix(gpt, "Answer: ") {
		gpt = strings.ReplaceAll(gpt, "Answer: ", "")
	}
	if p.Image != nil {
		human += "\n<image>"
	}
	return human, gpt, true
}
