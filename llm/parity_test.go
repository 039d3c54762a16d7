package llm_test

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/internal/jsonfile"
	"github.com/gollava/gollava/internal/jsonfile/mutate"
	"github.com/gollava/gollava/internal/verify/casetest"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/nn/nntest"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/tensor/tensortest"
)

// families are tiny random models with what transformers computed: logits, loss, gradients, greedy ids, beams, sampling. Written by
// cmd/gollava/testdata/make_tiny.py.
var families = []string{"llama", "mistral", "qwen2", "phi3", "mpt", "gemma", "gemma2", "phi", "stablelm",
	"stablelm-parallel", "mixtral", "qwen2_moe", "opt", "opt_350m"}

func TestEqualsTransformers(t *testing.T) {
	for _, family := range families {
		casetest.Passes(t, filepath.Join("testdata", family), 13)
	}
}

func load(t testing.TB, family string) llm.Model {
	m, err := llm.Load(filepath.Join("testdata", family, "model"), nn.LoadOptions{})
	require.NoError(t, err)
	return m
}

func TestModelsAreWellFormed(t *testing.T) {
	for _, family := range families {
		m := load(t, family)
		ids := tensor.Ints([]int{3, 9, 4, 17, 5, 6, 20, 8, 11, 2}, 2, 5)
		nntest.Check(t, m, func() *tensor.Tensor { return llm.Loss(m, llm.Input{Embeds: m.Embed(ids)}, ids) })
	}
}

// Recomputing blocks in the backward pass must not change a bit of any gradient.
func TestRecompute(t *testing.T) {
	for _, family := range families {
		m := load(t, family)
		ids := tensor.Ints([]int{3, 9, 4, 17, 5, 6, 20, 8, 11, 2}, 2, 5)
		labels := tensor.Ints([]int{3, 9, 4, 17, 5, 6, 20, 8, tensor.IgnoreIndex, tensor.IgnoreIndex}, 2, 5)
		var grads [2]map[string][]float32
		for i := range grads {
			m.SetRecompute(i == 1)
			llm.Loss(m, llm.Input{Embeds: m.Embed(ids), End: []int32{5, 3}}, labels).Backward()
			grads[i] = map[string][]float32{}
			for name, p := range nn.Params(m) {
				grads[i][name] = append([]float32{}, p.Grad().Data()...)
				p.ZeroGrad()
			}
		}
		require.Equal(t, grads[0], grads[1], family)
	}
}

// Rows that are asked for are those of all, in the order asked for, and send the same gradients back. Where none of
// them is padding, nothing is computed of it.
func TestRows(t *testing.T) {
	for _, family := range families {
		sameRows(t, load(t, family), []int32{20, 3, 0, 11, 3, 13}) // of 3×7, not sorted, one twice, the first padding
		sameRows(t, load(t, family), []int32{19, 3, 0, 11, 3, 13})
	}

	m := load(t, "llama").(*llm.Llama)
	shape := &Shape{Block: m.Decoder.Layers[0]}
	m.Decoder.Layers[0] = shape
	C := m.Config().HiddenSize
	ids := tensor.Ints([]int{3, 9, 4, 17, 5, 6, 20, 8}, 2, 4)
	in := llm.Input{Embeds: m.Embed(ids), Start: []int32{0, 2}, Rows: []int32{2, 6}}
	m.Hidden(in)
	require.Equal(t, []int{1, 6, C}, shape.was)
	in.End, in.Start, in.Rows[1] = []int32{4, 1}, nil, 4
	m.Hidden(in)
	require.Equal(t, []int{1, 5, C}, shape.was)
	in.Rows = nil
	m.Hidden(in)
	require.Equal(t, []int{2, 4, C}, shape.was)
	in.Rows, in.End = []int32{2}, []int32{4}
	require.ErrorContains(t, tensor.Catch(func() { m.Hidden(in) }), "End has length 1")
}

// Shape is a block that remembers what it was given.
type Shape struct {
	llm.Block
	was []int
}

func (s *Shape) Forward(x *tensor.Tensor, p *llm.Pass) *tensor.Tensor {
	s.was = x.Shape()
	return s.Block.Forward(x, p)
}

