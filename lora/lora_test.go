package lora_test

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/internal/verify/casetest"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/lora"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/nn/nntest"
	"github.com/gollava/gollava/tensor"
)

func rng() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

// PEFT wrote the adapters and computed with them: DoRA on every Linear; rsLoRA with patterns, one layer only and a head
// in full; a LLaVA's with its connector. Written by cmd/gollava/testdata/make_tiny.py.
func TestEqualsPEFT(t *testing.T) {
	for name, n := range map[string]int{"dora": 49, "patterns": 12, "llava": 15} {
		require.Len(t, casetest.Passes(t, filepath.Join("testdata", name), n).Rows, n)
	}
}

func base(t testing.TB) llm.Model {
	m, err := llm.Load("testdata/dora/model", nn.LoadOptions{})
	require.NoError(t, err)
	return m
}

var ids = tensor.Ints([]int{3, 9, 4, 17, 5, 6, 20, 8, 11, 2}, 2, 5)

func loss(m llm.Model) *tensor.Tensor {
	return llm.Loss(m, llm.Input{Embeds: m.Embed(ids)}, ids)
}

func logits(m llm.Model) []float32 {
	return llm.Logits(m, m.Hidden(llm.Input{Embeds: m.Embed(ids).NoGrad()})).Data()
}

func near(t *testing.T, want, got []float32, tol float64) {
	t.Helper()
	require.Len(t, got, len(want))
	for i := range want {
		require.InDelta(t, want[i], got[i], tol, "element %d", i)
	}
}

func contents(m any) map[string]string {
	all := map[string]string{}
	for name, p := range nn.Params(m) {
		all[name] = string(p.Bytes())
	}
	return all
}

// disturb gives every adapter of m other values than zero.
func disturb(a *lora.Adapter) {
	r := rng()
	for name, p := range a.Params() {
		for i := range p.Data() {
			if strings.Contains(name, "magnitude") {
				p.Data()[i] *= 1 + 0.2*float32(r.NormFloat64())
			} else {
				p.Data()[i] += 0.3 * float32(r.NormFloat64())
			}
		}
	}
}

