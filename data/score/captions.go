package score

import (
	"fmt"
	"math"
	"strings"

	"github.com/gollava/gollava/internal/jsonrecord"
	"github.com/gollava/gollava/internal/misuse"
)

func captionBenchmark() Benchmark {
	return Benchmark{
		Name: "captions", Title: "COCO captions", Main: "CIDEr", Scale: 100, Max: 100,
		Needs: "annotations (captions_val2014.json or another file in COCO's form)",
		Score: scoreCaptions, Ask: askCaptions, Upload: uploadCaptions,
	}
}

// CaptionScore is what captions of the same pictures are worth, with a score for each picture in their order.
type CaptionScore struct {
	BLEU  [4]float64 // BLEU-1 to BLEU-4 of the whole set
	CIDEr float64    // mean of CIDErs
	ROUGE float64    // mean of ROUGEs: ROUGE-L with β = 1.2

	BLEUs  [][4]float64
	CIDErs []float64
	ROUGEs []float64
}

// ScoreCaptions scores tokenised captions against tokenised references as pycocoevalcap does: tokens separated by
// single spaces. It panics if there are not as many of each, and a picture without references counts with BLEU and
// ROUGE of 0.
func ScoreCaptions(references [][]string, captions []string) CaptionScore {
	if len(references) != len(captions) {
		panic(misuse.Errorf("score", "%d captions for %d pictures", len(captions), len(references)))
	}
	var s CaptionScore
	s.BLEU, s.BLEUs = bleu(references, captions)
	s.CIDEr, s.CIDErs = cider(references, captions)
	for i, refs := range references {
		x := rouge(refs, captions[i])
		s.ROUGEs = append(s.ROUGEs, x)
		s.ROUGE += x
	}
	s.ROUGE /= float64(max(1, len(captions)))
	return s
}

// ngrams counts the n-grams of each length from 1 to 4.
func ngrams(tokens []string) (count [4]map[string]int) {
	for n := range count {
		count[n] = map[string]int{}
		for i := 0; i+n < len(tokens); i++ {
			count[n][strings.Join(tokens[i:i+n+1], " ")]++
		}
	}
	return count
}

// bleu is BLEU over the set and for each caption: clipped counts, the closest reference length (of two the shorter),
// brevity penalty, and pycocoevalcap's small constants.
func bleu(references [][]string, captions []string) (all [4]float64, each [][4]float64) {
	const tiny, small = 1e-15, 1e-9
	var right, guess [4]int
	length, reference := 0, 0
	measure := func(right, guess [4]int, length, reference int) (b [4]float64) {
		product := 1.0
		ratio := (float64(length) + tiny) / (float64(reference) + small)
		for n := range b {
			product *= (float64(right[n]) + tiny) / (float64(guess[n]) + small)
			b[n] = math.Pow(product, 1/float64(n+1))
			if ratio < 1 {
				b[n] *= math.Exp(1 - 1/ratio)
			}
		}
		return b
	}
	for i, c := range captions {
		tokens := fields(c)
		counts := ngrams(tokens)
		var most [4]map[string]int
		closest := -1
		for k, r := range references[i] {
			words := fields(r)
			for n, count := range ngrams(words) {
				if k == 0 {
					most[n] = map[string]int{}
				}
				for g, x := range count {
					most[n][g] = max(most[n][g], x)
				}
			}
			d, old := abs(len(words)-len(tokens)), abs(closest-len(tokens))
			if k == 0 || d < old || d == old && len(words) < closest {
				closest = len(words)
			}
		}
		closest = max(closest, 0)
		var own, tried [4]int
		for n, count := range counts {
			tried[n] = max(0, len(tokens)-n)
			for g, x := range count {
				own[n] += min(x, most[n][g])
			}
			right[n], guess[n] = right[n]+own[n], guess[n]+tried[n]
		}
		length, reference = length+len(tokens), reference+closest
		each = append(each, measure(own, tried, len(tokens), closest))
	}
	return measure(right, guess, length, reference), each
}

func abs(x int) int { return max(x, -x) }

// cider is CIDEr-D: tf-idf vectors of n-grams, the document frequencies taken from the references of the set itself,
// clipped, with a Gaussian penalty (σ = 6) on the difference in length, which pycocoevalcap counts in bigrams.
func cider(references [][]string, captions []string) (mean float64, each []float64) {
	df := map[string]float64{}
	for _, refs := range references {
		seen := map[string]bool{}
		for _, r := range refs {
			for _, count := range ngrams(fields(r)) {
				for g := range count {
					seen[g] = true
				}
			}
		}
		for g := range seen {
			df[g]++
		}
	}
	documents := math.Log(float64(len(captions)))
	type vector struct {
		weight [4]map[string]float64
		norm   [4]float64
		length int
	}
	vec := func(text string) (v vector) {
		tokens := fields(text)
		v.length = max(0, len(tokens)-1)
		for n, count := range ngrams(tokens) {
			v.weight[n] = make(map[string]float64, len(count))
			sum := 0.0
			for i := 0; i+n < len(tokens); i++ { // in the text's order, so that the sum is always the same
				g := strings.Join(tokens[i:i+n+1], " ")
				if _, ok := v.weight[n][g]; ok {
					continue
				}
				w := float64(count[g]) * (documents - math.Log(math.Max(1, df[g])))
				v.weight[n][g] = w
				sum += w * w
			}
			v.norm[n] = math.Sqrt(sum)
		}
		return v
	}
	for i, c := range captions {
		hyp := vec(c)
		tokens := fields(c)
		var sums [4]float64
		for _, r := range references[i] {
			ref := vec(r)
			delta := float64(hyp.length - ref.length)
			for n := range sums {
				x := 0.0
				seen := map[string]bool{}
				for k := 0; k+n < len(tokens); k++ {
					g := strings.Join(tokens[k:k+n+1], " ")
					if !seen[g] {
						seen[g] = true
						x += math.Min(hyp.weight[n][g], ref.weight[n][g]) * ref.weight[n][g]
					}
				}
				if hyp.norm[n] != 0 && ref.norm[n] != 0 {
					x /= hyp.norm[n] * ref.norm[n]
				}
				sums[n] += x * math.Exp(-(delta*delta)/(2*6*6))
			}
		}
		score := 0.0
		if len(references[i]) > 0 {
			score = (sums[0] + sums[1] + sums[2] + sums[3]) / 4 / float64(len(references[i])) * 10
		}
		each = append(each, score)
		mean += score
	}
	return mean / float64(max(1, len(captions))), each
}

