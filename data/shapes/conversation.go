package shapes

import (
	"math/rand/v2"

	"github.com/gollava/gollava/internal/misuse"
)

// Mix says how often families are asked.
type Mix []Share

// Share is a family with its weight in a mix.
type Share struct {
	Family Family
	Weight float64
}

// Conversation is the mix of questions of a conversation about any scene.
func Conversation() Mix {
	return Mix{{Exist, .24}, {ColorOf, .12}, {ShapeOf, .12}, {Where, .15}, {CountAll, .07}, {CountColor, .09},
		{LeftOf, .08}, {Above, .08}, {SizeOf, .05}, {WhatIsAt, .05}}
}

// LookUp is a mix of questions about single objects. A model that starts with these, on scenes of two objects, learns
// to find an object by its name early; all else builds on that.
func LookUp() Mix { return Mix{{Exist, .25}, {ColorOf, .25}, {ShapeOf, .25}, {Where, .25}} }

// draw draws a family.
func (m Mix) draw(r *rand.Rand) Family {
	sum := 0.0
	for _, s := range m {
		sum += s.Weight
	}
	if !(sum > 0) {
		panic(misuse.Errorf("shapes", "a mix without weights"))
	}
	x := r.Float64() * sum
	for _, s := range m {
		if x -= s.Weight; x < 0 {
			return s.Family
		}
	}
	return m[len(m)-1].Family
}

// Converse draws up to turns different questions of a mix about the scene, in random order; in 70 % of scenes with a
// sign one of them asks what it says. There may be fewer where the scene has little to ask about.
func (s Scene) Converse(r *rand.Rand, m Mix, turns int) []Question {
	var all []Question
	if s.Sign != nil && turns > 0 && r.Float64() < 0.7 {
		q, _ := s.Ask(r, Read)
		all = append(all, q)
	}
	for tries := 8 * turns; tries > 0 && len(all) < turns; tries-- {
		q, ok := s.Ask(r, m.draw(r))
		for _, old := range all {
			ok = ok && old.Text != q.Text
		}
		if ok {
			all = append(all, q)
		}
	}
	shuffle(r, all)
	return all
}
