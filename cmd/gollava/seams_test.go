package main

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What could command a terminal is shown, not sent; all else stays as it is.
func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"plain\ttext\n":            "plain\ttext\n",
		"Größe — 你好 🙂\n":           "Größe — 你好 🙂\n",
		"a\x1b]0;title\x07b":       `a\x1b]0;title\x07b`,
		"a\rb\x7fc\u009bd\u0000":   `a\x0db\x7fc\x9bd\x00`,
		"x\u202ey\u2066z\u200e":    `x\u202ey\u2066z\u200e`,
		"cut \xe2\x80 and \x9b31m": `cut \xe2\x80 and \x9b31m`,
	} {
		require.Equal(t, want, printable(in))
		var b bytes.Buffer
		n, err := cleaner{&b}.Write([]byte(in))
		require.NoError(t, err)
		require.Equal(t, len(in), n)
		require.Equal(t, want, b.String())
	}
	long := strings.Repeat("ä", 1<<20)
	require.Less(t, len(brief(long)), most+100)
	require.Equal(t, "short", brief("short"))
}

// Lines of any length are read; one that is too long is passed over, and the next is read.
func TestReadLine(t *testing.T) {
	r := bufio.NewReader(strings.NewReader("one\n" + strings.Repeat("a", maxLine+10) + "\n" +
		strings.Repeat("b", 100000) + "\nlast"))
	line, err := readLine(r)
	require.NoError(t, err)
	require.Equal(t, "one\n", line)
	_, err = readLine(r)
	require.ErrorIs(t, err, errLongLine)
	line, err = readLine(r)
	require.NoError(t, err)
	require.Len(t, line, 100001)
	line, err = readLine(r)
	require.Error(t, err)
	require.Equal(t, "last", line)
	require.Equal(t, "a b.png", unquoted(`"a b.png"`))
	require.Equal(t, "a b.png", unquoted(`a\ b.png`))
}

// Answers are one question's of one model: by number, text and model, never blanks, and never another's.
func TestEvalAnswersBelongToQuestions(t *testing.T) {
	dir := tiny(t)
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	ask := func(questions, answers string) (int, string, string) {
		write("q.jsonl", questions)
		path := write("a.jsonl", answers)
		code, said := command(t, dir, "eval DIR/model --dtype float32 --max-tokens 3 --questions DIR/q.jsonl "+
			"--answers DIR/a.jsonl")
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		return code, said, string(b)
	}
	two := "{\"question_id\": 0, \"text\": \"red ?\", \"label\": \"no\"}\n{\"question_id\": 1, \"text\": \"blue ?\", " +
		"\"label\": \"no\"}\n"
	mine := `{"question_id": 0, "prompt": "", "text": "No", "model_id": "model", "metadata": {}}` + "\n"

	code, said, after := ask(two, mine+`{"question_id": 1, "prompt": "", "te`)
	require.Zero(t, code, said)
	require.True(t, strings.HasPrefix(after, mine), "what was answered stays")
	require.Equal(t, 2, strings.Count(after, "\n"))
	require.NotContains(t, after, `"te{`)

	code, said, after = ask("\xef\xbb\xbf"+two, "")
	require.Zero(t, code, said)
	require.Equal(t, 2, strings.Count(after, "\n"))

	code, said, after = ask(strings.ReplaceAll(two, `"question_id": 1`, `"question_id": 0`), "")
	require.Zero(t, code, said)
	require.Equal(t, 2, strings.Count(after, "\n"), "equal numbers, other questions")

	code, said, _ = ask(`{"question_id": "0", "text": "how many ?", "answer": 3}`, mine)
	require.Zero(t, code, said)

	code, said, after = ask(`[{"text": "red ?"}, {"question_id": null, "text": "red ?"}]`, "")
	require.Zero(t, code, said)
	require.Equal(t, 2, strings.Count(after, `{"question_id":"","prompt":"red ?"`), "a list, and no numbers")

	for says, c := range map[string][2]string{
		"is of the model some-7b":                      {two, strings.Replace(mine, `"model"`, `"some-7b"`, 1)},
		"a.jsonl:1: the answer to question 7 is to no": {two, strings.Replace(mine, `: 0,`, `: 7,`, 1)},
		"a.jsonl:1: the answer to question 0 is to no": {two,
			strings.Replace(mine, `"prompt": ""`, `"prompt": "green ?"`, 1)},
		"a.jsonl:2: the answer to question 0 is to no":     {two, mine + mine},
		"was made with --max-tokens 9":                     {two, strings.Replace(mine, `{}`, `{"max_tokens": 9}`, 1)},
		"text is missing or empty":                         {`{"question_id": 0, "label": "no"}`, ""},
		"q.jsonl:3: '{' where ',' belongs":                 {"[\n" + two + "]", ""},
		"where text or a number belongs":                   {`{"question_id": 0, "text": "red ?", "label": ["no"]}`, ""},
		"q.jsonl:1: image is a number, where text belongs": {`{"question_id": 0, "text": "red ?", "image": 7}`, ""},
		"a.jsonl:1: line 1, column 1":                      {two, "{\n" + mine},
	} {
		code, said, after := ask(c[0], c[1])
		require.Equal(t, 1, code, says)
		require.Contains(t, said, says)
		require.NotContains(t, said, "Go ", says)
		require.Equal(t, c[1], after, "nothing is written")
	}
	write("q.jsonl", two)
	code, said = command(t, dir, "eval DIR/model --questions DIR/q.jsonl --answers DIR/q.jsonl")
	require.Equal(t, 1, code)
	require.Contains(t, said, "is the file of the questions")
}
