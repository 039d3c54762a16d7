package seem

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/gollava/gollava/tensor"
)

// Pixel is a place in a picture.
type Pixel struct{ Y, X int }

// Strokes are a spatial prompt: pixels that belong to what is meant, and pixels that do not. Clicks, scribbles, boxes
// and masks are all made of them.
type Strokes struct{ Positive, Negative []Pixel }

// Spatial are the spatial prompts of a batch of pictures of H×W pixels.
type Spatial struct {
	H, W     int
	Prompts  [][]Strokes    // of each picture; those of fewer are filled up with prompts that mean nothing
	Previous *tensor.Tensor // mask logits of the round before, [B, P, h, w], for the memory; nil: this is the first

	// Queries are the object queries that become those of the prompts, prompt by prompt (P·QUERY_NUMBER), and Memories
	// the prompt that each memory token belongs to. nil: drawn from Rand, or spread evenly if that is nil too.
	Queries, Memories []int32

	// Rand draws them, and points where a picture has more than MAX_SPATIAL_LEN. nil: evenly spread ones.
	Rand *rand.Rand
}

// Encoded are spatial prompts as tokens. They may come from another picture than the one that is segmented.
type Encoded struct {
	Positive, Negative *tensor.Tensor // mean features of the points, −1 of a prompt without any: [B, P, D]

	tokens   [3]*tensor.Tensor // [B, n, D]
	prompt   [3][]int32        // the prompt of each token, −1 of padding: [B·n]
	queries  []int32
	memories []int32
	previous *tensor.Tensor
}

// point is a pixel of a prompt.
type point struct {
	Pixel
	prompt   int32
	negative bool
}

// Encode makes tokens of spatial prompts on the picture that they were given on. It panics if they do not fit the batch
// or lie outside of the picture; see [Segmenter] for prompts from outside.
func (d *Decoder) Encode(v *View, s Spatial) *Encoded {
	B, P := v.masks.Dim(0), s.count(v.masks.Dim(0))
	e := &Encoded{queries: s.Queries, memories: s.Memories, previous: s.Previous}
	if want := P * d.config.PerPrompt; e.queries == nil {
		e.queries = spread(s.Rand, want, d.config.Queries)
	} else if len(e.queries) != want {
		tensor.Fail("SEEM", "%d Queries: needs %d for each of %d prompts", len(e.queries), d.config.PerPrompt, P)
	}
	if e.memories == nil {
		e.memories = spread(s.Rand, d.config.Memories, P)
		slices.Sort(e.memories)
	} else if len(e.memories) != d.config.Memories {
		tensor.Fail("SEEM", "%d Memories: needs %d", len(e.memories), d.config.Memories)
	}
	if m := s.Previous; m != nil && (m.Rank() != 4 || m.Dim(0) != B || m.Dim(1) != P) {
		tensor.Fail("SEEM", "Previous %v: needs [%d %d h w]", m.Shape(), B, P)
	}
	e.Positive = s.mean(v.masks, P, false, d.config.Points[3])
	e.Negative = s.mean(v.masks, P, true, d.config.Points[3])
	for i, x := range v.levels {
		batch := make([][]point, B)
		for b := range batch {
			batch[b] = append(s.points(b, false, d.config.Points[i]), s.points(b, true, d.config.Points[i])...)
		}
		D, h, w := x.Dim(2), v.grids[i][0], v.grids[i][1]
		tokens, n := s.sample(x.Transpose().Reshape(B, D, h, w), batch) // [B, n, D]
		sign := make([]int32, B*n)
		e.prompt[i] = make([]int32, B*n)
		for b, ps := range batch {
			for j := range n {
				if e.prompt[i][b*n+j] = -1; j < len(ps) {
					if e.prompt[i][b*n+j] = ps[j].prompt; ps[j].negative {
						sign[b*n+j] = 1
					}
				}
			}
		}
		e.tokens[i] = tokens.MatMul(d.PointEmbed[i]).Add(d.Sign.Lookup(tensor.WrapInts(sign, B, n).In(x.Arena())))
	}
	return e
}

