package llava

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/goccy/go-yaml"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/data"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/lora"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
	"github.com/gollava/gollava/vit"
)

// Run is a run that is ready to train.
type Run struct {
	config    Config
	model     *connector.VLM
	adapter   *lora.Adapter // of the stages lora and task_lora, else nil
	tokenizer *tokenizer.Tokenizer
	processor *imaging.Processor
	template  chat.Template

	images       data.Source
	train, valid data.Set
	features     *data.Features
	closers      []io.Closer

	say func(format string, args ...any)
}

// Open loads models and data of a resolved config and tells w, which may be nil, about it. Close the run at the end.
func Open(ctx context.Context, c Config, w io.Writer) (r *Run, err error) {
	if w == nil {
		w = io.Discard
	}
	say := func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }
	r = &Run{config: c, say: say}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close())
			r = nil
		}
	}()
	if r.template, err = c.template(); err != nil {
		return r, err
	}
	if err := r.openModel(); err != nil {
		return r, err
	}
	if err := r.openData(); err != nil {
		return r, err
	}
	if c.Features != "" && r.images != nil {
		key, err := r.key()
		if err != nil {
			return r, err
		}
		if r.features, err = data.OpenFeatures(c.Features, key); err != nil {
			return r, err
		}
		r.closers = append(r.closers, r.features)
		for _, set := range []data.Set{r.train, r.valid} {
			if set != nil {
				if err := r.fillFeatures(ctx, set); err != nil {
					return r, fmt.Errorf("features: %w", err)
				}
			}
		}
	}
	return r, nil
}

// Close closes files.
func (r *Run) Close() error {
	var err error
	for _, c := range r.closers {
		err = errors.Join(err, c.Close())
	}
	r.closers = nil
	return err
}

// Model is the model that trains.
func (r *Run) Model() *connector.VLM { return r.model }

// openModel loads the parts and joins them.
func (r *Run) openModel() error {
	c := &r.config
	dt := tensor.Float32
	if c.DType == "bfloat16" {
		dt = tensor.BFloat16
	}
	keep := nn.LoadOptions{DType: nn.As(dt)}
	whole := llava.LoadOptions{DType: keep.DType}
	words, pictures := c.LLM, c.Vision
	var err error
	if c.Model != "" {
		words, pictures = c.Model, c.Model
		if r.model, err = llava.Load(c.Model, whole); err != nil {
			return fmt.Errorf("model: %w", err)
		}
	} else {
		tower, err := vit.Load(c.Vision, keep)
		if err != nil {
			return fmt.Errorf("vision: %w", err)
		}
		language, err := llm.Load(c.LLM, keep)
		if err != nil {
			return fmt.Errorf("llm: %w", err)
		}
		joined := llava.Config{Projector: c.ProjectorType, Select: vit.Select{Layers: []int{c.SelectLayer}, Class: c.SelectFeature}, Aspect: c.Aspect, MaxLength: c.MaxLength,
			PaddingSide: "right", Tower: c.Vision, Image: int(data.ImageID), Template: c.Template}
		if r.model, err = llava.Join(rand.New(rand.NewPCG(c.Seed, 1)), tower, language, joined); err != nil {
			return err
		}
	}
	if c.Stage != "align" && c.LoRA.Rank == 0 && c.Layout == "hub" {
		if _, err := json.Marshal(llava.ConfigOf(r.model)); err != nil { // rather now than when everything is trained
			return fmt.Errorf("layout hub: %w", err)
		}
	}
	if c.Projector != "" {
		if err := llava.LoadProjector(r.model, c.Projector, whole); err != nil {
			return fmt.Errorf("projector: %w", err)
		}
	} else if c.Model == "" && c.Stage != "align" {
		r.say("projector: none is given, so that of stage %s starts from random weights; LLaVA aligns one first (stage align)", c.Stage)
	}
	if r.tokenizer, err = tokenizer.Load(words); err != nil {
		return fmt.Errorf("tokenizer: %w", err)
	}
	if size, rows := r.tokenizer.Size(), r.model.Language.Config().VocabSize; size > rows {
		return fmt.Errorf("tokenizer: %s has %d tokens, but the language model has embeddings for %d", words, size, rows)
	}
	r.processor, err = imaging.ReadProcessor(pictures)
	if errors.Is(err, os.ErrNotExist) && c.Model == "" {
		r.processor, err = imaging.CLIP(r.model.Vision.Config().ImageSize), nil
		r.say("vision: %s has no preprocessor_config.json: taking CLIP's for %d pixels", c.Vision, r.processor.Crop.W)
	}
	if err != nil {
		return fmt.Errorf("image processor: %w", err)
	}
	if r.processor.Aspect == "" || c.Model == "" {
		r.processor.Aspect = c.Aspect
	}
	if c.LoRA.Rank > 0 {
		return r.wrap()
	}
	return nil
}

