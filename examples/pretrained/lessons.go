package main

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/train"
	"github.com/gollava/gollava/train/study"
)

// lesson is a part of the curriculum. Every image is seen once.
type lesson struct {
	Name         string
	Steps, Batch int
	Schedule     string     // of the learning rates, after five steps of warm-up
	Objects      [2]int     // in an image, at least and at most
	Signs        bool       // whether images may have signs
	Mix          shapes.Mix // of the questions of conversations; nil: texts without a request, as in LLaVA's first stage
	Lists        bool       // these texts are lists, else captions
	Captions     float64    // share of captions among lists and conversations
	Replay       int        // every so many samples one is a text without an image; 0: none
}

// turns is the greatest number of questions in a conversation.
const turns = 8

// lessons are the curriculum. Words come first, from images with one object: with several, any color in the image
// explains a color word half, and nothing says which token is meant. Captions come before questions: they tell five
// things about an object in eleven tokens, a question and its answer one thing in seventeen.
func (o options) lessons() []lesson {
	all := []lesson{
		{Name: "one", Steps: 160, Batch: 4, Schedule: "constant_with_warmup", Objects: [2]int{1, 1}},
		{Name: "captions", Steps: 250, Batch: 6, Schedule: "constant_with_warmup", Objects: [2]int{1, 4}},
		{Name: "lookup", Steps: 300, Batch: 3, Schedule: "constant_with_warmup", Objects: [2]int{2, 3},
			Mix: shapes.Mix{{Family: shapes.Exist, Weight: .35}, {Family: shapes.ColorOf, Weight: .2},
				{Family: shapes.ShapeOf, Weight: .2}, {Family: shapes.Where, Weight: .12},
				{Family: shapes.WhatIsAt, Weight: .13}},
			Captions: .25, Replay: 6},
		{Name: "list", Steps: 220, Batch: 4, Schedule: "constant_with_warmup", Objects: [2]int{2, 4},
			Lists: true, Captions: .15},
		{Name: "everything", Steps: 600, Batch: 2, Schedule: "cosine", Objects: [2]int{1, 4}, Signs: true,
			Mix: shapes.Mix{{Family: shapes.Exist, Weight: .3}, {Family: shapes.ColorOf, Weight: .25},
				{Family: shapes.ShapeOf, Weight: .25}, {Family: shapes.Where, Weight: .07},
				{Family: shapes.CountAll, Weight: .04}, {Family: shapes.CountColor, Weight: .04},
				{Family: shapes.LeftOf, Weight: .06}, {Family: shapes.Above, Weight: .06},
				{Family: shapes.SizeOf, Weight: .03}, {Family: shapes.WhatIsAt, Weight: .06}},
			Captions: .2, Replay: 12},
	}
	for i, l := range all {
		all[i].Steps = max(1, int(o.length*float64(l.Steps)))
	}
	return all
}

// about is what a lesson says about a scene: a caption, a list, or questions that no earlier turn answers. Where the
// answer is in the text, a language model learns to find it there, and not to look.
func (l lesson) about(r *rand.Rand, s shapes.Scene) []shapes.Question {
	switch {
	case l.Lists && r.Float64() >= l.Captions:
		return []shapes.Question{{Answer: list(r, s)}}
	case l.Mix == nil || r.Float64() < l.Captions:
		caption, _ := s.Ask(r, shapes.Brief)
		return []shapes.Question{caption}
	}
	var said []shapes.Question
	told := told{}
	for tries := 5 * turns; tries > 0 && len(said) < turns; tries-- {
		for _, q := range s.Converse(r, l.Mix, 1) {
			again := slices.ContainsFunc(said, func(old shapes.Question) bool { return old.Text == q.Text })
			switch q.Family {
			case shapes.Exist, shapes.ColorOf, shapes.ShapeOf, shapes.WhatIsAt:
				again = again || told.answers(r, s, q)
			}
			if !again {
				said = append(said, q)
				told.hear(s, q)
			}
		}
	}
	return said
}