// count checks the prompts and returns how many each picture has, filled up.
func (s Spatial) count(B int) (most int) {
	if len(s.Prompts) != B {
		tensor.Fail("SEEM", "spatial prompts of %d pictures for a batch of %d", len(s.Prompts), B)
	}
	for b, list := range s.Prompts {
		most = max(most, len(list))
		for n, p := range list {
			for _, px := range slices.Concat(p.Positive, p.Negative) {
				if px.Y < 0 || px.X < 0 || px.Y >= s.H || px.X >= s.W {
					tensor.Fail("SEEM", "picture %d, prompt %d: pixel (y %d, x %d) is outside of %d×%d", b, n, px.Y,
						px.X, s.H, s.W)
				}
			}
		}
	}
	if most == 0 {
		tensor.Fail("SEEM", "there are no spatial prompts")
	}
	return most
}

// points are at most most of a picture's positive or negative ones, in the order of the prompts.
func (s Spatial) points(b int, negative bool, most int) (all []point) {
	for n, p := range s.Prompts[b] {
		list := p.Positive
		if negative {
			list = p.Negative
		}
		for _, px := range list {
			all = append(all, point{px, int32(n), negative})
		}
	}
	if len(all) <= most {
		return all
	}
	// without replacement, each prompt with the same weight: the smallest of exponential variates
	count := map[int32]float64{}
	for _, p := range all {
		count[p.prompt]++
	}
	keys, order := make([]float64, len(all)), make([]int, len(all))
	for i, p := range all {
		order[i], keys[i] = i, count[p.prompt]
		if s.Rand != nil {
			keys[i] *= s.Rand.ExpFloat64()
		} else {
			keys[i] *= float64(i*7919%len(all)) + 1
		}
	}
	slices.SortStableFunc(order, func(i, j int) int {
		switch {
		case keys[i] < keys[j]:
			return -1
		case keys[i] > keys[j]:
			return 1
		}
		return i - j
	})
	order = order[:most]
	slices.Sort(order)
	kept := make([]point, most)
	for i, at := range order {
		kept[i] = all[at]
	}
	return kept
}

// sample reads x [B, D, h, w] at each picture's points, filled up to the most of any: [B, n, D], with n at least 1.
func (s Spatial) sample(x *tensor.Tensor, batch [][]point) (y *tensor.Tensor, n int) {
	n = 1
	for _, ps := range batch {
		n = max(n, len(ps))
	}
	B, D, _, _ := x.Dims4()
	grid := make([]float32, B*n*2)
	for b, ps := range batch {
		for j := range n {
			at := grid[(b*n+j)*2:]
			at[0], at[1] = -1, -1
			if j < len(ps) {
				at[0], at[1] = 2*float32(ps[j].X)/float32(s.W)-1, 2*float32(ps[j].Y)/float32(s.H)-1
			}
		}
	}
	// [B, D, n, 1]
	y = tensor.GridSample(x, tensor.Wrap(grid, B, n, 1, 2).In(x.Arena()), tensor.GridSampleConfig{AlignCorners: true})
	return y.Reshape(B, D, n).Transpose(), n
}

// mean is the mean feature of each prompt's positive or negative points: [B, P, D].
func (s Spatial) mean(x *tensor.Tensor, P int, negative bool, most int) *tensor.Tensor {
	B := x.Dim(0)
	batch := make([][]point, B)
	for b := range batch {
		batch[b] = s.points(b, negative, most)
	}
	y, n := s.sample(x, batch) // [B, n, D]
	weights, empty := make([]float32, B*P*n), make([]float32, B*P)
	for b, ps := range batch {
		count := make([]float32, P)
		for _, p := range ps {
			count[p.prompt]++
		}
		for j, p := range ps {
			weights[(b*P+int(p.prompt))*n+j] = 1 / count[p.prompt]
		}
		for i, c := range count {
			if c == 0 {
				empty[b*P+i] = -1
			}
		}
	}
	return tensor.Wrap(weights, B, P, n).In(x.Arena()).MatMul(y).Add(tensor.Wrap(empty, B, P, 1))
}

// spread draws n of the numbers below most, or spreads them evenly.
func spread(r *rand.Rand, n, most int) []int32 {
	out := make([]int32, n)
	for i := range out {
		if r != nil {
			out[i] = int32(r.IntN(most))
		} else {
			out[i] = int32(i * most / n)
		}
	}
	return out
}

