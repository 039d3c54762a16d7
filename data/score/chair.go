package score

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/gollava/gollava/internal/jsonrecord"
)

func chairBenchmark() Benchmark {
	return Benchmark{
		Name: "chair", Title: "CHAIR", Main: "CHAIRi", Scale: 100, Max: 100,
		Needs: "annotations (instances_val2014.json), reference (captions_val2014.json); synonyms: a line of " +
			"words for each object, the first its name",
		Score: scoreCHAIR, Ask: askCaptions,
	}
}

// Chair finds the objects that captions name (Rohrbach et al. 2018). It is safe for concurrent use.
type Chair struct {
	name      map[string]string // of each word, the object
	double    map[string]string // two words that are one
	irregular map[string]string // singular of words that do not follow the rule
}

// NewChair makes one of lists of synonyms, the first of each being the object's name; of pairs of words that count as
// one; and of plurals that the rule (a final s, not after s, of words of four letters and more) gets wrong. nil maps:
// those of [ChairWords].
func NewChair(synonyms [][]string, double, irregular map[string]string) *Chair {
	c := &Chair{map[string]string{}, double, irregular}
	for _, s := range synonyms {
		for _, w := range s {
			c.name[w] = s[0]
		}
	}
	d, i := ChairWords(synonyms)
	if double == nil {
		c.double = d
	}
	if irregular == nil {
		c.irregular = i
	}
	return c
}

// ChairWords are pairs of words that count as one, taken from the synonyms and from what is said of animals and
// things, and plurals that no rule makes.
func ChairWords(synonyms [][]string) (double, irregular map[string]string) {
	double = map[string]string{
		"bow tie":         "tie",
		"toilet seat":     "toilet",
		"passenger jet":   "jet",
		"passenger train": "train",
		"wine glas":       "wine glass",
	}
	for _, s := range synonyms {
		for _, w := range s {
			if strings.Count(w, " ") == 1 {
				double[w] = w
			}
		}
	}
	for _, animal := range []string{"bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra",
		"giraffe", "animal", "cub"} {
		double["baby "+animal], double["adult "+animal] = animal, animal
	}
	irregular = map[string]string{
		"people":       "person",
		"men":          "man",
		"women":        "woman",
		"children":     "child",
		"glass":        "glas",
		"glasses":      "glass",
		"benches":      "bench",
		"buses":        "bus",
		"dishes":       "dish",
		"couches":      "couch",
		"knives":       "knife",
		"wolves":       "wolf",
		"mice":         "mouse",
		"geese":        "goose",
		"puppies":      "puppy",
		"ponies":       "pony",
		"babies":       "baby",
		"ladies":       "lady",
		"skis":         "ski",
		"toothbrushes": "toothbrush",
		"sandwiches":   "sandwich",
		"boxes":        "box",
		"watches":      "watch",
		"shelves":      "shelf",
		"leaves":       "leaf",
		"feet":         "foot",
		"teeth":        "tooth",
	}
	return double, irregular
}

// singular is a word without its plural's ending.
func (c *Chair) singular(w string) string {
	if s, ok := c.irregular[w]; ok {
		return s
	}
	if len(w) > 3 && strings.HasSuffix(w, "s") && !strings.HasSuffix(w, "ss") && w != "bus" {
		return w[:len(w)-1]
	}
	return w
}

// Words are a caption's words as CHAIR compares them, and those of them that name an object.
func (c *Chair) Words(caption string) (all, mentions []string) {
	words := treebank(lower(caption))
	for i := range words {
		words[i] = c.singular(words[i])
	}
	for i := 0; i < len(words); i++ {
		if i+1 < len(words) {
			if one, ok := c.double[words[i]+" "+words[i+1]]; ok {
				all = append(all, one)
				i++
				continue
			}
		}
		all = append(all, words[i])
	}
	if slices.Contains(all, "toilet") {
		all = slices.DeleteFunc(all, func(w string) bool { return w == "seat" })
	}
	for _, w := range all {
		if _, ok := c.name[w]; ok {
			mentions = append(mentions, w)
		}
	}
	return all, mentions
}

// Object is the name of the object that a word stands for.
func (c *Chair) Object(word string) (string, bool) { o, ok := c.name[word]; return o, ok }

// ChairTruth is what is in a picture: the objects annotated, and captions whose objects count too.
type ChairTruth struct {
	Instances []string `json:"instances"`
	Captions  []string `json:"captions"`
}

