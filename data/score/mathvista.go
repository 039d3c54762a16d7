package score

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/big"
	"regexp"
	"slices"
	"strings"

	"github.com/gollava/gollava/internal/jsonrecord"
)

func mathVistaBenchmark() Benchmark {
	return Benchmark{
		Name: "mathvista", Title: "MathVista", Main: "average", Scale: 100, Max: 100,
		Needs: "answers: the results file with extractions; or questions (testmini.json), and answers of any " +
			"kind, from which a judge extracts what needs one (--judge-url, --grades)",
		Score: scoreMathVista, Ask: askMathVista,
	}
}

// MathProblem is a member of MathVista's files.
type MathProblem struct {
	ID           jsonrecord.ID  `json:"pid"`
	QuestionType string         `json:"question_type"` // multi_choice or free_form
	AnswerType   string         `json:"answer_type"`   // text, integer, float, list
	Choices      []string       `json:"choices"`
	Precision    *float64       `json:"precision"`
	Answer       jsonrecord.ID  `json:"answer"`
	Query        string         `json:"query"`
	Question     string         `json:"question"`
	Unit         string         `json:"unit"`
	Image        string         `json:"image"`
	Response     string         `json:"response"`
	Metadata     map[string]any `json:"metadata"`
}

var mathQuick = regexp.MustCompile(`The answer is "(.*)"\.`)

// MathVistaExtract reads the short answer out of a response where no judge is needed: extract_answer without its
// language model. quick also takes the text of The answer is "…". It is not ok where the judge is to be asked.
func MathVistaExtract(response string, p MathProblem, quick bool) (extraction string, ok bool) {
	if response == "" {
		return "", true
	}
	if p.QuestionType == "multi_choice" && slices.Contains(p.Choices, response) {
		return response, true
	}
	if p.AnswerType == "integer" {
		if n, ok := parseInt(response); ok {
			return n.String(), true
		}
	}
	if p.AnswerType == "float" {
		if x, ok := parseFloat(response); ok {
			return str(x), true
		}
	}
	if quick {
		if m := mathQuick.FindStringSubmatch(response); m != nil {
			return m[1], true
		}
	}
	return "", false
}

var mathLetter = regexp.MustCompile(`\(([a-zA-Z])\)`)

// MathVistaNormalise makes an extraction, a JSON value read with UseNumber, comparable with the truth, as
// normalize_extracted_answer does. It is not ok where the official program gives None. ignoreEmpty makes an empty
// extraction wrong instead of the nearest choice.
func MathVistaNormalise(extraction any, p MathProblem, ignoreEmpty bool) (string, bool) {
	text, isText := extraction.(string)
	switch {
	case p.QuestionType == "multi_choice":
		if text = strip(text); !isText {
			text = repr(extraction)
		}
		if ignoreEmpty && text == "" || len(p.Choices) == 0 {
			return "", false
		}
		if m := mathLetter.FindStringSubmatch(text); m != nil {
			text = strings.ToUpper(m[1])
		}
		if len(text) == 1 && text[0] >= 'A' && int(text[0]-'A') < len(p.Choices) {
			return p.Choices[text[0]-'A'], true
		}
		best, nearest := math.MaxInt, ""
		for _, c := range p.Choices {
			if d := levenshtein(text, c); d < best {
				best, nearest = d, c
			}
		}
		return nearest, true
	case p.AnswerType == "integer":
		x, ok := mathFloat(extraction)
		if !ok || math.IsInf(x, 0) || math.IsNaN(x) {
			return "", false
		}
		whole, _ := big.NewFloat(x).Int(nil)
		return whole.String(), true
	case p.AnswerType == "float":
		x, ok := mathFloat(extraction)
		if !ok || p.Precision == nil {
			return "", false
		}
		return str(Round(x, int(*p.Precision))), true
	case p.AnswerType == "list":
		if isText {
			return text, true
		}
		return repr(extraction), true
	}
	if isText {
		return text, true
	}
	return repr(extraction), true
}

// mathFloat is float(v).
func mathFloat(v any) (float64, bool) {
	switch v := v.(type) {
	case string:
		return parseFloat(v)
	case json.Number:
		x, err := v.Float64()
		return x, err == nil || math.IsInf(x, 0)
	case bool:
		return number(v), true
	}
	return 0, false
}

// mathRecord is a problem with the extraction as it is written.
type mathRecord struct {
	MathProblem
	Extraction json.RawMessage `json:"extraction"`
}

