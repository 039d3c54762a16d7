package verify

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"

	"github.com/gollava/gollava/connector/seem"
	"github.com/gollava/gollava/tensor"
)

// lossCase is case.json of the task seem_losses.
type lossCase struct {
	Points     int     `json:"num_points"`
	Oversample float64 `json:"oversample_ratio"`
	Importance float64 `json:"importance_sample_ratio"`
	None       float64 `json:"eos_coef"`
	Weights    struct{ CE, BCE, Dice float32 }
	Costs      struct{ Class, Mask, Dice float64 }
	PerPrompt  int `json:"queries_per_spatial_prompt"`
	Grounding  []struct {
		Texts []int
		Task  string
	}
}

// seemLosses compares matchings, losses and gradients of the predictions, and the best pairs of rectangular matrices.
func seemLosses(r *Report, c lossCase) {
	calls := 0
	crit := seem.NewCriterion(func(n, points int) []float32 {
		t := r.tensor(fmt.Sprintf("in.rand.%d", calls))
		calls++
		if t.Len() != 2*n*points {
			tensor.Fail("seem_losses", "in.rand.%d: needs %d points of %d masks", calls-1, points, n)
		}
		return t.Data()
	})
	crit.Points, crit.Oversample, crit.Importance, crit.None = c.Points, c.Oversample, c.Importance, c.None
	crit.ClassCost, crit.MaskCost, crit.DiceCost = c.Costs.Class, c.Costs.Mask, c.Costs.Dice
	p := map[string]*tensor.Tensor{}
	for _, name := range []string{"pred_logits", "pred_masks", "pred_gmasks", "pred_gtexts", "pred_smasks",
		"pred_smaskembs", "pred_pspatials"} {
		t := r.tensor("in." + name)
		p[name] = t.Param()
	}
	boxes, counts, labels, texts := r.tensor("in.gt_boxes"), r.ints("in.gt_count"), r.table("in.gt_labels"),
		r.tensor("in.grounding_class_embs")
	scale := r.tensor("in.lang_logit")
	side := 4 * p["pred_masks"].Dim(2) // masks are predicted for every fourth pixel
	B := p["pred_masks"].Dim(0)
	if len(counts) != B || len(labels) != B || texts.Dim(0) != B || len(c.Grounding) != B {
		failf("%d in.gt_count, %d in.gt_labels, %d in.grounding_class_embs and %d grounding "+
			"for a batch of %d",
			len(counts), len(labels), texts.Dim(0), len(c.Grounding), B)
	}
	var objects, first []*tensor.Tensor
	var classes [][]int
	var phrases []seem.Phrases
	for b, n := range counts {
		if n < 0 || int(n) > len(labels[b]) {
			failf("in.gt_count: %d of picture %d, which has %d labels", n, b, len(labels[b]))
		}
		all := rectangles(boxes, b, int(n), side)
		objects, first = append(objects, all), append(first, rectangles(boxes, b, texts.Dim(1), side))
		var of []int
		for _, y := range labels[b][:n] {
			of = append(of, int(y))
		}
		classes = append(classes, of)
		g := c.Grounding[b]
		phrases = append(phrases, seem.Phrases{Embed: texts.Slice(0, b, b+1).Reshape(texts.Shape()[1:]...),
			Same: g.Texts, Class: g.Task == "class"})
	}
	losses := map[string]seem.Losses{}
	losses["mask"] = crit.Objects(p["pred_logits"], p["pred_masks"], objects, classes)
	losses["grounding"] = crit.Ground(p["pred_gtexts"], p["pred_gmasks"], first, phrases, scale)
	losses["spatial"] = crit.Spatial(p["pred_smaskembs"], p["pred_smasks"], p["pred_pspatials"], first)
	total := tensor.New()
	match := 0
	for _, kind := range []string{"mask", "grounding", "spatial"} {
		l := losses[kind]
		for i, t := range []*tensor.Tensor{l.CE, l.BCE, l.Dice} {
			name := "loss_" + kind + "_" + []string{"ce", "bce", "dice"}[i]
			r.loss(name, t)
		}
		for _, m := range l.Matches {
			matched(r, match, m)
			match++
		}
		total = total.Add(l.Total(c.Weights.CE, c.Weights.BCE, c.Weights.Dice))
	}
	r.loss("total", total)
	total.Backward()
	r.gradientsOf(p, nil)
	assignments(r)
}

// rectangles are the masks of a picture's first n boxes (top, left, bottom, right): [n, side, side]. boxes are
// [B, N, 4]. It panics if there are fewer, or some lie outside of the picture.
func rectangles(boxes *tensor.Tensor, b, n, side int) *tensor.Tensor {
	s := boxes.Shape()
	if len(s) != 3 || b >= s[0] || n > s[1] || s[2] != 4 {
		tensor.Fail("in.gt_boxes", "%v: needs %d boxes of picture %d", s, n, b)
	}
	t := tensor.New(n, side, side)
	per := s[1]
	for i := range n {
		box := boxes.IntData()[(b*per+i)*4:][:4]
		if slices.Min(box) < 0 || int(slices.Max(box)) > side {
			tensor.Fail("in.gt_boxes", "%v lies outside of pictures of %d×%[2]d", box, side)
		}
		for y := box[0]; y < box[2]; y++ {
			for x := box[1]; x < box[3]; x++ {
				t.Data()[(i*side+int(y))*side+int(x)] = 1
			}
		}
	}
	return t
}

// matched compares a matching.
func matched(r *Report, k int, m seem.Match) {
	name := fmt.Sprintf("match.%d", k)
	r.add(absolute(name+": cost", slices.Concat(m.Cost...), r.numbers("out."+name+".cost"), r.Tolerance.Out),
		absolute(name+": query", widen(m.Query), widen(r.ints("out."+name+".query")), 0),
		absolute(name+": target", widen(m.Target), widen(r.ints("out."+name+".target")), 0))
}

// assignments compares the best pairs of rectangular matrices.
func assignments(r *Report) {
	var list []struct {
		Cost     [][]float64
		Row, Col []int
		Total    float64
	}
	readJSON(filepath.Join(r.Dir, "assignment.json"), &list)
	t := tally{What: "assignments"}
	for i, m := range list {
		rows, cols := seem.Assign(m.Cost)
		sum := 0.0
		for k, r := range rows {
			sum += m.Cost[r][cols[k]]
		}
		t.check(fmt.Sprint(rows, cols) == fmt.Sprint(m.Row, m.Col) && math.Abs(sum-m.Total) < 1e-3,
			"matrix %d: rows %v and columns %v with %g in place of %v, %v with %g",
			i, rows, cols, sum, m.Row, m.Col, m.Total)
	}
	r.add(t.row())
}
