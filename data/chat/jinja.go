package chat

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/internal/jinja"
)

// Own is the name of the template that a checkpoint brings as chat_template, where it is none of those in [Names].
const Own = "chat_template"

// Program is the chat_template of a checkpoint, a program in Jinja. It renders what transformers renders with it, where
// a function for the time of day tells a constant date. It can read nothing but the conversation, and its time, memory
// and output are bounded. It is immutable and safe for concurrent use.
type Program struct {
	source string
	parsed *jinja.Program
	tokens map[string]jinja.Value // bos_token and its like
	bos    string
	form   form // of messages without images
	images form // of messages with images
	system bool // it writes a system message
}

// String returns the program's text.
func (p *Program) String() string { return p.source }

// form is what a program takes for the content of a message.
type form int

const (
	asText      form = iota // a string, in which <image> may stand
	asTextParts             // a list of parts, all of them text
	asParts                 // a list of texts and images
)

// Choose returns the template of a name, which may be [Own]: then it is the tokenizer's.
func Choose(name string, tok *tokenizer.Tokenizer) (Template, error) {
	if name != Own {
		return Lookup(name)
	}
	return FromTokenizer(tok)
}

// FromTokenizer is [FromJinja] with the chat_template of a tokenizer and its special tokens.
func FromTokenizer(tok *tokenizer.Tokenizer) (Template, error) {
	special := map[string]string{}
	ids := map[string]int32{"bos_token": tok.BOS(), "eos_token": tok.EOS(), "pad_token": tok.Pad(),
		"unk_token": tok.Unknown()}
	for name, id := range ids {
		if text := tok.Token(id); text != "" {
			special[name] = text
		}
	}
	return FromJinja(tok.ChatTemplate(), special)
}

// FromJinja returns the template that a model's chat_template writes. special are the tokens that the program may
// write: bos_token, eos_token and others by the names in tokenizer_config.json.
//
// The program renders probe conversations. Where they equal those of a template in [Names], but for its system text,
// the result is that template with the program's system text. Otherwise Name is [Own], Style is [Jinja], and the
// program renders every conversation. In both cases prompts are what transformers renders, with one exception: the
// program of LLaVA-1.5 leaves out the system text that the model was trained with, which the result, VicunaV1, has. A
// begin-of-text token that the program does not write is the tokenizer's affair.
//
// The error says what is missing or wrong; choose a template by name then.
func FromJinja(program string, special map[string]string) (Template, error) {
	t, err := interpret(program, special)
	if err != nil {
		return Template{}, fmt.Errorf(
			"the model's chat_template: %w: choose one of %s",
			err,
			strings.Join(Names(), ", "),
		)
	}
	if known, ok := t.recognise(); ok {
		return known, nil
	}
	return t, nil
}

// interpret returns the template that a program renders.
func interpret(program string, special map[string]string) (Template, error) {
	if strings.TrimSpace(program) == "" {
		return Template{}, fmt.Errorf("there is none")
	}
	parsed, err := jinja.Parse(program)
	if err != nil {
		return Template{}, err
	}
	p := &Program{source: program, parsed: parsed, tokens: map[string]jinja.Value{}, bos: special["bos_token"]}
	for name, text := range special {
		p.tokens[name] = jinja.Text{S: text}
	}
	t := Template{Name: Own, Style: Jinja, Program: p, Several: true}
	if err := t.forms(); err != nil {
		return Template{}, err
	}
	p.system = true
	if out, err := t.withSystem(probeSystem).program(probe("Why?"), true); err != nil ||
		strings.Count(out.S, probeSystem) != 1 {
		p.system = false
	}
	if out, err := t.program(append(probe("Why?"), Turn{From: GPT, Value: "So."}), false); err == nil {
		if at := strings.LastIndex(out.S, "So."); at >= 0 {
			if end := strings.TrimSpace(out.S[at+len("So."):]); end != "" {
				t.Stop = []string{end}
			}
		}
		t.HasBOS = p.bos != "" && strings.HasPrefix(out.S, p.bos)
	}
	return t, nil
}

const probeSystem = "Be brief and kind."

func probe(question string) []Turn { return []Turn{{From: Human, Value: question}} }

func (t Template) withSystem(text string) Template { t.System = text; return t }

