package seem

import (
	"maps"
	"slices"

	"github.com/gollava/gollava/tensor"
)

// NumberOfClicks is the mean number of clicks until a mask overlaps with what is meant by at least iou: rounds[i] are
// the IoUs of sample i after one click, two, and so on. A sample that never does counts as most. NoC@85 and NoC@90
// are those of 0.85 and 0.9 with 20 clicks at most.
func NumberOfClicks(rounds [][]float64, iou float64, most int) float64 {
	sum := 0
	for _, r := range rounds {
		n := most
		for i, v := range r[:min(len(r), most)] {
			if v >= iou {
				n = i + 1
				break
			}
		}
		sum += n
	}
	return float64(sum) / float64(max(len(rounds), 1))
}

// AfterClicks is the mean IoU after k clicks. A sample that needed fewer keeps its last.
func AfterClicks(rounds [][]float64, k int) float64 {
	sum := 0.0
	for _, r := range rounds {
		if len(r) > 0 {
			sum += r[min(k, len(r))-1]
		}
	}
	return sum / float64(max(len(rounds), 1))
}

// Segment is an object of a class.
type Segment struct {
	Class int
	Mask  Mask
	Score float64 // 0 … 1; of truth it means nothing
}

// Panoptic sums up how well segments that do not overlap fit the truth. Source: Kirillov et al. 2019, "Panoptic
// Segmentation".
type Panoptic struct {
	classes map[int]*tally
}

type tally struct {
	iou                 float64
	hits, wrong, missed int
}

// Add counts a picture: a segment hits one of the truth's of its class with which it overlaps by more than half.
func (p *Panoptic) Add(got, truth []Segment) {
	if p.classes == nil {
		p.classes = map[int]*tally{}
	}
	of := func(class int) *tally {
		if p.classes[class] == nil {
			p.classes[class] = &tally{}
		}
		return p.classes[class]
	}
	hit := make([]bool, len(truth))
	for _, g := range got {
		found := false
		for i, t := range truth {
			if t.Class != g.Class || hit[i] {
				continue
			}
			if v := IoU(g.Mask, t.Mask); v > 0.5 {
				of(g.Class).iou += v
				of(g.Class).hits++
				hit[i], found = true, true
				break
			}
		}
		if !found {
			of(g.Class).wrong++
		}
	}
	for i, t := range truth {
		if !hit[i] {
			of(t.Class).missed++
		}
	}
}

// Quality is PQ = SQ·RQ, the segmentation quality (mean IoU of the hits) and the recognition quality (F₁ of hits), in
// 0 … 1, each averaged over the classes that occurred.
func (p *Panoptic) Quality() (pq, sq, rq float64) {
	n := float64(max(len(p.classes), 1))
	for _, class := range slices.Sorted(maps.Keys(p.classes)) { // in order, so that sums are the same every time
		t := p.classes[class]
		if t.hits == 0 {
			continue
		}
		s := t.iou / float64(t.hits)
		r := float64(t.hits) / (float64(t.hits) + float64(t.wrong+t.missed)/2)
		pq, sq, rq = pq+s*r/n, sq+s/n, rq+r/n
	}
	return pq, sq, rq
}

// Segments makes of the predictions for one picture, class logits [Q, C+1] and mask logits [Q, h, w], segments of H×W
// that do not overlap: queries that are likelier than score of a class other than none, each pixel to the one with
// the largest product of class and mask probability, and of these segments those that keep more than overlap of their
// mask. Source: panoptic_inference of MaskFormer, whose score and overlap are 0.8.
func Segments(logits, masks *tensor.Tensor, H, W int, score, overlap float64) []Segment {
	Q, C := logits.Dims2()
	p := logits.Detach().Softmax().Host().Data()
	// [Q, H, W]
	large := tensor.Interpolate(masks.Detach(), H, W, tensor.InterpolateConfig{Mode: tensor.Bilinear})
	z := large.Sigmoid().Host().Data()
	var kept []Segment
	var of []int
	for q := range Q {
		best := 0
		for c := range C {
			if p[q*C+c] > p[q*C+best] {
				best = c
			}
		}
		if s := float64(p[q*C+best]); best < C-1 && s > score {
			kept, of = append(kept, Segment{Class: best, Mask: NewMask(H, W), Score: s}), append(of, q)
		}
	}
	whole := make([]int, len(kept))
	for i := range H * W {
		best, most := -1, 0.0
		for k, q := range of {
			v := float64(z[q*H*W+i])
			if v >= 0.5 {
				whole[k]++
			}
			if s := v * kept[k].Score; s > most {
				best, most = k, s
			}
		}
		if best >= 0 && z[of[best]*H*W+i] >= 0.5 {
			kept[best].Mask.On[i] = true
		}
	}
	var out []Segment
	for k, s := range kept {
		if n := len(s.Mask.Pixels()); n > 0 && float64(n) > overlap*float64(whole[k]) {
			out = append(out, s)
		}
	}
	return out
}
