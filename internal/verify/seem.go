package verify

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/gollava/gollava/connector/seem"
	"github.com/gollava/gollava/tensor"
)

// seemCheck is a case at work.
type seemCheck struct {
	*Report
	m *seem.Model
}

// seemModel compares the features, four passes with different prompts, gradients, and rounds of clicks.
func seemModel(r *Report, m *seem.Model) {
	if r.autocast { // what its layers attend to hangs on which pixels lie above a threshold: left out
		r.cast = false
		return
	}
	k := &seemCheck{r, m}
	pixels, ids := k.tensor("in.pixel_values"), k.tensor("in.class_ids")
	phrases, previous := k.tensor("in.grounding_ids"), k.tensor("in.prev_mask")
	lengths := k.table("in.grounding_attention_mask")
	x := k.m.Normalize(pixels)
	stages := k.m.Backbone.Forward(x)
	for i, s := range stages {
		k.output(fmt.Sprintf("res%d", i+2), s)
	}
	f := k.m.PixelDecoder.Forward(stages)
	k.output("mask_features", f.Masks)
	k.output("transformer_encoder", f.Encoded)
	for i, l := range f.Levels {
		k.output(fmt.Sprintf("level.%d", i), l)
	}
	d := k.m.Decoder
	classes, states := d.Language.Classes(ids), d.Language.Words(phrases)
	k.output("class_embeddings", classes)
	k.output("grounding_tokens", states)
	k.output("grounding_class", d.Language.Phrases(phrases, states))
	v := d.Look(f)
	words := join(states, lengths, pixels.Dim(0))
	spatial := k.spatial("in.pos", "in.neg", pixels.Shape(), previous.Dim(1))

	objects := d.Objects(v)
	ground := d.Ground(v, words)
	encoded := d.Encode(v, spatial)
	strokes := d.Prompt(v, encoded)
	spatial.Previous = previous
	remembered := d.Encode(v, spatial)
	memory := d.Prompt(v, remembered)
	for _, pass := range []string{"panoptic", "text", "strokes", "all"} {
		k.group(pass, objects, "pred_logits", classes)
		k.group(pass, objects, "pred_masks", nil)
		if pass == "text" || pass == "all" {
			k.group(pass, ground, "pred_gmasks", nil)
			k.group(pass, ground, "pred_gtexts", nil)
		}
		if pass == "strokes" || pass == "all" {
			with, e := strokes, encoded
			if pass == "all" {
				with, e = memory, remembered
			}
			k.group(pass, with, "pred_smasks", nil)
			k.group(pass, with, "pred_smaskembs", nil)
			k.output(pass+".pred_pspatials", e.Positive)
			k.output(pass+".pred_nspatials", e.Negative)
		}
	}
	k.group("all", objects, "pred_captions", nil)
	k.gradients(map[string]*tensor.Tensor{
		"pred_logits": d.Logits(last(objects).Class, classes), "pred_masks": last(objects).Masks,
		"pred_captions": last(objects).Class,
		"pred_gmasks":   last(ground).Masks, "pred_gtexts": last(ground).Class, "pred_smasks": last(memory).Masks,
		"pred_smaskembs": last(memory).Embed, "pred_pspatials": remembered.Positive})
	k.rounds(spatial, k.m.View(k.m.Normalize(pixels).NoGrad()))
}

func last(p []seem.Prediction) seem.Prediction { return p[len(p)-1] }

// group compares what is called field of a pass, and of the layers before the last where that is recorded too.
func (k *seemCheck) group(pass string, p []seem.Prediction, field string, classes *tensor.Tensor) {
	pick := func(p seem.Prediction) *tensor.Tensor {
		switch field {
		case "pred_logits":
			return k.m.Decoder.Logits(p.Class, classes)
		case "pred_captions", "pred_gtexts":
			return p.Class
		case "pred_smaskembs":
			return p.Embed
		}
		return p.Masks
	}
	k.output(pass+"."+field, pick(last(p)))
	for i, early := range p[:len(p)-1] {
		if name := fmt.Sprintf("%s.aux.%d.%s", pass, i, field); k.has("out." + name) {
			k.output(name, pick(early))
		}
	}
}

// gradients compares those of the sum of all outputs times their cotangents.
func (k *seemCheck) gradients(out map[string]*tensor.Tensor) {
	total := tensor.New()
	for _, name := range k.under("in.cotangent.") {
		if out[name] == nil {
			failf("in.cotangent.%s: there is no such output", name)
		}
		total = total.Add(cotangent(k.Report, name, out[name]))
	}
	k.backward(total, k.m, nil)
}