// list asks and answers in one text, without the marks of a conversation, which cost more than question and answer. It
// asks for each object once, by its color, shape, both or place; most answers are all that there is to say about it.
func list(r *rand.Rand, s shapes.Scene) string {
	var parts []string
	told := told{}
	colors, forms := map[shapes.Color]int{}, map[shapes.Shape]int{}
	for _, o := range s.Objects {
		colors[o.Color]++
		forms[o.Shape]++
	}
	for _, k := range r.Perm(len(s.Objects)) {
		if q, ok := s.Ask(r, shapes.Exist); ok && r.IntN(3) > 0 && !told.answers(r, s, q) {
			parts = append(parts, q.Text+" "+q.Answer)
			told.hear(s, q)
		}
		o := s.Objects[k]
		pair, place, kind := o.Pair(), s.World().Place(o.Cell), r.IntN(6)
		switch {
		case told[pair]:
			parts = append(parts, fmt.Sprintf("where is the %s ? %s", pair, place))
			continue
		case kind == 0 && forms[o.Shape] == 1:
			parts = append(parts, fmt.Sprintf("what color is the %s ? %s", o.Shape, o.Color))
		case kind == 1 && colors[o.Color] == 1:
			parts = append(parts, fmt.Sprintf("what shape is the %s object ? %s", o.Color, o.Shape))
		case kind == 2:
			parts = append(parts, fmt.Sprintf("what is at the %s ? %s", place, pair))
		default:
			key := "the " + pair.String()
			if kind == 4 && forms[o.Shape] == 1 {
				key = fmt.Sprintf("the %s", o.Shape)
			} else if colors[o.Color] == 1 {
				key = fmt.Sprintf("the %s object", o.Color)
			}
			parts = append(parts, fmt.Sprintf("%s : a %s %s at the %s", key, o.Size, pair, place))
		}
		told[pair] = true
	}
	return strings.Join(parts, " ; ") + " ."
}

// told are the objects whose color and shape have been named.
type told map[shapes.Pair]bool

// answers reports whether a question about color, shape or existence is answered by what has been told. So is a no, as
// often as a yes would be.
func (t told) answers(r *rand.Rand, s shapes.Scene, q shapes.Question) bool {
	return q.Answer == "no" && r.IntN(len(s.Objects)) < len(t) ||
		slices.ContainsFunc(s.Objects, func(o shapes.Object) bool { return t[o.Pair()] && names(q, o) })
}

// hear adds what a question and its answer tell.
func (t told) hear(s shapes.Scene, q shapes.Question) {
	for _, o := range s.Objects {
		if names(q, o) {
			t[o.Pair()] = true
		}
	}
}

// names reports whether a question and its answer name an object's color and shape.
func names(q shapes.Question, o shapes.Object) bool {
	words := strings.Fields(q.Text + " " + q.Answer)
	return slices.Contains(words, o.Color.String()) && slices.Contains(words, o.Shape.String())
}

// file is the lesson's data in LLaVA's form.
func (l lesson) file(dir string) string { return filepath.Join(dir, l.Name+".json") }

// stage is the lesson as a stage of training that is otherwise like s.
func (l lesson) stage(s train.Stage[connector.Batch], a connector.Assistant, dir string) (
	train.Stage[connector.Batch], error) {
	s, err := study.FromFile(s, a, l.file(dir), dir, l.Batch, l.Mix == nil)
	if err != nil {
		return s, err
	}
	s.Name, s.Steps = l.Name, l.Steps
	s.Schedule = train.Schedule{Kind: l.Schedule, WarmupSteps: min(5, l.Steps)}
	s.Betas, s.Every = [2]float64{0.9, 0.99}, 25
	s.Groups = []train.Group{{Params: "multi_modal_projector.**", LR: 3e-4}, {Params: "**.lora_*.**", LR: 1e-3}}
	s.Config = []any{s.Config, l}
	return s, nil
}
