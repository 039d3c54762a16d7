package llm

import (
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"

	"github.com/gollava/gollava/internal/jsonfile"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// gemma is Llama with scaled embeddings, norms that multiply by 1 + w, and a GELU as the MLP's gate. Source: Gemma
// Team 2024; transformers' modeling_gemma, names included.
func gemma() Family {
	return Family{Type: "gemma", Architecture: "GemmaForCausalLM", LLaVA: "llava_gemma",
		LLaVAArchitecture: "LlavaGemmaForCausalLM", Template: "gemma_instruct",
		Defaults: `{"vocab_size": 256000, "hidden_size": 3072, "intermediate_size": 24576, "num_hidden_layers": 28,
			"num_attention_heads": 16, "num_key_value_heads": 16, "head_dim": 256, "hidden_act": "gelu_pytorch_tanh",
			"max_position_embeddings": 8192, "rms_norm_eps": 1e-6, "pad_token_id": 0, "eos_token_id": 1,
			"bos_token_id": 2, "tie_word_embeddings": true}`,
		Read: readGemma,
		New: func(r *rand.Rand, c Config) (Model, error) {
			return newGemma(r, c, func(r *rand.Rand, c *Config, _ int) Block {
				b := newLlamaBlock(r, c, c.AttentionBias)
				b.InputNorm, b.MLPNorm = newGemmaNorm(r, c), newGemmaNorm(r, c)
				return b
			})
		}}
}

// gemma2 has norms on both sides of each part, soft caps on attention scores and logits, and a sliding window in
// every other layer. Source: Gemma Team 2024, "Gemma 2"; transformers' modeling_gemma2, names included.
func gemma2() Family {
	return Family{Type: "gemma2", Architecture: "Gemma2ForCausalLM", Template: "gemma_instruct",
		Defaults: `{"vocab_size": 256000, "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26,
			"num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "max_position_embeddings": 8192,
			"hidden_activation": "gelu_pytorch_tanh", "rms_norm_eps": 1e-6, "pad_token_id": 0, "eos_token_id": 1,
			"bos_token_id": 2, "tie_word_embeddings": true, "sliding_window": 4096, "query_pre_attn_scalar": 256,
			"attn_logit_softcapping": 50, "final_logit_softcapping": 30}`,
		Read: readGemma, Write: writeGemma2,
		New: func(r *rand.Rand, c Config) (Model, error) { return newGemma(r, c, newGemma2Block) }}
}

// gemmaFile holds what Gemma adds to Llama's config.json.
type gemmaFile struct {
	file
	Activation    string   `json:"hidden_activation,omitempty"`
	Bidirectional *bool    `json:"use_bidirectional_attention,omitempty"`
	QueryScalar   float64  `json:"query_pre_attn_scalar,omitempty"`   // Gemma 2
	AttentionCap  *float64 `json:"attn_logit_softcapping,omitempty"`  // Gemma 2
	LogitCap      *float64 `json:"final_logit_softcapping,omitempty"` // Gemma 2
}

func readGemma(raw []byte) (Config, error) {
	var g gemmaFile
	if err := json.Unmarshal(raw, &g); err != nil {
		return Config{}, jsonfile.Explain(raw, err)
	}
	if g.Bidirectional != nil && *g.Bidirectional {
		return Config{}, errors.New("use_bidirectional_attention true is not supported")
	}
	return readLlama(raw, func(c *Config, f *file) {
		if g.ModelType == "gemma" {
			if c.HiddenAct == "gelu" { // of the first files, which mean the tanh one
				c.HiddenAct = "gelu_pytorch_tanh"
			}
			return
		}
		c.HiddenAct = g.Activation
		if c.slide(f); c.SlidingWindow > 0 && c.WindowLayers == nil {
			for i := 0; i < c.NumHiddenLayers; i += 2 {
				c.WindowLayers = append(c.WindowLayers, i)
			}
		}
		if g.QueryScalar > 0 {
			c.SoftmaxScale = 1 / math.Sqrt(g.QueryScalar)
		}
		if g.AttentionCap != nil {
			c.AttentionCap = *g.AttentionCap
		}
		if g.LogitCap != nil {
			c.LogitCap = *g.LogitCap
		}
	})
}

// writeGemma2 writes a cap of 0 as null, which is transformers' none.
func writeGemma2(c Config) any {
	f := struct {
		file
		Activation   string   `json:"hidden_activation"`
		QueryScalar  float64  `json:"query_pre_attn_scalar"`
		AttentionCap *float64 `json:"attn_logit_softcapping"`
		LogitCap     *float64 `json:"final_logit_softcapping"`
	}{file: writeLlama(c), Activation: c.HiddenAct, QueryScalar: float64(c.HeadDim)}
	if c.SoftmaxScale > 0 {
		f.QueryScalar = math.Round(1/(c.SoftmaxScale*c.SoftmaxScale)*1e6) / 1e6
	}
	if c.AttentionCap > 0 {
		f.AttentionCap = &c.AttentionCap
	}
	if c.LogitCap > 0 {
		f.LogitCap = &c.LogitCap
	}
	return f
}

// Gemma is the decoder of Gemma and Gemma 2.
// It is safe for concurrent use while nobody changes its parameters.
type Gemma struct {
	*Llama `param:",inline"`
}

func newGemma(r *rand.Rand, c Config, block func(r *rand.Rand, c *Config, layer int) Block) (Model, error) {
	m, err := NewLlama(r, c, block)
	if err != nil {
		return nil, err
	}
	m.Decoder.Norm = newGemmaNorm(r, &c)
	if c.LogitCap > 0 {
		m.LMHead = &cappedHead{Linear: m.LMHead, cap: float32(c.LogitCap)}
	}
	return &Gemma{m}, nil
}

// Embed scales the embeddings by √C, rounded as the table is stored.
func (m *Gemma) Embed(ids *tensor.Tensor) *tensor.Tensor {
	k := tensor.From([]float64{math.Sqrt(float64(m.config.HiddenSize))}, 1)
	if table := m.Decoder.Embedding.Weight; table.DType() == tensor.BFloat16 {
		k = k.Cast(tensor.BFloat16).Cast(tensor.Float32)
	}
	return m.Llama.Embed(ids).Scale(k.Item())
}

// cappedHead gives logits cap·tanh(z/cap).
type cappedHead struct {
	Linear nn.Layer `param:",inline"`

	cap float32
}

// Forward maps [..., C] to [..., V].
func (h *cappedHead) Forward(x *tensor.Tensor) *tensor.Tensor {
	return h.Linear.Forward(x).Scale(1 / h.cap).Tanh().Scale(h.cap)
}

// gemmaNorm is x/rms(x)·(1 + w).
type gemmaNorm struct {
	Weight *tensor.Tensor `param:"weight"` // [C], starts at 0

	eps float32
}

func newGemmaNorm(r *rand.Rand, c *Config) *gemmaNorm {
	n := &gemmaNorm{Weight: tensor.Meta(tensor.Float32, c.HiddenSize).Param(), eps: float32(c.NormEps)}
	if r != nil {
		n.Weight.Allocate()
	}
	return n
}

// Forward keeps the shape [..., C].
func (n *gemmaNorm) Forward(x *tensor.Tensor) *tensor.Tensor {
	defer tensor.Blame(n)
	return x.RMSNorm(n.Weight.In(x.Arena()).Affine(1, 1), n.eps)
}

// gemma2Block is x + N₂(Attention(N₁ x)), then x + N₄(MLP(N₃ x)).
type gemma2Block struct {
	InputNorm     nn.Layer   `param:"input_layernorm"`
	Attention     *Attention `param:"self_attn"`
	AttentionNorm nn.Layer   `param:"post_attention_layernorm"`
	MLPNorm       nn.Layer   `param:"pre_feedforward_layernorm"`
	MLP           *MLP       `param:"mlp"`
	OutputNorm    nn.Layer   `param:"post_feedforward_layernorm"`
}

func newGemma2Block(r *rand.Rand, c *Config, _ int) Block {
	b := newLlamaBlock(r, c, c.AttentionBias)
	return &gemma2Block{InputNorm: newGemmaNorm(r, c), Attention: b.Attention, AttentionNorm: newGemmaNorm(r, c),
		MLPNorm: newGemmaNorm(r, c), MLP: b.MLP, OutputNorm: newGemmaNorm(r, c)}
}

// Forward implements [Block].
func (b *gemma2Block) Forward(x *tensor.Tensor, p *Pass) *tensor.Tensor {
	y := b.Attention.Output.Forward(p.Pick(b, b.Attention.heads(b.InputNorm.Forward(x), p))) // [B, T, C] or [N, C]
	x = p.Pick(b, x).Add(b.AttentionNorm.Forward(y))
	return x.Add(b.OutputNorm.Forward(b.MLP.Forward(b.MLPNorm.Forward(x))))
}
