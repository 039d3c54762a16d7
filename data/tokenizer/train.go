package tokenizer

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strings"
	"unicode/utf8"
)

// TrainConfig says what Train shall make.
type TrainConfig struct {
	Size     int      // tokens in all: special tokens, 256 bytes, and what is learnt
	Specials []string // the first ids, in this order: <s>, </s>, <image>, …
	BOS      string   // one of Specials, or empty; Wrap puts it first
	EOS, Pad string   // each one of Specials, or empty
	MinCount int      // how often a pair, a word or a character must occur; 0: twice

	// Words makes every token a whole word, the most frequent first, where otherwise pairs are merged. Other words are
	// spelled in bytes. The file then needs version 0.19 or later of the tokenizers library.
	Words bool

	// ByteFallback reads characters, ▁ for a space, and writes those that are no token as <0x00> to <0xFF>, as Llama's
	// vocabularies do, but puts no ▁ before a text. Otherwise symbols are bytes, as in GPT-2's.
	ByteFallback bool
}

// Train learns a vocabulary for byte-pair encoding from texts (Sennrich et al., 2016): again and again the most
// frequent pair of neighbouring tokens within a word becomes a token, of equals the one with the lowest ids, which is
// the rule of the tokenizers library. Special tokens in the texts are cut out first. Same texts, in any order, same
// tokenizer. Where the texts do not hold enough that occurs MinCount times, it has fewer tokens than Size. Save writes
// it.
func Train(texts iter.Seq[string], c TrainConfig) (*Tokenizer, error) {
	if c.MinCount == 0 {
		c.MinCount = 2
	}
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("tokenizer: Train: %w", err)
	}
	l := &learner{config: c, ids: map[string]int32{}}
	for _, s := range c.Specials {
		l.token(s)
	}
	words, err := l.count(texts)
	if err != nil {
		return nil, err
	}
	l.alphabet(words)
	if c.Words {
		l.wholeWords(words)
	} else {
		l.learn(words)
	}
	files, err := l.files()
	if err != nil {
		return nil, err
	}
	t, err := fromFiles(files)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: Train: %w", err)
	}
	for i, s := range c.Specials {
		if slices.Contains(t.Encode(l.written(s)), int32(i)) {
			return nil, fmt.Errorf("tokenizer: Train: special token %d, %q, would also be a token of text", i, s)
		}
	}
	return t, nil
}

// written returns the text that the model would see as s.
func (l *learner) written(s string) string {
	if l.config.ByteFallback {
		return strings.ReplaceAll(s, space, " ")
	}
	if b, ok := levelBytes(nil, s); ok {
		return string(b)
	}
	return s
}

// check finds what cannot be done.
func (c *TrainConfig) check() error {
	seen := map[string]bool{}
	for i, s := range c.Specials {
		if s == "" || seen[s] || !utf8.ValidString(s) {
			return fmt.Errorf("special token %d, %q, is empty, there twice or not UTF-8", i, s)
		}
		if _, isByte := byteToken(s); isByte || utf8.RuneCountInString(s) == 1 {
			return fmt.Errorf("special token %d, %q, would also be a token of text", i, s)
		}
		seen[s] = true
	}
	for _, x := range [][2]string{{"BOS", c.BOS}, {"EOS", c.EOS}, {"Pad", c.Pad}} {
		if x[1] != "" && !seen[x[1]] {
			return fmt.Errorf("%s %q is not among the special tokens %q", x[0], x[1], c.Specials)
		}
	}
	if least := len(c.Specials) + 257; c.Size < least || c.Size > maxSize {
		return fmt.Errorf("size %d: must be from %d (special tokens, 256 bytes and more) to %d", c.Size, least, maxSize)
	}
	if c.MinCount < 0 {
		return fmt.Errorf("MinCount is %d", c.MinCount)
	}
	return nil
}

// learner holds a vocabulary that grows.
type learner struct {
	config TrainConfig
	tokens []string // by id
	ids    map[string]int32
	merges [][2]string
}

// token returns the id of s, which gets the next one if it has none.
func (l *learner) token(s string) int32 {
	id, ok := l.ids[s]
	if !ok {
		id = int32(len(l.tokens))
		l.ids[s] = id
		l.tokens = append(l.tokens, s)
	}
	return id
}

func (l *learner) full() bool { return len(l.tokens) >= l.config.Size }

// counted is a word, its tokens so far, and how often the texts have it.
type counted struct {
	word  string // as the model sees it, in GPT-2's alphabet if symbols are bytes
	ids   []int32
	count int
}

// count cuts the texts into words as the finished tokenizer will. The words are sorted.
func (l *learner) count(texts iter.Seq[string]) ([]counted, error) {
	pre, level, err := pretokenization(l.config).preTokenizer("pre_tokenizer")
	if err != nil {
		return nil, err
	}
	specials := &added{}
	for i, s := range l.config.Specials {
		specials.list = append(specials.list, AddedToken{ID: int32(i), Content: s, Special: true})
	}
	specials.index(nil)
	counts := map[string]int{}
	f := &fast{pre: pre}
	if l.config.ByteFallback {
		f.norm = replaced(literalPattern(" "), space)
	}
	for text := range texts {
		p := newPassage(text, false)
		for _, x := range specials.split(p, specials.raw, &output{}, true) {
			if x.token == nil {
				q := p.slice(x.from, x.to)
				if f.norm != nil {
					q = f.norm(q)
				}
				f.section(q, x.from == 0, func(p passage, _ bool) { counts[p.text]++ })
			}
		}
	}
	words := make([]counted, 0, len(counts))
	for w, n := range counts {
		if level {
			w = levelString(w)
		}
		words = append(words, counted{word: w, count: n})
	}
	slices.SortFunc(words, func(a, b counted) int { return cmp.Compare(a.word, b.word) })
	return words, nil
}

// alphabet makes the tokens that any text can be written in, and those of single characters.
func (l *learner) alphabet(words []counted) {
	if !l.config.ByteFallback {
		runes := slices.Clone(byteRunes[:])
		slices.Sort(runes)
		for _, r := range runes {
			l.token(string(r))
		}
		return
	}
	for b := range 256 {
		l.token(fmt.Sprintf("<0x%02X>", b))
	}
	l.token(space)
	if l.config.Words {
		return
	}
	counts, total := map[rune]int{}, 0
	for _, w := range words {
		for _, r := range w.word {
			counts[r] += w.count
			total += w.count
		}
	}
	var runes []rune
	for r := range counts {
		runes = append(runes, r)
	}
	slices.SortFunc(runes, func(a, b rune) int { return cmp.Or(counts[b]-counts[a], int(a-b)) })
	room, covered := (l.config.Size-len(l.tokens))/2, 0
	for i, r := range runes {
		if counts[r] < l.config.MinCount || i >= room || float64(covered) > characterCoverage*float64(total) {
			break
		}
		covered += counts[r]
		l.token(string(r))
	}
}

// characterCoverage is the share of the text that characters of their own write; SentencePiece's default.
const characterCoverage = 0.9995

// wholeWords makes tokens of the most frequent words, of equals the first by bytes.
func (l *learner) wholeWords(words []counted) {
	slices.SortStableFunc(words, func(a, b counted) int { return b.count - a.count })
	for _, w := range words {
		if w.count < l.config.MinCount || l.full() {
			return
		}
		if _, isByte := byteToken(w.word); !isByte {
			l.token(w.word)
		}
	}
}
