package llm

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/gollava/gollava/internal/blocks"
	"github.com/gollava/gollava/internal/gguf"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// ggufMixture is what llama-quantize makes of a model under one name.
type ggufMixture struct {
	file   uint32 // general.file_type
	most   string // type of most matrices
	better string // of attn_v and ffn_down in the layers that are worth it
	head   string // of the output layer, or of the embedding that is one
}

var ggufMixtures = map[string]ggufMixture{"f32": {0, "F32", "F32", "F32"}, "f16": {1, "F16", "F16", "F16"},
	"bf16": {32, "BF16", "BF16", "BF16"}, "q8_0": {7, "Q8_0", "Q8_0", "Q8_0"}, "q4_0": {2, "Q4_0", "Q4_0", "Q6_K"},
	"q4_1": {3, "Q4_1", "Q4_1", "Q6_K"}, "q5_0": {8, "Q5_0", "Q5_0", "Q6_K"},
	"q5_1": {9, "Q5_1", "Q5_1", "Q6_K"}, "q4_k_m": {15, "Q4_K", "Q6_K", "Q6_K"}, "q5_k_m": {17, "Q5_K", "Q6_K", "Q6_K"},
	"q6_k": {18, "Q6_K", "Q6_K", "Q6_K"}, "iq4_nl": {25, "IQ4_NL", "IQ4_NL", "Q6_K"}}

// GGUFTypes are the types that [SaveGGUF] knows, sorted.
func GGUFTypes() []string { return slices.Sorted(maps.Keys(ggufMixtures)) }

// GGUFOptions say how [SaveGGUF] writes a model.
type GGUFOptions struct {
	// Type names what the matrices become, as llama-quantize does: f32, f16, bf16, q8_0, q4_0, q4_1, q5_0, q5_1, q4_k_m,
	// q5_k_m, q6_k or iq4_nl. In q4_k_m and q5_k_m some matrices have six bits. Vectors are always float32.
	Type string

	// Metadata are further keys: those of the tokenizer (tokenizer.Tokenizer.GGUF), general.name, … Values are as Go has
	// them: string, bool, uint32, int32, float32, and slices of these.
	Metadata map[string]any

	// OnTensor, if not nil, is called for each tensor with the root mean square of its values and of what the type changes
	// in them.
	OnTensor func(name, dtype string, rms, changed float64)
}

// SaveGGUF writes m as a GGUF file that llama.cpp loads: Llama and Mistral as architecture llama, Qwen2, Qwen3, Phi-3.
// What the format cannot express is an error: dynamic NTK scaling, sliding windows but Phi-3's, dimensions that differ
// by layer.
func SaveGGUF(path string, m Model, o GGUFOptions) error {
	mix, ok := ggufMixtures[o.Type]
	if !ok {
		return fmt.Errorf("save %s: type %q is not known (%s are)", path, o.Type, strings.Join(GGUFTypes(), ", "))
	}
	c := m.Config()
	meta, extra, err := c.gguf(mix.file)
	if err != nil {
		return fmt.Errorf("save %s: %w", path, err)
	}
	maps.Copy(meta, o.Metadata)
	back := map[string]string{}
	for to, from := range ggufNames[meta["general.architecture"].(string)] {
		back[from] = to
	}
	tensors := extra
	for name, p := range nn.Params(m) {
		stem, kind := name[:strings.LastIndexByte(name, '.')], name[strings.LastIndexByte(name, '.'):]
		layer := -1
		if rest, inside := strings.CutPrefix(stem, "model.layers."); inside {
			n, part, _ := strings.Cut(rest, ".")
			if layer, err = strconv.Atoi(n); err != nil {
				return fmt.Errorf("save %s: parameter %s has no name in GGUF", path, name)
			}
			stem = part
		}
		to, known := back[stem]
		if !known || p.IsMeta() {
			return fmt.Errorf("save %s: parameter %s has no name in GGUF, or no weights yet", path, name)
		}
		t := gguf.NewTensor{Name: to + kind, Shape: p.Shape()}
		if layer >= 0 {
			t.Name = "blk." + strconv.Itoa(layer) + "." + t.Name
		}
		t.Type = mix.typeOf(to, layer, c.NumHiddenLayers, c.TieWordEmbeddings, p.Shape())
		var order func(i int) int
		if c.ModelType == "llama" || c.ModelType == "mistral" {
			if to == "attn_q" || to == "attn_k" {
				order = c.halves
			}
		}
		t.Write = func(w io.Writer) error { return writeGGUF(w, p, t, order, o.OnTensor) }
		tensors = append(tensors, t)
	}
	return gguf.Write(path, meta, tensors)
}

