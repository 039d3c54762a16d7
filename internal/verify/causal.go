package verify

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
)

// causalLM checks a decoder, for each checkpoint and each spelling of its config: logits, loss, gradients, generated
// ids and the probabilities of sampling.
func causalLM(r *Report, c modelCase) {
	r.set(c)
	for _, config := range append([]string{"config.json"}, c.Configs...) {
		r.checkpoints(c.Checkpoints, func(checkpoint) {
			if config != "config.json" {
				r.Prefix += config + ": "
			}
			m := loadDecoder(r.Checkpoint, config)
			r.castWeights(m)
			decoder(r, m)
		})
	}
}

func loadDecoder(dir, config string) llm.Model {
	path := inside(dir, config)
	var c llm.Config
	if err := json.Unmarshal(must(os.ReadFile(path)), &c); err != nil {
		failf("%s: %w", path, err)
	}
	return must(llm.LoadAs(c, dir, nn.LoadOptions{DType: inBlocks}))
}

func decoder(r *Report, m llm.Model) {
	for _, p := range nn.Params(m) {
		p.SetTrainable(!p.DType().Quantized())
	}
	main := r.batch("in.")
	r.masked("logits", llm.Logits(m, m.Hidden(main.input(m))), main.mask)
	scored := r.batch("in.loss.")
	in := scored.input(m)
	r.masked("loss_logits", llm.Logits(m, m.Hidden(in)), scored.mask)
	loss := llm.Loss(m, in, scored.labels)
	r.loss("loss", loss)
	r.backward(loss, m, nil)
	if len(r.Generation)+len(r.Sampling) > 0 {
		continued(r, m, r.batch("in.gen."))
	}
}

// sampling is an entry of case.json's sampling: how one token is drawn.
type sampling struct {
	Repetition  float64 `json:"repetition_penalty"`
	Temperature float64
	TopK        int     `json:"top_k"`
	TopP        float64 `json:"top_p"`
}

// continued checks what is generated and drawn after prompts.
func continued(r *Report, m llm.Model, prompts batch) {
	var p llm.Prompts
	T := prompts.ids.Dim(1)
	for b, row := range rowsOf(prompts.ids) {
		for len(row) > 0 && prompts.mask[(b+1)*T-len(row)] == 0 {
			row = row[1:]
		}
		p.IDs = append(p.IDs, row)
	}
	for _, name := range sorted(r.Generation) {
		r.try(name, func() {
			g := r.Generation[name]
			got := must(llm.Generate(context.Background(), m, p, g.options()))
			r.add(sameIDs(name, padded(got.IDs, int32(g.PAD)), r.table("out.gen."+name)))
			if scores := "out.gen." + name + "_scores"; r.has(scores) {
				r.add(absolute(name+": scores", got.Scores, r.numbers(scores), r.Tolerance.Out))
			}
		})
	}
	if len(r.Sampling) == 0 {
		return
	}
	h := m.Hidden(prompts.input(m))
	z := llm.Logits(m, h.Slice(1, T-1, T).Reshape(h.Dim(0), h.Dim(2))) // [B, V]
	r.output("sample.logits", z)
	V := z.Dim(1)
	for i, s := range r.Sampling {
		how := llm.Sampling{Temperature: s.Temperature, TopK: s.TopK, TopP: s.TopP, RepetitionPenalty: s.Repetition}
		var got []float64
		for b, ids := range p.IDs {
			got = append(got, how.Probabilities(z.Data()[b*V:(b+1)*V], ids, nil)...)
		}
		r.near(fmt.Sprintf("sample.%d.probs", i), got, r.Tolerance.Out)
	}
}
