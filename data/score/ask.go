package score

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/gollava/gollava/internal/jsonrecord"
)

// What LLaVA-1.5 was measured with, behind the question.
const (
	shortAnswer   = "\nAnswer the question using a single word or phrase."
	unanswerable  = "\nWhen the provided information is insufficient, respond with 'Unanswerable'."
	letterAnswer  = "\nAnswer with the option's letter from the given choices directly."
	letterAnswerC = "\n请直接回答选项字母。"
)

// asked ends a question with what LLaVA-1.5 asks for, if its file does not have that already.
func asked(text, suffix string) string {
	if strings.HasSuffix(text, suffix) {
		return text
	}
	return text + suffix
}

// askRow is a line of LLaVA's question files.
type askRow struct {
	ID       json.RawMessage `json:"question_id"`
	Image    string          `json:"image"`
	Text     string          `json:"text"`
	Question string          `json:"question"`
	Category string          `json:"category"`
}

// id is the question's id, and whether it is written as a number.
func (q askRow) id() (id string, number bool, err error) {
	var v jsonrecord.ID
	if err := json.Unmarshal(q.ID, &v); err != nil || v == "" {
		return "", false, fmt.Errorf("no question_id")
	}
	return string(v), q.ID[0] != '"', nil
}

// askRows asks the questions of a file in LLaVA's form.
func askRows(suffix string) func(Files, func(Question) error) error {
	return func(files Files, f func(Question) error) error {
		if err := needs("question", files.Questions); err != nil {
			return err
		}
		return jsonrecord.EachRow(files.Questions, func(r jsonrecord.Record) error {
			q, err := jsonrecord.Decode[askRow](r)
			if err != nil {
				return err
			}
			if q.Text == "" {
				q.Text = q.Question
			}
			id, number, err := q.id()
			if err != nil || q.Text == "" {
				return fmt.Errorf("%s: no question_id, or no text", r.At())
			}
			out := Question{ID: id, Numeric: number, Image: q.Image, Text: asked(q.Text, suffix), Category: q.Category}
			if suffix == letterAnswer {
				out.Options = optionsOf(q.Text)
			}
			return f(out)
		})
	}
}

// optionsOf are the options that a question lists below each other as [lettered] does.
func optionsOf(text string) (options []string) {
	for line := range strings.Lines(text) {
		if option, ok := strings.CutPrefix(line, string(rune('A'+len(options)))+". "); ok {
			options = append(options, strings.TrimSuffix(option, "\n"))
		}
	}
	return options
}

// LetterInstruction is what LLaVA-1.5 asks for after a question with options, from its line end on.
func LetterInstruction(chinese bool) string {
	if chinese {
		return letterAnswerC
	}
	return letterAnswer
}

// lettered writes options below each other, a letter before each.
func lettered(options []string) string {
	var b strings.Builder
	for i, o := range options {
		fmt.Fprintf(&b, "\n%c. %s", 'A'+i, o)
	}
	return b.String()
}
