package main

import (
	"context"
	_ "embed"
	"fmt"
	"slices"
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

// plainQuestions are questions, each before the words of which an answer must have one.
var plainQuestions = []string{
	"What is the capital of France?", "Paris", "What is the capital of Italy?", "Rome",
	"What is the capital of Japan?", "Tokyo", "Which planet do we live on?", "Earth",
	"How many days are there in a week?", "seven|7", "How many legs does a spider have?", "eight|8",
	"What do bees make?", "honey", "What is frozen water called?", "ice",
	"Which animal says meow?", "cat", "What is 2 plus 3?", "5|five",
	"Which season comes after winter?", "spring", "What is the opposite of hot?", "cold",
	"What language is spoken in Spain?", "Spanish", "Who wrote Romeo and Juliet?", "Shakespeare",
	"What is the largest ocean on Earth?", "Pacific",
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

// say answers requests greedily, each with at most so many tokens.
func (s *speaker) say(ctx context.Context, requests []string, most int) (answers []string, err error) {
	for some := range slices.Chunk(requests, atOnce) {
		var p llm.Prompts
		for _, request := range some {
			spans, err := s.template.Spans([]chat.Turn{{From: chat.Human, Value: request}, {From: chat.GPT, Open: true}})
			if err != nil {
				return nil, err
			}
			p.IDs = append(p.IDs, s.template.Encode(s.tok, spans, chat.Options{}).IDs)
		}
		g, err := llm.Generate(ctx, s.model, p, llm.Options{MaxNewTokens: most, PAD: -1})
		if err != nil {
			return nil, err
		}
		for _, ids := range g.IDs {
			answers = append(answers, strings.TrimSpace(s.tok.Decode(ids)))
		}
	}
	return answers, nil
}

// exam measures what the model knows.
func (s *speaker) exam(ctx context.Context) (k knowledge, err error) {
	if k.perplexity, err = llm.Perplexity(ctx, s.model, s.tok.Encode(plain), 256); err != nil {
		return k, err
	}
	var questions []string
	for q := range slices.Chunk(plainQuestions, 2) {
		questions = append(questions, q[0])
	}
	answers, err := s.say(ctx, questions, 32)
	for i, answer := range answers {
		k.asked++
		if slices.ContainsFunc(strings.Split(plainQuestions[2*i+1], "|"), func(word string) bool {
			return strings.Contains(strings.ToLower(answer), strings.ToLower(word))
		}) {
			k.right++
		}
	}
	return k, err
}
