package llm

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every setting of generation_config.json gives the probabilities that transformers' processors give
// (testdata/sampling/make.py).
func TestSamplingEqualsTransformers(t *testing.T) {
	raw, err := os.ReadFile("testdata/sampling/sampling.json")
	require.NoError(t, err)
	var f struct {
		EOS   []int
		Cases []struct {
			Settings          map[string]json.RawMessage
			Prompt, Generated []int32
			Logits            []float32
			Probabilities     []float64
		}
	}
	require.NoError(t, json.Unmarshal(raw, &f))
	require.Len(t, f.Cases, 108)
	for i, c := range f.Cases {
		c.Settings["do_sample"] = json.RawMessage("true")
		g, err := parseGeneration(c.Settings)
		require.NoError(t, err)
		require.Empty(t, g.Ignored)
		o := g.Options
		choice := choice{Sampling: o.Sampling, eos: f.EOS, forcedBOS: o.ForcedBOS, forcedEOS: o.ForcedEOS,
			minLength: o.MinLength, minNew: o.MinNewTokens,
			maxNew: o.MaxNewTokens, prompt: len(c.Prompt)}
		got := choice.probabilities(c.Logits, c.Prompt, c.Generated)
		s, _ := json.Marshal(c.Settings)
		require.InDeltaSlice(t, c.Probabilities, got, 2e-6, "case %d: %s, prompt %v, generated %v", i, s, c.Prompt,
			c.Generated)
	}
}

// A top_p of 0 that a file has leaves the most likely token alone, and a length_penalty of 0 leaves sums as they are.
func TestWrittenZeros(t *testing.T) {
	g, err := parseGeneration(map[string]json.RawMessage{"do_sample": json.RawMessage("true"),
		"top_p": json.RawMessage("0"), "length_penalty": json.RawMessage("0")})
	require.NoError(t, err)
	require.Equal(t, []float64{0, 1, 0}, g.Options.Sampling.Probabilities([]float32{1, 1.1, 1}, nil, nil))
	require.Equal(t, 1.0, math.Pow(17, g.Options.LengthPenalty))
}

// No token is chosen from NaN or Inf, nor where all are forbidden.
func TestLogitsThatAreNotFinite(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, temperature := range []float64{0, 1} {
		for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			c := choice{Sampling: Sampling{Temperature: temperature}}
			_, err := c.next([]float32{1, float32(v), 2}, nil, []int32{0}, r)
			require.ErrorContains(t, err, "new token 1: the logit of id 1 is")
		}
		c := choice{Sampling: Sampling{Temperature: temperature, Suppress: []int32{0, 1, 2}}}
		_, err := c.next([]float32{1, 3, 2}, nil, nil, r)
		require.ErrorContains(t, err, "leave no token to choose")
		c.Suppress = []int32{1}
		id, err := c.next([]float32{1, 30, 200}, nil, nil, r)
		require.NoError(t, err)
		require.EqualValues(t, 2, id)
	}
}

func TestSamplingRefuses(t *testing.T) {
	for says, s := range map[string]Sampling{
		"Temperature NaN": {Temperature: math.NaN()}, "Temperature -1": {Temperature: -1}, "TopK -1": {TopK: -1},
		"TopP 1.5": {TopP: 1.5}, "MinP NaN": {MinP: math.NaN()},
		"TypicalP -1": {TypicalP: -1}, "RepetitionPenalty -2": {RepetitionPenalty: -2},
		"PresencePenalty +Inf": {PresencePenalty: math.Inf(1)},
		"NoRepeatNGram -1":     {NoRepeatNGram: -1}, "LogitBias 1 of id 9": {LogitBias: map[int32]float64{9: 1}},
		"LogitBias NaN":      {LogitBias: map[int32]float64{1: math.NaN()}},
		"id -1 lies outside": {Suppress: []int32{-1}}, "id 9 lies outside": {BadWords: [][]int32{{1,
			9}}}, "an empty sequence": {BadWords: [][]int32{{}}},
	} {
		require.ErrorContains(t, s.check(9), says)
	}
	require.NoError(t, (&Sampling{LogitBias: map[int32]float64{8: math.Inf(-1)}, TopP: 1, TypicalP: 1,
		MinP: 1}).check(9))
}

// Log-probabilities are those of the plain softmax, the most likely first, equal ones by id.
func TestTopCandidates(t *testing.T) {
	got := scoredToken(3, []float32{1, 5, 3, 2, 5, -1}, 3)
	p := logSoftmax([]float32{1, 5, 3, 2, 5, -1})
	require.Equal(t, Token{ID: 3, LogProb: p[3], Top: []Candidate{{1, p[1]}, {4, p[4]}, {2, p[2]}}}, got)
	sum := 0.0
	for _, v := range p {
		sum += math.Exp(v)
	}
	require.InDelta(t, 1, sum, 1e-12)
	require.Nil(t, scoredToken(3, []float32{1, 5, 3, 2}, 0).Top)
}

