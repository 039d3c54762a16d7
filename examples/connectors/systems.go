package main

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/blip2"
	"github.com/gollava/gollava/connector/flamingo"
	"github.com/gollava/gollava/connector/git"
	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
	"github.com/gollava/gollava/train/study"
)

// system is a way to join the tower and a language model.
type system struct {
	name  string
	added []string // patterns of the parameters that it adds
	join  func(j *job, r *rand.Rand, l llm.Model) (*connector.VLM, error)
}

var systems = []system{
	{"linear", []string{"multi_modal_projector.**"}, projector("linear")},
	{"mlp", []string{"multi_modal_projector.**"}, projector("mlp2x_gelu")},
	{"q-former", []string{"query_tokens", "qformer.**", "language_projection.*", "vision_model.post_layernorm.*"},
		qformer},
	{"resampler", []string{"perceiver.**", "gated_cross_attn_layers.**"}, resampler},
	{"prefix", []string{"visual_projection.**"}, prefix},
	{"no image", nil, func(_ *job, _ *rand.Rand, l llm.Model) (*connector.VLM, error) {
		return connector.TextOnly(l), nil
	}},
}

// projector is LLaVA's: each feature becomes a token.
func projector(kind string) func(j *job, r *rand.Rand, l llm.Model) (*connector.VLM, error) {
	return func(j *job, r *rand.Rand, l llm.Model) (*connector.VLM, error) {
		return llava.Join(r, j.tower, l, llava.Config{Projector: kind, Select: selected, Aspect: "square",
			PaddingSide: "right", Image: int(j.Vocabulary.Image), Gain: study.ProjectorGain})
	}
}

// qformer is BLIP-2's: queries attend to the features and to each other.
func qformer(j *job, r *rand.Rand, l llm.Model) (*connector.VLM, error) {
	b, q := j.Preset.Vision, blip2.BertBase()
	q.HiddenSize, q.IntermediateSize, q.NumAttentionHeads = b.Width, b.MLP, b.Heads
	q.NumHiddenLayers, q.CrossAttentionFrequency, q.InitializerRange = j.preset.Layers, 1, 0.1
	return blip2.Join(r, j.tower, l, blip2.Config{NumQueryTokens: j.preset.Queries, QFormer: q, Image: -1,
		ProjectionDim: b.Width})
}

// resampler is Flamingo's: latents attend to the features, and every layer of the language model to the latents.
func resampler(j *job, r *rand.Rand, l llm.Model) (*connector.VLM, error) {
	b := j.Preset.Vision
	return flamingo.Join(r, j.tower, l, flamingo.Config{Every: 1, Image: int(j.Vocabulary.Image), End: -1,
		Latents: j.preset.Queries, Depth: j.preset.Layers, Heads: b.Heads, HeadDim: b.Width / b.Heads, Mult: 2})
}

// prefix is GIT's: each feature becomes a token, and these attend to each other in both directions.
func prefix(j *job, r *rand.Rand, l llm.Model) (*connector.VLM, error) {
	return git.Join(r, j.tower, l, git.Config{InitStd: 0.1})
}

// result is what came of a system.
type result struct {
	system
	model              *connector.VLM
	parameters, tokens int
	exams              []study.Point // while it trained
	flops, seconds     float64       // of a step
	fastest            [study.Bucket]float64

	end, shuffled, average float64 // shares right: with the image, another question's, and the mean of all
}