// forms finds out what the program takes for the content of messages.
func (t Template) forms() error {
	p := t.Program
	const word = "Wherefore?"
	try := func(f form, question string) (string, error) {
		p.form, p.images = f, f
		out, err := t.program(probe(question), true)
		if err == nil && strings.Count(out.S, word) != 1 {
			err = fmt.Errorf("it does not write the question, or more than once")
		}
		return out.S, err
	}
	_, asked := try(asText, word)
	plain := asText
	if asked != nil {
		if _, err := try(asTextParts, word); err != nil {
			return asked
		}
		plain = asTextParts
	}
	images := plain
	if out, err := try(asParts, ImageToken+"\n"+word); err == nil && strings.Count(out, ImageToken) == 1 {
		images = asParts
	}
	p.form, p.images = plain, images
	return nil
}

// program renders turns, and the beginning of an answer if open. The bytes of the result know the index of their turn,
// −1 for the system text.
func (t Template) program(turns []Turn, open bool) (jinja.Text, error) {
	p := t.Program
	form := p.form
	if slices.ContainsFunc(turns, func(m Turn) bool { return strings.Contains(m.Value, ImageToken) }) {
		form = p.images
	}
	messages := &jinja.List{}
	add := func(role, text string, id int) {
		messages.Items = append(
			messages.Items,
			jinja.NewDict("role", jinja.Text{S: role}, "content", form.content(text, id)),
		)
	}
	if t.System != "" {
		add("system", t.System, -1)
	}
	for i, m := range turns {
		add(map[string]string{Human: "user", GPT: "assistant"}[m.From], m.Value, i)
	}
	vars := map[string]jinja.Value{"messages": messages, "add_generation_prompt": open, "tools": nil, "documents": nil}
	for name, v := range p.tokens {
		vars[name] = v
	}
	out, err := p.parsed.Render(vars)
	if err != nil {
		return out, fmt.Errorf("chat: the model's chat_template: %w", err)
	}
	return out, nil
}

// content is the content of a message.
func (f form) content(text string, id int) jinja.Value {
	part := func(kind string, more ...any) jinja.Value {
		return jinja.NewDict(append([]any{"type", jinja.Text{S: kind}}, more...)...)
	}
	words := func(s string) jinja.Value { return part("text", "text", jinja.Written(s, id)) }
	switch f {
	case asText:
		return jinja.Written(text, id)
	case asTextParts:
		return &jinja.List{Items: []jinja.Value{words(text)}}
	}
	l := &jinja.List{}
	for i, s := range strings.Split(text, ImageToken) {
		if i > 0 {
			l.Items = append(l.Items, part("image"))
			s = strings.TrimPrefix(s, "\n") // the line break behind an image is the program's
		}
		if s != "" || text == "" {
			l.Items = append(l.Items, words(s))
		}
	}
	return l
}

// programSpans is Spans where a program writes them. What an answer adds to the open one trains, if labels are wanted:
// the program is asked for the conversation up to it, open and with the answer.
func (t Template) programSpans(turns []Turn, labels bool) ([]Span, error) {
	n := len(turns)
	open := n > 0 && turns[n-1].From == GPT && (turns[n-1].Open || turns[n-1].Value == "")
	if open {
		turns = turns[:n-1]
	}
	whole, err := t.program(turns, open)
	if err != nil {
		return nil, err
	}
	var trains [][2]int // bytes; with their turns in order
	var of []int
	for i, m := range turns {
		if !labels || m.From != GPT {
			continue
		}
		before, err := t.program(turns[:i], true)
		after := whole
		if err == nil && i < len(turns)-1 {
			after, err = t.program(turns[:i+1], false)
		}
		if err != nil || !strings.HasPrefix(after.S, before.S) || !strings.HasPrefix(whole.S, after.S) {
			return nil, &TurnError{Turn: i, From: m.From, Err: ErrUnstable}
		}
		trains, of = append(trains, [2]int{len(before.S), len(after.S)}), append(of, i)
	}
	cuts := []int{0, len(whole.S)}
	for _, r := range trains {
		cuts = append(cuts, r[0], r[1])
	}
	for _, o := range whole.From {
		cuts = append(cuts, o.Start, o.End)
	}
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	var spans []Span
	for i, from := range cuts[:len(cuts)-1] {
		s := Span{Text: whole.S[from:cuts[i+1]], From: from, To: cuts[i+1], Turn: n - 1}
		for k, o := range slices.Backward(whole.From) { // marks belong to the turn that follows
			if from < o.End {
				s.Turn, s.Content = o.ID, from >= whole.From[k].Start
			}
		}
		for k, r := range trains {
			if from >= r[0] && from < r[1] {
				s.Turn, s.Supervised = of[k], true
			}
		}
		spans = append(spans, s)
	}
	return spans, nil
}