// Settings at the ends of what is allowed leave a distribution, as the numbers of which they are made are float32's.
func TestExtremeSettings(t *testing.T) {
	z, seen := []float32{0, 2, -1, 1}, []int32{0, 1, 2}
	for _, c := range []struct {
		Sampling
		want []float64
	}{
		{Sampling{Temperature: 1e-300}, []float64{0, 1, 0, 0}},
		{Sampling{Temperature: 1e300, Suppress: []int32{1}}, []float64{1. / 3, 0, 1. / 3, 1. / 3}},
		{Sampling{Temperature: 1, LogitBias: map[int32]float64{3: 1e300}}, []float64{0, 0, 0, 1}},
		{Sampling{Temperature: 1, LogitBias: map[int32]float64{1: -1e300, 3: math.Inf(-1)}},
			[]float64{0.731059, 0, 0.268941, 0}},
		{Sampling{Temperature: 1, RepetitionPenalty: 1e300}, []float64{0.211942, 0.211942, 0, 0.576117}},
		{Sampling{Temperature: 1, PresencePenalty: -1e300}, []float64{1. / 3, 1. / 3, 1. / 3, 0}},
		{Sampling{Temperature: 1, FrequencyPenalty: 1e300}, []float64{0, 0, 0, 1}},
	} {
		require.InDeltaSlice(t, c.want, c.Probabilities(z, nil, seen), 1e-6, "%+v", c.Sampling)
	}
}

// What goes eight at a time finds the same at every length and place: the first of the largest, and what is not finite.
func TestLogitsAtEveryPlace(t *testing.T) {
	for n := 1; n < 36; n++ {
		for at := range n {
			z := make([]float32, n)
			for i := range z {
				z[i] = float32(i*7%5) - 9
			}
			z[at], z[n-1] = 3, 3
			require.Equal(t, at, argmax(z), "%d of %d", at, n)
			require.Equal(t, at, above(z, 0, 2.5))
			require.Equal(t, n, above(z, 0, 3))
			require.NoError(t, checkFinite(z, 0))
			for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
				z[at] = float32(v)
				require.ErrorContains(t, checkFinite(z, 4), fmt.Sprintf("new token 4: the logit of id %d is", at))
			}
		}
	}
}

// Top-p keeps what sorting all probabilities keeps, in steep, flat and tied distributions.
func TestNucleusEqualsSorting(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 3))
	for _, n := range []int{1, 2, 3, 17, 33, 1031, 20000} {
		for _, spread := range []float64{0, 1e-3, 1, 5, 60, 400} {
			for _, least := range []float64{1e-9, 0.1, 0.5, 0.9, 0.95, 1 - 1e-9} {
				z := make([]float32, n)
				for i := range z {
					if z[i] = float32(spread * r.NormFloat64()); i%3 == 1 {
						z[i] = z[i-1]
					}
				}
				order := make([]int, n)
				p, top, sum, likely := make([]float64, n), slices.Max(z), 0.0, 0.0
				for i := range order {
					order[i], p[i] = i, math.Exp(float64(z[i]-top))
					sum += p[i]
				}
				slices.SortFunc(order, func(a, b int) int { return cmp.Or(cmp.Compare(z[b], z[a]), b-a) })
				got := Sampling{Temperature: 1, TopP: least}.Probabilities(z, nil, nil)
				const rounding = 1e-6 // of float32: up to so much from the bound, one token more or less is as good
				for _, i := range order {
					switch {
					case likely < least-rounding && p[i]/sum > 1e-37:
						require.Positive(t, got[i], "%d tokens, spread %v, top-p %v", n, spread, least)
					case likely > least+rounding:
						require.Zero(t, got[i], "%d tokens, spread %v, top-p %v", n, spread, least)
					}
					likely += p[i] / sum
				}
			}
		}
	}
}

func TestExp(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 7))
	for range 100000 {
		x := -math.Exp(r.Float64()*50 - 42)
		if want := math.Exp(x); x > -700 {
			require.InEpsilon(t, want, exp(x), 1e-15, "%v", x)
		} else {
			require.Equal(t, want, exp(x), "%v", x)
		}
	}
	require.Equal(t, []float64{1, 1, 0}, []float64{exp(0), exp(math.Copysign(0, -1)), exp(math.Inf(-1))})
	require.True(t, math.IsNaN(exp(math.NaN())))
}

// The k-th largest is that of the sorted numbers, with equal ones and −Inf among them.
func TestLargest(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 5))
	for _, n := range []int{2, 3, 17, 33, 1031} {
		for k := 1; k < n; k += 1 + k/7 {
			x := make([]float32, n)
			for i := range x {
				if x[i] = float32(r.IntN(n)); r.IntN(5) == 0 {
					x[i] = float32(math.Inf(-1))
				}
			}
			require.Equal(t, slices.Sorted(slices.Values(x))[n-k], largest(x, k), "%d of %v", k, x)
		}
	}
}

func BenchmarkChoice(b *testing.B) {
	r := rand.New(rand.NewPCG(2, 3))
	logits := make([]float32, 49152)
	for i := range logits {
		logits[i] = 4 * float32(r.NormFloat64())
	}
	for name, s := range map[string]Sampling{"greedy": {}, "temperature": {Temperature: 1},
		"top-p": {Temperature: 0.8, TopP: 0.95}, "top-k": {Temperature: 0.8, TopK: 40}} {
		b.Run(name, func(b *testing.B) {
			c := choice{Sampling: s}
			for b.Loop() {
				_, err := c.next(logits, nil, nil, r)
				require.NoError(b, err)
			}
		})
	}
}
