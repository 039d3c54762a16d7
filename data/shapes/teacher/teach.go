package teacher

import (
	"context"
	"fmt"
	"strings"

	"github.com/gollava/gollava/data/generate"
	"github.com/gollava/gollava/data/shapes"
)

// Rule is the teacher of the shapes world: it takes questions and answers from the captions and boxes by rules, and
// is a [generate.Teacher] that needs no model. It is safe for concurrent use.
type Rule struct{ World *shapes.World }

// Ask writes about the scene of a request, conversations too with a look at its boxes.
func (t Rule) Ask(_ context.Context, r *generate.Request) (generate.Reply, error) {
	context, ok := r.Scene.Context(generate.Detail)
	if !ok {
		context, _ = r.Scene.Context(generate.Conversation)
	}
	text, err := t.Write(r.Kind, context)
	if err != nil {
		return generate.Reply{Status: 400, Error: err.Error()}, nil
	}
	return generate.Reply{Status: 200, Role: "assistant", Text: &text, Finish: "stop", Model: r.Model, ID: "rule"}, nil
}

// Write writes about a context of the shapes world, always the same about the same one. It errs if the context is of
// another form, or if reasoning is asked for and there are not two objects.
func (t Rule) Write(kind generate.Kind, context string) (string, error) {
	s, err := t.World.ReadContext(context)
	if err != nil {
		return "", err
	}
	r := t.World.Rand(string(kind)+"/"+context, 0)
	switch kind {
	case generate.Conversation:
		for range 20 {
			if turns := s.Converse(r, shapes.Conversation(), 2+r.IntN(3)); len(turns) >= 2 {
				return protocol(turns), nil
			}
		}
		return "", fmt.Errorf("teacher: there are not two questions about %s", s.Caption())
	case generate.Detail:
		return s.Detail(), nil
	case generate.Reasoning:
		q, ok := s.Ask(r, shapes.Walk)
		if !ok {
			return "", fmt.Errorf("teacher: reasoning needs two objects, and there is only %s", s.Caption())
		}
		return protocol([]shapes.Question{q}), nil
	default:
		return "", fmt.Errorf("teacher: there is no kind %q, only %v", kind, generate.Kinds())
	}
}

// protocol lays questions and answers out as LLaVA's prompts ask for.
func protocol(qs []shapes.Question) string {
	var parts []string
	for _, q := range qs {
		parts = append(parts, "Question:\n"+q.Text, "Answer:\n"+q.Answer)
	}
	return strings.Join(parts, "\n===\n")
}

const form = `
Write in lower case with a space around every mark, in the words of the example. Separate parts by a line of three equal signs:
Question:
...
===
Answer:
...`

// Config is for data about the shapes world, by a [Rule] or by a language model that is shown two examples by the
// Rule. The world's questions repeat, and its descriptions may be short, so nothing is dropped for being similar or
// short.
func Config(w *shapes.World) (generate.Config, error) {
	c := generate.DefaultConfig()
	c.Model, c.DetailQuestions, c.Leaks, c.Refusals, c.Checks = "rule", shapes.DetailPrompts(), []string{
		"caption",
	}, nil, nil
	c.MinTurns, c.MinDetailWords, c.MinReasoningWords, c.DedupROUGE = 1, 1, 1, 0
	c.System, c.Shots = map[generate.Kind]string{}, map[generate.Kind][]generate.Shot{}
	const told = "You see one picture of coloured shapes, given as five sentences"
	c.System[generate.Conversation] = told + `. Write a conversation between you and a person who asks about this picture. Answer as if you saw it.
Ask what things there are, how many, their colours, shapes, sizes and positions, and where they are from one another. Ask only what the sentences settle.` + form
	c.System[generate.Detail] = told + ` and as boxes [left, top, right, bottom] in shares of its width and height.
Describe the picture in detail: how many things there are, what each is and where. Write as if you saw it; mention neither sentences nor boxes.`
	c.System[generate.Reasoning] = told + ` and as boxes [left, top, right, bottom] in shares of its width and height.
Ask one question that needs looking and then thinking, and answer it with your reasons. Write as if you saw it; mention neither sentences nor boxes.` + form
	for _, k := range generate.Kinds() {
		for i := range 2 {
			s := w.Scene(shapes.Text, i, shapes.Options{MinObjects: min(2, w.MaxObjects)})
			context := strings.TrimSpace(s.Context())
			answer, err := Rule{w}.Write(k, context)
			if err != nil {
				return c, err
			}
			if k == generate.Conversation {
				context, _, _ = strings.Cut(context, "\n\n")
			}
			c.Shots[k] = append(c.Shots[k], generate.Shot{Context: context, Answer: answer})
		}
	}
	return c, nil
}