func sameRows(t *testing.T, m llm.Model, rows []int32) {
	ids := tensor.Ints([]int{3, 9, 4, 17, 5, 6, 20, 8, 11, 2, 9, 1, 7, 7, 16, 5, 12, 3, 10, 19, 4}, 3, 7)
	in := llm.Input{Embeds: m.Embed(ids), Start: []int32{0, 2, 0}, End: []int32{7, 7, 6}}
	C := in.Embeds.Dim(2)
	dy := tensor.Randn(rand.New(rand.NewPCG(3, 1)), 1, len(rows), C)
	var grads [2]map[string]*tensor.Tensor
	var found [2]*tensor.Tensor
	for i := range grads {
		in.Embeds = m.Embed(ids)
		if i == 0 {
			found[i] = tensor.Gather(m.Hidden(in).Reshape(21, C), tensor.WrapInts(rows, len(rows)))
		} else {
			in.Rows = rows
			found[i] = m.Hidden(in)
		}
		found[i].BackwardFrom(dy)
		grads[i] = map[string]*tensor.Tensor{}
		for name, p := range nn.Params(m) {
			if p.Grad() != nil {
				grads[i][name] = p.Grad().Clone()
			}
			p.ZeroGrad()
		}
	}
	tensortest.Close(t, found[1], found[0], 1e-5, 1e-5)
	require.Equal(t, len(grads[0]), len(grads[1]))
	for name, g := range grads[0] {
		tensortest.Close(t, grads[1][name], g, 1e-4, 1e-4)
	}
}

// What cannot be learnt from says where.
func TestLossOfBadLabels(t *testing.T) {
	m := load(t, "llama")
	ids := tensor.Ints([]int{3, 9, 4, 17, 5, 6}, 2, 3)
	none, lying := tensor.Ints([]int{3, -100, -100, 17, -100, -100}, 2, 3), tensor.Ints([]int{3, 9, -100, 17, 5, 60000}, 2, 3)
	for labels, want := range map[*tensor.Tensor]string{none: "no label to learn", lying: "label 60000 of row 1 at position 2"} {
		err := tensor.Catch(func() { llm.Loss(m, llm.Input{Embeds: m.Embed(ids)}, labels) })
		require.ErrorContains(t, err, want)
	}
}

func TestSaveLoad(t *testing.T) {
	for _, family := range families {
		m := load(t, family)
		dir := t.TempDir()
		require.NoError(t, llm.Save(m, dir, nn.SaveOptions{MaxShard: 2000}))
		back, err := llm.Load(dir, nn.LoadOptions{})
		require.NoError(t, err)
		require.Equal(t, m.Config(), back.Config(), family)
		want := map[string]string{}
		for name, p := range nn.Params(m) {
			want[name] = string(p.Bytes())
		}
		for name, p := range nn.Params(back) {
			require.Equal(t, want[name], string(p.Bytes()), "%s: %s", family, name)
			delete(want, name)
		}
		require.Empty(t, want)

		require.NoError(t, llm.Save(m, dir, nn.SaveOptions{DType: nn.As(tensor.BFloat16)}))
		c, err := llm.ReadConfig(dir)
		require.NoError(t, err)
		require.Equal(t, "bfloat16", c.DType)
	}
}

// Both spellings of the config mean the same model.
func TestBothSpellings(t *testing.T) {
	for v5, v4 := range map[string]string{
		`"rope_parameters": {"rope_theta": 500.0, "rope_type": "default"}, "dtype": "bfloat16"`:                              `"rope_theta": 500.0, "rope_scaling": null, "torch_dtype": "bfloat16"`,
		`"rope_parameters": {"rope_theta": 500.0, "rope_type": "linear", "factor": 2.0}, "dtype": "float32"`:                 `"rope_theta": 500.0, "rope_scaling": {"type": "linear", "factor": 2.0}, "torch_dtype": "float32"`,
		`"rope_parameters": {"rope_theta": 500.0, "rope_type": "default", "partial_rotary_factor": 0.5}, "dtype": "float32"`: `"rope_theta": 500.0, "partial_rotary_factor": 0.5, "torch_dtype": "float32"`,
		`"rope_parameters": {"rope_theta": 10000.0, "rope_type": "dynamic", "factor": 2.0}, "dtype": "float32"`:              `"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}, "torch_dtype": "float32"`,
	} {
		var a, b llm.Config
		require.NoError(t, json.Unmarshal([]byte(strings.Replace(small, "REST", v5, 1)), &a))
		require.NoError(t, json.Unmarshal([]byte(strings.Replace(small, "REST", v4, 1)), &b))
		require.Equal(t, a, b)
	}
}