// join puts the real words of each picture's phrases behind each other.
func join(states *tensor.Tensor, mask [][]int32, B int) seem.Words {
	n, T, E := states.Dims3()
	if n == 0 || n%B != 0 || len(mask) != n || len(mask[0]) != T {
		tensor.Fail("in.grounding_attention_mask", "%d rows for %d phrases of %d tokens on %d pictures",
			len(mask), n, T, B)
	}
	rows, lengths, most := make([][]int32, B), make([]int32, B), 0
	for i, m := range mask {
		b := i / (n / B)
		for t, real := range m {
			if real != 0 {
				rows[b] = append(rows[b], int32(i*T+t))
			}
		}
		lengths[b] = int32(len(rows[b]))
		most = max(most, len(rows[b]))
	}
	var ids []int32
	keep := make([]float32, B*most)
	for b, r := range rows {
		for t := range most {
			if t < len(r) {
				keep[b*most+t] = 1
				ids = append(ids, r[t])
			} else {
				ids = append(ids, 0)
			}
		}
	}
	x := tensor.Gather(states.Reshape(n*T, E), tensor.WrapInts(ids, B, most))
	return seem.Words{States: x.Mul(tensor.Wrap(keep, B, most, 1)), Lengths: lengths}
}

// spatial reads points (picture, prompt, y, x).
func (k *seemCheck) spatial(pos, neg string, shape []int, prompts int) seem.Spatial {
	s := seem.Spatial{H: shape[2], W: shape[3], Queries: k.ints("in.query_sample"),
		Memories: k.ints("in.memory_index")}
	for range shape[0] {
		s.Prompts = append(s.Prompts, make([]seem.Strokes, prompts))
	}
	for _, name := range []string{pos, neg} {
		for _, r := range k.table(name) {
			if len(r) != 4 || int(r[0]) >= len(s.Prompts) || int(r[1]) >= prompts || slices.Min(r) < 0 {
				failf("%s: %v is no point (picture, prompt, y, x)", name, r)
			}
			p, px := &s.Prompts[r[0]][r[1]], seem.Pixel{Y: int(r[2]), X: int(r[3])}
			if name == pos {
				p.Positive = append(p.Positive, px)
			} else {
				p.Negative = append(p.Negative, px)
			}
		}
	}
	return s
}

// rounds clicks as recorded; each round's masks are the memory of the next.
func (k *seemCheck) rounds(s seem.Spatial, v *seem.View) {
	s.Previous = nil
	for r := 0; k.has(fmt.Sprintf("out.round.%d.prev_mask", r)); r++ {
		name := fmt.Sprintf("in.round.%d.", r)
		next := k.spatial(name+"pos", name+"neg", []int{len(s.Prompts), 3, s.H, s.W}, len(s.Prompts[0]))
		next.Previous = s.Previous
		e := k.m.Decoder.Encode(v, next)
		p := last(k.m.Decoder.Prompt(v, e))
		s.Previous = seem.Chosen(p, k.m.Decoder.Answer(p, e))
		k.output(fmt.Sprintf("round.%d.prev_mask", r), s.Previous)
		k.clicks(r, next, s.Previous)
	}
}

// enough is the overlap from which on no more clicks were recorded.
const enough = 0.925

// clicks compares the next round's with those that the masks of this one ask for.
func (k *seemCheck) clicks(r int, s seem.Spatial, masks *tensor.Tensor) {
	name := fmt.Sprintf("in.round.%d.", r+1)
	if !k.has(name + "pos") {
		return
	}
	boxes, want := k.tensor("in.gt_boxes"), k.spatial(name+"pos", name+"neg", []int{len(s.Prompts), 3, s.H, s.W},
		len(s.Prompts[0]))
	t := tally{What: fmt.Sprintf("round.%d: clicks", r+1)}
	_, P, h, w := masks.Dims4()
	for b := range s.Prompts {
		for n := range P {
			truth := seem.NewMask(s.H, s.W)
			for i, v := range rectangles(boxes, b, P, s.H).Data()[n*s.H*s.W : (n+1)*s.H*s.W] {
				truth.On[i] = v > 0
			}
			got := seem.MaskOf(masks.Slice(0, b, b+1).Slice(1, n, n+1).Reshape(h, w), s.H, s.W)
			next, _ := seem.NextClick(truth, got, s.Prompts[b][n], enough)
			t.check(same(next, want.Prompts[b][n]), "picture %d, prompt %d: %v in place of %v", b, n, next,
				want.Prompts[b][n])
		}
	}
	k.add(t.row())
}

// same reports whether two prompts have the same pixels.
func same(a, b seem.Strokes) bool {
	order := func(list []seem.Pixel) []seem.Pixel {
		list = slices.Clone(list)
		slices.SortFunc(list, func(p, q seem.Pixel) int { return cmp.Or(cmp.Compare(p.Y, q.Y), cmp.Compare(p.X, q.X)) })
		return list
	}
	return slices.Equal(order(a.Positive), order(b.Positive)) && slices.Equal(order(a.Negative), order(b.Negative))
}