var linears = []string{"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}

var kinds = map[string]func(*lora.Config){
	"LoRA":     func(*lora.Config) {},
	"gaussian": func(c *lora.Config) { c.Init.Kind = "gaussian" },
	"rsLoRA":   func(c *lora.Config) { c.RSLoRA = true },
	"DoRA":     func(c *lora.Config) { c.DoRA = true },
	"dropout":  func(c *lora.Config) { c.Dropout = 0.5 },
}

func wrapped(t *testing.T, m llm.Model, change func(*lora.Config)) *lora.Adapter {
	c := lora.Default(3, 5, linears...)
	change(&c)
	a, err := lora.Wrap(m, c, rng(), nil)
	require.NoError(t, err)
	return a
}

// A fresh adapter changes nothing; a trained one does, merged or not alike; taken off, every bit of the base is back.
func TestWrapMergeRemove(t *testing.T) {
	for kind, change := range kinds {
		m := base(t)
		plain, was := logits(m), contents(m)
		a := wrapped(t, m, change)
		fresh := logits(m)
		if kind == "DoRA" { // divides by norms and multiplies by them
			near(t, plain, fresh, 5e-5)
		} else {
			require.Equal(t, plain, fresh, kind)
		}
		disturb(a)
		adapted := logits(m)
		require.NotEqual(t, plain, adapted)

		lora.SetMerged(m, true)
		lora.SetMerged(m, true)
		near(t, adapted, logits(m), 5e-5)
		require.NotEqual(t, was["model.layers.0.self_attn.q_proj.weight"], contents(m)["model.layers.0.self_attn.q_proj.weight"])
		lora.SetMerged(m, false)
		require.Equal(t, adapted, logits(m))

		require.NoError(t, lora.Merge(m))
		near(t, adapted, logits(m), 5e-5)
		require.Len(t, contents(m), len(was), "no parameter of an adapter is left")

		m = base(t)
		a = wrapped(t, m, change)
		disturb(a)
		lora.SetMerged(m, true)
		a.Remove()
		require.Equal(t, was, contents(m))
		require.Equal(t, plain, logits(m))
	}
}

func TestGradients(t *testing.T) {
	for kind, change := range kinds {
		m := base(t)
		a := wrapped(t, m, change)
		disturb(a)
		n := 0
		for name, p := range nn.Params(m) {
			require.Equal(t, strings.Contains(name, ".lora_"), p.Trainable(), name)
			if p.Trainable() {
				n += p.Len()
			}
		}
		require.Equal(t, n, a.Trainable(), kind)
		nntest.Check(t, m, func() *tensor.Tensor { return loss(m) })
	}
}

// The gradient of one element of each kind of parameter against differences of the loss; DoRA's norm counts as a
// constant there, so only its magnitude is compared.
func TestGradientsAreDerivatives(t *testing.T) {
	for kind, change := range kinds {
		m := base(t)
		disturb(wrapped(t, m, change))
		loss(m).Backward()
		for name, p := range nn.Params(m) {
			if !p.Trainable() || !strings.Contains(name, "layers.1.mlp.down_proj") || kind == "DoRA" && !strings.HasSuffix(name, "magnitude_vector") {
				continue
			}
			i := p.Len() / 2
			const h = 1e-2
			at := func(d float32) float64 {
				p.Data()[i] += d
				defer func() { p.Data()[i] -= d }()
				return float64(loss(m).Item())
			}
			require.InDelta(t, (at(h)-at(-h))/(2*h), p.Grad().Data()[i], 2e-3, "%s: %s", kind, name)
		}
	}
}

// Dropout reaches the adapter's branch alone, only while training, and is the same within a step.
func TestDropout(t *testing.T) {
	m := base(t)
	disturb(wrapped(t, m, kinds["dropout"]))
	still := logits(m)
	nn.Train(m, 1, 0)
	one := logits(m)
	require.NotEqual(t, still, one)
	require.Equal(t, one, logits(m))
	nn.Train(m, 1, 1)
	require.NotEqual(t, one, logits(m))
	nn.Eval(m)
	require.Equal(t, still, logits(m))
}

func TestSaveLoad(t *testing.T) {
	for kind, change := range kinds {
		m := base(t)
		a := wrapped(t, m, func(c *lora.Config) {
			change(c)
			c.Save = lora.List{"lm_head"}
		})
		disturb(a)
		dir := t.TempDir()
		require.NoError(t, a.Save(dir, lora.SaveOptions{}))
		back := base(t)
		b, err := lora.Load(back, dir)
		require.NoError(t, err)
		require.Equal(t, contents(m), contents(back), kind)
		require.Equal(t, logits(m), logits(back))
		require.Equal(t, a.Trainable(), b.Trainable())
		c := b.Config()
		require.Equal(t, "LORA", c.PeftType)
		require.True(t, c.InferenceMode)
	}
}

// Names that older versions of PEFT wrote, in a file of torch.save or of safetensors.
func TestOldNames(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS("testdata/dora/adapter")))
	want := base(t)
	_, err := lora.Load(want, dir)
	require.NoError(t, err)
	w, err := nn.OpenWeights(filepath.Join(dir, "adapter_model.safetensors"))
	require.NoError(t, err)
	old := map[string]*tensor.Tensor{}
	for _, name := range w.Names() {
		x, err := w.Read(name, tensor.Float32)
		require.NoError(t, err)
		name = strings.NewReplacer(".lora_A.", ".lora_A.default.", ".lora_B.", ".lora_B.default.").Replace(name)
		if strings.HasSuffix(name, "lora_magnitude_vector") {
			name += ".weight"
		}
		old[name] = x
	}
	require.NoError(t, w.Close())
	type named struct {
		T *tensor.Tensor `param:"t"`
	}
	var list []*named
	var names []string
	for name, x := range old {
		list, names = append(list, &named{x}), append(names, name)
	}
	require.NoError(t, nn.Save(&struct {
		List []*named `param:""`
	}{list}, filepath.Join(dir, "adapter_model.safetensors"), nn.SaveOptions{Rename: func(n string) string {
		var i int
		require.NoError(t, json.Unmarshal([]byte(strings.Split(strings.TrimPrefix(n, "list."), ".")[0]), &i))
		return names[i]
	}}))
	got := base(t)
	_, err = lora.Load(got, dir)
	require.NoError(t, err)
	require.Equal(t, contents(want), contents(got))
}

// LLaVA's recipe: 319,815,680 values on a 7B model, counted without allocating any.
func TestLLaVACount(t *testing.T) {
	m, err := llm.New(nil, llm.Config{ModelType: "llama", VocabSize: 32000, HiddenSize: 4096, IntermediateSize: 11008, NumHiddenLayers: 32,
		NumAttentionHeads: 32, MaxPositionEmbeddings: 4096, NormEps: 1e-5, HiddenAct: "silu", RoPE: nn.RoPEConfig{Theta: 1e4}})
	require.NoError(t, err)
	a, err := lora.Wrap(m, lora.LLaVA(), nil, nil)
	require.NoError(t, err)
	require.Equal(t, 319815680, a.Trainable())
	for _, p := range a.Params() {
		require.True(t, p.IsMeta())
	}
}

