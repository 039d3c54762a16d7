package main

import (
	"context"
	_ "embed"
	"fmt"
	"image"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/data/shapes/eval"
	"github.com/gollava/gollava/llm"
)

// examine asks n questions of each family about images of the split Test: with the right image, with another one, and
// in words that no training text has. It writes the shares of right answers as a table, beside those that the best
// guesser reaches who does not look.
func examine(ctx context.Context, a *connector.Assistant, w *shapes.World, n int, out io.Writer) error {
	fmt.Fprint(out, "| question | right | other image | prior | in other words |\n|---|---|---|---|---|\n")
	right, other, prior := map[shapes.Family]float64{}, map[shapes.Family]float64{}, map[shapes.Family]float64{}
	for _, f := range w.Families(shapes.Test) {
		set, order := eval.Questions(w, shapes.Test, f, n), eval.Shuffle(n, 1)
		questions, reworded := make([]string, n), make([]string, n)
		images, others := make([]image.Image, n), make([]image.Image, n)
		for i, q := range set {
			questions[i], reworded[i] = q.Text, reword(q.Text)
			images[i], others[order[i]] = q.Scene.Image(), q.Scene.Image()
		}
		answers, err := ask(ctx, a, slices.Concat(questions, questions), slices.Concat(images, others), 40)
		if err != nil {
			return err
		}
		right[f], other[f] = eval.Exact(set, answers[:n]), eval.Exact(set, answers[n:])
		prior[f] = eval.Prior(w, shapes.Test, f)
		words := "–"
		if reworded[0] != questions[0] {
			if answers, err = ask(ctx, a, reworded, images, 40); err != nil {
				return err
			}
			words = fmt.Sprintf("%.1f", 100*eval.Exact(set, answers))
		}
		fmt.Fprintf(out, "| %s | %.1f | %.1f | %.1f | %s |\n", f, 100*right[f], 100*other[f], 100*prior[f], words)
	}
	mean := func(shares map[shapes.Family]float64) float64 { return 100 * eval.Mean(eval.Weights(), shares) }
	_, err := fmt.Fprintf(out, "| the world's mix | %.1f | %.1f | %.1f | – |\n", mean(right), mean(other), mean(prior))
	return err
}

// reword asks the same in other words, where it knows some.
func reword(question string) string {
	for old, words := range map[string][2]string{
		"what color is the ": {"Tell me the color of the ", ""},
		"what shape is the ": {"Which shape does the ", " have?"},
		"where is the ":      {"Tell me where I can find the ", ""},
	} {
		if rest, ok := strings.CutPrefix(question, old); ok {
			return words[0] + strings.TrimSpace(strings.TrimSuffix(rest, "?")) + words[1]
		}
	}
	return question
}

// show writes unseen images side by side to images.png, and a question about each with the answer, and the right one
// where that is another.
func show(ctx context.Context, a *connector.Assistant, w *shapes.World, dir string, out io.Writer) error {
	var images []image.Image
	var questions, truths []string
	for i, f := range []shapes.Family{shapes.ColorOf, shapes.ShapeOf, shapes.Where, shapes.PopeAdversarial,
		shapes.CountAll, shapes.CountColor, shapes.Above, shapes.LeftOf, shapes.WhatIsAt, shapes.Brief} {
		scene, q := w.Ask(shapes.Test, f, 1_000_000+i) // far from those of the exam
		images, questions, truths = append(images, scene.Image()), append(questions, q.Text), append(truths, q.Answer)
	}
	answers, err := ask(ctx, a, questions, images, 60)
	if err != nil {
		return err
	}
	fmt.Fprint(out, "\n| image | question | answer |\n|---|---|---|\n")
	for i, answer := range answers {
		if answer != truths[i] {
			answer += " (" + truths[i] + ")"
		}
		fmt.Fprintf(out, "| %d | %s | %s |\n", i+1, questions[i], answer)
	}
	return eval.WriteSheet(filepath.Join(dir, "images.png"), 2, [][]image.Image{images})
}

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
func ask(ctx context.Context, a *connector.Assistant, questions []string, images []image.Image, most int) (
	answers []string, err error) {
	prompts := make([]connector.Sample, len(questions))
	for i, question := range questions {
		var shown []*imaging.RGB
		if images != nil {
			question, shown = chat.ImageToken+"\n"+question, []*imaging.RGB{imaging.FromImage(images[i])}
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
