package main

import (
	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
)

// The steps of examples/quickstart's default preset, at its sizes and the mean lengths of its batches, with gradients
// clipped and AdamW's update, from batches that are in memory: drawing pictures and questions is not counted on either
// side. The whole recipe is a fiftieth of its steps.
const (
	cellsPerPicture, featuresPerPicture, vocabulary = 9, 36, 162

	clipSteps, languageSteps, alignSteps, tuneSteps = 1400, 8000, 300, 6000
	portion                                         = 50
)

// recipeBatch is a batch of one of the stages with a language model: B·T tokens, the pictures' places among them, of
// which so many are learnt from.
type recipeBatch struct{ B, T, Supervised int }

var (
	languageBatch = recipeBatch{16, 55, 215}
	alignBatch    = recipeBatch{32, 49, 813}
	tuneBatch     = recipeBatch{16, 57, 262}
)

func (b recipeBatch) args() size { return size{"b": b.B, "t": b.T, "supervised": b.Supervised} }

func recipeCases() []Case {
	stage := func(name string, args size, setup func() func()) Case {
		return Case{Name: "recipe/" + name, Op: "recipe_" + name, Args: args, Rivals: []string{"torch"}, Unit: "ms",
			Share: byArithmetic, Setup: setup}
	}
	return []Case{
		stage("clip", size{}, clipStep), stage("language", languageBatch.args(), languageStep),
		stage("align", alignBatch.args(), alignStep), stage("tune", tuneBatch.args(), tuneStep),
		stage("all", size{"clip": clipSteps / portion, "language": languageSteps / portion, "align": alignSteps / portion,
			"tune":    tuneSteps / portion,
			"batches": []size{languageBatch.args(), alignBatch.args(), tuneBatch.args()}}, func() func() {
			clip, language, align, tune := clipStep(), languageStep(), alignStep(), tuneStep()
			return func() {
				repeat(clipSteps/portion, clip)
				repeat(languageSteps/portion, language)
				repeat(alignSteps/portion, align)
				repeat(tuneSteps/portion, tune)
			}
		}),
	}
}

func repeat(n int, f func()) {
	for range n {
		f()
	}
}

// recipeStep takes losses' gradients, scales them to norm 1 at most, and lets AdamW move params.
func recipeStep(params []*tensor.Tensor, loss func(s *tensor.Arena) *tensor.Tensor) func() {
	items := make([]tensor.AdamWItem, len(params))
	for i, p := range params {
		p.SetTrainable(true)
		items[i] = tensor.AdamWItem{Param: p, M: tensor.New(p.Shape()...), V: tensor.New(p.Shape()...)}
	}
	c := tensor.AdamWConfig{LR: 1e-3, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8}
	grads := make([]*tensor.Tensor, len(params))
	return func() {
		scope(func(s *tensor.Arena) { loss(s).Backward() })
		for i, p := range params {
			grads[i] = p.Grad()
		}
		c.Step++
		c.GradScale = min(1, 1/(tensor.GlobalNorm(grads)+1e-6))
		tensor.AdamW(c, items)
		for _, p := range params {
			p.ZeroGrad()
		}
	}
}

func recipeVision() vit.VisionConfig {
	return vit.VisionConfig{ModelType: "clip_vision_model", HiddenSize: 64, IntermediateSize: 256, NumHiddenLayers: 3,
		NumAttentionHeads: 4, NumChannels: 3, ImageSize: 48, PatchSize: 8,
		ProjectionDim: 64, HiddenAct: "quick_gelu", LayerNormEps: 1e-5}
}

func recipeLanguage() llm.Config {
	return llm.Config{ModelType: "qwen3", VocabSize: vocabulary, HiddenSize: 96, IntermediateSize: 256, NumHiddenLayers: 3,
		NumAttentionHeads: 6, NumKeyValueHeads: 6, HeadDim: 16, MaxPositionEmbeddings: 512, NormEps: 1e-5, HiddenAct: "silu",
		TieWordEmbeddings: true, RoPE: nn.RoPEConfig{Type: "default", Theta: 1e6}, BOS: 2, PAD: 0, EOS: []int{3}}
}

