package tensor

import (
	"fmt"
	"math"

	"github.com/gollava/gollava/internal/backend"
)

// AttentionConfig sets the mask, the scale and the position bias of [Attention]. A query attends to a key if every
// field that is set allows it. The zero value is full attention with scale 1/√D.
type AttentionConfig struct {
	Causal bool      // query t sees keys up to its own position; the last query stands at the last key
	Keys   int       // only the first Keys of k and v exist (a cache with room to grow); 0: all
	Window int       // with Causal: only the last Window keys, itself included, as Mistral; 0: unlimited
	Scale  float32   // of q·k; 0: 1/√D
	Cap    float32   // soft cap: scaled scores s become Cap·tanh(s/Cap), as in Gemma 2; 0: none
	Slopes []float32 // ALiBi: Slopes[h]·(key position − query position) is added to the scores of head h; nil: none
	Start  []int32   // row b sees keys from Start[b] on, as with left padding; nil: from 0
	End    []int32   // row b sees keys before End[b], as with right padding; nil: all

	// Prefix, [B], with Causal: keys before Prefix[b] are open to every query of row b, so that a prefix attends to
	// itself in both directions and the rest is causal, as in GIT and prefix language models. Not with Window. nil:
	// none.
	Prefix []int32

	// From and To, [B·T]: query t of row b sees keys From[b·T+t] ≤ s < To[b·T+t], such as the states of one image.
	// Neither may decrease along a row; Bias can hide any key. nil: no limit.
	From, To []int32

	// Bias, float32 [B or 1, H or 1, T or 1, keys], is added to the scaled scores: a relative position bias, which
	// may train, or a mask of any form with −Inf at hidden keys. With a Bias the scores are formed as a whole, [B, H,
	// T, keys]. nil: none.
	Bias *Tensor
}

// Attention returns softmax(scale·q·kᵀ + bias)·v for queries [B, T, H, D] and keys and values [B, S, G, D], where G
// divides H and query head h reads key head h·G/H. A query that sees no key yields zeros. Scores are never formed as
// a whole: memory grows with T, not T·S. If q comes of products under [Tensor.SetAutocast], what is multiplied,
// gradients included, may be rounded to bfloat16; scores, probabilities and sums are float32. Source: Vaswani et al.
// 2017; Dao et al. 2022 for the tiling.
func Attention(q, k, v *Tensor, c AttentionConfig) *Tensor {
	for _, t := range []*Tensor{q, k, v} {
		t.want("Attention", Float32)
	}
	bad := func(why string) { Fail("Attention", "q %v, k %v, v %v: %s", q.shape, k.shape, v.shape, why) }
	if len(q.shape) != 4 || len(k.shape) != 4 || !equalShapes(k, v) {
		bad("needs q [B T H D], k and v [B S G D]")
	}
	B, T, H, D := q.Dims4()
	_, S, G, _ := k.Dims4()
	switch {
	case k.shape[0] != B || k.shape[3] != D:
		bad("batch and head size must be those of q")
	case G == 0 || H%G != 0:
		bad(fmt.Sprintf("%d query heads are no multiple of %d key heads", H, G))
	case c.Keys < 0 || c.Keys > S:
		Fail("Attention", "Keys is %d, but k %v has %d (0 stands for all)", c.Keys, k.shape, S)
	case c.Window < 0:
		Fail("Attention", "Window is %d (0 stands for unlimited)", c.Window)
	case c.Window > 0 && !c.Causal:
		Fail("Attention", "Window is %d, which needs Causal", c.Window)
	case !(c.Cap >= 0):
		Fail("Attention", "Cap is %v (0 stands for none)", c.Cap)
	case c.Slopes != nil && len(c.Slopes) != H:
		Fail("Attention", "%d Slopes for q %v: needs one for each of %d heads", len(c.Slopes), q.shape, H)
	case c.Start != nil && len(c.Start) != B:
		Fail("Attention", "Start has length %d, but q %v has %d rows", len(c.Start), q.shape, B)
	case c.End != nil && len(c.End) != B:
		Fail("Attention", "End has length %d, but q %v has %d rows", len(c.End), q.shape, B)
	}
	at, moved := apart("Attention", q, k, v)
	if moved {
		return Attention(q.on(at), k.on(at), v.on(at), c)
	}
	keys := c.Keys
	if keys == 0 {
		keys = S
	}
	c.ranges(q, keys)
	if c.Bias != nil {
		return c.composed(q, k, v, keys)
	}
	a := backend.Attention{Q: q.buf(), K: k.buf(), V: v.buf(), B: B, T: T, S: S, H: H, G: G, D: D,
		Keys: keys, Causal: c.Causal, Offset: keys - T, Window: c.Window, Scale: c.Scale, Cap: c.Cap,
		Half: q.casts&castResult != 0}
	if a.Scale == 0 {
		a.Scale = float32(1 / math.Sqrt(float64(D)))
	}
	if c.Slopes != nil {
		a.Slopes = From(c.Slopes, H).on(at).buf()
	}
	if c.Start != nil {
		a.Start = Ints(c.Start, B).on(at).buf()
	}
	if c.End != nil {
		a.End = Ints(c.End, B).on(at).buf()
	}
	if c.From != nil {
		a.From = Ints(c.From, B, T).on(at).buf()
	}
	if c.To != nil {
		a.To = Ints(c.To, B, T).on(at).buf()
	}
	out := at.like(q)
	a.Out = out.buf()
	var lse *Tensor
	if recording(q, k, v) {
		lse = at.alloc(Float32, B, H, T)
		a.LSE = lse.buf()
	}
	product := 2 * uint64(H) * c.pairs(B, T, keys) * uint64(D) // q·kᵀ
	at.usage().work(2 * product)
	at.Attention(&a)
	record(out, "Attention", func(dy *gradient) {
		grads := [3]*backend.Buffer{}
		fresh := [3]bool{}
		in := [3]*Tensor{q, k, v}
		for i, t := range in {
			if !t.needs() {
				continue
			}
			if grads[i], fresh[i] = t.accumulator(); !fresh[i] {
				grads[i] = at.scratch(t.n)
			}
		}
		at.usage().work(5 * product)
		a.Q, a.K, a.V, a.Out, a.LSE = q.buf(), k.buf(), v.buf(), out.buf(), lse.buf()
		at.AttentionGrad(&a, grads[0], grads[1], grads[2], dy.buf())
		for i, t := range in {
			if grads[i] != nil && !fresh[i] {
				at.Accumulate(t.grad.buf(), grads[i], 1)
				at.free(grads[i])
			}
		}
	}, []*Tensor{lse}, q, k, v)
	return out
}

