package score

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/gollava/gollava/internal/jsonrecord"
)

// Answer is a line of an answer file, as LLaVA's evaluation scripts write it.
type Answer struct {
	ID     string // question_id: a number's digits or a string's text
	Prompt string // what was asked
	Text   string // what was answered
	Model  string // model_id
	Line   int    // from 1
}

// answerLine is an answer as it is written. Other programs call the fields otherwise.
type answerLine struct {
	ID         jsonrecord.ID  `json:"question_id"`
	QuestionID jsonrecord.ID  `json:"questionId"`
	Index      jsonrecord.ID  `json:"index"`
	ImageID    jsonrecord.ID  `json:"image_id"`
	Image      jsonrecord.ID  `json:"image"`
	Prompt     string         `json:"prompt"`
	Text       *jsonrecord.ID `json:"text"`
	Answer     *jsonrecord.ID `json:"answer"`
	Prediction *jsonrecord.ID `json:"prediction"`
	Caption    *jsonrecord.ID `json:"caption"`
	Model      string         `json:"model_id"`
}

func (a answerLine) id() string {
	for _, id := range []jsonrecord.ID{a.ID, a.QuestionID, a.Index, a.ImageID, a.Image} {
		if id != "" {
			return string(id)
		}
	}
	return ""
}

func (a answerLine) text() (string, bool) {
	for _, t := range []*jsonrecord.ID{a.Text, a.Answer, a.Prediction, a.Caption} {
		if t != nil {
			return string(*t), true
		}
	}
	return "", false
}

// Answers are the answer files of one model: an index in memory, the answers themselves on the disk. It is not safe
// for concurrent use.
type Answers struct {
	files  []*os.File
	paths  []string
	places []place
	byID   map[string]int32 // index of the last answer with that id
	used   []bool
	key    func(Answer) string // what joins an answer to a question
	names  map[int32]string    // ids of answers that are texts by id
	buf    []byte
	cut    int // last lines that were cut
	bad    int // other lines that are no answers
	models map[string]int
	faults *Faults
}

// place is where an answer is.
type place struct {
	file, size int32
	line       int32
	before     int32 // the answer before it with the same id, or -1
	offset     int64
}

// OpenAnswers indexes answer files: JSON objects one a line, an array of them, or an object from ids to texts. Of
// several answers to one question the last counts, as in LLaVA's scripts. Lines that are no answers are counted and
// passed over: a run that was killed leaves half a line. key joins answers to questions; nil: by their id.
func OpenAnswers(key func(Answer) string, paths ...string) (*Answers, error) {
	a := &Answers{byID: map[string]int32{}, models: map[string]int{}, key: key, faults: &Faults{}}
	if a.key == nil {
		a.key = func(x Answer) string { return x.ID }
	}
	for _, path := range paths {
		if err := a.add(path); err != nil {
			a.Close()
			return nil, err
		}
	}
	a.used = make([]bool, len(a.places))
	return a, nil
}

// Close closes the files.
func (a *Answers) Close() {
	for _, f := range a.files {
		f.Close()
	}
}

// Faults are what is wrong with the answers by themselves, and with those that were looked for.
func (a *Answers) Faults() *Faults { return a.faults }

// Len is the number of answers, repeated ones included.
func (a *Answers) Len() int { return len(a.places) }

func (a *Answers) add(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	a.files, a.paths = append(a.files, f), append(a.paths, path)
	first, key, value, err := jsonrecord.Head(path)
	switch {
	case err != nil:
		return err
	case first == '[', first == '{' && value == '"' && !strings.Contains(answerKeys, " "+key+" "): // of texts by id
		return jsonrecord.Each(path, "", func(r jsonrecord.Record) error { return a.index(r, false) })
	default:
		return jsonrecord.EachLine(path, a.index)
	}
}

// answerKeys are the keys that an answer's line may begin with.
const answerKeys = " question_id questionId index image_id image prompt text answer prediction caption model_id " +
	"answer_id metadata "

