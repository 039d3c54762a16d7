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
	"slices"

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

// Train runs one stage, from the files that c names to the folder of what was trained. Of o, Dir, Keep and Memory are
// the config's. It reports what it opens and saves on o.Progress.
func Train(ctx context.Context, c Config, o train.Options) (train.Report, error) {
	r, err := OpenOn(ctx, c, o.Progress, o.Comm)
	if err != nil {
		return train.Report{}, err
	}
	report, err := r.Train(ctx, o)
	if err == nil && r.first() {
		err = r.Save()
	}
	return report, errors.Join(err, r.Close())
}

// Plan estimates the memory and time that [Train] would need, by three steps that move nothing.
func Plan(ctx context.Context, c Config, progress io.Writer) (train.Estimate, error) {
	r, err := Open(ctx, c, progress)
	if err != nil {
		return train.Estimate{}, err
	}
	e, err := r.Plan(ctx)
	return e, errors.Join(err, r.Close())
}

// Run is a run that is ready to train, for a program that looks at the model or changes the stage before it trains;
// [Train] does the rest of it in one call.
// It serves one goroutine at a time.
type Run struct {
	config    Config
	assistant *connector.Assistant // the model, with all that it takes to talk with it
	adapter   *lora.Adapter        // of the stages lora and task_lora, else nil

	images       data.Source
	train, valid data.Set
	features     *data.Features
	batched      *connector.Batches // of the training
	closers      []io.Closer

	comm train.Comm // the other processes of the run; nil: none
	say  func(format string, args ...any)
}

// Open resolves a config, loads its models and opens its data. It reports on w, which may be nil. Close the run at the
// end.
func Open(ctx context.Context, c Config, w io.Writer) (r *Run, err error) {
	return OpenOn(ctx, c, w, nil)
}

// OpenOn is [Open] of a run that several processes train together: all call it, with the Comm that they will train
// with, and compute the feature cache together. The first one reports on w.
func OpenOn(ctx context.Context, c Config, w io.Writer, comm train.Comm) (r *Run, err error) {
	if c, err = c.Resolve(); err != nil {
		return nil, err
	}
	if w == nil {
		w = io.Discard
	}
	r = &Run{config: c, comm: comm}
	if !r.first() {
		w = io.Discard
	}
	r.say = func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }
	if err = r.open(ctx); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func (r *Run) open(ctx context.Context) error {
	if err := r.openModel(); err != nil {
		return err
	}
	if err := r.openData(); err != nil {
		return err
	}
	if r.config.Features == "" || r.images == nil {
		return nil
	}
	if err := r.openFeatures(ctx); err != nil {
		return fmt.Errorf("features: %w", err)
	}
	return nil
}

// first reports whether this is the process that reports and saves.
func (r *Run) first() bool { return r.comm == nil || r.comm.Rank() == 0 }

// Close closes files.
func (r *Run) Close() error {
	var err error
	for _, c := range r.closers {
		err = errors.Join(err, c.Close())
	}
	r.closers = nil
	return err
}

// Assistant is the model that trains, with its tokenizer, image processor and template.
func (r *Run) Assistant() *connector.Assistant { return r.assistant }

// openModel loads the model, or joins its parts.
func (r *Run) openModel() (err error) {
	c := &r.config
	if err := c.occupied(); err != nil {
		return err
	}
	dt := tensor.Float32
	if c.DType == "bfloat16" {
		dt = tensor.BFloat16
	}
	o := llava.LoadOptions{DType: c.kept(dt)}
	if c.Model != "" {
		r.assistant, err = llava.Open(c.Model, o)
		if err != nil {
			return fmt.Errorf("model: %w", err)
		}
		if err := r.inherit(); err != nil {
			return err
		}
	} else if err = r.join(nn.LoadOptions{DType: o.DType}); err != nil {
		return err
	}
	if err := r.chooseTemplate(); err != nil {
		return err
	}
	m := r.assistant.Model
	for _, field := range dropped(m.Language.Config().Dropout, m.Vision.Config().AttentionDropout) {
		r.say("%s of the config is not applied: models here train without dropout", field)
	}
	if c.Stage != "align" && c.LoRA.Rank == 0 && c.Layout == "hub" {
		if _, err := json.Marshal(llava.ConfigOf(m)); err != nil { // rather now than when everything is trained
			return fmt.Errorf("layout hub: %w", err)
		}
	}
	if c.Projector != "" {
		if err := llava.LoadProjector(m, c.Projector, o); err != nil {
			return fmt.Errorf("projector: %w", err)
		}
	} else if c.Model == "" && c.Stage != "align" {
		r.say("projector: none is given, so that of stage %s starts from random weights; LLaVA aligns one first (stage "+
			"align)", c.Stage)
	}
	if c.LoRA.Rank > 0 {
		return r.wrap()
	}
	return nil
}