// scoreMathVista scores a results file, or answers to the questions.
func scoreMathVista(f Files) (*Report, error) {
	r := &Report{Benchmark: "mathvista", Main: "average", Faults: &Faults{}}
	groups := map[string]*pair{}
	var answers *Answers
	records := f.Questions
	if records == "" {
		if len(f.Answers) != 1 {
			return nil, fmt.Errorf("score: MathVista is scored from one results file, or from answers with the " +
				"questions")
		}
		if f.Grades != "" {
			return nil, fmt.Errorf("score: a results file of MathVista has its extractions already: name the " +
				"questions to score answers with a judge's, or leave the grades out")
		}
		records = f.Answers[0]
	} else {
		a, err := OpenAnswers(nil, f.Answers...)
		if err != nil {
			return nil, err
		}
		defer a.Close()
		answers, r.Faults = a, a.faults
	}
	judged, err := mathExtractions(f.Grades, r.Faults)
	if err != nil {
		return nil, err
	}
	err = jsonrecord.Each(records, "", func(rec jsonrecord.Record) error {
		p, err := jsonrecord.Decode[mathRecord](rec)
		if err != nil {
			return err
		}
		id := p.id(rec)
		var extraction any
		found := true
		if answers != nil {
			x, ok, err := answers.find(id)
			if err != nil {
				return err
			}
			var text string
			if text, found = MathVistaExtract(x.Text, p.MathProblem, true); ok && !found {
				short, read := judged[[2]string{id, x.Text}]
				if text = short; !read {
					r.Faults.add(Unread, id, "")
					text = x.Text
				}
				found = true
			}
			extraction, found = text, found && ok
		} else if p.Extraction == nil {
			return fmt.Errorf("%s: problem %s has no extraction: name the questions and the answers instead, or "+
				"run MathVista's extraction first", rec.At(), id)
		} else {
			d := json.NewDecoder(strings.NewReader(string(p.Extraction)))
			d.UseNumber()
			if err := d.Decode(&extraction); err != nil {
				return fmt.Errorf("%s: %w", rec.At(), err)
			}
			if extraction == "" {
				r.Faults.add(Empty, id, rec.At())
			}
		}
		s := 0.0
		if found {
			got, ok := MathVistaNormalise(extraction, p.MathProblem, f.IgnoreEmpty)
			s = number(ok && got == string(p.Answer))
		}
		names := []string{"average", "question_type/" + p.QuestionType, "answer_type/" + p.AnswerType}
		for _, key := range []string{"language", "source", "category", "task", "context", "grade", "skills"} {
			switch v := p.Metadata[key].(type) {
			case string:
				names = append(names, key+"/"+v)
			case []any:
				for _, x := range v {
					names = append(names, key+"/"+fmt.Sprint(x))
				}
			}
		}
		for _, name := range names {
			if groups[name] == nil {
				groups[name] = &pair{}
			}
			groups[name].add(s)
		}
		r.Items = append(r.Items, Item{id, s})
		return nil
	})
	if err == nil && answers != nil {
		err = answers.done(records, len(r.Items))
	}
	if err == nil && len(r.Items) == 0 {
		err = fmt.Errorf("%s holds no problems", records)
	}
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		r.add(name, groups[name].sum/float64(groups[name].n), groups[name].n)
	}
	return r, nil
}

// askMathVista asks with the query of the file, or with one made as MathVista's build_query does for a question
// alone.
func askMathVista(files Files, f func(Question) error) error {
	if err := needs("question", files.Questions); err != nil {
		return err
	}
	return jsonrecord.Each(files.Questions, "", func(r jsonrecord.Record) error {
		p, err := jsonrecord.Decode[MathProblem](r)
		if err != nil {
			return err
		}
		id := p.id(r)
		text := p.Query
		if text == "" {
			text = mathQuery(p)
		}
		return f(Question{ID: id, Image: p.Image, Text: text})
	})
}

// mathQuery asks a problem without pictures' captions and examples.
func mathQuery(p MathProblem) string {
	hint := "Please answer the question and provide the final value at the end."
	switch {
	case p.QuestionType == "multi_choice":
		hint = "Please answer the question and provide the correct option letter, e.g., A, B, C, D, at the end."
	case p.AnswerType == "integer":
		hint = "Please answer the question requiring an integer answer and provide the final value, e.g., 1, 2, " +
			"3, at the end."
	case p.AnswerType == "float" && p.Precision != nil && *p.Precision == 1:
		hint = "Please answer the question requiring a floating-point number with one decimal place and provide " +
			"the final value, e.g., 1.2, 1.3, 1.4, at the end."
	case p.AnswerType == "float":
		hint = "Please answer the question requiring a floating-point number with two decimal places and provide " +
			"the final value, e.g., 1.23, 1.34, 1.45, at the end."
	case p.AnswerType == "list":
		hint = "Please answer the question requiring a Python list as an answer and provide the final list, e.g., " +
			"[1, 2, 3], [1.2, 1.3, 1.4], at the end."
	}
	text := "Hint: " + hint + "\nQuestion: " + p.Question
	if p.Unit != "" {
		text += " (Unit: " + p.Unit + ")"
	}
	if len(p.Choices) > 0 {
		text += "\nChoices:"
		for i, c := range p.Choices {
			text += fmt.Sprintf("\n(%c) %s", 'A'+i, c)
		}
	}
	return text
}
