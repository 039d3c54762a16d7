package llava

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/internal/gguf"
	"github.com/gollava/gollava/internal/nearest"
	"github.com/gollava/gollava/train"
)

// Config describes one run of LLaVA's recipe from files. Its keys are those of a run's YAML file; what is left out
// takes the value of the published recipe. In brackets: the option of LLaVA's own scripts.
type Config struct {
	Stage  string `yaml:"stage" help:"align (pretrain.sh), tune (finetune.sh), lora (finetune_lora.sh), task or task_lora (on a finished LLaVA)"`
	Recipe string `yaml:"recipe,omitempty" help:"whose values fill in what is not said: v1.5 or v1"`

	Vision    string `yaml:"vision,omitempty" help:"folder of the vision tower [vision_tower]"`
	Second    string `yaml:"second_vision,omitempty" help:"folder of a second vision tower, whose features are concatenated to those of the first as in Prismatic: DINOv2 beside CLIP or SigLIP [mm_vision_tower_aux_list]"`
	LLM       string `yaml:"llm,omitempty" help:"folder of the language model, with its tokenizer [model_name_or_path]"`
	Model     string `yaml:"model,omitempty" help:"folder of a whole LLaVA to go on from, instead of vision and llm"`
	Projector string `yaml:"projector,omitempty" help:"what stage align wrote: its folder, or an mm_projector file [pretrain_mm_mlp_adapter]"`

	Data       string  `yaml:"data" help:"LLaVA's json, or jsonl, or a yaml mixture of several [data_path]"`
	Images     string  `yaml:"images,omitempty" help:"folder, zip or tar of pictures and videos; none for text alone [image_folder]"`
	Frames     int     `yaml:"frames,omitempty" help:"of a video that the model sees, evenly spaced; ask with as many [frames_upbound]"`
	Validation float64 `yaml:"validation,omitempty" help:"share of the samples held out for evaluation"`
	Skip       bool    `yaml:"skip,omitempty" help:"leave faulty samples out and count them; else the first one ends the run"`
	Features   string  `yaml:"features,omitempty" help:"folder for the frozen tower's outputs, computed once and kept; none: computed in every step"`

	ProjectorType string  `yaml:"projector_type,omitempty" help:"linear, mlpNx_gelu, mlpNx_linear, fused-gelu-mlp or identity [mm_projector_type]"`
	SelectLayer   int     `yaml:"select_layer,omitempty" help:"layer of the tower that is looked at [mm_vision_select_layer]"`
	SelectFeature string  `yaml:"select_feature,omitempty" help:"patch or cls_patch [mm_vision_select_feature]"`
	S2Scales      string  `yaml:"s2_scales,omitempty" help:"look at each picture in these sizes, multiples of the tower's, such as 336,672,1008; none: in the tower's alone [s2_scales]"`
	Merge         int     `yaml:"merge,omitempty" help:"the projector takes this many features each way side by side, for fewer tokens; 0 or 1: each feature alone, as LLaVA"`
	VideoPool     string  `yaml:"video_pool,omitempty" help:"average, max or bilinear: the model takes videos too, and this makes the tokens of their frames fewer; none: with a model as it is, else no videos [mm_spatial_pool_mode]"`
	VideoStride   int     `yaml:"video_stride,omitempty" help:"this many tokens each way become one [mm_spatial_pool_stride]"`
	Template      string  `yaml:"template,omitempty" help:"of conversations; none: the model's own, or what fits the language model [version]"`
	System        *string `yaml:"system,omitempty" help:"the template's system text, without marks; none: the template's own"`
	Aspect        string  `yaml:"aspect,omitempty" help:"square or pad; none, with a model: as it was trained [image_aspect_ratio]"`
	MaxLength     int     `yaml:"max_length,omitempty" help:"positions of a sample, its pictures' included [model_max_length]"`

	Batch         int      `yaml:"batch,omitempty" help:"samples of an optimizer step, over all accumulation"`
	Micro         int      `yaml:"micro,omitempty" help:"samples computed at a time, a divisor of batch [per_device_train_batch_size]"`
	Epochs        float64  `yaml:"epochs,omitempty" help:"passes over the data [num_train_epochs]"`
	Steps         int      `yaml:"steps,omitempty" help:"optimizer steps, instead of epochs [max_steps]"`
	LR            float64  `yaml:"lr,omitempty" help:"peak learning rate [learning_rate]"`
	ProjectorLR   float64  `yaml:"projector_lr,omitempty" help:"that of the projector [mm_projector_lr]"`
	WeightDecay   *float64 `yaml:"weight_decay,omitempty" help:"not on norms and biases, as transformers"`
	Schedule      string   `yaml:"schedule,omitempty" help:"cosine, linear, constant [lr_scheduler_type]"`
	Warmup        *float64 `yaml:"warmup,omitempty" help:"share of the steps [warmup_ratio]"`
	Clip          *float64 `yaml:"clip,omitempty" help:"global gradient norm, 0: no clipping [max_grad_norm]"`
	GroupByLength *bool    `yaml:"group_by_length,omitempty" help:"batches of samples alike in kind and length [group_by_modality_length]"`
	TokenWeighted bool     `yaml:"token_weighted,omitempty" help:"weigh micro-batches by their tokens, as newer transformers, instead of equally"`

	LoRA LoRA `yaml:"lora,omitzero"`

	DType     string `yaml:"dtype,omitempty" help:"of weights in memory: float32, or bfloat16 trained by way of float32 masters [bf16]"`
	Autocast  bool   `yaml:"autocast,omitempty" help:"products with weights in bfloat16, with float32 sums, norms, softmax, loss and masters; fast on AMX and on AVX512-BF16 of AMD"`
	Bits      int    `yaml:"bits,omitempty" help:"4: the language model's blocks are frozen in 4 bits (NF4, double quantisation) under the adapters, as in QLoRA; 0: not [bits]"`
	ZeRO1     bool   `yaml:"zero1,omitempty" help:"of several processes, each keeps the optimizer state of its share of the parameters [zero2.json]"`
	Recompute bool   `yaml:"recompute,omitempty" help:"keep only the inputs of each block [gradient_checkpointing]"`
	Seed      uint64 `yaml:"seed,omitempty" help:"of weights, order and dropout"`
	Workers   int    `yaml:"workers,omitempty" help:"goroutines that prepare batches [dataloader_num_workers]"`

	Out      string `yaml:"out" help:"folder of the run [output_dir]"`
	Layout   string `yaml:"layout,omitempty" help:"of the finished model: hub (transformers; v1.5) or original (LLaVA's repository; v1)"`
	Every    int    `yaml:"every,omitempty" help:"steps between checkpoints, 0: only at the end [save_steps]"`
	Keep     int    `yaml:"keep,omitempty" help:"newest checkpoints kept [save_total_limit]"`
	Evaluate int    `yaml:"evaluate,omitempty" help:"steps between evaluations, 0: only at the end"`
	Memory   string `yaml:"memory,omitempty" help:"such as 20GiB: refuse what would take more"`

	given map[string]bool // keys that a file or a flag has set
}

