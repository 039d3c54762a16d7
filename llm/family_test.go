package llm_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/nn/nntest"
	"github.com/gollava/gollava/tensor"
)

// A family from outside, as a user would write it: Gemma under another name, whose embeddings are scaled by √C, whose
// norms multiply by 1 + w, and whose MLP uses a GELU. Nothing of package llm knows its model_type. Source: Gemma Team
// 2024; transformers' modeling_gemma, names included.

func gemma() llm.Family {
	return llm.Family{Type: "outside", Architecture: "GemmaForCausalLM", Template: "gemma",
		Read: func(raw []byte) (c llm.Config, err error) {
			f := struct {
				Vocab     int           `json:"vocab_size"`
				Hidden    int           `json:"hidden_size"`
				Inner     int           `json:"intermediate_size"`
				Layers    int           `json:"num_hidden_layers"`
				Heads     int           `json:"num_attention_heads"`
				KV        int           `json:"num_key_value_heads"`
				HeadDim   int           `json:"head_dim"`
				Positions int           `json:"max_position_embeddings"`
				Eps       float64       `json:"rms_norm_eps"`
				EOS       llm.EndTokens `json:"eos_token_id"`
			}{}
			err = json.Unmarshal(raw, &f)
			return llm.Config{VocabSize: f.Vocab, HiddenSize: f.Hidden, IntermediateSize: f.Inner,
				NumHiddenLayers: f.Layers, NumAttentionHeads: f.Heads,
				NumKeyValueHeads: f.KV, HeadDim: f.HeadDim, MaxPositionEmbeddings: f.Positions, NormEps: f.Eps,
				HiddenAct:         "gelu_pytorch_tanh",
				TieWordEmbeddings: true, RoPE: nn.RoPEConfig{Theta: 10000}, BOS: 1, EOS: f.EOS, PAD: -1}, err
		},
		New: func(r *rand.Rand, c llm.Config) (llm.Model, error) {
			m, err := llm.NewLlama(r, c, func(r *rand.Rand, c *llm.Config,
				_ int) llm.Block {
				return newGemmaBlock(r, c)
			})
			if err != nil {
				return nil, err
			}
			m.Decoder.Norm = newGemmaNorm(c)
			return &Gemma{m}, nil
		}}
}

// Gemma scales its embeddings.
type Gemma struct {
	*llm.Llama `param:",inline"`
}

func (g *Gemma) Embed(ids *tensor.Tensor) *tensor.Tensor {
	return g.Llama.Embed(ids).Scale(float32(math.Sqrt(float64(g.Config().HiddenSize))))
}

// GemmaNorm is x/rms(x)·(1 + w).
type GemmaNorm struct {
	Weight *tensor.Tensor `param:"weight"`
	eps    float32
}

func newGemmaNorm(c llm.Config) *GemmaNorm {
	return &GemmaNorm{Weight: tensor.Meta(tensor.Float32, c.HiddenSize).Param(), eps: float32(c.NormEps)}
}

func (n *GemmaNorm) Forward(x *tensor.Tensor) *tensor.Tensor {
	return x.RMSNorm(n.Weight.Affine(1, 1), n.eps)
}

// GemmaBlock is Llama's with other norms and another activation.
type GemmaBlock struct {
	InputNorm nn.Layer        `param:"input_layernorm"`
	Attention *GemmaAttention `param:"self_attn"`
	MLPNorm   nn.Layer        `param:"post_attention_layernorm"`
	MLP       *GemmaMLP       `param:"mlp"`
}

type GemmaAttention struct {
	Query  nn.Layer `param:"q_proj"`
	Key    nn.Layer `param:"k_proj"`
	Value  nn.Layer `param:"v_proj"`
	Output nn.Layer `param:"o_proj"`

	heads, kv, dim int
}

type GemmaMLP struct {
	Gate nn.Layer `param:"gate_proj"`
	Up   nn.Layer `param:"up_proj"`
	Down nn.Layer `param:"down_proj"`
}

func newGemmaBlock(r *rand.Rand, c *llm.Config) *GemmaBlock {
	C, F, H, G, D := c.HiddenSize, c.IntermediateSize, c.NumAttentionHeads, c.NumKeyValueHeads, c.HeadDim
	linear := func(in, out int) nn.Layer { return nn.NewLinear(r, in, out, false) }
	return &GemmaBlock{InputNorm: newGemmaNorm(*c), MLPNorm: newGemmaNorm(*c),
		Attention: &GemmaAttention{Query: linear(C, H*D), Key: linear(C, G*D), Value: linear(C, G*D),
			Output: linear(H*D, C), heads: H, kv: G, dim: D},
		MLP: &GemmaMLP{Gate: linear(C, F), Up: linear(C, F), Down: linear(F, C)}}
}

