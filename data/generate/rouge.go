package generate

import "strings"

// words are the tokens that ROUGE compares: runs of letters a to z and digits of the lower-cased text.
func words(s string) []string {
	return strings.FieldsFunc(
		strings.ToLower(s),
		func(r rune) bool { return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9') },
	)
}

// ROUGE is ROUGE-L's F1 of two texts (Lin 2004, without stemming): the harmonic mean of the shares of each text's
// words that their longest common subsequence covers.
func ROUGE(a, b string) float64 { return rougeWords(words(a), words(b)) }

func rougeWords(x, y []string) float64 {
	if len(x) == 0 || len(y) == 0 {
		return 0
	}
	row := make([]int, len(y)+1)
	for _, u := range x {
		before := 0
		for j, v := range y {
			old := row[j+1]
			if u == v {
				row[j+1] = before + 1
			} else {
				row[j+1] = max(row[j+1], row[j])
			}
			before = old
		}
	}
	if row[len(y)] == 0 {
		return 0
	}
	p, r := float64(row[len(y)])/float64(len(y)), float64(row[len(y)])/float64(len(x))
	return 2 * p * r / (p + r)
}

// Pool holds texts that differ from each other: Self-Instruct's filter. It is not safe for concurrent use.
type Pool struct {
	limit float64
	texts [][]string
}

// NewPool makes a pool of texts whose ROUGE-L is below limit.
func NewPool(limit float64) *Pool { return &Pool{limit: limit} }

// Add keeps a text unless one that is there is too similar, and reports whether it did.
func (p *Pool) Add(text string) bool {
	w := words(text)
	for _, t := range p.texts {
		// The longest common subsequence is at most the shorter text, which bounds the F1.
		short, long := min(len(w), len(t)), max(len(w), len(t))
		if long > 0 && 2*float64(short)/float64(short+long) < p.limit {
			continue
		}
		if rougeWords(t, w) >= p.limit {
			return false
		}
	}
	p.texts = append(p.texts, w)
	return true
}
