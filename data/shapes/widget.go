package shapes

import (
	"math/rand/v2"
	"slices"
	"strings"
)

// Widget asks for the name of the one widget in a picture of one or two objects: which widget is in the picture ?
// Widgets are eight pairs with names that nothing else mentions, new words to be learnt late from few pictures.
const Widget Family = "widget"

const widgetQuestion = "which widget is in the picture ?"

var widgetNames = strings.Fields("dax fep gos kiv lan mob wug zup")

// Widgets are the eight named pairs; [World.Answers] has their names, in the same order.
func (w *World) Widgets() []Pair {
	all := make([]Pair, len(widgetNames))
	for i := range all {
		all[i] = w.seen[i*len(w.seen)/len(all)]
	}
	return all
}

// widget is the name of the only widget in the scene, spelled.
func (s Scene) widget() string {
	widgets, name := s.world.Widgets(), ""
	for _, o := range s.Objects {
		if i := slices.Index(widgets, o.Pair()); i >= 0 {
			if name != "" {
				return ""
			}
			name = spelled(widgetNames[i])
		}
	}
	return name
}

// widgetWish is what question number index about widgets is to be like.
func (w *World) widgetWish(r *rand.Rand, index int) (wish, Options) {
	i := index % len(widgetNames)
	n := 1 + r.IntN(min(2, w.MaxObjects))
	return wish{answer: spelled(widgetNames[i])}, Options{MinObjects: n, MaxObjects: n, Sign: NoSign,
		pair: &w.Widgets()[i]}
}
