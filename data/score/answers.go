package score

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"hash/maphash"
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

// quickAnswer reads a line whose fields have the types that they should, several times as fast as encoding/json.
func quickAnswer(b []byte) (a answerLine, ok bool) {
	ok = jsonrecord.Object(b, func(key, value []byte) (ok bool) {
		ok = true
		said := func(to **jsonrecord.ID) {
			var v jsonrecord.ID
			if v, ok = jsonrecord.TextOrNumber(value); ok {
				*to = &v
			}
		}
		switch string(key) {
		case "question_id":
			a.ID, ok = jsonrecord.TextOrNumber(value)
		case "questionId":
			a.QuestionID, ok = jsonrecord.TextOrNumber(value)
		case "index":
			a.Index, ok = jsonrecord.TextOrNumber(value)
		case "image_id":
			a.ImageID, ok = jsonrecord.TextOrNumber(value)
		case "image":
			a.Image, ok = jsonrecord.TextOrNumber(value)
		case "prompt":
			a.Prompt, ok = jsonrecord.Text(value)
		case "model_id":
			a.Model, ok = jsonrecord.Text(value)
		case "text":
			said(&a.Text)
		case "answer":
			said(&a.Answer)
		case "prediction":
			said(&a.Prediction)
		case "caption":
			said(&a.Caption)
		case "answer_id", "metadata":
		default:
			ok = string(bytes.ToLower(key)) == string(key) // encoding/json takes keys in other capitals too
		}
		return ok
	})
	return a, ok
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
	byID   map[uint64]int32 // by the hash of their key: index of the last answer with it
	used   []bool
	key    func(Answer) string // what joins an answer to a question
	names  map[int32]string    // ids of answers that are texts by id
	buf    []byte
	texts  []byte // short texts, so that they need not be read again
	cut    int    // last lines that were cut
	bad    int    // other lines that are no answers
	models map[string]int
	faults *Faults
}

// keptText is how long a text may be, in bytes, to be kept in memory.
const keptText = 48

// place is where an answer is.
type place struct {
	offset int64
	size   int32
	line   int32
	text   int32 // of the text in Answers.texts, or -1 where it is too long to be kept
	before int32 // the answer before it with the same key, or -1
	file   uint16
	length uint8 // of the text that is kept
}

// OpenAnswers indexes answer files: JSON objects one a line, an array of them, or an object from ids to texts. Of
// several answers to one question the last counts, as in LLaVA's scripts. Lines that are no answers are counted and
// passed over: a run that was killed leaves half a line. key joins answers to questions; nil: by their id.
func OpenAnswers(key func(Answer) string, paths ...string) (*Answers, error) {
	a := &Answers{byID: map[uint64]int32{}, models: map[string]int{}, key: key, faults: &Faults{}}
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
	if old, ok := a.byID[hash(key)]; ok {
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
	a.byID[hash(key)] = int32(len(a.places))
	p := place{offset: r.Offset, size: int32(len(r.Raw)), line: int32(r.Line), text: -1, before: before,
		file: uint16(len(a.files) - 1)}
	if len(x.Text) <= keptText && len(a.texts) < 1<<30 {
		p.text, p.length = int32(len(a.texts)), uint8(len(x.Text))
		a.texts = append(a.texts, x.Text...)
	}
	a.places = append(a.places, p)
	return nil
}

// parse reads an answer from its record.
func (a *Answers) parse(r jsonrecord.Record) (Answer, error) {
	if r.Key != "" && len(r.Raw) > 0 && r.Raw[0] == '"' {
		x := Answer{ID: r.Key, Line: r.Line}
		return x, json.Unmarshal(r.Raw, &x.Text)
	}
	v, ok := quickAnswer(r.Raw)
	if !ok {
		var err error
		if v, err = jsonrecord.Decode[answerLine](r); err != nil {
			return Answer{}, err
		}
	}
	x := Answer{ID: v.id(), Prompt: v.Prompt, Model: v.Model, Line: r.Line}
	if x.ID == "" {
		x.ID = r.Key
	}
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

// hash stands in for a key, so that the index does not hold the keys. Of a million keys two collide with a chance of
// 3·10⁻⁸; the seed is the process's own, so nobody can make them.
func hash(key string) uint64 { return maphash.Comparable(hashSeed, key) }

var hashSeed = maphash.MakeSeed()

// last is the index of the answer that counts for a key.
func (a *Answers) last(key string) (int32, bool) {
	i, ok := a.byID[hash(key)]
	return i, ok
}

// findText returns the text of the answer that counts for a key, as find does.
func (a *Answers) findText(key string) (string, bool, error) {
	i, ok := a.byID[hash(key)]
	if !ok || a.places[i].text < 0 {
		x, ok, err := a.find(key)
		return x.Text, ok, err
	}
	p := a.places[i]
	for j := i; j >= 0; j = a.places[j].before {
		a.used[j] = true
	}
	return string(a.texts[p.text : p.text+int32(p.length)]), true, nil
}

// find returns the answer that counts for a key, and marks every answer of that key as used.
func (a *Answers) find(key string) (Answer, bool, error) {
	i, ok := a.byID[hash(key)]
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
	i, ok := a.byID[hash(id)]
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
	for _, i := range a.byID {
		if a.used[i] {
			continue
		}
		if x, err := a.at(i); err == nil && known(a.key(x)) {
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
