package llm

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/gollava/gollava/internal/gguf"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// ggufNames are the tensors of a GGUF file's architectures by their names in transformers: first those outside of
// blocks, then those of a block, each of which may have a weight and a bias.
var ggufNames = map[string]map[string]string{
	"llama": ggufLlama, "qwen2": ggufLlama, "qwen3": ggufLlama,
	"phi3": {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head",
		"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_qkv": "self_attn.qkv_proj",
		"attn_output": "self_attn.o_proj", "ffn_up": "mlp.gate_up_proj",
		"ffn_down": "mlp.down_proj"},
}

var ggufLlama = map[string]string{"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head",
	"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj",
	"attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
	"attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm",
	"ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}

// ggufRoPE are tensors that belong to the config: divisors of the rotary frequencies.
var ggufRoPE = []string{"rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"}

// ggufRename translates a tensor's name; a name that is not known stays, so that loading can name it.
func ggufRename(arch string) func(name string) string {
	names := ggufNames[arch]
	return func(name string) string {
		if slices.Contains(ggufRoPE, name) {
			return ""
		}
		dot := strings.LastIndexByte(name, '.')
		if dot < 0 {
			return name
		}
		stem, kind := name[:dot], name[dot:]
		block, rest, inBlock := strings.Cut(strings.TrimPrefix(stem, "blk."), ".")
		if !inBlock || !strings.HasPrefix(stem, "blk.") {
			if to, ok := names[stem]; ok {
				return to + kind
			}
			return name
		}
		if to, ok := names[rest]; ok {
			return "model.layers." + block + "." + to + kind
		}
		return name
	}
}

// readGGUFConfig makes a config of a GGUF file's metadata and tensor list. Nothing is sized by its numbers before they
// are checked.
func readGGUFConfig(path string) (c Config, err error) {
	f, err := gguf.Open(path)
	if err != nil {
		return c, err
	}
	defer f.Close()
	k := &gguf.Keys{File: f}
	k.Need("general.architecture")
	arch := k.Text("general.architecture")
	if k.Err == nil && ggufNames[arch] == nil {
		hint := ""
		if arch == "clip" {
			hint = "; this is the vision part of a model (mmproj), to be opened together with its language model"
		}
		k.Fail("general.architecture", "%q is not supported (llama, qwen2, qwen3 and phi3 are)%s", arch, hint)
	}
	if k.Err != nil {
		return c, k.Err
	}
	a := arch + "."
	heads := k.MustInt(a+"attention.head_count", 1, 1<<16)
	c = Config{ModelType: arch, HiddenSize: k.MustInt(a+"embedding_length", 1, 1<<24),
		IntermediateSize: k.MustInt(a+"feed_forward_length", 1, 1<<26), NumHiddenLayers: k.MustInt(a+"block_count", 1, 1<<14),
		NumAttentionHeads: heads, NumKeyValueHeads: ggufKVHeads(k, a, heads),
		MaxPositionEmbeddings: k.MustInt(a+"context_length", 1, math.MaxInt32),
		NormEps:               k.Float(a+"attention.layer_norm_rms_epsilon", 1e-5),
		HiddenAct:             "silu", BOS: -1, PAD: -1}
	c.MaxPositionEmbeddings = min(c.MaxPositionEmbeddings, 1<<28)
	c.SlidingWindow = k.Int(a+"attention.sliding_window", 0, 0, math.MaxInt32)
	if arch == "llama" || arch == "qwen2" { // llama.cpp has no windows there
		c.SlidingWindow = 0
	}
	if !(c.NormEps > 0) {
		k.Fail(a+"attention.layer_norm_rms_epsilon", "is %v: it must be positive", c.NormEps)
	}
	if k.Err == nil && c.HiddenSize%heads != 0 && !k.Has(a+"attention.key_length") {
		k.Fail(a+"attention.head_count", "is %d, which does not divide the embedding_length %d", heads, c.HiddenSize)
	}
	c.HeadDim = k.Int(a+"attention.key_length", c.HiddenSize/max(heads, 1), 1, 1<<16)
	if v := k.Int(a+"attention.value_length", c.HeadDim, 1, 1<<16); v != c.HeadDim {
		k.Fail(a+"attention.value_length", "is %d, but key_length is %d: they must be equal", v, c.HeadDim)
	}
	c.ggufShapes(k)
	c.ggufRoPE(k, a)
	c.ggufTokens(k)
	if k.Err != nil {
		return c, k.Err
	}
	if err := c.Validate(); err != nil {
		return c, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// ggufKVHeads is the number of key-value heads, which may be given for each layer.
func ggufKVHeads(k *gguf.Keys, a string, heads int) int {
	key := a + "attention.head_count_kv"
	v, ok := k.Value(key)
	if !ok || v.Kind != gguf.Array {
		return k.Int(key, heads, 1, heads)
	}
	all := k.Ints(key)
	if len(all) == 0 || all[0] < 1 || all[0] > int64(heads) {
		k.Fail(key, "is %s: it must have a positive number for each layer", v)
		return heads
	}
	for _, n := range all {
		if n != all[0] {
			k.Fail(key, "has %d and %d: layers that differ are not supported", all[0], n)
		}
	}
	return int(all[0])
}

// ggufShapes takes from the tensor list what the metadata leave open, and checks what they say about it.
func (c *Config) ggufShapes(k *gguf.Keys) {
	if k.Err != nil {
		return
	}
	embed, ok := k.Tensor("token_embd.weight")
	switch {
	case !ok:
		k.Fail("token_embd.weight", "there is no such tensor")
		return
	case len(embed.Shape) != 2 || embed.Shape[1] != c.HiddenSize:
		k.Fail("token_embd.weight", "is %v, but %s.embedding_length is %d", embed.Shape, c.ModelType, c.HiddenSize)
		return
	}
	c.VocabSize = embed.Shape[0]
	key := c.ModelType + ".vocab_size"
	if n := k.Int(key, c.VocabSize, 1, math.MaxInt32); n != c.VocabSize {
		k.Fail(key, "is %d, but token_embd.weight has %d rows", n, c.VocabSize)
	}
	for i := range c.NumHiddenLayers {
		if _, ok := k.Tensor(fmt.Sprintf("blk.%d.attn_norm.weight", i)); !ok {
			k.Fail(c.ModelType+".block_count", "is %d, but there is no tensor blk.%d.attn_norm.weight", c.NumHiddenLayers, i)
			return
		}
	}
	_, head := k.Tensor("output.weight")
	_, bias := k.Tensor("blk.0.attn_q.bias")
	_, mlp := k.Tensor("blk.0.ffn_up.bias")
	c.TieWordEmbeddings, c.AttentionBias, c.MLPBias = !head, bias || c.ModelType == "qwen2", mlp
}

// ggufRoPE reads the rotary embedding. Divisors of frequencies, which Llama 3 has instead of its four numbers, become
// the equal factors of a LongRoPE.
func (c *Config) ggufRoPE(k *gguf.Keys, a string) {
	c.RoPE = nn.RoPEConfig{Type: "default", Theta: k.Float(a+"rope.freq_base", 10000)}
	if !(c.RoPE.Theta > 0) {
		k.Fail(a+"rope.freq_base", "is %v: it must be positive", c.RoPE.Theta)
	}
	if n := k.Int(a+"rope.dimension_count", c.HeadDim, 2, max(c.HeadDim, 2)); n%2 != 0 {
		k.Fail(a+"rope.dimension_count", "is %d: it must be even", n)
	} else if n != c.HeadDim {
		c.RoPE.Partial = float64(n) / float64(c.HeadDim)
	}
	half := k.Int(a+"rope.dimension_count", c.HeadDim, 2, max(c.HeadDim, 2)) / 2
	key := a + "rope.scaling.type"
	factor := k.Float(a+"rope.scaling.factor", k.Float(a+"rope.scale_linear", 0))
	switch kind := k.Text(key); kind {
	case "", "none":
		if kind == "" && factor > 0 {
			c.RoPE.Type, c.RoPE.Factor = "linear", factor
		}
	case "linear":
		c.RoPE.Type, c.RoPE.Factor = "linear", factor
	case "longrope":
	default:
		k.Fail(key, "%q is not supported (none, linear and longrope are)", kind)
	}
	long, short, freqs := ggufFactors(k, ggufRoPE[1], half), ggufFactors(k, ggufRoPE[2], half),
		ggufFactors(k, ggufRoPE[0], half)
	switch {
	case k.Err != nil:
	case freqs != nil:
		c.RoPE.Type, c.RoPE.LongFactor, c.RoPE.ShortFactor, c.RoPE.AttentionFactor = "longrope", freqs, freqs, 1
		c.RoPE.OriginalMaxPosition = c.MaxPositionEmbeddings
	case (long == nil) != (short == nil):
		k.Fail("rope_factors_long.weight", "and rope_factors_short.weight must both be there or neither")
	case long != nil:
		c.RoPE.Type, c.RoPE.LongFactor, c.RoPE.ShortFactor = "longrope", long, short
		c.RoPE.OriginalMaxPosition = k.MustInt(a+"rope.scaling.original_context_length", 2, 1<<28)
		c.RoPE.AttentionFactor = k.Float(a+"rope.scaling.attn_factor", 0)
	}
}

// ggufFactors reads a float32 tensor of divisors, nil if there is none.
func ggufFactors(k *gguf.Keys, name string, n int) []float64 {
	t, ok := k.Tensor(name)
	if !ok {
		return nil
	}
	if t.Type != gguf.F32 || len(t.Shape) != 1 || t.Shape[0] != n {
		k.Fail(name, "is %v %v: it must be F32 [%d]", t.Type, t.Shape, n)
		return nil
	}
	out := make([]float64, n)
	for i, b := 0, k.Bytes(t); i < n; i, b = i+1, b[4:] {
		v := math.Float32frombits(uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24)
		if out[i] = float64(v); !(v > 0) || v > math.MaxFloat32 {
			k.Fail(name, "divisor %d is %v: it must be positive and finite", i, v)
		}
	}
	return out
}

// ggufTokens reads the special tokens, and checks that the vocabulary is the model's.
func (c *Config) ggufTokens(k *gguf.Keys) {
	const t = "tokenizer.ggml."
	if v, ok := k.Value(t + "tokens"); ok && k.Err == nil && v.Kind == gguf.Array && v.Len != c.VocabSize {
		k.Fail(t+"tokens", "has %d tokens, but token_embd.weight has %d rows: the tokenizer is another model's", v.Len,
			c.VocabSize)
	}
	id := func(name string) int { return k.Int(t+name, -1, 0, c.VocabSize-1) }
	c.BOS, c.PAD = id("bos_token_id"), id("padding_token_id")
	for _, name := range []string{"eos_token_id", "eot_token_id"} {
		if e := id(name); e >= 0 && !slices.Contains(c.EOS, e) {
			c.EOS = append(c.EOS, e)
		}
	}
}

// ggufWeights gives the tensors of a GGUF file transformers' names and order of rows.
func (c *Config) ggufWeights(w *nn.Weights) error {
	if err := w.Rename(ggufRename(c.ModelType)); err != nil {
		return err
	}
	if c.ModelType != "llama" {
		return nil
	}
	for i := range c.NumHiddenLayers {
		for part, heads := range map[string]int{"q_proj": c.NumAttentionHeads, "k_proj": c.NumKeyValueHeads} {
			for _, kind := range []string{"weight", "bias"} {
				name := "model.layers." + strconv.Itoa(i) + ".self_attn." + part + "." + kind
				if s := w.Shape(name); len(s) == 0 || s[0] != heads*c.HeadDim { // loading will say so
					continue
				}
				if err := w.PermuteRows(name, c.interleaved); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// interleaved is the row of a GGUF file's q or k that is row i of transformers': pairs that are rotated together lie
// next to each other there, and half a head apart here.
func (c *Config) interleaved(i int) int {
	head, j := i/c.HeadDim, i%c.HeadDim
	rotated := c.rotated()
	if j >= rotated {
		return i
	}
	half := rotated / 2
	return head*c.HeadDim + j%half*2 + j/half
}

// rotated is the number of dimensions of a head that are rotated.
func (c *Config) rotated() int {
	if c.RoPE.Partial > 0 {
		return int(float64(c.HeadDim) * c.RoPE.Partial)
	}
	return c.HeadDim
}

// BlockLinear reports whether a parameter, by its name in a language model or a model around one, is of a linear layer
// in the decoder's blocks: what 4-bit training and checkpoints quantise, while embedding and output layer stay as they
// are.
func BlockLinear(name string) bool {
	block := strings.Contains(name, ".layers.") && !strings.Contains(name, ".encoder.")
	return block && (strings.Contains(name, ".self_attn.") || strings.Contains(name, ".mlp."))
}

// Quantized is the dtype of most of m's weights in blocks, and false if there are none.
func Quantized(m Model) (tensor.DType, bool) {
	size := map[tensor.DType]int{}
	var most tensor.DType
	for _, p := range nn.Params(m) {
		if dt := p.DType(); dt.Quantized() {
			if size[dt] += p.Len(); size[dt] > size[most] {
				most = dt
			}
		}
	}
	return most, len(size) > 0
}
