package chat

import "strings"

// Senders of a turn, as the data sets write them.
const (
	Human = "human"
	GPT   = "gpt"
)

// Turn is one message of a conversation.
type Turn struct {
	From  string `json:"from"` // Human or GPT
	Value string `json:"value"`

	Open    bool `json:"-"` // still to be generated; only the last turn may be
	Picture bool `json:"-"` // a picture is attached to the first turn instead of being written as <image>
}

// Span is a piece of rendered text. The spans of a conversation, joined, are the text.
type Span struct {
	Text       string
	From, To   int  // bytes of the rendered text
	Turn       int  // index of the turn it belongs to, −1 for the system text
	Content    bool // written by the turn's sender, not by the template
	Supervised bool // a token that holds a byte of it trains
}

// Render returns the text of a conversation, the reference's get_prompt: an open or empty turn ends behind
// its role, ready for the answer. A gpt turn may not come first, and the error is a *TurnError.
func (t Template) Render(turns []Turn) (string, error) {
	spans, err := t.Spans(turns)
	return Text(spans), err
}

// Spans is Render in pieces. Supervised is what a finished answer adds to an open turn: " answer</s>". With Style Jinja
// a conversation whose last turn is open has nothing supervised, and one that the program does not write turn by turn
// is refused if its last turn is not.
func (t Template) Spans(turns []Turn) ([]Span, error) {
	turns = t.attach(turns)
	if err := t.check(turns); err != nil {
		return nil, err
	}
	if t.Style == Jinja {
		return t.programSpans(turns, len(turns) == 0 || !turns[len(turns)-1].Open)
	}
	w := writer{turn: -1}
	t.system(&w)
	for i, m := range turns {
		w.turn = i
		t.turn(&w, i, m)
	}
	if t.Style == Llama2 {
		w.trimLeft(t.Sep)
	}
	return w.done(), nil
}

// Sample returns the pieces of a training sample, which differ from Spans in three ways, all of them the
// reference's: a leading gpt turn is dropped, Single writes "### Role: text\n" under a system text of its own
// paragraph, and Plain keeps nothing of the question but the picture.
func (t Template) Sample(turns []Turn) ([]Span, error) {
	drop := 0
	if len(turns) > 1 && turns[0].From == GPT {
		drop = 1
	}
	if len(turns) == 0 {
		return nil, ErrNoTurns
	}
	var spans []Span
	err := t.check(turns[drop:])
	switch {
	case err != nil:
	case t.Style == Plain:
		spans, err = t.caption(turns[drop:])
	case t.Style == Single:
		spans = t.paragraphs(turns[drop:])
	default:
		spans, err = t.Spans(turns[drop:])
	}
	if e, ok := err.(*TurnError); ok {
		e.Turn += drop
	}
	for i := range spans {
		if spans[i].Turn >= 0 {
			spans[i].Turn += drop
		}
	}
	return spans, err
}

func (t Template) check(turns []Turn) error {
	for i, m := range turns {
		fail := func(err error) error { return &TurnError{Turn: i, From: m.From, Err: err} }
		if _, ok := t.role(m.From); !ok {
			return fail(ErrRole)
		}
		if (m.From == GPT) != (i%2 == 1) && !t.anyOrder() {
			return fail(ErrOrder)
		}
		if m.Open && i != len(turns)-1 {
			return fail(ErrOpen)
		}
		if t.Style == Llama2 && i == 0 && m.Value == "" {
			return fail(ErrEmpty)
		}
	}
	return nil
}

// attach writes the picture that comes with the first turn into the text.
func (t Template) attach(turns []Turn) []Turn {
	if len(turns) == 0 || !turns[0].Picture {
		return turns
	}
	first := turns[0]
	first.Value = trimSpace(strings.ReplaceAll(first.Value, ImageToken, ""))
	if t.Tagged {
		return append([]Turn{{From: Human, Value: taggedImage}, {From: GPT, Value: "Received."}, first}, turns[1:]...)
	}
	first.Value = ImageToken + "\n" + first.Value
	return append([]Turn{first}, turns[1:]...)
}

func (t Template) system(w *writer) {
	switch t.Style {
	case Single, Two:
		w.fixed(t.System + t.Sep)
	case MPT:
		if t.System != "" {
			w.fixed(t.System + t.Sep)
		}
	case ChatML:
		if t.System != "" {
			w.fixed(t.System + t.Sep + "\n")
		}
	case Plain:
		w.fixed(t.System)
	case Llama3:
		if t.HasBOS {
			w.fixed("<|begin_of_text|>")
		}
		if t.System != "" {
			w.fixed(header("system") + trimSpace(t.System) + t.Sep)
		}
	}
}