func (b *GemmaBlock) Forward(x *tensor.Tensor, p *llm.Pass) *tensor.Tensor {
	h, a := b.InputNorm.Forward(x), b.Attention
	B, T, _ := h.Dims3()
	y := p.Attend(a.Query.Forward(h).Reshape(B, T, a.heads, a.dim), a.Key.Forward(h).Reshape(B, T, a.kv, a.dim),
		a.Value.Forward(h).Reshape(B, T, a.kv, a.dim)) // [B, T, H·D]
	x = p.Pick(b, x).Add(a.Output.Forward(p.Pick(b, y)))
	h = b.MLPNorm.Forward(x)
	return x.Add(b.MLP.Down.Forward(b.MLP.Gate.Forward(h).GELUTanh().Mul(b.MLP.Up.Forward(h))))
}

// The outside family loads its checkpoint, computes what transformers does, trains, and generates like one of ours.
func TestFamilyFromOutside(t *testing.T) {
	_, err := llm.Load("testdata/outside/model", nn.LoadOptions{})
	require.ErrorContains(t, err, `model_type "outside" is not supported`)
	m, err := llm.Load("testdata/outside/model", nn.LoadOptions{}, gemma())
	require.NoError(t, err)
	raw, err := os.ReadFile("testdata/outside/expected.json")
	require.NoError(t, err)
	var want struct {
		IDs, Greedy []int32
		Logits      [][]float32
	}
	require.NoError(t, json.Unmarshal(raw, &want))
	T := len(want.IDs)
	z := llm.Logits(m, m.Hidden(llm.Input{Embeds: m.Embed(tensor.WrapInts(want.IDs, 1, T))}))
	for i, row := range want.Logits {
		near(t, row, z.Data()[i*23:(i+1)*23], 1e-4, "logits")
	}
	p := llm.Prompts{IDs: [][]int32{want.IDs[:5]}}
	o := llm.Options{MaxNewTokens: 8, EOS: []int{}}
	got, err := llm.Generate(t.Context(), m, p, o)
	require.NoError(t, err)
	require.Equal(t, want.Greedy, got.IDs[0])
	served, err := llm.NewEngine(m, llm.EngineConfig{}).Generate(t.Context(), llm.Request{Prompt: p, Options: o})
	require.NoError(t, err)
	require.Equal(t, got, served)

	ids := tensor.Ints([]int{3, 9, 4, 17, 5, 6, 20, 8, 11, 2}, 2, 5)
	nntest.Check(t, m, func() *tensor.Tensor { return llm.Loss(m, llm.Input{Embeds: m.Embed(ids)}, ids) })
	dir := t.TempDir()
	require.NoError(t, llm.Save(m, dir, nn.SaveOptions{}))
	back, err := llm.Load(dir, nn.LoadOptions{}, gemma())
	require.NoError(t, err)
	require.Equal(t, m.Config().HeadDim, back.Config().HeadDim)
}

// Plain is a block of another package that never picks rows, around one of ours.
type Plain struct{ llm.Block }

func (p *Plain) Forward(x *tensor.Tensor, pass *llm.Pass) *tensor.Tensor {
	return p.Block.Forward(x, pass).Add(x.Scale(0.5))
}

// A block around another gets the whole shape from it, also in the last layer of a pass of which some rows are wanted.
func TestWrappedBlockKeepsItsShape(t *testing.T) {
	m := load(t, "llama").(*llm.Llama)
	last := len(m.Decoder.Layers) - 1
	m.Decoder.Layers[last] = &Plain{m.Decoder.Layers[last]}
	ids := tensor.Ints([]int{3, 9, 4, 17, 5}, 1, 5)
	all := m.Hidden(llm.Input{Embeds: m.Embed(ids)})
	one := m.Hidden(llm.Input{Embeds: m.Embed(ids), Rows: []int32{2}})
	require.Equal(t, []int{1, all.Dim(2)}, one.Shape())
	near(t, all.Data()[2*all.Dim(2):3*all.Dim(2)], one.Data(), 1e-5, "row 2")
}

// Gated is x + tanh(gate)·CrossAttention(x), as Flamingo puts it between the blocks of a frozen model.
type Gated struct {
	llm.Block `param:",inline"`
	Query     *nn.Linear     `param:"cross_q"`
	Key       *nn.Linear     `param:"cross_k"`
	Value     *nn.Linear     `param:"cross_v"`
	Gate      *tensor.Tensor `param:"gate"`
	calls     int
}

func (g *Gated) Forward(x *tensor.Tensor, p *llm.Pass) *tensor.Tensor {
	B, T, C := x.Dims3()
	y := p.AttendContext(g.Query.Forward(x).Reshape(B, T, 2, C/2), func(s *tensor.Tensor) (k, v *tensor.Tensor) {
		g.calls++
		B, S, _ := s.Dims3()
		return g.Key.Forward(s).Reshape(B, S, 2, C/2), g.Value.Forward(s).Reshape(B, S, 2, C/2)
	})
	return g.Block.Forward(x.Add(y.Mul(g.Gate.Tanh())), p)
}

