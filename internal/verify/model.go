package verify

import (
	"encoding/json"
	"fmt"

	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// modelCase is case.json of the tasks about models.
type modelCase struct {
	Checkpoints []checkpoint // that must load and give the recorded results
	Generation  map[string]generation
	Runs        map[string]training

	Configs    []string `json:"also_config"` // causal_lm: other spellings of config.json
	Sampling   []sampling
	Adapter    string   // peft
	Trainable  int      // peft: values
	Base       string   // llava_original: the plain language model below an adapter
	Projectors []string `json:"projector_only"`
	Select     int      `json:"select_layer"`
	Image      *int32   `json:"image_token_index"`
	Video      *int32   `json:"video_token_index"`
	Views      []int    `json:"views_per_image"`
	Scales     []int    `json:"s2_scales"`
	Described  struct{ MMProj string }
	MMProj     string   `json:"-"` // gguf_llava: the vision part of the checkpoint at work
	Also       []string // blip2_stage1: the same weights in LAVIS's names
	Extra      string   // blip2_stage1: what transformers' layout has no place for
	DEC        *int     `json:"bos_token_id"`   // blip2_stage1: starts a caption
	ImageID    int      `json:"image_token_id"` // flamingo
	Tokens     int      `json:"image_tokens"`   // git
	Noise      struct { // gligen_unet
		Schedule string  `json:"beta_schedule"`
		Start    float64 `json:"beta_start"`
		End      float64 `json:"beta_end"`
		Steps    int
	} `json:"noise_schedule"`
}

// checkpoint is a folder, or a language model and its vision part in GGUF.
type checkpoint struct{ Model, MMProj string }

func (c *checkpoint) UnmarshalJSON(raw []byte) error {
	if json.Unmarshal(raw, &c.Model) == nil {
		return nil
	}
	type pair checkpoint
	return json.Unmarshal(raw, (*pair)(c))
}

// as32 reads a checkpoint with all weights as float32.
func as32[M any](load func(dir string, o nn.LoadOptions) (M, error)) func(*Report) M {
	return func(r *Report) M { return must(load(r.Checkpoint, nn.LoadOptions{DType: nn.As(tensor.Float32)})) }
}

// inBlocks keeps weights that are stored in blocks as they are, and all others as float32: what recorded results were
// computed with.
func inBlocks(_ string, stored tensor.DType) tensor.DType {
	if stored.Quantized() {
		return stored
	}
	return tensor.Float32
}

// named is a function that translates names in files into a model's; buffers keep theirs.
func named(canonical func(string) (string, bool)) func(string) string {
	return func(name string) string {
		if c, ok := canonical(name); ok {
			return c
		}
		return name
	}
}

// batch is a padded batch of text.
type batch struct {
	ids, labels     *tensor.Tensor // [B, T]; labels may be nil
	mask, positions []int32        // [B·T]; positions may be nil
}

// batch reads the one below a prefix such as "in." or "in.loss.".
func (r *Report) batch(in string) batch {
	b := batch{ids: r.tensor(in + "input_ids"), mask: r.ints(in + "attention_mask"), labels: r.maybe(in + "labels")}
	if b.ids.DType() != tensor.Int32 || b.ids.Rank() != 2 || len(b.mask) != b.ids.Len() {
		failf("%s: %sinput_ids and attention_mask are no int32 [B, T]", r.Path(), in)
	}
	if r.has(in + "position_ids") {
		if b.positions = r.ints(in + "position_ids"); len(b.positions) != b.ids.Len() {
			failf("%s: %sposition_ids do not fit input_ids", r.Path(), in)
		}
	}
	if b.labels != nil && b.labels.DType() != tensor.Int32 {
		failf("%s: %slabels are no int32", r.Path(), in)
	}
	return b
}

// input is what a decoder reads of a batch.
func (b batch) input(m llm.Model) llm.Input {
	start, end, positions, ok := llm.Extent(b.mask, b.ids.Dim(0))
	if !ok {
		failf("the attention mask has a hole")
	}
	if b.positions != nil {
		positions = b.positions
	}
	return llm.Input{Embeds: m.Embed(b.ids), Start: start, End: end, Positions: positions}
}

// stack joins hidden states into one tensor, layer outermost.
func stack(states []*tensor.Tensor) *tensor.Tensor {
	out := make([]*tensor.Tensor, len(states))
	for i, s := range states {
		out[i] = s.Reshape(append([]int{1}, s.Shape()...)...)
	}
	return tensor.Concat(0, out...)
}

// generation is an entry of case.json's generation: greedy or beam search.
type generation struct {
	MaxNew        int           `json:"max_new_tokens"`
	Beams         int           `json:"num_beams"`
	EOS           llm.EndTokens `json:"eos_token_id"` // null: none
	PAD           int           `json:"pad_token_id"`
	UseCache      *bool         `json:"use_cache"`
	LengthPenalty *float64      `json:"length_penalty"`
	EarlyStopping any           `json:"early_stopping"`
}

// options are those that generate so.
func (g generation) options() llm.Options {
	o := llm.Options{MaxNewTokens: g.MaxNew, Beams: g.Beams, EOS: append([]int{}, g.EOS...), PAD: g.PAD}
	if early, ok := g.EarlyStopping.(bool); g.EarlyStopping != nil && (!ok || early) {
		failf("early_stopping %v is not supported: false is", g.EarlyStopping)
	}
	if g.LengthPenalty != nil {
		o.LengthPenalty = *g.LengthPenalty
	}
	o.NoCache = g.UseCache != nil && !*g.UseCache
	return o
}

// generations compares the ids of every recorded generation with those that generate makes; both: with a cache and
// without.
func (r *Report) generations(both bool, generate func(llm.Options) (llm.Generated, error)) {
	for _, name := range sorted(r.Generation) {
		o, what := r.Generation[name].options(), "generated ids, "+name
		compare := func(what string) {
			got := must(generate(o))
			r.add(sameIDs(what, padded(got.IDs, int32(o.PAD)), r.table("out.gen."+name)))
		}
		if !both {
			compare(what)
			continue
		}
		o.NoCache = false
		compare(what + ", cached")
		if o.NoCache = true; o.Beams <= 1 {
			compare(what + ", recomputed")
		}
	}
}

// padded fills rows to the length of the longest.
func padded(rows [][]int32, pad int32) [][]int32 {
	n := 0
	for _, r := range rows {
		n = max(n, len(r))
	}
	out := make([][]int32, len(rows))
	for i, r := range rows {
		out[i] = append(out[i], r...)
		for len(out[i]) < n {
			out[i] = append(out[i], pad)
		}
	}
	return out
}

// count is a row for a number that must be the recorded one.
func count(what string, got, want any) Row {
	return holds(what, fmt.Sprint(got) == fmt.Sprint(want), "%v instead of %v", got, want)
}
