package teacher

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/gollava/gollava/data/shapes"
)

// Prompts are what a language model is told before it is shown a context: what to do, and examples.
type Prompts struct {
	System string
	Shots  []Shot
}

// Shot is an example: a context, and what was written about it.
type Shot struct{ Context, Reply string }

// ReadPrompts reads a kind's prompts from a folder laid out as LLaVA's playground/data/prompts: KIND/system_message.txt, and examples
// KIND/NAME_caps.txt with KIND/NAME_conv.txt.
func ReadPrompts(prompts fs.FS, kind Kind) (Prompts, error) {
	var p Prompts
	read := func(name string) (string, error) {
		b, err := fs.ReadFile(prompts, name)
		if err != nil {
			return "", fmt.Errorf("teacher: prompts: %w", err)
		}
		return strings.TrimSpace(string(b)), nil
	}
	var err error
	if p.System, err = read(path.Join(string(kind), "system_message.txt")); err != nil {
		return p, err
	}
	names, err := fs.Glob(prompts, string(kind)+"/*_caps.txt") // sorted by name
	if err != nil {
		return p, fmt.Errorf("teacher: prompts: %w", err)
	}
	for _, name := range names {
		var s Shot
		if s.Context, err = read(name); err != nil {
			return p, err
		}
		if s.Reply, err = read(strings.TrimSuffix(name, "_caps.txt") + "_conv.txt"); err != nil {
			return p, err
		}
		p.Shots = append(p.Shots, s)
	}
	return p, nil
}

var systems = map[Kind]string{
	Conversation: `You see one picture, told in five sentences. Write a conversation between you and a person who asks about this picture. Answer as if you saw it.
Ask about what things there are, how many, their colours, shapes, sizes and places, and where they are from one another. Ask only what the sentences answer for certain, or what is certainly not there.`,
	Detail: `You see one picture, told in five sentences, with the place of each thing as [x1, y1, x2, y2], shares of the width and height from the top left.
Describe the picture in detail: how many things there are, what each is and where. Write as if you saw it; name neither sentences nor numbers of places.`,
	Reasoning: `You see one picture, told in five sentences, with the place of each thing as [x1, y1, x2, y2], shares of the width and height from the top left.
Ask one question about it that needs looking and then thinking, and answer it with your reasons. Write as if you saw the picture; name neither sentences nor numbers of places.`,
}

const form = `
Write in lower case with a space around every mark, in the words of the example. Separate parts by a line of three equal signs:
Question:
...
===
Answer:
...`

// WorldPrompts are prompts for contexts of the shapes world, with two examples by the [Rule].
func WorldPrompts(w *shapes.World, kind Kind) (Prompts, error) {
	p := Prompts{System: systems[kind]}
	if kind != Detail {
		p.System += form
	}
	for i := range 2 {
		s := w.Scene(shapes.Text, i, shapes.Options{MinObjects: min(2, w.MaxObjects)})
		reply, err := Rule{w}.Write(context.Background(), kind, s.Context())
		if err != nil {
			return Prompts{}, err
		}
		p.Shots = append(p.Shots, Shot{s.Context(), reply})
	}
	return p, nil
}

// Message is one side's part of a chat.
type Message struct {
	Role    string `json:"role"` // system, user or assistant
	Content string `json:"content"`
}

// Messages are the chat whose continuation is what to write about a context. Conversations are written from captions alone, so there
// the boxes are left away.
func (p Prompts) Messages(kind Kind, context string) []Message {
	told := func(context string) string {
		if kind == Conversation {
			context, _, _ = strings.Cut(context, "\n\n")
		}
		return strings.TrimSpace(context)
	}
	all := []Message{{"system", p.System}}
	for _, s := range p.Shots {
		all = append(all, Message{"user", told(s.Context)}, Message{"assistant", s.Reply})
	}
	return append(all, Message{"user", told(context)})
}