// index notes where an answer is.
func (a *Answers) index(r jsonrecord.Record, cut bool) error {
	x, err := a.parse(r)
	if err != nil {
		if cut {
			a.cut++
			a.faults.add(CutLine, r.At(), "")
		} else {
			a.bad++
			a.faults.add(Unreadable, r.At(), err.Error())
		}
		return nil
	}
	key := a.key(x)
	before := int32(-1)
	if old, ok := a.byID[key]; ok {
		before = old
		a.faults.add(Double, x.ID, fmt.Sprintf("%s and line %d", r.At(), a.places[old].line))
	}
	if strip(x.Text) == "" {
		a.faults.add(Empty, x.ID, r.At())
	}
	a.models[x.Model]++
	if r.Key != "" {
		if a.names == nil {
			a.names = map[int32]string{}
		}
		a.names[int32(len(a.places))] = r.Key
	}
	a.byID[key] = int32(len(a.places))
	a.places = append(a.places, place{int32(len(a.files) - 1), int32(len(r.Raw)), int32(r.Line), before, r.Offset})
	return nil
}

// parse reads an answer from its record.
func (a *Answers) parse(r jsonrecord.Record) (Answer, error) {
	if r.Key != "" && len(r.Raw) > 0 && r.Raw[0] == '"' {
		x := Answer{ID: r.Key, Line: r.Line}
		return x, json.Unmarshal(r.Raw, &x.Text)
	}
	v, err := jsonrecord.Decode[answerLine](r)
	if err != nil {
		return Answer{}, err
	}
	x := Answer{ID: v.id(), Prompt: v.Prompt, Model: v.Model, Line: r.Line}
	if x.ID == "" {
		x.ID = r.Key
	}
	var ok bool
	if x.Text, ok = v.text(); x.ID == "" || !ok {
		return x, fmt.Errorf("%s: no question_id, or no text", r.At())
	}
	return x, nil
}

// at reads the i-th answer from the disk.
func (a *Answers) at(i int32) (Answer, error) {
	p := a.places[i]
	if cap(a.buf) < int(p.size) {
		a.buf = make([]byte, p.size)
	}
	b := a.buf[:p.size]
	if _, err := a.files[p.file].ReadAt(b, p.offset); err != nil {
		return Answer{}, fmt.Errorf("%s:%d: %w", a.paths[p.file], p.line, err)
	}
	return a.parse(
		jsonrecord.Record{Path: a.paths[p.file], Raw: b, Line: int(p.line), Offset: p.offset, Key: a.names[i]},
	)
}

// find returns the answer that counts for a key, and marks every answer of that key as used.
func (a *Answers) find(key string) (Answer, bool, error) {
	i, ok := a.byID[key]
	if !ok {
		a.faults.add(Missing, key, "")
		return Answer{}, false, nil
	}
	for j := i; j >= 0; j = a.places[j].before {
		a.used[j] = true
	}
	x, err := a.at(i)
	return x, err == nil, err
}

// Text is the answer that counts for a question, if there is one.
func (a *Answers) Text(id string) (string, bool) {
	i, ok := a.byID[id]
	if !ok {
		return "", false
	}
	x, err := a.at(i)
	return x.Text, err == nil
}

// each calls f with every answer in the files' order.
func (a *Answers) each(f func(Answer) error) error {
	for i := range a.places {
		x, err := a.at(int32(i))
		if err == nil {
			err = f(x)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// forgiveForeign marks answers as used that belong to the benchmark, though not to the questions scored.
func (a *Answers) forgiveForeign(known func(id string) bool) {
	for key, i := range a.byID {
		if !a.used[i] && known(key) {
			for ; i >= 0; i = a.places[i].before {
				a.used[i] = true
			}
		}
	}
}

// done notes the answers that no question asked for, and refuses files that have nothing to do with the questions.
func (a *Answers) done(questions string, n int) error {
	used := 0
	for i, u := range a.used {
		if u {
			used++
			continue
		}
		if a.faults.Count(Foreign) < shown {
			x, err := a.at(int32(i))
			if err != nil {
				return err
			}
			a.faults.add(Foreign, x.ID, fmt.Sprintf("%s:%d", a.paths[a.places[i].file], x.Line))
			continue
		}
		a.faults.add(Foreign, "", "")
	}
	if len(a.models) > 1 {
		for _, m := range slices.Sorted(maps.Keys(a.models)) {
			a.faults.add(Models, cmp.Or(m, "without a model_id"), fmt.Sprintf("%d answers", a.models[m]))
		}
	}
	if n == 0 {
		return fmt.Errorf("%s holds no questions", questions)
	}
	if used == 0 && len(a.places) > 0 {
		x, err := a.at(0)
		if err != nil {
			return err
		}
		return fmt.Errorf("none of the %d answers in %s belongs to a question of %s (the first is to question "+
			"%s): these are the files "+
			"of different benchmarks or splits; name the question file that the answers were made for", len(a.places),
			strings.Join(a.paths, ", "), questions, x.ID)
	}
	return nil
}