const small = `{"model_type": "llama", "vocab_size": 10, "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2,
	"max_position_embeddings": 16, "hidden_act": "silu", "rms_norm_eps": 1e-6, "eos_token_id": 2, REST}`

func TestConfigFaultsNameTheField(t *testing.T) {
	for change, says := range map[string]string{
		`"model_type": "gpt2"`:                                       `model_type "gpt2" is not supported`,
		`"hidden_act": "mish"`:                                       `hidden_act "mish" is not supported`,
		`"rope_scaling": {"type": "yarn"}`:                           `rope_type "yarn" is not supported`,
		`"rope_scaling": {"type": "linear"}`:                         `needs a positive factor`,
		`"vocab_size": 0`:                                            `vocab_size 0`,
		`"num_hidden_layers": -1`:                                    `num_hidden_layers -1`,
		`"num_attention_heads": 3`:                                   `hidden_size 8 is no multiple of num_attention_heads 3`,
		`"num_key_value_heads": 3`:                                   `no multiple of num_key_value_heads 3`,
		`"num_key_value_heads": 0`:                                   `num_key_value_heads is 0`,
		`"head_dim": 0`:                                              `head_dim is 0`,
		`"head_dim": -8`:                                             `head_dim -8 are out of range`,
		`"rope_theta": 0.0`:                                          `rope_theta is 0`,
		`"rope_parameters": {"rope_theta": 0}`:                       `rope_parameters.rope_theta is 0`,
		`"attention_dropout": 1.5`:                                   `a dropout of 1.5 is outside [0, 1)`,
		`"vocab_size": 10.5`:                                         `vocab_size is 10.5, where a whole number belongs`,
		`"vocab_size": "ten"`:                                        `vocab_size is text, where a whole number belongs`,
		`"hidden_size": 100000000, "vocab_size": 100000000`:          `larger than any model's`,
		`"pad_token_id": -7`:                                         `pad_token_id -7 is out of range`,
		`"quantization_config": {"bits": 4}`:                         `quantization_config is not supported`,
		`"eos_token_id": "x"`:                                        `eos_token_id`,
		`"model_type": "gemma", "use_bidirectional_attention": true`: `use_bidirectional_attention true is not supported`,
		`"model_type": "gemma2", "attn_logit_softcapping": -1`:       `attn_logit_softcapping -1 is out of range`,
		`"model_type": "stablelm", "qk_layernorm": true`:             `qk_layernorm true is not supported with stablelm`,
		`"model_type": "mixtral", "num_experts_per_tok": 9`:          `num_experts_per_tok 9 of 8 experts`,
		`"model_type": "qwen2_moe", "moe_intermediate_size": 0`:      `moe_intermediate_size 0 is missing or out of range`,
		`"model_type": "qwen2_moe", "decoder_sparse_step": 0`:        `decoder_sparse_step 0`,
		`"model_type": "mixtral", "num_local_experts": 65536, "num_hidden_layers": 16000`:                `more than any model's`,
		`"model_type": "mpt", "d_model": 8, "n_heads": 2, "n_layers": 1, "attn_config": {"qk_ln": true}`: `attn_config.qk_ln true is not supported`,
		`"model_type": "mpt", "d_model": 8, "n_heads": 2, "n_layers": 1, "no_bias": false`:               `no_bias false is not supported`,
	} {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(strings.Replace(small, "REST", change, 1)), 0o644))
		_, err := llm.Load(dir, nn.LoadOptions{})
		require.ErrorContains(t, err, says)
		require.ErrorContains(t, err, filepath.Join(dir, "config.json"))
	}
}