// layers lists the layers that c adapts.
func layers(t *testing.T, m any, c lora.Config, naming lora.Naming) (list []string) {
	a, err := lora.Wrap(m, c, rng(), naming)
	require.NoError(t, err)
	for name, l := range nn.Layers(m) {
		if w, ok := l.(*lora.Linear); ok {
			list = append(list, strings.TrimPrefix(name, "model.layers.")+strings.Repeat("'", int(w.Scale)))
		}
	}
	slices.Sort(list)
	a.Remove()
	return list
}

// Which layers a config is about, as PEFT decides it; a mark stands for a scale of 1.
func TestTargets(t *testing.T) {
	m := base(t)
	c := func(alpha float64, change func(*lora.Config)) lora.Config {
		c := lora.Default(2, 2*alpha)
		change(&c)
		return c
	}
	names := func(n ...string) func(*lora.Config) { return func(c *lora.Config) { c.Targets.Names = n } }
	for _, k := range []struct {
		c    lora.Config
		want []string
	}{
		{c(1, names("q_proj")), []string{"0.self_attn.q_proj'", "1.self_attn.q_proj'"}},
		{c(2, names("1.self_attn.q_proj")), []string{"1.self_attn.q_proj''"}},
		{c(1, names("proj_q", "lm_head")), nil},
		{c(1, func(c *lora.Config) { c.Targets.Pattern = `.*\.1\.mlp\.(up|down)_proj` }), []string{"1.mlp.down_proj'", "1.mlp.up_proj'"}},
		{c(1, func(c *lora.Config) {
			names("q_proj", "k_proj")(c)
			c.Exclude.Names = []string{"k_proj", "1.self_attn.q_proj"}
		}), []string{"0.self_attn.q_proj'"}},
		{c(1, func(c *lora.Config) { names("q_proj")(c); c.Layers = lora.Ints{1} }), []string{"1.self_attn.q_proj'"}},
		{c(1, func(c *lora.Config) {
			names("q_proj")(c)
			c.Layers = lora.Ints{0}
			c.LayersPattern = lora.List{"layers"}
		}), []string{"0.self_attn.q_proj'"}},
		{c(1, func(c *lora.Config) {
			names("q_proj")(c)
			c.AlphaPattern = lora.Pattern{{Key: `layers\.1.*q_proj`, Value: 6}, {Key: "q_proj", Value: 4}}
		}), []string{"0.self_attn.q_proj''", "1.self_attn.q_proj'''"}},
		{c(1, func(c *lora.Config) {
			names("q_proj")(c)
			c.RankPattern = lora.Pattern{{Key: `0\.self_attn\.q_proj`, Value: 1}}
		}),
			[]string{"0.self_attn.q_proj''", "1.self_attn.q_proj'"}},
	} {
		if k.want == nil {
			_, err := lora.Wrap(m, k.c, rng(), nil)
			require.ErrorContains(t, err, `no Linear called "proj_q"`)
			for _, l := range nn.Layers(m) {
				_, adapted := l.(*lora.Linear)
				require.False(t, adapted, "a failed Wrap leaves the model alone")
			}
			continue
		}
		require.Equal(t, k.want, layers(t, m, k.c, nil))
	}
	all := c(1, func(c *lora.Config) { c.Targets.Pattern = "all-linear" })
	require.Len(t, layers(t, m, all, nil), 2*7)
}