// LoRA says what adapters look like.
type LoRA struct {
	Rank    int      `yaml:"r,omitempty" help:"rank of the adapters [lora_r]"`
	Alpha   float64  `yaml:"alpha,omitempty" help:"their scale is alpha/r [lora_alpha]"`
	Dropout *float64 `yaml:"dropout,omitempty" help:"before the adapters [lora_dropout]"`
	RSLoRA  bool     `yaml:"rslora,omitempty" help:"scale by alpha/√r"`
	DoRA    bool     `yaml:"dora,omitempty" help:"train magnitudes and directions apart"`
}

// Resolve returns c with the published values where it gives none, or an error that names the first key that is wrong
// and says what to do. How a model was trained before (template, aspect, projector and what it looks at) is the model's
// to say: with a model those keys stay open until [Open], and so does the template of every stage but align, which has
// to fit the tokenizer.
func (c Config) Resolve() (Config, error) {
	for _, key := range []string{"recipe", "schedule", "memory", "projector_type", "select_feature", "video_pool"} {
		if v, _ := find(reflect.ValueOf(&c).Elem(), key); c.given[key] && v.Len() == 0 {
			return c, fmt.Errorf("%s \"\" is no value: leave the key out", key)
		}
	}
	if c.Recipe == "" {
		c.Recipe = "v1.5"
	}
	if c.Stage == "" {
		return c, fmt.Errorf("stage is missing: align, tune, lora, task or task_lora")
	}
	p, err := Published(c.Recipe, c.Stage)
	if err != nil {
		return c, err
	}
	if p.LoRA.Rank == 0 && c.LoRA != (LoRA{}) {
		return c, fmt.Errorf("lora is given, but stage %s has no adapters: use stage lora or task_lora", c.Stage)
	}
	if c.Steps != 0 {
		p.Epochs = 0
	}
	if c.Stage != "align" {
		p.Template = ""
	}
	if c.Model != "" {
		p.Aspect, p.ProjectorType, p.SelectLayer, p.SelectFeature, p.MaxLength = "", "", 0, "", 0
	}
	if c.VideoPool == "" {
		p.VideoStride = 0
	}
	c.fill(p)
	switch {
	case c.Stage == "align" && c.given["projector_lr"] && c.ProjectorLR != c.LR:
		return c, fmt.Errorf("projector_lr %v and lr %v: in stage align the projector is all that trains; give lr alone",
			c.ProjectorLR, c.LR)
	case c.Stage == "align", c.ProjectorLR == 0 && !c.given["projector_lr"]:
		c.ProjectorLR = c.LR
	}
	if c.Micro == 0 && !c.given["micro"] {
		c.Micro = largestDivisor(c.Batch, 16)
	}
	return c, c.check()
}