// RoPE rotates the pairs (j, j+R/2), j < R/2, of every head of x [B, T, H, D] by angles whose cosines and sines are
// cos and sin: [T, R/2], or [B·T, R/2] when rows have positions of their own. Elements from R on are left alone.
// Source: Su et al. 2021, in the rotate-half form of transformers.
func RoPE(x, cos, sin *Tensor) *Tensor {
	x.want("RoPE", Float32)
	B, T, H, D := x.Dims4()
	if len(cos.shape) != 2 || !equalShapes(cos, sin) || cos.shape[0] != T && cos.shape[0] != B*T || 2*cos.shape[1] > D {
		Fail("RoPE", "x %v, cos %v, sin %v: cos and sin must be [%d or %d, R/2] with R ≤ %d", x.shape, cos.shape,
			sin.shape, T, B*T, D)
	}
	if at, moved := apart("RoPE", x, cos, sin); moved {
		return RoPE(x.on(at), cos.on(at), sin.on(at))
	}
	out := placeOf(x, cos, sin).like(x)
	out.buf().Device.RoPE(out.buf(), x.buf(), cos.buf(), sin.buf(), B, T, H, D, 2*cos.shape[1], false)
	record(out, "RoPE", func(dy *gradient) {
		x.overwrite(dy, func(dx *backend.Buffer) {
			dx.Device.RoPE(dx, dx, cos.buf(), sin.buf(), B, T, H, D, 2*cos.shape[1], true)
		})
	}, nil, x)
	return out
}

// pairs is how many pairs of a query and a key count as work: all but those that From and To exclude. Causality halves
// nothing, nor does what follows a prefix, so that sequences packed into one row count as they do in rows of their own.
func (c *AttentionConfig) pairs(B, T, keys int) (n uint64) {
	if c.From == nil && c.To == nil || c.Prefix != nil {
		return uint64(B) * uint64(T) * uint64(keys)
	}
	for i := range B * T {
		from, to, times := 0, keys, 1
		if c.From != nil {
			from = int(c.From[i])
		}
		if c.To != nil {
			to = min(to, int(c.To[i]))
		}
		if c.Causal { // to the end of a sequence is as far, on average, as from its beginning
			to, times = min(to, keys-T+i%T+1), 2
		}
		n += uint64(min(times*max(to-from, 0), keys))
	}
	return n
}
