package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/blip2"
	"github.com/gollava/gollava/connector/flamingo"
	"github.com/gollava/gollava/connector/git"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
)

// systemCases are training steps of the systems around LLaVA, images included, as their authors train them: both sides
// read the same config.json, which for the rival is transformers'. Batches are samples of an image or two and
// systemText tokens, of which half are learnt from.
func systemCases(batch int) []Case {
	var all []Case
	for _, s := range []struct {
		name   string
		config size
		setup  func(dir string, batch int) func()
	}{
		{"blip2-stage1", blipConfig("blip-2", "blip_2", optJSON, true), blip2Stage1},
		{"blip2-opt", blipConfig("blip-2", "blip_2", optJSON, false), blip2Step},
		{"instructblip-llama", blipConfig("instructblip", "instructblip", llamaJSON, true), blip2Step},
		{"idefics", ideficsConfig(), ideficsStep},
		{"git", gitConfig(), gitStep},
	} {
		all = append(all, Case{Name: "systems/" + s.name, Op: "system_" + s.name, Rivals: []string{"torch"},
			Args: size{"config": s.config, "batch": batch, "text": systemText, "images": imagesPerSample},
			Unit: "ms", Share: byArithmetic, RSS: true, Setup: func() func() { return inFolder(s.config, batch, s.setup) }})
	}
	return all
}

const systemText, imagesPerSample, systemWords = 48, 2, 8192 // images: of Flamingo

var (
	tower = size{"hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 4, "num_attention_heads": 4,
		"image_size": 112, "patch_size": 14}
	textJSON = size{"hidden_size": 384, "num_hidden_layers": 4, "num_attention_heads": 6, "vocab_size": systemWords,
		"max_position_embeddings": 256, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "dropout": 0,
		"attention_dropout": 0}
	optJSON = with(textJSON, size{"model_type": "opt", "ffn_dim": 1536, "word_embed_proj_dim": 384,
		"activation_function": "relu"})
	llamaJSON = with(textJSON, size{"model_type": "llama", "intermediate_size": 1024, "rms_norm_eps": 1e-6,
		"hidden_act": "silu"})
)

// with is a with b's entries.
func with(a, b size) size {
	c := maps.Clone(a)
	maps.Copy(c, b)
	return c
}

// blipConfig is a Q-Former of four layers between the tower and a language model.
func blipConfig(kind, tail string, text size, reads bool) size {
	return size{"model_type": kind, "num_query_tokens": 32, "image_token_index": 3, "image_text_hidden_size": 128,
		"vision_config": with(tower, size{"model_type": tail + "_vision_model", "layer_norm_eps": 1e-6}), "text_config": text,
		"qformer_config": size{"model_type": tail + "_qformer", "vocab_size": systemWords, "hidden_size": 256,
			"intermediate_size": 1024, "num_hidden_layers": 4, "num_attention_heads": 4, "max_position_embeddings": 128,
			"encoder_hidden_size": 256, "use_qformer_text_input": reads, "hidden_dropout_prob": 0,
			"attention_probs_dropout_prob": 0, "pad_token_id": 0}}
}

func ideficsConfig() size {
	return with(llamaJSON, size{"model_type": "idefics", "additional_vocab_size": 2, "cross_layer_interval": 2,
		"vision_config": with(tower, size{"model_type": "idefics_vision", "embed_dim": 256}), "alpha_type": "float",
		"qk_layer_norms": false, "use_resampler": true, "freeze_text_layers": true, "freeze_vision_layers": true,
		"image_token_id": systemWords + 1, "perceiver_config": size{"use_resampler": true, "resampler_n_latents": 32,
			"resampler_depth": 3, "resampler_n_heads": 4, "resampler_head_dim": 64, "qk_layer_norms_perceiver": false}})
}

func gitConfig() size {
	return size{"model_type": "git", "vision_config": with(tower, size{"model_type": "git_vision_model"}),
		"vocab_size": systemWords, "hidden_size": 384, "intermediate_size": 1536, "num_hidden_layers": 4,
		"num_attention_heads": 6, "max_position_embeddings": 256, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
		"hidden_dropout_prob": 0, "attention_probs_dropout_prob": 0, "num_image_with_embedding": nil}
}