// kept chooses what weights are kept as: dt, but with bits 4 the linear layers of the language model's blocks NF4 with
// double quantisation. Embedding, output layer, tower and projector stay unquantised, as in LLaVA's own QLoRA. Layers
// that are stored in blocks keep these.
func (c *Config) kept(dt tensor.DType) func(string, tensor.DType) tensor.DType {
	return func(name string, stored tensor.DType) tensor.DType {
		if c.Bits == 4 && llm.BlockLinear(name) {
			if stored.Quantized() {
				return stored
			}
			return tensor.NF4D
		}
		return dt
	}
}

// join puts a vision encoder and a language model together with a fresh projector.
func (r *Run) join(o nn.LoadOptions) error {
	c := &r.config
	tower, err := vit.Load(c.Vision, o)
	if err != nil {
		return fmt.Errorf("vision: %w", err)
	}
	language, err := llm.Load(c.LLM, o)
	if err != nil {
		return fmt.Errorf("llm: %w", err)
	}
	at, err := filepath.Abs(c.Vision)
	if err != nil {
		return err
	}
	scales, err := c.scales()
	if err != nil {
		return err
	}
	second, place, err := c.second(o)
	if err != nil {
		return fmt.Errorf("second_vision: %w", err)
	}
	m, err := llava.Join(rand.New(rand.NewPCG(c.Seed, 1)), tower, language, llava.Config{Scales: scales, Video: c.video(),
		SecondTower: place, Projector: c.ProjectorType,
		Select: vit.Select{Layers: []int{c.SelectLayer}, Class: c.SelectFeature},
		Aspect: c.Aspect, Merge: c.Merge, MaxLength: c.MaxLength, PaddingSide: "right", Tower: at,
		Image: int(chat.ImageIndex), Template: c.Template}, second...)
	if err != nil {
		return err
	}
	r.assistant = &connector.Assistant{Model: m, Options: llm.Options{PAD: -1}}
	if r.assistant.Tokenizer, err = tokenizer.Load(c.LLM); err != nil {
		return fmt.Errorf("tokenizer: %w", err)
	}
	if err := r.assistant.Tokenizer.Rows(language.Config().VocabSize); err != nil {
		return fmt.Errorf("tokenizer: %s: %w", c.LLM, err)
	}
	p, err := r.processor(c.Vision, tower)
	if err != nil {
		return fmt.Errorf("image processor: %w", err)
	}
	for _, t := range second {
		q, err := r.processor(c.Second, t)
		if err == nil {
			err = llava.ConfigOf(m).Pair(p, q)
		}
		if err != nil {
			return fmt.Errorf("image processor: %w", err)
		}
	}
	p.Aspect = c.Aspect
	llava.ConfigOf(m).Arrange(p)
	r.assistant.Processor = p
	return nil
}

// second loads the second tower, if there is one, and says where it is.
func (c *Config) second(o nn.LoadOptions) (towers []vit.Tower, at string, err error) {
	if c.Second == "" {
		return nil, "", nil
	}
	t, err := vit.Load(c.Second, o)
	if err != nil {
		return nil, "", err
	}
	at, err = filepath.Abs(c.Second)
	return []vit.Tower{t}, at, err
}

// processor is the image processor of the tower in dir.
func (r *Run) processor(dir string, t vit.Tower) (*imaging.Processor, error) {
	p, err := imaging.ReadProcessor(dir)
	if errors.Is(err, os.ErrNotExist) {
		v := t.Config()
		p, err = llava.TowerProcessor(v), nil
		r.say("vision: %s has no preprocessor_config.json: taking that of %s for %d pixels", dir, v.ModelType, v.ImageSize)
	}
	return p, err
}

// wrap puts adapters around the language model's linear layers.
func (r *Run) wrap() (err error) {
	l, a := r.config.LoRA, lora.LLaVA()
	a.R, a.Alpha, a.Dropout, a.RSLoRA, a.DoRA, a.BaseModel = l.Rank, l.Alpha, *l.Dropout, l.RSLoRA, l.DoRA, r.config.LLM
	r.adapter, err = lora.Wrap(r.assistant.Model, a, rand.New(rand.NewPCG(r.config.Seed, 2)),
		llava.OriginalNames(r.assistant.Model))
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
	switch n := r.train.Len(); {
	case c.Batch > 64*n:
		return fmt.Errorf("batch %d is far more than the %d samples: %s", c.Batch, n, c.smaller(n))
	case c.Batch > n:
		r.say("batch %d is more than the %d samples, so that every step sees all of them: %s", c.Batch, n, c.smaller(n))
	}
	if parts := r.unread(); len(parts) > 0 {
		r.say("the tokenizer has no token for %q, in answers of the data: the model cannot learn to say that", parts)
	}
	return nil
}

// unread lists what the tokenizer has no token for in the first answers, at most five parts.
func (r *Run) unread() (parts []string) {
	for i := range min(r.train.Len(), 1000) {
		s, err := r.train.Sample(i)
		if err != nil {
			continue // training says so
		}
		for _, turn := range s.Turns {
			if turn.From != chat.GPT {
				continue
			}
			for _, part := range r.assistant.Tokenizer.Unread(turn.Value) {
				if part = shortened(part); !slices.Contains(parts, part) {
					parts = append(parts, part)
				}
			}
		}
		if len(parts) >= 5 {
			return parts[:5]
		}
	}
	return parts
}