// Truth are the names of the objects in a picture, sorted.
func (c *Chair) Truth(t ChairTruth) []string {
	there := map[string]bool{}
	for _, i := range t.Instances {
		if o, ok := c.name[i]; ok {
			i = o
		}
		there[i] = true
	}
	for _, caption := range t.Captions {
		_, mentions := c.Words(caption)
		for _, m := range mentions {
			there[c.name[m]] = true
		}
	}
	return slices.Sorted(maps.Keys(there))
}

// ReadSynonyms reads a line of words for each object, separated by commas.
func ReadSynonyms(path string) ([][]string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var out [][]string
	for line := range strings.Lines(string(b)) {
		var words []string
		for _, w := range strings.Split(strings.TrimSpace(line), ",") {
			if w = strings.TrimSpace(w); w != "" {
				words = append(words, w)
			}
		}
		if len(words) > 0 {
			out = append(out, words)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s holds no words", path)
	}
	return out, nil
}

// chairTruths reads what is in each picture: from COCO's instances and captions, or from one file of both.
func chairTruths(f Files) (map[string]ChairTruth, [][]string, error) {
	truths := map[string]ChairTruth{}
	if f.Reference == "" {
		err := jsonrecord.Each(f.Annotations, "", func(rec jsonrecord.Record) error {
			t, err := jsonrecord.Decode[ChairTruth](rec)
			truths[rec.Key] = t
			return err
		})
		return truths, nil, err
	}
	names := map[string]string{}
	var own [][]string
	err := jsonrecord.Each(f.Annotations, "categories", func(rec jsonrecord.Record) error {
		c, err := jsonrecord.Decode[struct {
			ID   jsonrecord.ID `json:"id"`
			Name string        `json:"name"`
		}](rec)
		names[string(c.ID)] = c.Name
		own = append(own, []string{c.Name})
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	err = jsonrecord.Each(f.Annotations, "annotations", func(rec jsonrecord.Record) error {
		a, err := jsonrecord.Decode[struct {
			Image    jsonrecord.ID `json:"image_id"`
			Category jsonrecord.ID `json:"category_id"`
		}](rec)
		if err != nil {
			return err
		}
		name, ok := names[string(a.Category)]
		if !ok {
			return fmt.Errorf("%s: category %s is not among the file's categories", rec.At(), a.Category)
		}
		t := truths[string(a.Image)]
		if !slices.Contains(t.Instances, name) {
			t.Instances = append(t.Instances, name)
		}
		truths[string(a.Image)] = t
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	err = jsonrecord.Each(f.Reference, "annotations", func(rec jsonrecord.Record) error {
		a, err := jsonrecord.Decode[struct {
			Image   jsonrecord.ID `json:"image_id"`
			Caption string        `json:"caption"`
		}](rec)
		t := truths[string(a.Image)]
		t.Captions = append(t.Captions, a.Caption)
		truths[string(a.Image)] = t
		return err
	})
	return truths, own, err
}

// scoreCHAIR scores captions: each of the answers' pictures must be annotated; annotated pictures without a caption
// do not count.
func scoreCHAIR(f Files) (*Report, error) {
	if err := needs("annotation", f.Annotations); err != nil {
		return nil, err
	}
	truths, synonyms, err := chairTruths(f)
	if err != nil {
		return nil, err
	}
	if f.Synonyms != "" {
		if synonyms, err = ReadSynonyms(f.Synonyms); err != nil {
			return nil, err
		}
	}
	if synonyms == nil {
		return nil, fmt.Errorf("score: CHAIR needs a file of synonyms, a line of words for each object")
	}
	return NewChair(synonyms, nil, nil).Score(f, truths)
}

// Score scores captions of pictures whose truth is known.
func (c *Chair) Score(f Files, truths map[string]ChairTruth) (*Report, error) {
	a, err := OpenAnswers(nil, f.Answers...)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	r := &Report{Benchmark: "chair", Main: "CHAIRi", Faults: a.faults}
	captions, sentences, mentioned, wrong := 0, 0, 0, 0
	for _, id := range slices.Sorted(maps.Keys(truths)) {
		if _, ok := a.last(id); !ok {
			continue
		}
		x, _, err := a.find(id)
		if err != nil {
			return nil, err
		}
		there := c.Truth(truths[id])
		_, mentions := c.Words(x.Text)
		bad := 0
		for _, m := range mentions {
			if !slices.Contains(there, c.name[m]) {
				bad++
			}
		}
		captions, mentioned, wrong = captions+1, mentioned+len(mentions), wrong+bad
		if bad > 0 {
			sentences++
		}
		r.Items = append(r.Items, Item{id, number(bad == 0)})
	}
	if err := a.done(f.Annotations, len(truths)); err != nil {
		return nil, err
	}
	r.add("CHAIRs", ratio(sentences, captions), captions)
	r.add("CHAIRi", ratio(wrong, mentioned), 0)
	r.add("mentions", float64(mentioned), 0)
	return r, nil
}

// The steps of NLTK's word tokenizer (Penn Treebank's rules with NLTK's additions), in its order. Patterns with a
// look-ahead are in treebank.
var (
	treebankQuotes = []rule{
		{
			regexp.MustCompile("([«“‘„]|`+)"),
			" $1 ",
		}, {regexp.MustCompile(`^"`), "``"}, {regexp.MustCompile("(``)"), " $1 "},
		{regexp.MustCompile(`([ (\[{<])("|'{2})`), "$1 `` "},
	}
	treebankMarks = []rule{
		{
			regexp.MustCompile(`([^.])(\.)([\])}>"'»”’ ]*)\s*$`),
			"$1 $2 $3 ",
		}, {regexp.MustCompile(`([:,])([^\p{Nd}])`), " $1 $2"},
		{
			regexp.MustCompile(`([:,])$`),
			" $1 ",
		}, {regexp.MustCompile(`(\.{2,})`), " $1 "}, {regexp.MustCompile(`([;@#$%&])`), " $1 "},
		{regexp.MustCompile(`([^.])(\.)([\])}>"']*)\s*$`), "$1 $2$3 "}, {regexp.MustCompile(`([?!])`), " $1 "},
		{
			regexp.MustCompile(`([^'])' `),
			"$1 ' ",
		}, {regexp.MustCompile(`(\*)`), " $1 "}, {regexp.MustCompile(`([\]\[(){}<>])`), " $1 "},
		{regexp.MustCompile(`--`), " -- "},
	}
	treebankEnds = []rule{
		{regexp.MustCompile(`([»”’])`), " $1 "}, {regexp.MustCompile(`''`), " '' "}, {regexp.MustCompile(`"`), " '' "},
		{
			regexp.MustCompile(`([^' ])('[sS]|'[mM]|'[dD]|') `),
			"$1 $2 ",
		}, {regexp.MustCompile(`([^' ])('ll|'LL|'re|'RE|'ve|'VE|n't|N'T) `), "$1 $2 "},
		{regexp.MustCompile(`(?i)\b(can)(not)\b`), " $1 $2 "}, {regexp.MustCompile(`(?i)\b(d)('ye)\b`), " $1 $2 "},
		{regexp.MustCompile(`(?i)\b(gim)(me)\b`), " $1 $2 "}, {regexp.MustCompile(`(?i)\b(gon)(na)\b`), " $1 $2 "},
		{regexp.MustCompile(`(?i)\b(got)(ta)\b`), " $1 $2 "}, {regexp.MustCompile(`(?i)\b(lem)(me)\b`), " $1 $2 "},
		{regexp.MustCompile(`(?i)\b(more)('n)\b`), " $1 $2 "}, {regexp.MustCompile(`(?i)\b(wan)(na)(\s)`), " $1 $2 $3"},
		{regexp.MustCompile(`(?i) ('t)(is)\b`), " $1 $2 "}, {regexp.MustCompile(`(?i) ('t)(was)\b`), " $1 $2 "},
	}
	treebankApostrophe = regexp.MustCompile(`'(\w)\b`)
)

type rule struct {
	find    *regexp.Regexp
	replace string
}

func apply(text string, rules []rule) string {
	for _, r := range rules {
		text = r.find.ReplaceAllString(text, r.replace)
	}
	return text
}

// treebank cuts a text into words as NLTK's word_tokenize does with preserve_line.
func treebank(text string) []string {
	text = apply(text, treebankQuotes)
	text = treebankApostrophe.ReplaceAllStringFunc(text, func(m string) string {
		if strings.Contains("mMtTsSdDnN", m[1:]) { // an apostrophe and one letter that is a word's end stay together
			return m
		}
		return "' " + m[1:]
	})
	return fields(apply(" "+apply(text, treebankMarks)+" ", treebankEnds))
}