// clipStep contrasts 64 pictures with 64 captions and as many wrong ones.
func clipStep() func() {
	const B, M, T = 64, 128, 23
	m := must(vit.NewCLIP(seeded(), vit.CLIPConfig{ModelType: "clip", Vision: recipeVision(), ProjectionDim: 64,
		LogitScaleInit: 2.66, Text: vit.TextConfig{ModelType: "clip_text_model", VocabSize: vocabulary, HiddenSize: 64,
			IntermediateSize: 256, NumHiddenLayers: 2, NumAttentionHeads: 4, MaxPositionEmbeddings: 96, HiddenAct: "quick_gelu",
			LayerNormEps: 1e-5, BOS: 2, EOS: 3, ProjectionDim: 64}}))
	pixels, texts, same := uniform(B, 3, 48, 48), tokens(M, T, vocabulary), tensor.New(B, M)
	ends := make([]int32, M)
	for i := range ends {
		ends[i] = int32(T - i%8)
	}
	return recipeStep(params(m), func(s *tensor.Arena) *tensor.Tensor {
		return vit.ContrastiveLoss(m.Logits(m.EncodeImage(pixels.In(s)), m.EncodeText(texts.In(s), ends)), same)
	})
}

// text returns tokens and labels: the second to tenth of each row stand for the picture, marked −1, the last so many of
// the batch are learnt from.
func (b recipeBatch) text() (ids, labels *tensor.Tensor) {
	ids = tokens(b.B, b.T, vocabulary)
	learnt := make([]int32, b.B*b.T)
	for i := range learnt {
		learnt[i] = tensor.IgnoreIndex
		if i%b.T >= b.T-b.Supervised/b.B {
			learnt[i] = ids.IntData()[i]
		}
		if k := i % b.T; k > 0 && k <= cellsPerPicture {
			ids.IntData()[i] = -1
		}
	}
	return ids, tensor.WrapInts(learnt, b.B, b.T)
}

// languageStep is a step of the text stage: cells are sums of words, through two layers.
func languageStep() func() {
	b := languageBatch
	m := must(llm.New(seeded(), recipeLanguage()))
	C := m.Config().HiddenSize
	words, up, out := nn.NewEmbedding(seeded(), vocabulary, C, 0.3), nn.NewLinear(seeded(), C, C, true),
		nn.NewLinear(seeded(), C, C, true)
	ids, labels := b.text()
	n := b.B * cellsPerPicture
	told, cells, places, text := tokens(1, 4*n, vocabulary).Reshape(4*n), make([]int32, 4*n), make([]int32, 0, n),
		make([]int32, ids.Len())
	for i := range cells {
		cells[i] = int32(i / 4)
	}
	for i, id := range ids.IntData() {
		if id < 0 {
			places = append(places, int32(i))
		} else {
			text[i] = id
		}
	}
	noise := uniform(n, C)
	return recipeStep(append(append(append(params(m), params(words)...), params(up)...), params(out)...),
		func(s *tensor.Arena) *tensor.Tensor {
			seen := tensor.ScatterAddRows(n, tensor.WrapInts(cells, 4*n), words.Lookup(told.In(s)))
			seen = out.Forward(nn.Activated(up, seen, tensor.GELU)).Add(noise)
			x := m.Embed(tensor.WrapInts(text, b.B, b.T).In(s)).Reshape(b.B*b.T, C)
			x = tensor.ScatterRows(x, tensor.WrapInts(places, n), seen)
			return llm.Loss(m, llm.Input{Embeds: x.Reshape(b.B, b.T, C)}, labels)
		})
}

// recipeVLM is the joined model: four neighbouring patches become a token.
func recipeVLM() *connector.VLM {
	return must(llava.Join(seeded(), must(vit.New(nil, recipeVision())), must(llm.New(seeded(), recipeLanguage())),
		llava.Config{Projector: "mlp2x_linear", Image: -1, Select: vit.Select{Layers: []int{-2}, Class: "patch"}, Merge: 2}))
}

func (b recipeBatch) pictures() connector.Batch {
	ids, labels := b.text()
	return connector.Batch{IDs: ids, Labels: labels, Features: uniform(b.B, featuresPerPicture, 64)}
}

// alignStep is a step of stage 1: only the projector trains.
func alignStep() func() {
	m, b := recipeVLM(), alignBatch.pictures()
	return recipeStep(params(m.Connector), func(s *tensor.Arena) *tensor.Tensor { return m.Loss(b.In(s)) })
}

// tuneStep is a step of stage 2.
func tuneStep() func() {
	m, b := recipeVLM(), tuneBatch.pictures()
	return recipeStep(append(params(m.Connector), params(m.Language)...),
		func(s *tensor.Arena) *tensor.Tensor { return m.Loss(b.In(s)) })
}
