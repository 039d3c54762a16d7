package seem

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/tensor/tensortest"
	"github.com/gollava/gollava/vit/pixeldecoder"
)

// recorded reads tensors of a file of the authors' results.
type recorded struct {
	t *testing.T
	*nn.Weights
}

func open(t *testing.T, path string) recorded {
	w, err := nn.OpenWeights(path)
	require.NoError(t, err)
	t.Cleanup(func() { w.Close() })
	return recorded{t, w}
}

func (r recorded) get(name string) *tensor.Tensor {
	dt := tensor.Float32
	if r.DType(name) == "I32" {
		dt = tensor.Int32
	}
	x, err := r.Read(name, dt)
	require.NoError(r.t, err, name)
	return x
}

// The authors' code computed the predictions of three layers for phrases, and for strokes with the masks of a round
// before in the memory.
func TestParity(t *testing.T) {
	c, err := readConfig("testdata/tiny")
	require.NoError(t, err)
	pixels, err := pixeldecoder.New(nil, c.pixelDecoder())
	require.NoError(t, err)
	m := &struct {
		PixelDecoder *pixeldecoder.Decoder `param:"sem_seg_head.pixel_decoder"`
		Decoder      *Decoder              `param:"sem_seg_head.predictor"`
	}{pixels, newDecoder(nil, c)}
	w, err := nn.OpenWeights("testdata/tiny/model.safetensors")
	require.NoError(t, err)
	defer w.Close()
	require.NoError(t, nn.Load(m, w, nn.LoadOptions{DType: nn.As(tensor.Float32)}))
	r := open(t, "testdata/tiny/expected.safetensors")
	close := func(got *tensor.Tensor, name string) {
		t.Helper()
		tensortest.Close(t, got, r.get(name), 5e-4, 0)
	}
	var stages [4]*tensor.Tensor
	for i := range stages {
		stages[i] = r.get(fmt.Sprintf("out.res%d", i+2))
	}
	d := m.Decoder
	v := d.Look(m.PixelDecoder.Forward(stages))
	close(d.Language.Classes(r.get("in.class_ids")), "out.class_embeddings")
	last := func(p []Prediction) Prediction { return p[len(p)-1] }
	close(last(d.Objects(v)).Masks, "out.all.aux.3.pred_masks")

	ids, mask := r.get("in.grounding_ids"), r.get("in.grounding_attention_mask").IntData() // two phrases a picture
	states := d.Language.Words(ids)
	L := ids.Dim(1)
	rows, lengths, most := [2][]int32{}, make([]int32, 2), 0
	for i, real := range mask {
		if b := i / (2 * L); real != 0 {
			rows[b] = append(rows[b], int32(i))
			lengths[b] = int32(len(rows[b]))
			most = max(most, len(rows[b]))
		}
	}
	for b := range rows {
		rows[b] = append(rows[b], make([]int32, most-len(rows[b]))...)
	}
	words := tensor.Gather(states.Reshape(4*L, -1), tensor.WrapInts(append(rows[0], rows[1]...), 2, most))
	close(last(d.Ground(v, Words{words, lengths})).Class, "out.all.aux.3.pred_gtexts")

	s := Spatial{H: 64, W: 64, Prompts: [][]Strokes{make([]Strokes, 2), make([]Strokes, 2)},
		Previous: r.get("in.prev_mask"),
		Queries:  r.get("in.query_sample").IntData(), Memories: r.get("in.memory_index").IntData()}
	for _, name := range []string{"in.pos", "in.neg"} {
		for p := r.get(name).IntData(); len(p) > 0; p = p[4:] {
			at, px := &s.Prompts[p[0]][p[1]], Pixel{int(p[2]), int(p[3])}
			if name == "in.pos" {
				at.Positive = append(at.Positive, px)
			} else {
				at.Negative = append(at.Negative, px)
			}
		}
	}
	e := d.Encode(v, s)
	close(e.Positive, "out.all.pred_pspatials")
	close(e.Negative, "out.all.pred_nspatials")
	close(last(d.Prompt(v, e)).Embed, "out.all.aux.3.pred_smaskembs")
}

// The authors' criterion computed matchings, losses and two gradients at given points.
func TestLossParity(t *testing.T) {
	r := open(t, "testdata/losses/expected.safetensors")
	calls := 0
	c := NewCriterion(func(n, points int) []float32 {
		x := r.get(fmt.Sprintf("in.rand.%d", calls))
		calls++
		require.Equal(t, 2*n*points, x.Len())
		return x.Data()
	})
	c.Points = 24
	boxes := r.get("in.gt_boxes").IntData()
	rectangles := func(b, n int) *tensor.Tensor {
		m := tensor.New(n, 48, 48)
		for i := range n {
			box := boxes[(b*3+i)*4:]
			for y := box[0]; y < box[2]; y++ {
				for x := box[1]; x < box[3]; x++ {
					m.Data()[(i*48+int(y))*48+int(x)] = 1
				}
			}
		}
		return m
	}
	labels := r.get("in.gt_labels").IntData()
	texts := r.get("in.grounding_class_embs")
	logits, positive := r.get("in.pred_logits").Param(), r.get("in.pred_pspatials").Param()
	objects := c.Objects(logits, r.get("in.pred_masks"), []*tensor.Tensor{rectangles(0, 3), rectangles(1, 2)},
		[][]int{{int(labels[0]), int(labels[1]), int(labels[2])}, {int(labels[3]), int(labels[4])}})
	two := []*tensor.Tensor{rectangles(0, 2), rectangles(1, 2)}
	ground := c.Ground(r.get("in.pred_gtexts"), r.get("in.pred_gmasks"), two,
		[]Phrases{{Embed: row(texts, 0), Same: []int{0, 0}}, {Embed: row(texts, 1), Same: []int{0, 1}, Class: true}},
		r.get("in.lang_logit"))
	spatial := c.Spatial(r.get("in.pred_smaskembs"), r.get("in.pred_smasks"), positive, two)
	match := 0
	for name, l := range map[string]Losses{"mask": objects, "grounding": ground, "spatial": spatial} {
		tensortest.Close(t, l.CE, r.get("out.loss_"+name+"_ce"), 1e-4, 0)
		tensortest.Close(t, l.BCE, r.get("out.loss_"+name+"_bce"), 1e-4, 0)
		tensortest.Close(t, l.Dice, r.get("out.loss_"+name+"_dice"), 1e-4, 0)
	}
	for _, l := range []Losses{objects, ground, spatial} {
		for _, m := range l.Matches {
			for i, q := range r.get(fmt.Sprintf("out.match.%d.query", match)).IntData() {
				require.Equal(t, int(q), m.Query[i])
				require.EqualValues(t, r.get(fmt.Sprintf("out.match.%d.target", match)).IntData()[i], m.Target[i])
			}
			match++
		}
	}
	objects.Total(2, 5, 5).Add(spatial.Total(2, 5, 5)).Backward()
	tensortest.Close(t, logits.Grad(), r.get("grad.pred_logits"), 1e-5, 1e-3)
	tensortest.Close(t, positive.Grad(), r.get("grad.pred_pspatials"), 1e-5, 1e-3)
}