// inFolder calls setup on a folder with a config.json.
func inFolder(config size, batch int, setup func(dir string, batch int) func()) func() {
	dir := must(os.MkdirTemp("", "bench"))
	defer os.RemoveAll(dir)
	must(0, os.WriteFile(filepath.Join(dir, "config.json"), must(json.Marshal(config)), 0o666))
	return setup(dir, batch)
}

// learning is a step of AdamW on the parameters that match the patterns; the others are frozen.
func learning(m any, loss func(s *tensor.Arena) *tensor.Tensor, patterns ...string) func() {
	var learnt []*tensor.Tensor
	matched := map[string]bool{}
	for name, p := range nn.Params(m) {
		p.SetTrainable(false)
		for _, pattern := range patterns {
			if nn.Match(pattern, name) {
				matched[pattern], learnt = true, append(learnt, p)
			}
		}
	}
	if len(matched) < len(patterns) {
		panic(fmt.Sprintf("bench: of %q only %v match a parameter", patterns, matched))
	}
	step := optimizer(learnt, true)
	return func() {
		scope(func(s *tensor.Arena) { loss(s).Backward() })
		step()
	}
}

func blip2Stage1(dir string, batch int) func() {
	c := must(blip2.ReadRetrievalConfig(dir))
	m := must(blip2.NewStage1(seeded(), must(vit.New(seeded(), c.Vision)), c))
	b := blip2.Pairs{Pixels: uniform(batch, 3, 112, 112), IDs: tokens(batch, systemText, systemWords)}
	return learning(m, func(s *tensor.Arena) *tensor.Tensor { return m.Loss(b.In(s)) }, "query_tokens", "qformer.**",
		"embeddings.**", "vision_projection.**", "text_projection.**", "itm_head.**", "cls.**", "temp",
		"vision_model.post_layernorm.*")
}

// blip2Step is BLIP-2's stage 2, or InstructBLIP's.
func blip2Step(dir string, batch int) func() {
	c := must(blip2.ReadConfig(dir))
	b := systemSamples(batch, c.NumQueryTokens)
	b.Pixels = uniform(batch, 3, 112, 112)
	if c.Instructed() {
		for range batch {
			b.Instructions = append(b.Instructions, tokens(1, systemText/2, systemWords).IntData())
		}
	}
	return vlmStep(must(blip2.New(seeded(), c)), b, "query_tokens", "qformer.**", "language_projection.*",
		"vision_model.post_layernorm.*")
}

func ideficsStep(dir string, batch int) func() {
	b := systemSamples(batch, imagesPerSample)
	b.Pixels = uniform(batch*imagesPerSample, 3, 112, 112)
	return vlmStep(must(flamingo.New(seeded(), must(flamingo.ReadConfig(dir)))), b, "perceiver.**",
		"gated_cross_attn_layers.**", "language_model.additional_embedding.*", "language_model.additional_fc.*")
}

func gitStep(dir string, batch int) func() {
	c := must(git.ReadConfig(dir))
	b := systemSamples(batch, c.ImageTokens())
	b.Pixels = uniform(batch, 3, 112, 112)
	return vlmStep(must(git.New(seeded(), c)), b, "**")
}

func vlmStep(m *connector.VLM, b connector.Batch, patterns ...string) func() {
	return learning(m, func(s *tensor.Arena) *tensor.Tensor { return m.Loss(b.In(s)) }, patterns...)
}

// systemSamples are texts after so many places of images, learnt from the middle on.
func systemSamples(batch, places int) connector.Batch {
	text := tokens(batch, systemText, systemWords).IntData()
	var ids, labels []int32
	for row := range slices.Chunk(text, systemText) {
		ids = append(append(ids, slices.Repeat([]int32{-1}, places)...), row...)
		labels = append(labels, slices.Repeat([]int32{tensor.IgnoreIndex}, places+systemText/2)...)
		labels = append(labels, row[systemText/2:]...)
	}
	T := places + systemText
	return connector.Batch{IDs: tensor.WrapInts(ids, batch, T), Labels: tensor.WrapInts(labels, batch, T)}
}
