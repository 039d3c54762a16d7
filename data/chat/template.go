package chat

import (
	"slices"
	"strings"
)

// Style is the way in which a template puts system text, roles, turns and separators together.
type Style int

const (
	// Single writes "role: text" and Sep after every turn.
	Single Style = iota
	// Two writes "role: text", Sep after a question and Sep2 after an answer.
	Two
	// MPT writes role and text without anything between them, and Sep after every turn.
	MPT
	// ChatML writes role, newline, text, Sep, newline.
	ChatML
	// Llama2 puts questions into [INST] … [/INST] and the system text into the first of them.
	Llama2
	// Llama3 writes the role between header marks, an empty line, the trimmed text and Sep.
	Llama3
	// Plain writes turns without roles; a training sample is the picture and its caption.
	Plain
	// Jinja leaves everything to Program.
	Jinja
)

// Template says how a conversation becomes text. It is a plain value: change a copy's System or Stop freely.
// Its methods are safe for concurrent use.
type Template struct {
	Name    string
	System  string    // text before the first turn
	Roles   [2]string // how the one who asks and the one who answers are written
	Style   Style
	Sep     string
	Sep2    string   // after an answer, where that differs (Two, Llama2, Plain)
	Stop    []string // a generated answer ends before the first of these
	Tagged  bool     // pictures are written <Image><image></Image>, the reference's "mmtag"
	HasBOS  bool     // the text itself begins with the begin-of-sentence token
	Program *Program // what renders, for Style Jinja
	Several bool     // several <image> in one turn stay where they are (LLaVA-NeXT), else they become one in front

	// Examples are turns which the reference keeps inside the template; they take part only where
	// the caller puts them before its own.
	Examples []Turn
}

// role returns how the sender of a turn is written; known tells whether there is such a sender.
func (t Template) role(from string) (name string, known bool) {
	if t.Style == Jinja {
		return from, from == Human || from == GPT
	}
	switch from {
	case Human:
		return t.Roles[0], true
	case GPT:
		return t.Roles[1], true
	}
	return "", false
}

// anyOrder tells whether the format names every speaker by itself, so that turns need not alternate.
func (t Template) anyOrder() bool { return t.Style == ChatML || t.Style == Llama3 || t.Style == Jinja }

// Lookup returns the template of a name as the reference programs use it, such as "vicuna_v1" or "qwen_1_5".
// The error is an *UnknownTemplateError, which lists the names there are.
func Lookup(name string) (Template, error) {
	for _, e := range named {
		if e.name == name {
			t := e.make()
			t.Name = name
			return t, nil
		}
	}
	return Template{}, &UnknownTemplateError{Name: name, Known: Names()}
}

// Names returns the names which Lookup knows, sorted.
func Names() []string {
	names := make([]string, len(named))
	for i, e := range named {
		names[i] = e.name
	}
	slices.Sort(names)
	return names
}

// ForModel chooses a template by a model's name as LLaVA's command line does: the first match of llama-2,
// mistral, v1.6-34b, v1, mpt, else llava_v0. A trap is kept with it: "llava-v1.5-7b" gets llava_v1
// ("a curious human"), although it was trained with vicuna_v1 ("a curious user"), which is why evaluation
// scripts always name vicuna_v1.
func ForModel(model string) Template {
	model = strings.ToLower(model)
	name := "llava_v0"
	for _, rule := range [][2]string{
		{"llama-2", "llava_llama_2"},
		{"mistral", "mistral_instruct"},
		{"v1.6-34b", "chatml_direct"},
		{"v1", "llava_v1"},
		{"mpt", "mpt"},
	} {
		if strings.Contains(model, rule[0]) {
			name = rule[1]
			break
		}
	}
	t, err := Lookup(name)
	if err != nil {
		panic(err) // the names above are in the table, which a test checks
	}
	return t
}