// group is the spatial prompts as they go through the layers.
func (d *Decoder) spatial(v *View, e *Encoded) *group {
	B := v.masks.Dim(0)
	P, S := e.Positive.Dim(1), d.config.PerPrompt
	in := v.masks.Arena()
	ids := make([]int32, 0, B*P*S)
	for range B {
		ids = append(ids, e.queries...)
	}
	rows := tensor.WrapInts(ids, B, P*S).In(in)
	g := &group{x: d.Query.Lookup(rows), pos: d.QueryPosition.Lookup(rows), queries: P * S}
	owner := make([]int32, P*S) // the prompt that a row belongs to
	for i := range owner {
		owner[i] = int32(i / S)
	}
	if e.previous != nil && len(e.memories) > 0 {
		ids := make([]int32, 0, B*len(e.memories))
		for range B {
			for i := range e.memories {
				ids = append(ids, int32(i))
			}
		}
		rows := tensor.WrapInts(ids, B, len(e.memories)).In(in)
		g.x, g.pos = tensor.Concat(1, g.x, d.Memory.Lookup(rows)), tensor.Concat(1, g.pos,
			d.MemoryPosition.Lookup(rows))
		of := make([]int32, 0, B*len(e.memories))
		for range B {
			of = append(of, e.memories...)
		}
		g.memory = e.previous.Detach().GatherBatch(tensor.WrapInts(of, B, len(e.memories)))
		owner = append(owner, e.memories...)
	}
	g.points = func(level int) *tensor.Tensor { return e.tokens[level] }
	g.bias = func(level int) *tensor.Tensor {
		N, n := len(owner), e.tokens[level].Dim(1)
		bias := make([]float32, B*N*(N+n))
		hide := float32(math.Inf(-1))
		for i := range B * N {
			b, row := i/N, bias[i*(N+n):(i+1)*(N+n)]
			query := i%N < P*S
			for j := range row {
				// a query looks at the queries, memory and points of its prompt; memory looks at its prompt's memory
				switch {
				case j < N && owner[j] == owner[i%N] && (query || j >= P*S):
				case j >= N && query && e.prompt[level][b*n+j-N] == owner[i%N]:
				default:
					row[j] = hide
				}
			}
		}
		return tensor.Wrap(bias, B, 1, N, N+n).In(in)
	}
	return g
}

// Words are what phrases say of the pictures of a batch.
type Words struct {
	States  *tensor.Tensor // the words of each picture's phrases, [B, T, E]: see [Language.Words]
	Lengths []int32        // how many of them are real, [B]
}

// grounding is phrases as they go through the layers: a copy of the object queries, and words.
func (d *Decoder) grounding(v *View, w *Words) *group {
	g := d.objects(v)
	B, Q := g.x.Dim(0), g.queries
	if s := w.States.Shape(); len(s) != 3 || s[0] != B || len(w.Lengths) != B {
		tensor.Fail("SEEM", "words %v with %d lengths for a batch of %d", s, len(w.Lengths), B)
	}
	T := w.States.Dim(1)
	g.words, g.wordPos = w.States, w.States.Detach()
	bias := make([]float32, B*(Q+T)*(Q+T))
	for i := range B * (Q + T) {
		n := Q + int(w.Lengths[i/(Q+T)])
		for j := range Q + T {
			if i%(Q+T) >= n || j >= n { // padding neither looks nor is looked at
				bias[i*(Q+T)+j] = float32(math.Inf(-1))
			}
		}
	}
	mask := tensor.Wrap(bias, B, 1, Q+T, Q+T).In(v.masks.Arena())
	g.bias = func(int) *tensor.Tensor { return mask }
	return g
}

// objects is the object queries as they go through the layers.
func (d *Decoder) objects(v *View) *group {
	B, Q := v.masks.Dim(0), d.config.Queries
	ids := make([]int32, B*Q)
	for i := range ids {
		ids[i] = int32(i % Q)
	}
	rows := tensor.WrapInts(ids, B, Q).In(v.masks.Arena())
	return &group{x: d.Query.Lookup(rows), pos: d.QueryPosition.Lookup(rows), queries: Q}
}