// Sizes of real models, counted without allocating them.
func TestParameterCounts(t *testing.T) {
	llama := llm.Config{ModelType: "llama", VocabSize: 32000, HiddenSize: 4096, IntermediateSize: 11008, NumHiddenLayers: 32, NumAttentionHeads: 32,
		MaxPositionEmbeddings: 4096, NormEps: 1e-5, HiddenAct: "silu", RoPE: nn.RoPEConfig{Theta: 1e4}}
	large := llama
	large.HiddenSize, large.IntermediateSize, large.NumHiddenLayers, large.NumAttentionHeads = 5120, 13824, 40, 40
	qwen := llm.Config{ModelType: "qwen2", VocabSize: 151936, HiddenSize: 896, IntermediateSize: 4864, NumHiddenLayers: 24, NumAttentionHeads: 14, NumKeyValueHeads: 2,
		MaxPositionEmbeddings: 32768, NormEps: 1e-6, HiddenAct: "silu", AttentionBias: true, TieWordEmbeddings: true, RoPE: nn.RoPEConfig{Theta: 1e6}}
	for want, c := range map[int]llm.Config{6738415616: llama, 13015864320: large, 494032768: qwen} {
		m, err := llm.New(nil, c)
		require.NoError(t, err)
		n := 0
		for _, p := range nn.Params(m) {
			require.True(t, p.IsMeta())
			n += p.Len()
		}
		require.Equal(t, want, n)
	}
}

// A head that is stored and differs counts, though the config ties it, as in transformers 5 and as merged adapters leave it.
func TestTiedFlagWithAHeadOfItsOwn(t *testing.T) {
	for _, name := range []string{"qwen2", "mpt"} {
		tied, err := llm.Load("testdata/"+name+"/model", nn.LoadOptions{})
		require.NoError(t, err)
		c := tied.Config()
		require.True(t, c.TieWordEmbeddings)
		c.TieWordEmbeddings = false
		parted, err := llm.New(rand.New(rand.NewPCG(1, 2)), c)
		require.NoError(t, err)
		dir := t.TempDir()
		require.NoError(t, llm.Save(parted, dir, nn.SaveOptions{}))
		raw, err := os.ReadFile(filepath.Join(dir, "config.json"))
		require.NoError(t, err)
		text := regexp.MustCompile(`"tie_word_embeddings": *false`).ReplaceAllString(string(raw), `"tie_word_embeddings": true`)
		require.NotEqual(t, string(raw), text)
		require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o600))
		got, err := llm.Load(dir, nn.LoadOptions{})
		require.NoError(t, err)
		require.False(t, got.Config().TieWordEmbeddings, "what is written again says so")
		require.Equal(t, parted.Head().(*nn.Linear).Weight.Data(), got.Head().(*nn.Linear).Weight.Data())
	}
}

// Whatever stands in place of any value of a config.json ends in an error or in a model, never in a panic or in memory without bound.
func TestMutatedConfigs(t *testing.T) {
	files, err := filepath.Glob("testdata/*/model/config.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, path := range files {
		raw, err := os.ReadFile(path)
		require.NoError(t, err)
		for what, b := range mutate.All(raw) {
			var c llm.Config
			if jsonfile.Unmarshal(b, &c) == nil && c.NumHiddenLayers < 100 {
				_, err := llm.New(nil, c)
				require.NoError(t, err, "%s: %s", path, what)
				_, err = json.Marshal(c)
				require.NoError(t, err, "%s: %s", path, what)
			}
		}
	}
}

// The same of several values at once, and of bytes that are no JSON.
func FuzzConfig(f *testing.F) {
	mutate.Fuzz(f, func(t *testing.T, raw []byte) error {
		var c llm.Config
		if err := jsonfile.Unmarshal(raw, &c); err != nil || c.NumHiddenLayers > 100 {
			return err
		}
		_, err := llm.New(nil, c)
		require.NoError(t, err, "%s", raw)
		_, err = json.Marshal(c)
		return err
	}, mutate.Files(f, "testdata/*/model/config.json")...)
}

// FuzzGeneration reads generation_config.json.
func FuzzGeneration(f *testing.F) {
	mutate.Fuzz(f, mutate.InFolder(f, "generation_config.json", func(t *testing.T, dir string) error {
		_, err := llm.ReadGeneration(dir)
		return err
	}), []byte(`{"eos_token_id": [2, 3], "pad_token_id": 0, "do_sample": true, "temperature": 1, "top_k": 3, "top_p": 0.9,
		"num_beams": 2, "length_penalty": 1.5, "early_stopping": true, "repetition_penalty": 1.1, "max_new_tokens": 9,
		"min_length": 2, "bad_words_ids": [[5, 6]], "suppress_tokens": [3], "no_repeat_ngram_size": 2,
		"forced_eos_token_id": 2, "stop_strings": ["a"], "x": {}}`))
}