// fill gives what c leaves open the values of p: zero fields that no file and no flag has set.
func (c *Config) fill(p Config) {
	from := reflect.ValueOf(&p).Elem()
	fields(reflect.ValueOf(c).Elem(), "", func(key string, _ reflect.StructField, v reflect.Value) {
		if v.IsZero() && !c.given[key] {
			published, _ := find(from, key)
			v.Set(published)
		}
	})
}

// most bounds counts that a config may ask for.
const most = 1 << 24

// scales are those of s2_scales; nil: none.
func (c *Config) scales() ([]int, error) {
	if c.S2Scales == "" {
		return nil, nil
	}
	return llava.ParseScales(c.S2Scales)
}

// check returns an error for the first key that cannot be.
func (c *Config) check() error {
	if err := c.checkRanges(); err != nil {
		return err
	}
	switch {
	case c.Out == "":
		return fmt.Errorf("out is missing: in which folder shall the run be kept?")
	case c.Data == "":
		return fmt.Errorf("data is missing: give LLaVA's json file, or a yaml mixture of several")
	case c.Model == "" && (c.Vision == "" || c.LLM == ""):
		return fmt.Errorf("vision and llm are needed, or model, a folder with a whole LLaVA")
	case c.Model != "" && (c.Vision != "" || c.LLM != ""):
		return fmt.Errorf("model is given, and vision or llm too: a whole LLaVA holds both")
	case c.Model != "" && c.Second != "":
		return fmt.Errorf("second_vision %s: a model has its own towers; leave the key out", c.Second)
	case c.Model != "" && c.Merge > 0:
		return fmt.Errorf("merge %d: a model is given, and its projector says what it takes; leave the key out", c.Merge)
	case c.Model != "" && (c.VideoPool != "" || c.given["video_stride"]):
		return fmt.Errorf("video_pool %q, video_stride %d: a model has its own way with videos; leave the keys out",
			c.VideoPool, c.VideoStride)
	case c.VideoPool == "" && c.given["video_stride"]:
		return fmt.Errorf("video_stride %d is given, and no video_pool: give average, max or bilinear", c.VideoStride)
	case c.VideoPool != "" && c.VideoStride == 0:
		return fmt.Errorf("video_stride 0: 1 keeps all tokens of a frame, 2 makes four of them one")
	case c.VideoPool != "" && !slices.Contains([]string{"average", "max", "bilinear"}, c.VideoPool):
		return fmt.Errorf("video_pool %q is not supported: average, max and bilinear are", c.VideoPool)
	case strings.HasPrefix(c.Stage, "task") && c.Model == "":
		return fmt.Errorf("stage %s needs model: it goes on from a finished LLaVA", c.Stage)
	case c.Batch%c.Micro != 0:
		return fmt.Errorf("micro %d does not divide batch %d", c.Micro, c.Batch)
	case c.Steps > 0 && c.Epochs > 0:
		return fmt.Errorf("both steps %d and epochs %v are given; give one", c.Steps, c.Epochs)
	case c.Steps == 0 && c.Epochs == 0:
		return fmt.Errorf("steps 0 and epochs 0: the run would do nothing; give one of them")
	case c.LR == 0 && c.ProjectorLR == 0:
		return fmt.Errorf("lr 0: nothing would learn; leave lr out for the published rate")
	case c.DType != "float32" && c.DType != "bfloat16":
		return fmt.Errorf("dtype %q is neither float32 nor bfloat16", c.DType)
	case c.Bits != 0 && c.Bits != 4:
		return fmt.Errorf("bits %d: 4 is possible, or 0 for the weights' own dtype", c.Bits)
	case c.Bits != 0 && c.LoRA.Rank == 0:
		return fmt.Errorf("bits 4: weights in blocks do not train, so it is for stages lora and task_lora")
	case c.SelectFeature != "" && c.SelectFeature != "patch" && c.SelectFeature != "cls_patch":
		return fmt.Errorf("select_feature %q is neither patch nor cls_patch", c.SelectFeature)
	case c.ProjectorType != "" && !projectorType.MatchString(c.ProjectorType):
		return fmt.Errorf("projector_type %q is not supported: linear, mlpNx_gelu, mlpNx_linear (N is a number), "+
			"fused-gelu-mlp and identity are",
			c.ProjectorType)
	case c.S2Scales != "" && c.Model != "":
		return fmt.Errorf("s2_scales %q: a model has its own scales, or none; leave the key out", c.S2Scales)
	case c.Layout != "hub" && c.Layout != "original":
		return fmt.Errorf("layout %q is neither hub nor original", c.Layout)
	case c.Aspect != "square" && c.Aspect != "pad" && (c.Aspect != "" || c.Model == "" || c.given["aspect"]):
		return fmt.Errorf("aspect %q is neither square nor pad", c.Aspect)
	}
	if err := (train.Schedule{Kind: c.Schedule, WarmupRatio: *c.Warmup}).Validate(); err != nil {
		return fmt.Errorf("schedule %q: cosine, linear, constant and constant_with_warmup are known", c.Schedule)
	}
	if _, err := chat.Lookup(c.Template); err != nil && c.Template != chat.Own &&
		(c.Template != "" || c.given["template"]) {
		return fmt.Errorf("template %q: did you mean %q? There are %s", c.Template,
			nearest.Word(c.Template, chat.Names()), strings.Join(chat.Names(), ", "))
	}
	if _, err := c.memory(); err != nil {
		return err
	}
	for _, p := range []struct{ key, path string }{{"vision", c.Vision},
		{"second_vision", c.Second}, {"llm", c.LLM}, {"model", c.Model}} {
		if p.path == "" {
			continue
		}
		info, err := os.Stat(p.path)
		if (err != nil || !info.IsDir()) && (strings.HasSuffix(p.key, "vision") || !gguf.IsFile(p.path)) {
			return fmt.Errorf("%s: %s is not a folder: download the model first, and give the folder that holds its config.json",
				p.key, p.path)
		}
	}
	if _, err := os.Stat(c.Data); err != nil && !strings.ContainsAny(c.Data, "{}") {
		return fmt.Errorf("data: %w", err)
	}
	if c.Images != "" {
		if _, err := os.Stat(c.Images); err != nil {
			return fmt.Errorf("images: %w", err)
		}
	}
	return c.apart()
}

