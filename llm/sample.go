package llm

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/gollava/gollava/tensor"
)

// Sampling sets how the next token is chosen from the logits. The zero value is greedy: the most likely token. Names
// and effects are those of transformers' GenerationConfig, but for the two penalties that OpenAI defines. "Seen" are
// the ids of the prompt, padding and images left out, and those generated so far.
type Sampling struct {
	Temperature float64 // divides the logits; 0: greedy
	TopK        int     // keep the k most likely; 0: all
	TopP        float64 // keep the most likely that together reach p; 0 or 1: all; 1e-300: one
	MinP        float64 // keep those at least MinP times as likely as the most likely one; 0: all
	TypicalP    float64 // keep those whose surprise is nearest to the entropy and that together reach p; 0 or 1: all
	Seed        uint64

	RepetitionPenalty float64 // divides positive logits of ids seen and multiplies negative ones; 0 or 1: none
	PresencePenalty   float64 // subtracted once from the logits of ids generated so far (OpenAI)
	FrequencyPenalty  float64 // subtracted as often as an id was generated so far (OpenAI)

	LogitBias     map[int32]float64 // added to the logits of these ids
	NoRepeatNGram int               // no_repeat_ngram_size: no n ids in a row occur twice in what was seen; 0: allowed
	BadWords      [][]int32         // bad_words_ids: sequences that are not completed
	Suppress      []int32           // suppress_tokens: never chosen
	BeginSuppress []int32           // begin_suppress_tokens: not chosen as the first new token
}