// rouge is ROUGE-L: the best precision and the best recall over the references, each by itself, of the longest common
// subsequence.
func rouge(references []string, caption string) float64 {
	const beta = 1.2
	tokens := strings.Split(caption, " ")
	p, r := 0.0, 0.0
	for _, ref := range references {
		words := strings.Split(ref, " ")
		common := float64(longestCommon(tokens, words))
		p, r = max(p, common/float64(len(tokens))), max(r, common/float64(len(words)))
	}
	if p == 0 || r == 0 {
		return 0
	}
	return (1 + beta*beta) * p * r / (r + beta*beta*p)
}

// longestCommon is the length of the longest common subsequence.
func longestCommon(a, b []string) int {
	row := make([]int, len(b)+1)
	for _, x := range a {
		before := 0
		for j, y := range b {
			old := row[j+1]
			if x == y {
				row[j+1] = before + 1
			} else {
				row[j+1] = max(row[j+1], row[j])
			}
			before = old
		}
	}
	return row[len(b)]
}

// scoreCaptions scores captions against COCO's annotations, both tokenised by [PTBTokens].
func scoreCaptions(f Files) (*Report, error) {
	if err := needs("annotation", f.Annotations); err != nil {
		return nil, err
	}
	a, err := OpenAnswers(nil, f.Answers...)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	r := &Report{Benchmark: "captions", Main: "CIDEr", Faults: a.faults}
	at := map[string]int{}
	var ids []string
	var references [][]string
	err = jsonrecord.Each(f.Annotations, "annotations", func(rec jsonrecord.Record) error {
		c, err := jsonrecord.Decode[struct {
			Image   jsonrecord.ID `json:"image_id"`
			Caption *string       `json:"caption"`
		}](rec)
		if err != nil {
			return err
		}
		if c.Image == "" || c.Caption == nil {
			return fmt.Errorf("%s: no image_id, or no caption: is this a file of captions?", rec.At())
		}
		i, ok := at[string(c.Image)]
		if !ok {
			i = len(ids)
			at[string(c.Image)] = i
			ids, references = append(ids, string(c.Image)), append(references, nil)
		}
		references[i] = append(references[i], strings.Join(PTBTokens(*c.Caption), " "))
		return nil
	})
	if err != nil {
		return nil, err
	}
	captions := make([]string, len(ids))
	for i, id := range ids {
		x, _, err := a.find(id)
		if err != nil {
			return nil, err
		}
		captions[i] = strings.Join(PTBTokens(x.Text), " ")
	}
	if err := a.done(f.Annotations, len(ids)); err != nil {
		return nil, err
	}
	s := ScoreCaptions(references, captions)
	for n, b := range s.BLEU {
		r.add(fmt.Sprintf("BLEU-%d", n+1), b, len(ids))
	}
	r.add("ROUGE-L", s.ROUGE, len(ids))
	r.add("CIDEr", s.CIDEr, len(ids))
	for i, id := range ids {
		r.Items = append(r.Items, Item{id, s.CIDErs[i]})
	}
	if a.faults.Count(Missing) > 0 {
		r.Stopped = "AssertionError: the results do not cover the annotated pictures"
	}
	return r, nil
}

// askCaptions asks for a caption of each annotated picture.
func askCaptions(files Files, f func(Question) error) error {
	if err := needs("annotation", files.Annotations); err != nil {
		return err
	}
	return jsonrecord.Each(files.Annotations, "images", func(r jsonrecord.Record) error {
		m, err := jsonrecord.Decode[struct {
			ID   jsonrecord.ID `json:"id"`
			File string        `json:"file_name"`
		}](r)
		if err == nil && (m.ID == "" || m.File == "") {
			err = fmt.Errorf("%s: no id, or no file_name", r.At())
		}
		if err != nil {
			return err
		}
		return f(
			Question{ID: string(m.ID), Image: m.File, Text: "Provide a one-sentence caption for the provided image."},
		)
	})
}

// uploadCaptions writes COCO's results format.
func uploadCaptions(f Files, path string) error {
	a, err := OpenAnswers(nil, f.Answers...)
	if err != nil {
		return err
	}
	defer a.Close()
	return writeJSON(path, "[", ", ", "]\n", func(put func(any) error) error {
		return a.each(func(x Answer) error {
			n, ok := parseInt(x.ID)
			if !ok {
				return fmt.Errorf("%s:%d: image_id %q is no number, as COCO's are", a.paths[0], x.Line, x.ID)
			}
			return put(map[string]any{"image_id": n, "caption": x.Text})
		})
	})
}