// learn trains a system on the conversations of the lesson, whose batches depend on the seed alone. The rate stays
// constant and what is examined is a running average of the weights, so that every exam is as good as a last one.
func (j *job) learn(ctx context.Context, s system) (*result, error) {
	l, err := j.copied()
	if err != nil {
		return nil, err
	}
	m, err := s.join(j, j.World.Rand("connector/start", 0), l)
	if err != nil {
		return nil, err
	}
	r := &result{system: s, model: m}
	for name, p := range nn.Params(m) {
		if !strings.HasPrefix(name, "language_model.") && !strings.HasPrefix(name, "vision_tower.") {
			r.parameters += p.Len()
		}
	}
	if _, ok := m.Connector.(connector.Attended); ok {
		r.tokens = j.preset.Queries
	} else if side := j.World.Side(); m.Connector != nil {
		r.tokens = m.Connector.Layout(imaging.Size{W: side, H: side}).Tokens
	}
	if len(j.groups(s)) > 0 {
		stage, dir := j.stage(r, j.Preset.Tune.Steps, 0), j.folder(strings.ReplaceAll(s.name, " ", "-"))
		stage.Evaluate = []train.Evaluation{{Name: "exam", Every: max(1, stage.Steps/j.Preset.Curve),
			Run: func(ctx context.Context) (map[string]float64, error) {
				right, err := j.examine(ctx, m, nil)
				return map[string]float64{"right": right}, err
			}}}
		if err := fit(ctx, j, dir, m, stage); err != nil {
			return nil, err
		}
		var all study.Report // of earlier processes, too
		same := func(stage string) string { return stage }
		if err := all.Read(filepath.Join(j.dir, dir, "metrics.jsonl"), same); err != nil {
			return nil, err
		}
		r.flops = all.Stages[0].FLOPs / float64(all.Stages[0].Steps)
		r.exams = slices.DeleteFunc(all.Curves, func(p study.Point) bool { return p.Scores == nil })
	}
	for to, show := range map[*float64]func(*tensor.Tensor) *tensor.Tensor{&r.end: nil, &r.shuffled: study.Shuffled,
		&r.average: study.Averaged} {
		if *to, err = j.examine(ctx, m, show); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// groups are what trains.
func (j *job) groups(s system) (g []train.Group) {
	for _, p := range s.added {
		g = append(g, train.Group{Params: p, LR: j.Preset.Tune.LR})
	}
	if !j.frozen {
		g = append(g, train.Group{Params: "language_model.**", LR: j.Preset.Tune.LR})
	}
	return g
}

// stage trains a system for some steps, from batch first on.
func (j *job) stage(r *result, steps, first int) train.Stage[connector.Batch] {
	samples := j.lesson.Samples("tune", j.Preset.Tune, study.Instructions)
	return train.Stage[connector.Batch]{Steps: steps, Betas: betas, EMA: 0.99, Groups: j.groups(r.system),
		Schedule: train.Schedule{Kind: "constant_with_warmup", WarmupRatio: 0.03},
		Batches: func(_ context.Context, n int) (connector.Batch, error) {
			var all []connector.Sample
			for _, c := range samples(first + n) {
				all = append(all, sample(r.model, c.IDs, c.Labels, j.lesson.Pool.Seen([]int{c.Picture})))
			}
			return r.model.Splice(all, false)
		}}
}

// sample is a conversation with its image, features [1, P, D], before all text; a model that has no connector gets the
// text alone.
func sample(m *connector.VLM, ids, labels []int32, image *tensor.Tensor) (s connector.Sample) {
	if m.Connector != nil {
		s = connector.Sample{IDs: []int32{chat.ImageIndex}, Labels: []int32{tensor.IgnoreIndex},
			Images: []connector.Image{{Features: image}}}
	}
	for i, id := range ids {
		if id == chat.ImageIndex {
			continue
		}
		s.IDs = append(s.IDs, id)
		if labels != nil {
			s.Labels = append(s.Labels, labels[i])
		}
	}
	if labels == nil {
		s.Labels = nil
	}
	return s
}

// clock measures the steps of all systems in turn, on the same batches, so that what else the machine does meets all
// alike; of each batch the fastest of some rounds counts. The models train on, so it comes last.
func (j *job) clock(ctx context.Context, all []*result) error {
	for round := range 6 {
		for _, r := range all {
			if len(j.groups(r.system)) == 0 {
				continue
			}
			s := j.stage(r, study.Bucket, j.Preset.Tune.Steps)
			s.Name = "clock"
			if _, err := train.Run(ctx, r.model, train.Options{Observe: func(e train.Event) error {
				if i := e.Step - 1; e.Kind == "step" && (round == 0 || e.Seconds < r.fastest[i]) {
					r.fastest[i] = e.Seconds
				}
				return nil
			}}, s); err != nil {
				return err
			}
		}
	}
	for _, r := range all {
		for _, seconds := range r.fastest {
			r.seconds += seconds / study.Bucket
		}
	}
	return nil
}