var projectorType = regexp.MustCompile(`^(linear|identity|fused-gelu-mlp|mlp\d+x_(gelu|linear))$`)

// checkRanges returns an error for the first number that is out of range.
func (c *Config) checkRanges() error {
	for _, n := range []struct {
		key         string
		value       int
		least, most int
	}{{"batch", c.Batch, 1, most}, {"micro", c.Micro, 1, 1 << 16}, {"steps", c.Steps, 0, 1 << 30},
		{"max_length", c.MaxLength, 0, most}, {"every", c.Every, 0, 1 << 30}, {"keep", c.Keep, 1, 1 << 20},
		{"evaluate", c.Evaluate, 0, 1 << 30}, {"workers", c.Workers, 1, 1 << 10},
		{"select_layer", c.SelectLayer, -1 << 10, 1 << 10}, {"merge", c.Merge, 0, 1 << 10},
		{"frames", c.Frames, 1, 1 << 12}, {"video_stride", c.VideoStride, 0, 1 << 10}} {
		if n.value < n.least || n.value > n.most {
			return fmt.Errorf("%s %d is not between %d and %d", n.key, n.value, n.least, n.most)
		}
	}
	for _, x := range []struct {
		key         string
		value       float64
		least, most float64
	}{{"lr", c.LR, 0, 1e9}, {"projector_lr", c.ProjectorLR, 0, 1e9}, {"weight_decay", *c.WeightDecay, 0, 1e9},
		{"warmup", *c.Warmup, 0, 1},
		{"clip", *c.Clip, 0, 1e30}, {"epochs", c.Epochs, 0, 1e6}} {
		if !(x.value >= x.least && x.value <= x.most) {
			return fmt.Errorf("%s %v is not between %v and %v", x.key, x.value, x.least, x.most)
		}
	}
	if !(c.Validation >= 0 && c.Validation < 1) {
		return fmt.Errorf("validation %v is not a share in [0, 1)", c.Validation)
	}
	l := c.LoRA
	switch {
	case l.Dropout == nil:
	case l.Rank < 1 || l.Rank > 1<<14:
		return fmt.Errorf("lora.r %d is not a rank between 1 and %d", l.Rank, 1<<14)
	case !(l.Alpha > 0 && l.Alpha < 1e9):
		return fmt.Errorf("lora.alpha %v makes no adapter: it must be positive", l.Alpha)
	case !(*l.Dropout >= 0 && *l.Dropout < 1):
		return fmt.Errorf("lora.dropout %v is outside [0, 1)", *l.Dropout)
	}
	return nil
}

// memory is the limit in bytes, 0 for none.
func (c *Config) memory() (int64, error) {
	if c.Memory == "" {
		return 0, nil
	}
	var n float64
	var unit string
	if _, err := fmt.Sscanf(c.Memory, "%g%s", &n, &unit); err == nil {
		k, ok := map[string]float64{"MiB": 1 << 20, "GiB": 1 << 30, "MB": 1e6, "GB": 1e9}[unit]
		if bytes := n * k; ok && bytes >= 1 && bytes < 1<<60 {
			return int64(bytes), nil
		}
	}
	return 0, fmt.Errorf("memory %q is not a size such as 20GiB", c.Memory)
}

func largestDivisor(n, limit int) int {
	for d := min(n, limit); d > 1; d-- {
		if n%d == 0 {
			return d
		}
	}
	return 1
}
