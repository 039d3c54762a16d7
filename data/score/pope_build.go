package score

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"strings"
)

// Objects are what one picture shows: a line of the segmentation file that POPE builds its questions from.
type Objects struct {
	Image   string   `json:"image"`
	Objects []string `json:"objects"`
}

// POPEQuestion is a line of POPE's question files.
type POPEQuestion struct {
	ID    int    `json:"question_id"`
	Image string `json:"image"`
	Text  string `json:"text"`
	Label string `json:"label"`
}

// POPEBuild says how [POPEBuild.Questions] asks about objects that are not in the picture.
type POPEBuild struct {
	Strategy string // random; popular: most frequent first; adversarial: most frequent beside the object asked before
	Template string // Is there a {} in the image?
	PerImage int    // questions with yes, and as many with no; pictures with fewer objects are left out
	// OfficialArticle writes the article as the official program does before a vowel: every letter a of the template
	// becomes an.
	OfficialArticle bool
	// Pick draws the object of a question (counted from 0) where the strategy is random, or has none left. nil: a
	// generator seeded with Seed.
	Pick func(question int, candidates []string) string
	Seed uint64
}

// Counted are how often each object, in order of first appearance, is in a picture, and what is beside it, most
// frequent first; ties keep the order of first appearance.
func Counted(pictures []Objects) (names []string, count map[string]int, beside map[string][]string) {
	count, beside = map[string]int{}, map[string][]string{}
	pairs := map[string]map[string]int{}
	for _, p := range pictures {
		for _, o := range p.Objects {
			if count[o]++; count[o] == 1 {
				names = append(names, o)
			}
			if pairs[o] == nil {
				pairs[o] = map[string]int{}
			}
			for _, x := range p.Objects {
				if x == o {
					continue
				}
				if pairs[o][x]++; pairs[o][x] == 1 {
					beside[o] = append(beside[o], x)
				}
			}
		}
	}
	for o, list := range beside {
		slices.SortStableFunc(list, func(a, b string) int { return cmp.Compare(pairs[o][b], pairs[o][a]) })
	}
	return names, count, beside
}

// Questions builds POPE's questions: of each picture the first PerImage objects, after each of them an object that is
// neither in the picture nor asked before for it (Li et al. 2023, section 4).
func (b POPEBuild) Questions(pictures []Objects) []POPEQuestion {
	pictures = slices.DeleteFunc(slices.Clone(pictures), func(p Objects) bool { return len(p.Objects) < b.PerImage })
	names, count, beside := Counted(pictures)
	popular := slices.Clone(names)
	slices.SortStableFunc(popular, func(x, y string) int { return cmp.Compare(count[y], count[x]) })
	pick := b.Pick
	if pick == nil {
		r := rand.New(rand.NewPCG(b.Seed, 0))
		pick = func(_ int, c []string) string { return c[r.IntN(len(c))] }
	}
	var out []POPEQuestion
	ask := func(p Objects, object, label string) {
		out = append(out, POPEQuestion{len(out) + 1, p.Image, b.Text(object), label})
	}
	for _, p := range pictures {
		var before []string
		for _, object := range p.Objects[:b.PerImage] {
			before = append(before, object)
			ask(p, object, "yes")
			free := func(o string) bool { return !slices.Contains(before, o) && !slices.Contains(p.Objects, o) }
			var ranked []string
			switch b.Strategy {
			case "popular":
				ranked = popular
			case "adversarial":
				ranked = beside[object]
			}
			absent := ""
			if i := slices.IndexFunc(ranked, free); i >= 0 {
				absent = ranked[i]
			} else if rest := slices.DeleteFunc(slices.Clone(names), func(o string) bool { return !free(o) }); len(rest) > 0 {
				absent = pick(len(out), rest)
			} else {
				continue // every object is in the picture: there is nothing to ask
			}
			before = append(before, absent)
			ask(p, absent, "no")
		}
	}
	return out
}

// Text asks about an object.
func (b POPEBuild) Text(object string) string {
	template := b.Template
	if object != "" && strings.ContainsRune("aeiou", rune(object[0])) {
		if b.OfficialArticle {
			template = strings.ReplaceAll(template, "a", "an")
		} else {
			template = strings.ReplaceAll(template, " a {}", " an {}")
		}
	}
	return strings.Replace(template, "{}", object, 1)
}
