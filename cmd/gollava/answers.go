package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gollava/gollava/internal/jsonfile"
)

// maxLines is how many bytes a file of questions or answers may have.
const maxLines = 4 << 30

// readLines reads a file with one JSON value a line. An error names file and line.
func readLines[T any](path string) ([]T, error) {
	raw, err := jsonfile.Bytes(path, maxLines)
	if err != nil {
		return nil, err
	}
	var out []T
	n := 0
	for line := range bytes.Lines(raw) {
		if n++; len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		var v T
		if err := jsonfile.Unmarshal(line, &v); err != nil {
			if len(out) == 0 && bytes.HasPrefix(bytes.TrimSpace(line), []byte("[")) {
				return nil, fmt.Errorf("%s:%d: a JSON list begins here; the file must have one JSON object a line", path, n)
			}
			return nil, fmt.Errorf("%s:%d: %w", path, n, err)
		}
		out = append(out, v)
	}
	return out, nil
}

// readAnswers reads the answers of an earlier run, none if there is no file. whole is how many bytes they take: behind them there may be the
// beginning of a line, left by a run that was killed.
func readAnswers(path string) (done []reply, whole int64, err error) {
	raw, err := jsonfile.Bytes(path, maxLines)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	n := 0
	for line := range bytes.Lines(raw) {
		n++
		ends := bytes.HasSuffix(line, []byte{'\n'})
		var r reply
		if text := bytes.TrimSpace(line); len(text) > 0 && ends {
			if err := jsonfile.Unmarshal(text, &r); err != nil {
				return nil, 0, fmt.Errorf("%s:%d: %w", path, n, err)
			}
			done = append(done, r)
		}
		if ends {
			whole += int64(len(line))
		}
	}
	if info, err := os.Stat(path); err == nil && info.Size() > int64(len(raw)) {
		whole += info.Size() - int64(len(raw)) // the byte order mark
	}
	return done, whole, nil
}

// match gives each answer of an earlier run to its question, by number, text and model, so that none is taken for another's.
func (v evalCommand) match(questions []question, done []reply) ([]*string, error) {
	answers := make([]*string, len(questions))
	open := map[string][]int{} // questions without an answer, by number
	for i, q := range questions {
		open[number(q.ID)] = append(open[number(q.ID)], i)
	}
	for n, r := range done {
		where := fmt.Sprintf("%s: answer %d (question_id %s)", v.Answers, n+1, r.ID)
		if r.Model != "" && r.Model != v.Source.name() {
			return nil, fmt.Errorf("%s is of the model %s, and this is %s: choose another file for --answers", where, r.Model, v.Source.name())
		}
		if k, ok := r.Metadata["max_tokens"]; ok && fmt.Sprint(k) != fmt.Sprint(v.MaxTokens) {
			return nil, fmt.Errorf("%s was made with --max-tokens %v, and this run has %d: choose another file for --answers", where, k, v.MaxTokens)
		}
		if t, ok := r.Metadata["template"]; ok && v.Template != "" && t != v.Template {
			return nil, fmt.Errorf("%s was made with --template %v, and this run has %s: choose another file for --answers", where, t, v.Template)
		}
		candidates := open[number(r.ID)]
		at := -1
		for k, i := range candidates {
			if r.Prompt == "" || r.Prompt == questions[i].Text {
				at = k
				break
			}
		}
		if at < 0 {
			return nil, fmt.Errorf("%s is to no question of %s: the file is another's; choose another one for --answers", where, v.Questions)
		}
		text := r.Text
		answers[candidates[at]] = &text
		open[number(r.ID)] = append(candidates[:at:at], candidates[at+1:]...)
	}
	return answers, nil
}

// number is a question_id as text: 7 and "7" are one.
func number(raw json.RawMessage) string { return strings.Trim(string(raw), `"`) }

// name is what answers call the model: the last part of its folder's path.
func (s source) name() string {
	if abs, err := filepath.Abs(s.Dir); err == nil {
		return filepath.Base(abs)
	}
	return filepath.Base(filepath.Clean(s.Dir))
}

// same reports whether two paths lead to one file.
func same(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}