// typeOf is the type that a tensor gets.
func (x ggufMixture) typeOf(part string, layer, layers int, tied bool, shape []int) gguf.Type {
	name := x.most
	switch {
	case len(shape) < 2:
		return gguf.F32
	case part == "output" || part == "token_embd" && tied:
		name = x.head
	case (part == "attn_v" || part == "ffn_down") && (layer < layers/8 || layer >= 7*layers/8 || (layer-layers/8)%3 == 2):
		name = x.better
	}
	row := shape[len(shape)-1]
	if f := blocks.ByName(name); f != nil && row%f.Length != 0 {
		name = map[string]string{"Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}[name]
		if name == "" || row%32 != 0 {
			name = "F16"
		}
	}
	t, _ := gguf.ParseType(name)
	return t
}

// halves is the row of transformers' q or k that is row i of a GGUF file's: the inverse of interleaved.
func (c *Config) halves(i int) int {
	head, j := i/c.HeadDim, i%c.HeadDim
	rotated := c.rotated()
	if j >= rotated {
		return i
	}
	return head*c.HeadDim + j%2*(rotated/2) + j/2
}

// writeGGUF writes a parameter row by row.
func writeGGUF(w io.Writer, p *tensor.Tensor, t gguf.NewTensor, order func(int) int,
	report func(string, string, float64, float64)) error {
	rows, cols := 1, p.Len()
	if p.Rank() > 1 || order != nil {
		rows = p.Dim(0)
		cols = p.Len() / max(rows, 1)
	}
	if same, ok := tensor.ParseDType(t.Type.String()); ok && same == p.DType() && same.Quantized() { // as it is
		raw, size := p.Host().Bytes(), same.Bytes(cols)
		for i := range rows {
			at := i
			if order != nil {
				at = order(i)
			}
			if _, err := w.Write(raw[at*size:][:size]); err != nil {
				return err
			}
		}
		return nil
	}
	rms, changed, err := t.Type.Encode(w, p.Host().Detach().Cast(tensor.Float32).Data(), cols, order)
	if err == nil && report != nil {
		report(t.Name, t.Type.String(), rms, changed)
	}
	return err
}

// gguf is the metadata that describe the model, and the tensors that do.
func (c *Config) gguf(fileType uint32) (map[string]any, []gguf.NewTensor, error) {
	arch := c.ModelType
	if arch == "mistral" {
		arch = "llama"
	}
	half := c.rotated() / 2
	meta := map[string]any{"general.architecture": arch, "general.type": "model", "general.file_type": fileType,
		"general.quantization_version": uint32(2)}
	put := func(key string, n int) { meta[arch+"."+key] = uint32(n) }
	switch {
	case ggufNames[arch] == nil:
		return nil, nil, fmt.Errorf("model_type %q has no architecture in GGUF (llama, mistral, qwen2, qwen3 and phi3 have)",
			c.ModelType)
	case c.HiddenAct != "silu" && c.HiddenAct != "swish":
		return nil, nil, fmt.Errorf("hidden_act %q cannot be expressed in GGUF: it is silu there", c.HiddenAct)
	case c.SlidingWindow > 0 && arch != "phi3":
		return nil, nil, fmt.Errorf("sliding_window %d cannot be expressed in GGUF for %s: llama.cpp would attend to "+
			"everything", c.SlidingWindow, c.ModelType)
	}
	put("vocab_size", c.VocabSize)
	put("block_count", c.NumHiddenLayers)
	put("context_length", c.MaxPositionEmbeddings)
	put("embedding_length", c.HiddenSize)
	put("feed_forward_length", c.IntermediateSize)
	put("attention.head_count", c.NumAttentionHeads)
	put("attention.head_count_kv", c.NumKeyValueHeads)
	put("attention.key_length", c.HeadDim)
	put("attention.value_length", c.HeadDim)
	put("rope.dimension_count", 2*half)
	meta[arch+".attention.layer_norm_rms_epsilon"] = float32(c.NormEps)
	meta[arch+".rope.freq_base"] = float32(c.RoPE.Theta)
	if arch == "phi3" {
		put("attention.sliding_window", c.SlidingWindow)
	}
	tensors, err := c.ggufScaling(meta, arch, half)
	return meta, tensors, err
}

// ggufScaling describes a scaled rotary embedding.
func (c *Config) ggufScaling(meta map[string]any, arch string, half int) (tensors []gguf.NewTensor, err error) {
	factors := func(name string, x []float64) {
		tensors = append(tensors, gguf.NewTensor{Name: name, Type: gguf.F32, Shape: []int{half},
			Write: func(w io.Writer) error {
				narrow := make([]float32, len(x))
				for i, v := range x {
					narrow[i] = float32(v)
				}
				_, err := w.Write(tensor.Wrap(narrow, len(narrow)).Bytes())
				return err
			}})
	}
	r := c.RoPE
	switch r.Type {
	case "", "default":
	case "linear":
		meta[arch+".rope.scaling.type"], meta[arch+".rope.scaling.factor"] = "linear", float32(r.Factor)
	case "llama3":
		divide := make([]float64, half)
		for i := range divide {
			wavelength := 2 * math.Pi * math.Pow(r.Theta, float64(2*i)/float64(2*half))
			smooth := (float64(r.OriginalMaxPosition)/wavelength - r.LowFreqFactor) / (r.HighFreqFactor - r.LowFreqFactor)
			divide[i] = 1 / ((1-smooth)/r.Factor + smooth)
			if smooth > 1 {
				divide[i] = 1
			} else if smooth < 0 {
				divide[i] = r.Factor
			}
		}
		factors("rope_freqs.weight", divide)
	case "longrope":
		if arch != "phi3" {
			if !slices.Equal(r.LongFactor, r.ShortFactor) {
				return nil, fmt.Errorf("rope_type longrope cannot be expressed in GGUF for %s", c.ModelType)
			}
			factors("rope_freqs.weight", r.LongFactor)
			break
		}
		original := r.OriginalMaxPosition
		if original == 0 {
			original = c.MaxPositionEmbeddings
		}
		attention := r.AttentionFactor
		if scale := float64(c.MaxPositionEmbeddings) / float64(original); attention == 0 && scale > 1 {
			attention = math.Sqrt(1 + math.Log(scale)/math.Log(float64(original)))
		}
		meta[arch+".rope.scaling.original_context_length"] = uint32(original)
		meta[arch+".rope.scaling.attn_factor"] = float32(max(attention, 1))
		factors("rope_factors_long.weight", r.LongFactor)
		factors("rope_factors_short.weight", r.ShortFactor)
	default:
		return nil, fmt.Errorf("rope_type %q cannot be expressed in GGUF", r.Type)
	}
	return tensors, nil
}
