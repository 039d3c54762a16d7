package main

import (
	"context"
	_ "embed"
	"fmt"
	"strings"

	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// plain is text of the kind that a language model was trained on.
//
//go:embed plain.txt
var plain string

// knowledge is what a language model knows without looking.
type knowledge struct {
	perplexity   float64 // of plain.txt
	right, asked int     // plain questions
}

func (k knowledge) String() string {
	return fmt.Sprintf("perplexity %.2f, %d of %d plain questions right", k.perplexity, k.right, k.asked)
}

// plainQuestions are questions with the word that an answer must have.
var plainQuestions = [][2]string{
	{"What is the capital of France?", "Paris"}, {"What is the capital of Italy?", "Rome"},
	{"What is the capital of Japan?", "Tokyo"}, {"Which planet do we live on?", "Earth"},
	{"How many days are there in a week?", "seven|7"}, {"How many legs does a spider have?", "eight|8"},
	{"What do bees make?", "honey"}, {"What is frozen water called?", "ice"},
	{"Which animal says meow?", "cat"}, {"What is 2 plus 3?", "5|five"},
	{"Which season comes after winter?", "spring"}, {"What is the opposite of hot?", "cold"},
	{"What language is spoken in Spain?", "Spanish"}, {"Who wrote Romeo and Juliet?", "Shakespeare"},
	{"What is the largest ocean on Earth?", "Pacific"},
}

// speaker is a language model with its tokenizer and chat template.
type speaker struct {
	model    llm.Model
	tok      *tokenizer.Tokenizer
	template chat.Template
}

func openSpeaker(path string) (*speaker, error) {
	m, err := llm.Load(path, nn.LoadOptions{DType: nn.As(tensor.Float32)})
	if err != nil {
		return nil, err
	}
	tok, err := tokenizer.Load(path)
	if err != nil {
		return nil, err
	}
	template, err := chat.FromTokenizer(tok)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &speaker{m, tok, template}, nil
}

// say answers a request greedily, with at most so many tokens.
func (s *speaker) say(ctx context.Context, request string, most int) (string, error) {
	spans, err := s.template.Spans([]chat.Turn{{From: chat.Human, Value: request}, {From: chat.GPT, Open: true}})
	if err != nil {
		return "", err
	}
	ids := s.template.Encode(s.tok, spans, chat.Options{}).IDs
	g, err := llm.Generate(ctx, s.model, llm.Prompts{IDs: [][]int32{ids}}, llm.Options{MaxNewTokens: most, PAD: -1})
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(s.tok.Decode(g.IDs[0])), nil
}

// exam measures what the model knows.
func (s *speaker) exam(ctx context.Context) (k knowledge, err error) {
	if k.perplexity, err = llm.Perplexity(ctx, s.model, s.tok.Encode(plain), 256); err != nil {
		return k, err
	}
	for _, q := range plainQuestions {
		answer, err := s.say(ctx, q[0], 32)
		if err != nil {
			return k, err
		}
		k.asked++
		for word := range strings.SplitSeq(q[1], "|") {
			if strings.Contains(strings.ToLower(answer), strings.ToLower(word)) {
				k.right++
				break
			}
		}
	}
	return k, nil
}
