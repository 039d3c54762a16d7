package main

import (
	"context"
	"fmt"
	"image"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/data/shapes/eval"
	"github.com/gollava/gollava/train/study"
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
		answers, err := study.Ask(ctx, a, slices.Concat(questions, questions), slices.Concat(images, others), 40)
		if err != nil {
			return err
		}
		right[f], other[f] = eval.Exact(set, answers[:n]), eval.Exact(set, answers[n:])
		prior[f] = eval.Prior(w, shapes.Test, f)
		words := "–"
		if reworded[0] != questions[0] {
			if answers, err = study.Ask(ctx, a, reworded, images, 40); err != nil {
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
	answers, err := study.Ask(ctx, a, questions, images, 60)
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
