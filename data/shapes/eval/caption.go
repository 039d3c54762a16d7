package eval

import (
	"strings"

	"github.com/gollava/gollava/data/shapes"
)

// Mention is an object as a text names it. What the text does not say is empty.
type Mention struct {
	Pair  shapes.Pair
	Size  string // "small" or "large"
	Place string // "top left"
}

// Mentions are the objects that a text names, wherever a colour stands before a shape: with the size before and the
// place after it.
func Mentions(text string) []Mention {
	words := strings.Fields(text)
	var all []Mention
	for i := 0; i+1 < len(words); i++ {
		var m Mention
		if m.Pair.UnmarshalText([]byte(words[i]+" "+words[i+1])) != nil {
			continue
		}
		if i > 0 && (words[i-1] == shapes.Small.String() || words[i-1] == shapes.Large.String()) {
			m.Size = words[i-1]
		}
		if i+5 < len(words) && words[i+2] == "at" && words[i+3] == "the" {
			m.Place = words[i+4] + " " + words[i+5]
		}
		all = append(all, m)
	}
	return all
}

// CaptionScore judges captions by the objects that they name.
type CaptionScore struct {
	Precision, Recall, F1 float64 // of the pairs named, each counted once per caption
	CHAIRi                float64 // share of mentions whose pair is not there (Rohrbach et al. 2018)
	CHAIRs                float64 // share of captions with such a mention
	AllRight              float64 // share of objects named with the right size and the right place
}

// Captions scores a caption for each scene of a set.
func Captions(set Set, captions []string) CaptionScore {
	must(len(set), len(captions))
	var named, right, there, mentions, wrong, bad, full int
	for i, item := range set {
		place := map[shapes.Pair]string{}
		size := map[shapes.Pair]string{}
		for _, o := range item.Scene.Objects {
			place[o.Pair()], size[o.Pair()] = item.Scene.World().Place(o.Cell), o.Size.String()
		}
		seen, whole, before := map[shapes.Pair]bool{}, map[shapes.Pair]bool{}, wrong
		for _, m := range Mentions(captions[i]) {
			mentions++
			seen[m.Pair] = true
			switch p, ok := place[m.Pair]; {
			case !ok:
				wrong++
			case m.Size == size[m.Pair] && m.Place == p:
				whole[m.Pair] = true
			}
		}
		if wrong > before {
			bad++
		}
		for p := range seen {
			if _, ok := place[p]; ok {
				right++
			}
		}
		named, there, full = named+len(seen), there+len(place), full+len(whole)
	}
	return CaptionScore{
		Precision: share(right, named), Recall: share(right, there), F1: share(2*right, named+there),
		CHAIRi: share(wrong, mentions), CHAIRs: share(bad, len(set)), AllRight: share(full, there),
	}
}
