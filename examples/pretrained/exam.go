package main

import (
	"context"
	"fmt"
	"image"
	"path/filepath"
	"strings"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/data/shapes/eval"
)

// examine asks n questions of each family about images of the split Test: with the right image, with another one, and
// in words that no training text has. It returns the answers' shares beside those of the best guesser, as a table.
func examine(ctx context.Context, a *connector.Assistant, w *shapes.World, n int) (string, error) {
	table := "| question | right | other image | prior | in other words |\n|---|---|---|---|---|\n"
	line := func(name any, right, other, prior float64, reworded string) {
		table += fmt.Sprintf("| %s | %.1f | %.1f | %.1f | %s |\n", name, 100*right, 100*other, 100*prior, reworded)
	}
	right, other, prior := map[shapes.Family]float64{}, map[shapes.Family]float64{}, map[shapes.Family]float64{}
	for _, f := range w.Families(shapes.Test) {
		set, order := eval.Questions(w, shapes.Test, f, n), eval.Shuffle(n, 1)
		var questions, reworded []string
		var images, shuffled []*imaging.RGB
		for i, q := range set {
			questions, reworded = append(questions, q.Text), append(reworded, reword(q.Text))
			images = append(images, imaging.FromImage(q.Scene.Image()))
			shuffled = append(shuffled, imaging.FromImage(set[order[i]].Scene.Image()))
		}
		share := func(questions []string, images []*imaging.RGB) (float64, error) {
			answers, err := ask(ctx, a, questions, images, 40)
			if err != nil {
				return 0, err
			}
			return eval.Exact(set, answers), nil
		}
		var err error
		if right[f], err = share(questions, images); err != nil {
			return "", err
		}
		if other[f], err = share(questions, shuffled); err != nil {
			return "", err
		}
		also := "–"
		if reworded[0] != questions[0] {
			x, err := share(reworded, images)
			if err != nil {
				return "", err
			}
			also = fmt.Sprintf("%.1f", 100*x)
		}
		prior[f] = eval.Prior(w, shapes.Test, f)
		line(f, right[f], other[f], prior[f], also)
	}
	mix := eval.Weights()
	line("mix of "+fmt.Sprint(len(mix)), eval.Mean(mix, right), eval.Mean(mix, other), eval.Mean(mix, prior), "–")
	return table, nil
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

// show writes unseen images side by side to images.png, and returns a question about each with the answer, and the
// right one where that is another.
func show(ctx context.Context, a *connector.Assistant, w *shapes.World, dir string) (string, error) {
	var row []image.Image
	var questions, truths []string
	var images []*imaging.RGB
	for i, f := range []shapes.Family{shapes.ColorOf, shapes.ShapeOf, shapes.Where, shapes.PopeAdversarial,
		shapes.CountAll, shapes.CountColor, shapes.Above, shapes.LeftOf, shapes.WhatIsAt, shapes.Brief} {
		scene, q := w.Ask(shapes.Test, f, 1_000_000+i) // far from those of the exam
		row, images = append(row, scene.Image()), append(images, imaging.FromImage(scene.Image()))
		questions, truths = append(questions, q.Text), append(truths, q.Answer)
	}
	answers, err := ask(ctx, a, questions, images, 60)
	if err != nil {
		return "", err
	}
	list := "\n| image | question | answer |\n|---|---|---|\n"
	for i, answer := range answers {
		if answer != truths[i] {
			answer += " (" + truths[i] + ")"
		}
		list += fmt.Sprintf("| %d | %s | %s |\n", i+1, questions[i], answer)
	}
	return list, eval.WriteSheet(filepath.Join(dir, "images.png"), 2, [][]image.Image{row})
}
