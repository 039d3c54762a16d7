package score

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/gollava/gollava/internal/atomicfile"

	"github.com/gollava/gollava/internal/jsonrecord"
)

// uploadRow is a question as an upload file needs it: the id keeps its type.
type uploadRow struct {
	ID    json.RawMessage `json:"question_id"`
	Image string          `json:"image"`
}

// writeJSON writes records as they come, with text between them, whole or not at all.
func writeJSON(path, before, between, after string, records func(put func(any) error) error) error {
	return atomicfile.Write(path, func(w io.Writer) error {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		text := before
		err := records(func(v any) error {
			b.Reset()
			if err := e.Encode(v); err != nil {
				return err
			}
			_, err := io.WriteString(w, text+string(bytes.TrimSpace(b.Bytes())))
			text = between
			return err
		})
		if err == nil && text == before {
			_, err = io.WriteString(w, before)
		}
		if err == nil {
			_, err = io.WriteString(w, after)
		}
		return err
	})
}

// upload writes a record for each line of the question file, made of it and of its answer; missing answers are ok
// only where blank says that the official format has a blank for them.
func upload(
	f Files,
	path string,
	blank bool,
	before, between, after string,
	make func(q uploadRow, id, text string) any,
) error {
	if err := needs("question", f.Questions); err != nil {
		return err
	}
	a, err := OpenAnswers(nil, f.Answers...)
	if err != nil {
		return err
	}
	defer a.Close()
	n := 0
	read := jsonrecord.EachRow
	if lines, err := jsonrecord.OneALine(f.Questions); err != nil {
		return err
	} else if !lines {
		read = func(path string, f func(jsonrecord.Record) error) error { return jsonrecord.Each(path, "questions", f) }
	}
	return writeJSON(path, before, between, after, func(put func(any) error) error {
		err := read(f.Questions, func(r jsonrecord.Record) error {
			q, err := jsonrecord.Decode[uploadRow](r)
			if err != nil {
				return err
			}
			var id jsonrecord.ID
			if err := json.Unmarshal(q.ID, &id); err != nil || id == "" {
				return fmt.Errorf("%s: no question_id", r.At())
			}
			x, ok, err := a.find(string(id))
			if err != nil {
				return err
			}
			if !ok && !blank {
				return fmt.Errorf("%s: question %s has no answer, and the official format has no blank: answer it "+
					"first", r.At(), id)
			}
			n++
			return put(make(q, string(id), x.Text))
		})
		if err != nil {
			return err
		}
		return a.done(f.Questions, n)
	})
}

func uploadVQA(f Files, path string) error {
	return upload(f, path, true, "[", ", ", "]\n", func(q uploadRow, _, text string) any {
		return struct {
			ID     json.RawMessage `json:"question_id"`
			Answer string          `json:"answer"`
		}{q.ID, Normalise(text)}
	})
}

func uploadVizWiz(f Files, path string) error {
	return upload(f, path, false, "[", ", ", "]\n", func(q uploadRow, _, text string) any {
		return struct {
			Image  string `json:"image"`
			Answer string `json:"answer"`
		}{q.Image, Normalise(text)}
	})
}

func uploadSEED(f Files, path string) error {
	return upload(f, path, false, "", "\n", "\n", func(q uploadRow, _, text string) any {
		return struct {
			ID         json.RawMessage `json:"question_id"`
			Prediction string          `json:"prediction"`
		}{q.ID, text}
	})
}

func uploadGQA(f Files, path string) error {
	a, err := OpenAnswers(nil, f.Answers...)
	if err != nil {
		return err
	}
	defer a.Close()
	return writeJSON(path, "[", ", ", "]\n", func(put func(any) error) error {
		return a.each(func(x Answer) error {
			return put(struct {
				ID         string `json:"questionId"`
				Prediction string `json:"prediction"`
			}{x.ID, gqaPrediction(x.Text)})
		})
	})
}

// uploadTexts writes an object from ids to texts, as MM-Vet's and MMMU's programs read it.
func uploadTexts(f Files, path string) error {
	a, err := OpenAnswers(nil, f.Answers...)
	if err != nil {
		return err
	}
	defer a.Close()
	texts := map[string]string{}
	if err := a.each(func(x Answer) error { texts[x.ID] = x.Text; return nil }); err != nil {
		return err
	}
	return atomicfile.WriteJSON(path, texts)
}