func TestFaults(t *testing.T) {
	tied, err := llm.Load("../llm/testdata/qwen2/model", nn.LoadOptions{})
	require.NoError(t, err)
	twice := base(t)
	wrapped(t, twice, kinds["LoRA"])
	good := lora.Default(2, 4, "q_proj")
	for says, k := range map[string]struct {
		m      any
		change func(*lora.Config)
	}{
		"target_modules is empty":                         {base(t), func(c *lora.Config) { c.Targets.Names = nil }},
		"r 0 is not a positive rank":                      {base(t), func(c *lora.Config) { c.R = 0 }},
		"lora_dropout 1 is outside":                       {base(t), func(c *lora.Config) { c.Dropout = 1 }},
		"bias \"all\" is not supported":                   {base(t), func(c *lora.Config) { c.Bias = "all" }},
		"no look-ahead":                                   {base(t), func(c *lora.Config) { c.Targets = lora.Targets{Pattern: "(?!lm).*"} }},
		"init_lora_weights \"pissa\"":                     {base(t), func(c *lora.Config) { c.Init.Kind = "pissa" }},
		"fits no Linear":                                  {base(t), func(c *lora.Config) { c.Targets = lora.Targets{Pattern: "none"} }},
		"no part called \"projector\"":                    {base(t), func(c *lora.Config) { c.Save = lora.List{"projector"} }},
		"its weight is tied to model.embed_tokens.weight": {tied, func(c *lora.Config) { c.Targets.Names = []string{"lm_head"} }},
		"modules_to_save: lm_head.weight is tied":         {tied, func(c *lora.Config) { c.Save = lora.List{"embed_tokens"} }},
		"has an adapter already":                          {twice, func(*lora.Config) {}},
	} {
		c := good
		k.change(&c)
		_, err := lora.Wrap(k.m, c, rng(), nil)
		require.ErrorContains(t, err, says)
	}
}

func TestFilesThatDoNotFit(t *testing.T) {
	for says, change := range map[string][2]string{
		"peft_type \"IA3\" is not supported":                        {`"peft_type": "LORA"`, `"peft_type": "IA3"`},
		"use_dora":                                                  {`"use_dora": true`, `"use_dora": false`},
		"misshapen   model.layers.0.mlp.down_proj":                  {`"r": 3`, `"r": 4`},
		"missing     model.layers.1.self_attn.q_proj.lora_A.weight": {`"adapter_model"`, ""},
		"lora_bias true is not supported":                           {`"lora_bias": false`, `"lora_bias": true`},
		"target_modules":                                            {`"target_modules": [`, `"target_modules": [{},`},
		"the JSON ends too early":                                   {`{`, ``},
		"model.layers.1.mlp.down_proj, which exclude_modules or layers_to_transform": {
			`"layers_to_transform": null`, `"layers_to_transform": [0]`},
		"model.layers.0.self_attn.q_proj, which exclude_modules": {
			`"exclude_modules": null`, `"exclude_modules": ["q_proj"]`},
	} {
		dir := t.TempDir()
		require.NoError(t, os.CopyFS(dir, os.DirFS("testdata/dora/adapter")))
		path := filepath.Join(dir, "adapter_config.json")
		raw, err := os.ReadFile(path)
		require.NoError(t, err)
		text := strings.Replace(string(raw), change[0], change[1], 1)
		switch change[0] {
		case `{`:
			text = `{"r": `
		case `"adapter_model"`: // of another model, with a layer less
			part := base(t)
			a, err := lora.Wrap(part, lora.Default(3, 5, "0.self_attn.q_proj"), rng(), nil)
			require.NoError(t, err)
			require.NoError(t, a.Save(dir, lora.SaveOptions{}))
			text = `{"r": 3, "lora_alpha": 5, "target_modules": ["q_proj"]}`
		}
		require.NotEqual(t, string(raw), text)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		m := base(t)
		was := contents(m)
		_, err = lora.Load(m, dir)
		require.ErrorContains(t, err, says)
		require.ErrorContains(t, err, dir)
		require.Equal(t, was, contents(m), "a failed Load leaves the model alone")
	}
}

// The connector goes wherever the adapter goes: into PEFT's file, or into non_lora_trainables.bin as LLaVA's repository
// has it.
func TestConnectorIsSaved(t *testing.T) {
	open := func() *connector.VLM {
		m, err := llava.Load("testdata/llava/model", llava.LoadOptions{})
		require.NoError(t, err)
		return m
	}
	for _, original := range []bool{false, true} {
		m := open()
		c := lora.Default(2, 4, "q_proj")
		c.Exclude = lora.Targets{Pattern: ".*vision_tower.*"}
		c.Save = lora.List{"multi_modal_projector"}
		a, err := lora.Wrap(m, c, rng(), llava.Transformers5)
		require.NoError(t, err)
		require.Contains(t, a.Patterns(), "multi_modal_projector.linear_1.weight")
		disturb(a)
		dir := t.TempDir()
		o := lora.SaveOptions{}
		if original {
			o = lora.SaveOptions{Naming: llava.OriginalNames(m), Others: []string{"multi_modal_projector.**"}}
		}
		require.NoError(t, a.Save(dir, o))
		_, err = os.Stat(filepath.Join(dir, "non_lora_trainables.bin"))
		require.Equal(t, original, err == nil)
		back := open()
		_, err = lora.Load(back, dir, llava.Namings(back)...)
		require.NoError(t, err)
		require.Equal(t, contents(m), contents(back))
	}
}