// check returns an error that names the first field that is out of range for a vocabulary of the given size.
func (s *Sampling) check(vocabulary int) error {
	outside := func(p float64) bool { return !(p >= 0 && p <= 1) }
	switch {
	case !(s.Temperature >= 0) || math.IsInf(s.Temperature, 0):
		return fmt.Errorf("llm: Temperature %v must be a number that is not negative", s.Temperature)
	case s.TopK < 0:
		return fmt.Errorf("llm: TopK %d must not be negative", s.TopK)
	case outside(s.TopP):
		return fmt.Errorf("llm: TopP %v lies outside [0, 1]", s.TopP)
	case outside(s.MinP):
		return fmt.Errorf("llm: MinP %v lies outside [0, 1]", s.MinP)
	case outside(s.TypicalP):
		return fmt.Errorf("llm: TypicalP %v lies outside [0, 1]", s.TypicalP)
	case !(s.RepetitionPenalty >= 0) || math.IsInf(s.RepetitionPenalty, 0):
		return fmt.Errorf("llm: RepetitionPenalty %v must be a number that is not negative", s.RepetitionPenalty)
	case !finite(s.PresencePenalty) || !finite(s.FrequencyPenalty):
		return fmt.Errorf("llm: PresencePenalty %v and FrequencyPenalty %v must be finite", s.PresencePenalty,
			s.FrequencyPenalty)
	case s.NoRepeatNGram < 0:
		return fmt.Errorf("llm: NoRepeatNGram %d must not be negative", s.NoRepeatNGram)
	}
	for id, v := range s.LogitBias {
		if id < 0 || int(id) >= vocabulary || math.IsNaN(v) || math.IsInf(v, 1) {
			return fmt.Errorf("llm: LogitBias %v of id %d: ids lie in [0, %d), biases are numbers or −Inf", v, id, vocabulary)
		}
	}
	for _, word := range append(slices.Clone(s.BadWords), s.Suppress, s.BeginSuppress) {
		for _, id := range word {
			if id < 0 || int(id) >= vocabulary {
				return fmt.Errorf("llm: BadWords, Suppress or BeginSuppress: id %d lies outside the vocabulary of %d", id,
					vocabulary)
			}
		}
	}
	for _, word := range s.BadWords {
		if len(word) == 0 {
			return fmt.Errorf("llm: BadWords: an empty sequence")
		}
	}
	return nil
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// Probabilities returns the distribution that the next token is drawn from, given the ids of the prompt, without
// padding, and those generated so far. logits is not changed. With a Temperature of 0 it is the softmax after penalties
// and bans. It panics if logits is empty.
func (s Sampling) Probabilities(logits []float32, prompt, generated []int32) []float64 {
	if s.Temperature == 0 {
		s.Temperature, s.TopK, s.TopP, s.MinP, s.TypicalP = 1, 0, 0, 0, 0
	}
	return (&choice{Sampling: s, prompt: len(prompt)}).probabilities(logits, prompt, generated)
}

// probabilities are those that the next token is drawn with.
func (c *choice) probabilities(logits []float32, prompt, generated []int32) []float64 {
	z := c.scores(logits, prompt, generated, false)
	p, sum := make([]float64, len(logits)), 0.0
	list := c.candidates(z[argmax(z)])
	for _, one := range list {
		sum += one.p
	}
	for _, one := range list {
		p[one.id] = one.p / sum
	}
	return p
}

// choice is Sampling with what ends a sequence.
type choice struct {
	Sampling
	eos                  []int
	forcedBOS, forcedEOS []int
	minLength, minNew    int
	maxNew               int
	prompt               int // positions of the prompt, images included
	allow                func(generated []int32, id int32) bool
	z                    *tensor.Tensor // scores, [V]
	list                 []candidate    // memory for those that may be drawn
}

// scores applies transformers' logits processors in their order, up to temperature; what may not be chosen is −Inf.
// The next call overwrites the result.
func (c *choice) scores(logits []float32, prompt, generated []int32, masked bool) []float32 {
	if c.z == nil || c.z.Dim(0) != len(logits) {
		c.z = tensor.New(len(logits))
	}
	z := c.z.Host().Data()
	copy(z, logits)
	c.penalise(z, prompt, generated)
	hidden := float32(math.Inf(-1))
	hide := func(ids ...int32) {
		for _, id := range ids {
			if id >= 0 && int(id) < len(z) {
				z[id] = hidden
			}
		}
	}
	if len(generated) < c.minNew || c.prompt+len(generated) < c.minLength {
		for _, id := range c.eos {
			if id >= 0 && id < len(z) { // −1 in a checkpoint is no token
				z[id] = hidden
			}
		}
	}
	if c.prompt+len(generated) == 1 {
		force(z, c.forcedBOS)
	}
	if len(generated) == c.maxNew-1 {
		force(z, c.forcedEOS)
	}
	hide(c.Suppress...)
	if len(generated) == 0 {
		hide(c.BeginSuppress...)
	}
	if masked {
		for i, v := range z {
			if v > hidden && !c.allow(generated, int32(i)) {
				z[i] = hidden
			}
		}
	}
	return z
}

// score is x as a score: finite, but for −Inf.
func score(x float64) float32 {
	if math.IsInf(x, -1) {
		return float32(x)
	}
	return float32(min(max(x, -math.MaxFloat32), math.MaxFloat32))
}

// penalise adds the bias, applies the penalties and hides what would complete a repeated n-gram or a bad word.
func (c *choice) penalise(z []float32, prompt, generated []int32) {
	for id, v := range c.LogitBias {
		z[id] = score(float64(z[id]) + v)
	}
	if p := c.RepetitionPenalty; p != 0 && p != 1 {
		done := map[int32]bool{}
		for _, ids := range [2][]int32{prompt, generated} {
			for _, id := range ids {
				if done[id] || id < 0 || int(id) >= len(z) {
					continue
				}
				if done[id] = true; z[id] > 0 {
					z[id] = score(float64(z[id]) / p)
				} else {
					z[id] = score(float64(z[id]) * p)
				}
			}
		}
	}
	if c.PresencePenalty != 0 || c.FrequencyPenalty != 0 {
		count := map[int32]float64{}
		for _, id := range generated {
			count[id]++
		}
		for id, n := range count {
			if int(id) < len(z) {
				z[id] = score(float64(z[id]) - n*c.FrequencyPenalty - c.PresencePenalty)
			}
		}
	}
	if n := c.NoRepeatNGram; n > 0 {
		seen := slices.Concat(prompt, generated)
		for i := 0; i+n <= len(seen); i++ {
			if gram := seen[i : i+n]; slices.Equal(gram[:n-1], seen[len(seen)-n+1:]) && gram[n-1] >= 0 &&
				int(gram[n-1]) < len(z) {
				z[gram[n-1]] = float32(math.Inf(-1))
			}
		}
	}
	for _, word := range c.BadWords {
		n := len(word) - 1
		if n == 0 && slices.Contains(c.eos, int(word[0])) {
			continue // an end token alone is no bad word
		}
		if n == 0 || ends(prompt, generated, word[:n]) {
			z[word[n]] = float32(math.Inf(-1))
		}
	}
}

// ends reports whether prompt and generated, one after the other, end in tail.
func ends(prompt, generated, tail []int32) bool {
	if n := len(tail); n > len(generated) {
		generated = slices.Concat(prompt[max(len(prompt)-n, 0):], generated)
	}
	n := len(generated) - len(tail)
	return n >= 0 && slices.Equal(generated[n:], tail)
}

// force leaves ids alone, all equally likely; without any it changes nothing.
func force(z []float32, ids []int) {
	if len(ids) == 0 {
		return
	}
	for i := range z {
		z[i] = float32(math.Inf(-1))
	}
	for _, id := range ids {
		z[id] = 0
	}
}

// next chooses a token. Logits that are not finite, and a ban of every token, are errors.
func (c *choice) next(logits []float32, prompt, generated []int32, r *rand.Rand) (int32, error) {
	if err := checkFinite(logits, len(generated)); err != nil {
		return 0, err
	}
	id, err := c.draw(c.scores(logits, prompt, generated, false), len(generated), r)
	if err != nil || c.allow == nil || c.allow(generated, id) {
		return id, err
	}
	return c.draw(c.scores(logits, prompt, generated, true), len(generated), r)
}

// ErrNoToken ends a generation whose settings leave no token to choose.
var ErrNoToken = errors.New("penalties, bans and what is allowed leave no token to choose")

// draw picks a token from scores, of which −Inf is never picked.
func (c *choice) draw(z []float32, n int, r *rand.Rand) (int32, error) {
	best := argmax(z)
	if math.IsInf(float64(z[best]), -1) {
		return 0, fmt.Errorf("llm: new token %d: %w", n, ErrNoToken)
	}
	if c.Temperature <= 0 {
		return int32(best), nil
	}
	list, sum := c.candidates(z[best]), 0.0
	for _, one := range list {
		sum += one.p
	}
	u := r.Float64() * sum
	for _, one := range list {
		if u -= one.p; u < 0 {
			return int32(one.id), nil
		}
	}
	return int32(best), nil
}

// ErrNotFinite is wrapped by errors about logits that are NaN or infinite.
var ErrNotFinite = errors.New("")

// checkFinite returns an error if the logits of the n-th new token are not all finite.
func checkFinite(logits []float32, n int) error {
	at := 0
	for len(logits)-at >= 8 { // 0·x + … is 0, or NaN with any that is not finite
		x := logits[at:][:8]
		if (0*x[0]+0*x[1])+(0*x[2]+0*x[3])+((0*x[4]+0*x[5])+(0*x[6]+0*x[7])) != 0 {
			break
		}
		at += 8
	}
	for id := at; id < len(logits); id++ {
		if v := logits[id]; v-v != 0 {
			return fmt.Errorf("llm: new token %d: the logit of id %d is %v: the model's weights or inputs hold NaN "+
				"or Inf, or overflow%w", n, id, v, ErrNotFinite)
		}
	}
	return nil
}

// argmax is the index of the first of the largest elements.
func argmax(z []float32) int {
	best, top := 0, z[0]
	for i := 0; i < len(z); i++ {
		if i = above(z, i, top); i < len(z) {
			best, top = i, z[i]
		}
	}
	return best
}

// above is the index, from at on, of the first element that is larger than least; len(z) if there is none.
func above(z []float32, at int, least float32) int {
	for ; len(z)-at >= 8; at += 8 {
		x := z[at:][:8]
		if x[0] > least || x[1] > least || x[2] > least || x[3] > least || x[4] > least || x[5] > least ||
			x[6] > least || x[7] > least {
			break
		}
	}
	for at < len(z) && !(z[at] > least) {
		at++
	}
	return at
}

func logSoftmax(z []float32) []float64 {
	top := float64(slices.Max(z))
	sum := 0.0
	for _, v := range z {
		sum += exp(float64(v) - top)
	}
	l := top + math.Log(sum)
	p := make([]float64, len(z))
	for i, v := range z {
		p[i] = float64(v) - l
	}
	return p
}

// Token is a generated token. LogProb and Top are the model's own, before any penalty or truncation; they are set if
// asked for.
type Token struct {
	ID      int32
	LogProb float64
	Top     []Candidate // the most likely ones at this step, most likely first
}

// Candidate is a token that might have been chosen.
type Candidate struct {
	ID      int32
	LogProb float64
}

// scored returns the token id with its log-probability and those of the n most likely.
func scoredToken(id int32, logits []float32, n int) Token {
	p := logSoftmax(logits)
	t := Token{ID: id, LogProb: p[id]}
	if n <= 0 {
		return t
	}
	for i, v := range p {
		at, _ := slices.BinarySearchFunc(t.Top, v, func(c Candidate, v float64) int {
			if c.LogProb >= v {
				return -1
			}
			return 1
		})
		if at < n {
			if t.Top = slices.Insert(t.Top, at, Candidate{int32(i), v}); len(t.Top) > n {
				t.Top = t.Top[:n]
			}
		}
	}
	return t
}