// Cross-attention over a context: each text position sees the states of its own image; cached decoding equals full
// decoding, the states are projected once for each sequence, and gradients reach the context, recomputed or not.
func TestContext(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	m := load(t, "llama").(*llm.Llama)
	C := m.Config().HiddenSize
	gated := &Gated{Block: m.Decoder.Layers[1], Query: nn.NewLinear(r, C, C, false),
		Key: nn.NewLinear(r, 7, C, false), Value: nn.NewLinear(r, 7, C, false),
		Gate: tensor.From([]float32{0.8}, 1).Param()}
	for _, w := range []*tensor.Tensor{gated.Query.Weight, gated.Key.Weight, gated.Value.Weight} {
		copy(w.Data(), tensor.Randn(r, 0.6, w.Shape()...).Data())
	}
	m.Decoder.Layers[1] = gated
	const T = 9
	ids := []int32{3, 9, 4, 17, 5, 6, 20, 8, 11}
	from, to := make([]int32, T), make([]int32, T)
	for i := range T { // two images of 3 states: none before position 2, the second from position 5 on
		switch {
		case i >= 5:
			from[i], to[i] = 3, 6
		case i >= 2:
			to[i] = 3
		}
	}
	states := tensor.Randn(r, 1, 1, 6, 7)
	hidden := func(states *tensor.Tensor) *tensor.Tensor {
		return m.Hidden(llm.Input{Embeds: m.Embed(tensor.WrapInts(ids, 1, T)),
			Context: &llm.Context{States: states, From: from, To: to}})
	}
	full := hidden(states)
	changed := states.Clone()
	changed.Data()[4*7] += 1 // of the second image
	other := hidden(changed)
	require.Equal(t, full.Data()[:5*C], other.Data()[:5*C], "positions before the second image do not see it")
	require.NotEqual(t, full.Data()[5*C:], other.Data()[5*C:])

	cache, calls := llm.NewCache(), gated.calls
	var got []float32
	for at := 0; at < T; {
		n := min([]int{4, 1, 2, 1, 1}[min(at/2, 4)], T-at)
		h := m.Hidden(llm.Input{Embeds: m.Embed(tensor.WrapInts(ids[at:at+n], 1, n)).NoGrad(), Cache: cache,
			Context: &llm.Context{States: states, From: from[at : at+n], To: to[at : at+n]}})
		got = append(got, h.Data()...)
		at += n
	}
	near(t, full.Data(), got, 2e-5, "cached")
	require.Equal(t, calls+1, gated.calls)

	var grads [2][]float32
	for i := range grads {
		m.SetRecompute(i == 1)
		x := states.Clone().Param()
		hidden(x).Mean().Backward()
		grads[i] = x.Grad().Clone().Data()
	}
	require.Equal(t, grads[0], grads[1])
	require.NotZero(t, grads[0][5*7])

	p := llm.Prompts{IDs: [][]int32{ids}, Context: &llm.Context{States: states, From: from, To: to}}
	a, err := llm.Generate(t.Context(), m, p, llm.Options{MaxNewTokens: 5, EOS: []int{}})
	require.NoError(t, err)
	b, err := llm.Generate(t.Context(), m, p, llm.Options{MaxNewTokens: 5, EOS: []int{}, NoCache: true})
	require.NoError(t, err)
	require.Equal(t, b.IDs, a.IDs)
	e, err := llm.NewEngine(m, llm.EngineConfig{}).Generate(t.Context(),
		llm.Request{Prompt: p, Options: llm.Options{MaxNewTokens: 5, EOS: []int{}}})
	require.NoError(t, err)
	require.Equal(t, a.IDs, e.IDs)
}

// A prefix attends to itself in both directions: its hidden states depend on all of it, and cached decoding after it
// equals the full pass.
func TestPrefix(t *testing.T) {
	for _, family := range []string{"llama", "qwen2", "mpt"} {
		m := load(t, family)
		ids := []int32{3, 9, 4, 17, 5, 6, 20, 8}
		hidden := func(ids []int32, prefix []int32) *tensor.Tensor {
			return m.Hidden(llm.Input{Embeds: m.Embed(tensor.WrapInts(ids, 1, len(ids))), Prefix: prefix})
		}
		C := m.Config().HiddenSize
		changed := append([]int32{}, ids...)
		changed[3] = 11
		a, b := hidden(ids, []int32{4}).Data(), hidden(changed, []int32{4}).Data()
		require.NotEqual(t, a[:C], b[:C], "the first of the prefix sees its last")
		require.Equal(t, hidden(ids, nil).Data()[:C], hidden(changed, nil).Data()[:C])
		changed = append([]int32{}, ids...)
		changed[4] = 11
		require.Equal(t, a[:4*C], hidden(changed, []int32{4}).Data()[:4*C], "the prefix does not see what follows")

		p := llm.Prompts{IDs: [][]int32{ids, ids[:5]}, Prefix: []int32{4, 2}}
		o := llm.Options{MaxNewTokens: 4, EOS: []int{}}
		got, err := llm.Generate(t.Context(), m, p, o)
		require.NoError(t, err)
		o.NoCache = true
		want, err := llm.Generate(t.Context(), m, p, o)
		require.NoError(t, err)
		require.Equal(t, want.IDs, got.IDs, family)
	}
}
