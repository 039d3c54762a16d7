package main

import (
	"fmt"

	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// decoderCases are prefill and decoding of a Llama of 110 M parameters besides its embedding, in dtypes that train
// and in blocks.
func decoderCases() []Case {
	const prefill, decode = 512, 32
	c := llamaConfig(12, 768, 12, 2048, 32000)
	// In 10⁹: the blocks' weights, used for each token, and the head's, in prefill for the last one only.
	const blocks, head = 1e-9 * 12 * (4*768*768 + 3*768*2048), 1e-9 * 32000 * 768
	var list []Case
	for _, x := range []struct {
		dt   tensor.DType
		name string
	}{{tensor.Float32, "f32"}, {tensor.BFloat16, "bf16"}, {tensor.Q8_0, "q8_0"}, {tensor.Q4_0, "q4_0"},
		{tensor.Q4_1, "q4_1"}, {tensor.Q4_K, "q4_k"}} {
		dt, name := x.dt, x.name
		bytes := float64(dt.Bytes(256)) / 256 // of a weight
		args := func(prompt, n int) size {
			a := llamaArgs(c, 1, prompt)
			a["n"], a["dtype"] = n, name
			return a
		}
		list = append(list,
			Case{Name: fmt.Sprintf("decoder/prefill-%d/%s", prefill, name), Op: "generate", Args: args(prefill, 0),
				Rivals: []string{"llama"},
				Unit:   "tokens/s", Work: prefill, Share: byArithmetic, Load: 2 * (blocks*prefill + head),
				Half:  dt == tensor.BFloat16,
				Setup: func() func() { return generate(c, dt, prefill, 0) }},
			Case{Name: fmt.Sprintf("decoder/decode-%d/%s", decode, name), Op: "generate", Args: args(1, decode),
				Rivals: []string{"llama"}, Unit: "tokens/s", Work: decode + 1, Share: byMemory,
				Half:  dt == tensor.BFloat16,
				Load:  (blocks + head) * bytes * (decode + 1),
				Setup: func() func() { return generate(c, dt, 1, decode) }})
	}
	return list
}

// generate reads a prompt and then n tokens, one at a time, and computes the logits of each last one.
func generate(c llm.Config, dt tensor.DType, prompt, n int) func() {
	m := must(llm.New(seeded(), c))
	nn.Autocast(m, dt == tensor.BFloat16)
	for _, p := range params(m) {
		p.SetTrainable(false)
		if p.Rank() == 2 && dt != tensor.Float32 {
			p.SetStorage(p.Cast(dt).Keep())
			p.SetRounding(true)
		}
	}
	ids, one := tokens(1, prompt, c.VocabSize), tokens(1, 1, c.VocabSize)
	return func() {
		cache := llm.NewCache()
		read := func(ids *tensor.Tensor) {
			scope(func(s *tensor.Arena) {
				llm.Logits(m, m.Hidden(llm.Input{Embeds: m.Embed(ids.In(s)).NoGrad(), Cache: cache,
					Rows: []int32{int32(ids.Len() - 1)}}))
			})
		}
		read(ids)
		for range n {
			read(one)
		}
	}
}