// wrap puts adapters around the language model's linear layers.
func (r *Run) wrap() (err error) {
	l, a := r.config.LoRA, lora.LLaVA()
	a.R, a.Alpha, a.Dropout, a.RSLoRA, a.DoRA, a.BaseModel = l.Rank, l.Alpha, *l.Dropout, l.RSLoRA, l.DoRA, r.config.LLM
	r.adapter, err = lora.Wrap(r.model, a, rand.New(rand.NewPCG(r.config.Seed, 2)), llava.OriginalNames(r.model))
	if err == nil {
		r.say("%d values of adapters train beside the projector", r.adapter.Trainable())
	}
	return err
}

// openData opens data files and pictures.
func (r *Run) openData() error {
	c := &r.config
	set, err := data.OpenMixture(c.Data, data.MixtureOptions{Seed: c.Seed})
	if err != nil {
		return err
	}
	r.closers = append(r.closers, set)
	if set.Len() == 0 {
		return fmt.Errorf("data: %s holds no samples", c.Data)
	}
	r.train = set
	if c.Validation > 0 {
		t, v := data.Split(set, c.Validation, c.Seed)
		r.train, r.valid = t, v
		if t.Len() == 0 || v.Len() == 0 {
			return fmt.Errorf("validation %v leaves %d samples to train on and %d to evaluate", c.Validation, t.Len(), v.Len())
		}
	}
	if c.Images != "" {
		if r.images, err = data.OpenSource(c.Images); err != nil {
			return fmt.Errorf("images: %w", err)
		}
		if x, ok := r.images.(io.Closer); ok {
			r.closers = append(r.closers, x)
		}
	}
	r.say("data: %d samples to train on, %d held out", r.train.Len(), set.Len()-r.train.Len())
	return nil
}

// Stage is the training stage that the config describes.
func (r *Run) Stage(ctx context.Context) (train.Stage[connector.Batch], error) {
	c := &r.config
	var none train.Stage[connector.Batch]
	l, err := r.loader(ctx, r.train, true)
	if err != nil {
		return none, err
	}
	p := data.Prefetch(r.batch(l), c.Workers, 2*c.Workers)
	r.closers = append(r.closers, closer(p.Close))
	s := train.Stage[connector.Batch]{Name: c.Stage, Batches: p.Batch, Steps: c.Steps, Epochs: c.Epochs, Length: l.Len(), Groups: c.groups(),
		Schedule: train.Schedule{Kind: c.Schedule, WarmupRatio: *c.Warmup}, Clip: *c.Clip, Accumulate: c.Batch / c.Micro, TokenWeighted: c.TokenWeighted,
		Recompute: c.Recompute, Every: c.Every, Seed: c.Seed}
	if s.Config, err = c.decides(); err != nil {
		return none, err
	}
	if r.valid != nil {
		v, err := r.loader(ctx, r.valid, false)
		if err != nil {
			return none, err
		}
		s.Evaluate = []train.Evaluation{{Name: "validation", Every: c.Evaluate, Run: r.validate(v), Generate: r.show(r.valid), Best: "-loss"}}
	}
	return s, nil
}

type closer func()

func (c closer) Close() error { c(); return nil }

// groups are what trains. Norms and biases do not decay, as in transformers' Trainer.
func (c *Config) groups() []train.Group {
	still := []string{"**.bias", "**norm**.weight", "**.*norm*.weight"}
	groups := []train.Group{{Params: "multi_modal_projector.**", LR: c.ProjectorLR, WeightDecay: *c.WeightDecay, NoDecay: still}}
	switch {
	case c.Stage == "align":
	case c.LoRA.Rank > 0:
		groups = append(groups, train.Group{Params: "**.lora_*.**", LR: c.LR, WeightDecay: *c.WeightDecay})
	default:
		groups = append(groups, train.Group{Params: "language_model.**", LR: c.LR, WeightDecay: *c.WeightDecay, NoDecay: still})
	}
	return groups
}

// decides is the part of the config that decides what the weights become, for a resumed run to be held against.
func (c Config) decides() (any, error) {
	c.Out, c.Features, c.Workers, c.Every, c.Keep, c.Evaluate, c.Memory, c.Layout, c.Recompute = "", "", 0, 0, 0, 0, "", "", false
	raw, err := yaml.Marshal(c)
	if err == nil {
		raw, err = yaml.YAMLToJSON(raw)
	}
	return json.RawMessage(raw), err
}

// Plan says what training will need, after three steps that move nothing.
func (r *Run) Plan(ctx context.Context) (train.Estimate, error) {
	s, err := r.Stage(ctx)
	if err != nil {
		return train.Estimate{}, err
	}
	return train.Plan(ctx, r.model, s)
}

// Train trains. Of o, Dir, Keep and Memory are the config's; the config is written beside the checkpoints.
func (r *Run) Train(ctx context.Context, o train.Options) (train.Report, error) {
	s, err := r.Stage(ctx)
	if err != nil {
		return train.Report{}, err
	}
	if o.Memory, err = r.config.memory(); err != nil {
		return train.Report{}, err
	}
	o.Dir, o.Keep = filepath.Join(r.config.Out, "checkpoints"), r.config.Keep
	if err := r.config.Write(r.config.Out); err != nil {
		return train.Report{}, err
	}
	return train.Run(ctx, r.model, o, s)
}
