package main

import (
	"context"
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/llm"
)

// plain is text of the kind that a language model was trained on.
//
//go:embed plain.txt
var plain string

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

// knows says what a model knows without looking.
func knows(ctx context.Context, a *connector.Assistant) (string, error) {
	perplexity, err := llm.Perplexity(ctx, a.Model.Language, a.Tokenizer.Encode(plain), 256)
	if err != nil {
		return "", err
	}
	var questions []string
	for q := range slices.Chunk(plainQuestions, 2) {
		questions = append(questions, q[0])
	}
	answers, err := ask(ctx, a, questions, nil, 32)
	right := 0
	for i, answer := range answers {
		for word := range strings.SplitSeq(plainQuestions[2*i+1], "|") {
			if strings.Contains(strings.ToLower(answer), strings.ToLower(word)) {
				right++
				break
			}
		}
	}
	return fmt.Sprintf("perplexity %.2f, %d of %d plain questions right", perplexity, right, len(questions)), err
}

// atOnce is how many questions are answered side by side.
const atOnce = 20

// ask answers questions greedily with at most so many tokens: question i about images[i], or about none if images is
// nil.
func ask(ctx context.Context, a *connector.Assistant, questions []string, images []*imaging.RGB, most int) (
	answers []string, err error) {
	prompts := make([]connector.Sample, len(questions))
	for i, question := range questions {
		var shown []*imaging.RGB
		if images != nil {
			question, shown = chat.ImageToken+"\n"+question, images[i:i+1]
		}
		if prompts[i], err = a.Prompt([]chat.Turn{{From: chat.Human, Value: question}}, shown); err != nil {
			return nil, err
		}
	}
	for some := range slices.Chunk(prompts, atOnce) {
		b, err := a.Model.Splice(some, true)
		if err != nil {
			return nil, err
		}
		g, err := a.Model.Generate(ctx, b, llm.Options{MaxNewTokens: most, PAD: -1})
		if err != nil {
			return nil, err
		}
		for _, ids := range g.IDs {
			answers = append(answers, strings.TrimSpace(a.Tokenizer.Decode(ids)))
		}
	}
	return answers, nil
}