func (t Template) turn(w *writer, i int, m Turn) {
	role, _ := t.role(m.From)
	answer := m.From == GPT
	if m.Open || m.Value == "" && !t.anyOrder() {
		switch t.Style {
		case Single, Two:
			w.fixed(role + ":")
		case MPT:
			w.fixed(role)
		case ChatML:
			w.fixed(role + "\n")
		case Llama3:
			w.fixed(header(role))
		}
		return
	}
	sep := t.Sep
	if answer && (t.Style == Two || t.Style == Plain) {
		sep = t.Sep2
	}
	switch t.Style {
	case Single, Two:
		w.fixed(role + ":")
		w.answer(answer, " ", m.Value, sep)
	case MPT:
		w.fixed(role)
		w.answer(answer, "", m.Value, sep)
	case ChatML:
		w.fixed(role + "\n")
		w.answer(answer, "", m.Value, sep+"\n")
	case Llama3:
		w.fixed(header(role))
		w.answer(answer, "", trimSpace(m.Value), sep)
	case Plain:
		w.answer(answer, "", m.Value, sep)
	case Llama2:
		switch {
		case answer:
			w.answer(true, " ", m.Value, " "+t.Sep2)
		case i == 0 && t.System != "":
			w.answer(false, t.Sep+"[INST] <<SYS>>\n"+t.System+"\n<</SYS>>\n\n", m.Value, " [/INST]")
		default:
			w.answer(false, t.Sep+"[INST] ", m.Value, " [/INST]")
		}
	}
}

func header(role string) string { return "<|start_header_id|>" + role + "<|end_header_id|>\n\n" }

// caption is a sample of the first training stage: the picture, then a caption, all of which trains.
func (t Template) caption(turns []Turn) ([]Span, error) {
	if len(turns) != 2 {
		return nil, ErrTwoTurns
	}
	if !strings.Contains(turns[0].Value, ImageToken) {
		return nil, &TurnError{Turn: 0, From: turns[0].From, Err: ErrPicture}
	}
	w := writer{turn: 0}
	w.fixed(ImageToken)
	w.turn = 1
	w.answer(true, "", turns[1].Value, t.Sep)
	return w.done(), nil
}

// paragraphs is a sample of the oldest format, the reference's preprocess. What trains is the answer up to the
// mark that ends it; the reference also trains the roles and two tokens of every question by accident.
func (t Template) paragraphs(turns []Turn) []Span {
	w := writer{turn: -1}
	w.fixed(t.System + "\n\n")
	begin := t.Sep + " "
	for i, m := range turns {
		w.turn = i
		role, _ := t.role(m.From)
		w.fixed(begin + role + ": ")
		w.answer(m.From == GPT, "", m.Value, "\n")
		if begin = t.Sep + " "; m.From == GPT {
			w.add(t.Sep, false, true)
			begin = " "
		}
	}
	w.fixed(begin)
	return w.done()
}

// writer collects spans.
type writer struct {
	spans []Span
	turn  int
}

func (w *writer) add(text string, content, supervised bool) {
	if text != "" {
		w.spans = append(w.spans, Span{Text: text, Turn: w.turn, Content: content, Supervised: supervised})
	}
}

func (w *writer) fixed(text string) { w.add(text, false, false) }

func (w *writer) answer(supervised bool, before, content, after string) {
	w.add(before, false, supervised)
	w.add(content, true, supervised)
	w.add(after, false, supervised)
}

// trimLeft removes leading characters that are in set, as Python's lstrip does.
func (w *writer) trimLeft(set string) {
	for len(w.spans) > 0 {
		w.spans[0].Text = strings.TrimLeft(w.spans[0].Text, set)
		if w.spans[0].Text != "" {
			return
		}
		w.spans = w.spans[1:]
	}
}

// done sets the byte offsets.
func (w *writer) done() []Span {
	pos := 0
	for i := range w.spans {
		w.spans[i].From = pos
		pos += len(w.spans[i].Text)
		w.spans[i].To = pos
	}
	return w.spans
}

// Text joins spans.
func Text(spans []Span) string {
	var b strings.Builder
	for _, s := range spans {
		b.WriteString(s.Text)
	}
	return b.String()
}