// rewrite replaces the adapter's file in dir by one with other names and more tensors.
func rewrite(t *testing.T, dir string, rename func(string) string, more map[string]*tensor.Tensor) {
	t.Helper()
	path := filepath.Join(dir, "adapter_model.safetensors")
	w, err := nn.OpenWeights(path)
	require.NoError(t, err)
	all := map[string]*tensor.Tensor{}
	for _, name := range w.Names() {
		x, err := w.Read(name, tensor.Float32)
		require.NoError(t, err)
		all[rename(name)] = x
	}
	require.NoError(t, w.Close())
	maps.Copy(all, more)
	type named struct {
		T *tensor.Tensor `param:"t"`
	}
	var list []*named
	names := slices.Sorted(maps.Keys(all))
	for _, n := range names {
		list = append(list, &named{all[n]})
	}
	require.NoError(t, nn.Save(&struct {
		List []*named `param:""`
	}{list}, path, nn.SaveOptions{Rename: func(n string) string {
		i, err := strconv.Atoi(strings.Split(strings.TrimPrefix(n, "list."), ".")[0])
		require.NoError(t, err)
		return names[i]
	}}))
}

// PEFT stores the head's own weight, and the embeddings, with an adapter of the head: the base's values are no
// obstacle, others replace them until the adapter is removed, and are written again.
func TestHeadsOfPEFT(t *testing.T) {
	m, dir := base(t), t.TempDir()
	a, err := lora.Wrap(m, lora.Default(2, 4, "lm_head", "q_proj"), rng(), nil)
	require.NoError(t, err)
	for _, p := range a.Params() {
		p.CopyFrom(tensor.Randn(rng(), 0.1, p.Shape()...))
	}
	require.NoError(t, a.Save(dir, lora.SaveOptions{}))
	want := logits(m)
	plain := base(t)
	was := contents(plain)
	head := plain.Head().(*nn.Linear).Weight
	embedding := plain.(*llm.Llama).Decoder.Embedding.Weight
	same := func(n string) string { return n }
	rewrite(t, dir, same, map[string]*tensor.Tensor{"base_model.model.lm_head.base_layer.weight": head.Clone(),
		"base_model.model.model.embed_tokens.weight": embedding.Clone()})
	_, err = lora.Load(plain, dir)
	require.NoError(t, err)
	near(t, want, logits(plain), 1e-6)

	other := tensor.Randn(rng(), 0.1, head.Shape()...)
	rewrite(t, dir, same, map[string]*tensor.Tensor{"base_model.model.lm_head.base_layer.weight": other.Clone()})
	plain = base(t)
	b, err := lora.Load(plain, dir)
	require.NoError(t, err)
	changed := logits(plain)
	require.NotEqual(t, want, changed)
	again := t.TempDir()
	require.NoError(t, b.Save(again, lora.SaveOptions{}))
	third := base(t)
	_, err = lora.Load(third, again)
	require.NoError(t, err)
	near(t, changed, logits(third), 0)
	b.Remove()
	require.Equal(t, was, contents(plain))
}

// An adapter that trains one of two tied names in full parts them in PEFT: that is refused, with the word.
func TestAdaptersThatPartTiedWeights(t *testing.T) {
	for _, save := range []string{"embed_tokens", "lm_head"} {
		m, err := llm.Load("../llm/testdata/qwen2/model", nn.LoadOptions{})
		require.NoError(t, err)
		dir := t.TempDir()
		a, err := lora.Wrap(m, lora.Default(2, 4, "q_proj"), rng(), nil)
		require.NoError(t, err)
		require.NoError(t, a.Save(dir, lora.SaveOptions{}))
		a.Remove()
		full := "base_model.model.model.embed_tokens.weight"
		if save == "lm_head" {
			full = "base_model.model.lm_head.weight"
		}
		rewrite(t, dir, func(n string) string { return n }, map[string]*tensor.Tensor{full: m.Head().(*nn.Linear).Weight.Clone()})
		path := filepath.Join(dir, "adapter_config.json")
		raw, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, []byte(strings.Replace(string(raw), `"modules_to_save": null`, `"modules_to_save": ["`+save+`"]`, 1)), 0o600))
		_, err = lora.Load(m, dir)
		require.ErrorContains(t, err, "tied")
	}
}
