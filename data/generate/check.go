package generate

import (
	"slices"
	"strings"
	"unicode"
)

// check holds an answer against what is known of the picture, as far as the config asks for it.
func (r *run) check(s sample, turns []Turn) FaultKind {
	for _, k := range r.Checks {
		bad := false
		switch k {
		case Object:
			bad = unknownObject(s.scene, r.set.Categories, turns) != ""
		case Number:
			bad = wrongNumber(s.scene, turns)
		case Language:
			bad = otherLanguage(strings.Join(s.scene.Captions, " "), texts(turns))
		case Repeats:
			bad = repeats(texts(turns))
		}
		if bad {
			return k
		}
	}
	return ""
}

// texts are all answers of a sample.
func texts(turns []Turn) string {
	var all []string
	for _, t := range turns {
		all = append(all, t.Answer)
	}
	return strings.Join(all, " ")
}

// singular is a word without the ending of a plural, as far as names of objects need it.
func singular(w string) string {
	irregular := map[string]string{
		"people":   "person",
		"persons":  "person",
		"men":      "man",
		"women":    "woman",
		"children": "child",
		"mice":     "mouse",
		"knives":   "knife",
		"sheep":    "sheep",
		"skis":     "skis",
		"scissors": "scissors",
	}
	if s, ok := irregular[w]; ok {
		return s
	}
	for _, e := range [][2]string{{"ies", "y"}, {"ches", "ch"}, {"shes", "sh"}, {"sses", "ss"}, {"xes", "x"},
		{"ses", "s"}} {
		if strings.HasSuffix(w, e[0]) && len(w) > len(e[0])+1 {
			return strings.TrimSuffix(w, e[0]) + e[1]
		}
	}
	if strings.HasSuffix(w, "s") && !strings.HasSuffix(w, "ss") && len(w) > 3 {
		return w[:len(w)-1]
	}
	return w
}

// stems are a text's words without plurals.
func stems(s string) []string {
	w := words(s)
	for i := range w {
		w[i] = singular(w[i])
	}
	return w
}

// holds reports whether a run of words is in another.
func holds(text, name []string) bool {
	for i := 0; i+len(name) <= len(text); i++ {
		if slices.Equal(text[i:i+len(name)], name) {
			return true
		}
	}
	return false
}

// unknownObject returns a category that an answer names although no caption and no box has it. An answer that begins
// with no may name what is not there, and a question may ask for it.
func unknownObject(s *Scene, categories []string, turns []Turn) string {
	known := stems(strings.Join(append(s.names(), s.Captions...), " . "))
	for _, c := range categories {
		name := stems(c)
		if len(name) == 0 || holds(known, name) {
			continue
		}
		for _, t := range turns {
			answer := stems(t.Answer)
			if len(answer) > 0 && (answer[0] == "no" || answer[0] == "none" || answer[0] == "not") {
				continue
			}
			if holds(answer, name) && !partOf(answer, name, categories) {
				return c
			}
		}
	}
	return ""
}

// partOf reports whether a name stands only within longer names of objects: dog in hot dog.
func partOf(text, name []string, categories []string) bool {
	for _, c := range categories {
		if longer := stems(c); len(longer) > len(name) && holds(longer, name) && holds(text, longer) {
			return true
		}
	}
	return false
}

// numerals are counts as words.
var numerals = []string{
	"zero",
	"one",
	"two",
	"three",
	"four",
	"five",
	"six",
	"seven",
	"eight",
	"nine",
	"ten",
	"eleven",
	"twelve",
}

// wrongNumber reports whether an answer counts a kind of object otherwise than the boxes do, unless a caption has the
// same count: "three boats" where there are boxes of two.
func wrongNumber(s *Scene, turns []Turn) bool {
	boxes := map[string]int{}
	for _, b := range s.Boxes {
		if _, ok := s.Inside(b); ok {
			boxes[strings.Join(stems(b.Name), " ")]++
		}
	}
	captions := stems(strings.Join(s.Captions, " . "))
	for _, t := range turns {
		w := stems(t.Answer)
		for i, word := range w {
			n := slices.Index(numerals, word)
			if len(word) <= 2 && word != "" && strings.Trim(word, "0123456789") == "" {
				n = int(word[len(word)-1] - '0')
				if len(word) == 2 {
					n += 10 * int(word[0]-'0')
				}
			}
			if n < 2 { // "one" is a pronoun too
				continue
			}
			for name, k := range boxes {
				parts := strings.Fields(name)
				if k == n || i+1+len(parts) > len(w) || !slices.Equal(w[i+1:i+1+len(parts)], parts) {
					continue
				}
				if !holds(captions, append([]string{word}, parts...)) {
					return true
				}
			}
		}
	}
	return false
}

// functionWords are frequent in English of any topic.
var functionWords = strings.Fields("the a an is are was of in on at to and or with it its this that there here " +
	"from by for as be not no yes " +
	"he she they his her their what which who how where one two while near next")

// otherLanguage reports whether a text is in another language than the captions: of another script, or hardly with
// English function words where the captions have many.
func otherLanguage(captions, text string) bool {
	script := func(s string) (latin, all int) {
		for _, r := range s {
			if unicode.IsLetter(r) {
				all++
				if unicode.Is(unicode.Latin, r) {
					latin++
				}
			}
		}
		return latin, all
	}
	l0, n0 := script(captions)
	l1, n1 := script(text)
	if n0 > 0 && n1 > 0 && (float64(l0)/float64(n0) > 0.5) != (float64(l1)/float64(n1) > 0.5) {
		return true
	}
	share := func(s string) (float64, int) {
		w := words(s)
		n := 0
		for _, x := range w {
			if slices.Contains(functionWords, x) {
				n++
			}
		}
		return float64(n) / float64(max(1, len(w))), len(w)
	}
	a, _ := share(captions)
	b, n := share(text)
	return n >= 12 && a >= 0.15 && b < 0.05
}

// repeats reports whether a text says the same over and over: a sentence of four words and more three times, or
// hardly any run of three words that is new.
func repeats(text string) bool {
	times := map[string]int{}
	for _, sentence := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(".!?\n", r) }) {
		if w := words(sentence); len(w) >= 4 {
			key := strings.Join(w, " ")
			if times[key]++; times[key] >= 3 {
				return true
			}
		}
	}
	w := words(text)
	if len(w) < 30 {
		return false
	}
	seen := map[[3]string]bool{}
	for i := 0; i+3 <= len(w); i++ {
		seen[[3]string(w[i:i+3])] = true
	}
	return float64(len(seen)) < 0.5*float64(len(w)-2)
}
