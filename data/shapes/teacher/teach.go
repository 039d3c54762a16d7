package teacher

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/gollava/gollava/data/shapes"
)

// Kind is what is to be written; the names are those of LLaVA's folders of prompts.
type Kind string

// The kinds.
const (
	Conversation Kind = "conversation"       // questions and answers in turn, from captions alone
	Detail       Kind = "detail_description" // a description, from captions and boxes
	Reasoning    Kind = "complex_reasoning"  // one question and a reasoned answer, from captions and boxes
)

// Teacher writes about a picture that it knows from a context only. What it returns has the form that [Parse] reads.
type Teacher interface {
	Write(ctx context.Context, kind Kind, context string) (string, error)
}

// Rule is the teacher of the shapes world: it takes questions and answers from the captions and boxes by rules.
type Rule struct{ World *shapes.World }

// Write writes about a context of the shapes world, always the same about the same one. It errs if the context is of another form, or
// if reasoning is asked for and there are not two objects.
func (t Rule) Write(_ context.Context, kind Kind, context string) (string, error) {
	s, err := t.World.ReadContext(context)
	if err != nil {
		return "", err
	}
	r := t.World.Rand(string(kind)+"/"+context, 0)
	switch kind {
	case Conversation:
		return protocol(s.Converse(r, shapes.Conversation(), 4)), nil
	case Detail:
		return s.Detail(), nil
	case Reasoning:
		q, ok := s.Ask(r, shapes.Walk)
		if !ok {
			return "", fmt.Errorf("teacher: reasoning needs two objects, and there is only %s", s.Caption())
		}
		return protocol([]shapes.Question{q}), nil
	default:
		return "", fmt.Errorf("teacher: there is no kind %q, only %s, %s and %s", kind, Conversation, Detail, Reasoning)
	}
}

// protocol lays questions and answers out as LLaVA's prompts ask for.
func protocol(qs []shapes.Question) string {
	var parts []string
	for _, q := range qs {
		parts = append(parts, "Question:\n"+q.Text, "Answer:\n"+q.Answer)
	}
	return strings.Join(parts, separator)
}

const separator = "\n===\n"

// Turn is a question with its answer.
type Turn struct{ Question, Answer string }

// Parse reads what a teacher wrote: questions and answers in turn, each under its heading and apart by lines of ===. A description is
// one answer, to a question that is drawn from [shapes.DetailPrompts].
func Parse(kind Kind, text string, r *rand.Rand) ([]Turn, error) {
	text = strings.TrimSpace(strings.ReplaceAll(text, "\r\n", "\n"))
	if kind == Detail {
		if text == "" {
			return nil, fmt.Errorf("teacher: an empty description")
		}
		prompts := shapes.DetailPrompts()
		return []Turn{{prompts[r.IntN(len(prompts))], text}}, nil
	}
	var parts []string
	part := ""
	for line := range strings.Lines(text + "\n===\n") {
		if strings.TrimSpace(line) != "===" {
			part += line
			continue
		}
		if part = strings.TrimSpace(part); part != "" {
			parts = append(parts, part)
		}
		part = ""
	}
	if len(parts) == 0 || len(parts)%2 != 0 || kind == Reasoning && len(parts) != 2 {
		return nil, fmt.Errorf("teacher: %d parts between lines of ===, want a question and an answer in turn", len(parts))
	}
	var turns []Turn
	for i := 0; i < len(parts); i += 2 {
		q, isQuestion := strings.CutPrefix(parts[i], "Question:")
		a, isAnswer := strings.CutPrefix(parts[i+1], "Answer:")
		t := Turn{strings.TrimSpace(q), strings.TrimSpace(a)}
		if !isQuestion || !isAnswer || t.Question == "" || t.Answer == "" {
			return nil, fmt.Errorf("teacher: parts %d and %d are not a question and its answer: %.60q, %.60q", i+1, i+2, parts[i], parts[i+1])
		}
		turns = append(turns, t)
	}
	return turns, nil
}