// shortened is a text of at most 20 characters.
func shortened(s string) string {
	if r := []rune(s); len(r) > 20 {
		return string(r[:20]) + "…"
	}
	return s
}

// Stage is the training stage that the config describes.
func (r *Run) Stage(ctx context.Context) (train.Stage[connector.Batch], error) {
	c := &r.config
	var none train.Stage[connector.Batch]
	batches, err := r.batches(ctx, r.train, true)
	if err != nil {
		return none, err
	}
	s := train.Stage[connector.Batch]{Name: c.Stage, Batches: train.Prefetch(batches.Batch, c.Workers),
		Steps: c.Steps, Epochs: c.Epochs, Length: batches.Len(), Groups: r.groups(),
		Schedule: train.Schedule{Kind: c.Schedule, WarmupRatio: *c.Warmup}, Clip: *c.Clip,
		Accumulate: c.Batch / c.Micro, TokenWeighted: c.TokenWeighted, Autocast: c.Autocast, Recompute: c.Recompute,
		Every: c.Every, Seed: c.Seed}
	r.batched = batches
	r.warn(&s)
	if s.Config, err = r.decides(ctx); err != nil {
		return none, err
	}
	if r.valid != nil {
		held, err := r.batches(ctx, r.valid, false)
		if err != nil {
			return none, err
		}
		s.Evaluate = []train.Evaluation{{Name: "validation", Every: c.Evaluate, Run: r.validate(held),
			Generate: r.show(r.valid), Best: "-loss"}}
	}
	return s, nil
}

// batches makes batches of a set in the recipe's order.
func (r *Run) batches(ctx context.Context, set data.Set, shuffle bool) (*connector.Batches, error) {
	c := &r.config
	o := connector.BatchOptions{Batch: c.Micro, MaxLength: c.MaxLength, Frames: c.Frames, Features: r.features,
		Skip: c.Skip}
	if shuffle {
		o.Order = data.Shuffled(set.Len(), c.Seed)
	}
	if shuffle && *c.GroupByLength {
		lengths, err := r.lengths(ctx, set)
		if err != nil {
			return nil, err
		}
		o.Order = data.ModalityGrouped(lengths, c.Micro, c.Batch/c.Micro, c.Seed)
	}
	return r.assistant.Batches(set, r.images, o)
}

// groups are what trains. Norms and biases do not decay, as in transformers' Trainer.
func (c *Config) groups() []train.Group {
	still := []string{"**.bias", "**norm**.weight", "**.*norm*.weight"}
	var groups []train.Group
	if c.ProjectorLR > 0 {
		groups = append(groups, train.Group{Params: "multi_modal_projector.**", LR: c.ProjectorLR,
			WeightDecay: *c.WeightDecay, NoDecay: still})
	}
	switch {
	case c.Stage == "align" || c.LR == 0: // a rate of 0 freezes
	case c.LoRA.Rank > 0:
		groups = append(groups, train.Group{Params: "**.lora_*.**", LR: c.LR, WeightDecay: *c.WeightDecay})
	default:
		groups = append(groups, train.Group{Params: languageModel, LR: c.LR, WeightDecay: *c.WeightDecay,
			NoDecay: still})
	}
	return groups
}

// languageModel is what trains of it without LoRA.
const languageModel = "language_model.**"

// Plan says what training will need, after three steps that move nothing.
func (r *Run) Plan(ctx context.Context) (train.Estimate, error) {
	s, err := r.Stage(ctx)
	if err != nil {
		return train.Estimate{}, err
	}
	return train.Plan(ctx, r.assistant.Model, s)
}

// Train trains. Of o, Dir, Keep and Memory are the config's, and Comm is the one that the run was opened with; the
// config is written beside the checkpoints.
func (r *Run) Train(ctx context.Context, o train.Options) (train.Report, error) {
	s, err := r.Stage(ctx)
	if err != nil {
		return train.Report{}, err
	}
	if o.Memory, err = r.config.memory(); err != nil {
		return train.Report{}, err
	}
	o.Dir, o.Keep = filepath.Join(r.config.Out, "checkpoints"), r.config.Keep
	o.Comm, o.ZeRO1 = r.comm, o.ZeRO1 || r.config.ZeRO1
	if r.comm != nil && r.comm.Size() > 1 {
		if o.Same, err = r.same(); err != nil {
			return train.Report{}, err
		}
	}
	o.Accepted = func() error { return r.config.Write(r.config.Out) }
	report, err := train.Run(ctx, r.assistant.Model, o, s)
	if left := r.batched.Report(); left.Skipped > 0 {
		r.say("data: %v; `gollava data check %s` says which", left, r.config.Data)
	}
	if err == nil && len(report.Stages) > 0 {
		r.judge(report.Stages[len(report.Stages)-1].Loss)
	}
	return report, err
}

// same are digests of what all processes of a run must have alike, besides config and weights.
func (r *Run) same() (map[string]string, error) {
	sum, err := digestOfData(r.config.Data)
	return map[string]string{"data": fmt.Sprintf("%s, %d samples", sum, r.train.Len())}, err
}
