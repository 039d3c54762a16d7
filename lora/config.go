package lora

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/gollava/gollava/internal/jsonfile"
)

// Config describes an adapter by the fields of PEFT's adapter_config.json.
type Config struct {
	R             int     `json:"r"`
	Alpha         float64 `json:"lora_alpha"`
	Dropout       float64 `json:"lora_dropout"` // of the adapters' inputs, while training
	RSLoRA        bool    `json:"use_rslora"`   // scale by α/√r instead of α/r
	DoRA          bool    `json:"use_dora"`     // learn the norms of the rows apart from their directions
	Targets       Targets `json:"target_modules"`
	Exclude       Targets `json:"exclude_modules"`
	RankPattern   Pattern `json:"rank_pattern"`    // other r for some layers
	AlphaPattern  Pattern `json:"alpha_pattern"`   // other α for some layers
	Save          List    `json:"modules_to_save"` // parts that train in full and are stored with the adapter
	Layers        Ints    `json:"layers_to_transform"`
	LayersPattern List    `json:"layers_pattern"`
	Init          Init    `json:"init_lora_weights"`
	BaseModel     string  `json:"base_model_name_or_path"`
	TaskType      string  `json:"task_type"`
	PeftType      string  `json:"peft_type"`
	InferenceMode bool    `json:"inference_mode"`
	Bias          string  `json:"bias"`
	FanInFanOut   bool    `json:"fan_in_fan_out"`
	ModulesTied   bool    `json:"ensure_weight_tying,omitempty"`
	Revision      *string `json:"revision"`
}

// refused are fields of adapter_config.json that change the computation and are not supported, unless null, false,
// empty or 0.
var refused = []string{"alora_invocation_tokens", "layer_replication", "lora_bias", "target_parameters",
	"trainable_token_indices", "use_bdlora",
	"use_qalora", "arrow_config", "megatron_config", "velora_config", "monteclora_config", "kasa_config"}

// Default is PEFT's LoraConfig with the given rank, scaled by α/r.
func Default(r int, alpha float64, targets ...string) Config {
	return Config{R: r, Alpha: alpha, Targets: Targets{Names: targets}, Init: Init{"true"}, TaskType: "CAUSAL_LM"}
}

// LLaVA is the adapter of LLaVA's LoRA recipe: rank 128, α 256, dropout 0.05 on every Linear of the language model but
// its head.
func LLaVA() Config {
	c := Default(128, 256, "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
	c.Dropout = 0.05
	c.Exclude = Targets{Pattern: `(.*\.)?vision_tower\..*`}
	return c
}

// ReadConfig reads dir/adapter_config.json. Fields that it does not know are ignored, unless they are known to change
// the computation. Errors name the file and the field.
func ReadConfig(dir string) (Config, error) {
	path := filepath.Join(dir, "adapter_config.json")
	raw, err := jsonfile.Bytes(path, jsonfile.Max)
	if err != nil {
		return Config{}, err
	}
	c := Config{R: 8, Alpha: 8, Init: Init{"true"}}
	var all map[string]json.RawMessage
	if err = jsonfile.Unmarshal(raw, &all); err == nil {
		err = jsonfile.Unmarshal(raw, &c)
	}
	for _, field := range refused {
		if v, ok := all[field]; ok && err == nil && !slices.Contains([]string{"null", "false", "[]", "{}", "0"},
			string(bytes.TrimSpace(v))) {
			err = fmt.Errorf("%s %.60s is not supported", field, v)
		}
	}
	if err == nil {
		err = c.Validate()
	}
	if err != nil {
		return Config{}, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// Validate returns an error that names the first field that is wrong or not supported.
func (c *Config) Validate() error {
	switch {
	case c.PeftType != "" && c.PeftType != "LORA":
		return fmt.Errorf("peft_type %q is not supported (LORA is)", c.PeftType)
	case c.R <= 0 || c.R > 1<<20:
		return fmt.Errorf("r %d is not a positive rank", c.R)
	case c.Alpha != c.Alpha || c.Alpha == 0:
		return fmt.Errorf("lora_alpha %v makes no adapter", c.Alpha)
	case c.Dropout < 0 || c.Dropout >= 1:
		return fmt.Errorf("lora_dropout %v is outside [0, 1)", c.Dropout)
	case c.Bias != "" && c.Bias != "none":
		return fmt.Errorf("bias %q is not supported (none is)", c.Bias)
	case c.FanInFanOut:
		return fmt.Errorf("fan_in_fan_out true is not supported: it is for GPT-2's Conv1D")
	case c.ModulesTied:
		return fmt.Errorf("ensure_weight_tying true is not supported")
	case !slices.Contains([]string{"", "true", "false", "gaussian", "eva", "orthogonal"}, c.Init.Kind):
		return fmt.Errorf("init_lora_weights %q is not supported: it changes the base model's weights", c.Init.Kind)
	}
	for _, p := range c.RankPattern {
		if p.Value != float64(int(p.Value)) || p.Value <= 0 || p.Value > 1<<20 {
			return fmt.Errorf("rank_pattern: %q: %v is not a positive rank", p.Key, p.Value)
		}
	}
	return nil
}

// Targets are names of layers, or one pattern: a regular expression that a layer's whole name matches, or "all-linear".
type Targets struct {
	Names   []string // a layer's whole name or the end of it, from a dot on
	Pattern string
}

// Empty reports whether nothing is named.
func (t Targets) Empty() bool { return len(t.Names) == 0 && t.Pattern == "" }

func (t *Targets) UnmarshalJSON(raw []byte) error {
	if json.Unmarshal(raw, &t.Pattern) == nil {
		return nil
	}
	if err := json.Unmarshal(raw, &t.Names); err != nil {
		return fmt.Errorf("target_modules and exclude_modules are a list or a regular expression, got %.60s", raw)
	}
	return nil
}

// MarshalJSON writes what UnmarshalJSON reads.
func (t Targets) MarshalJSON() ([]byte, error) {
	if t.Pattern != "" {
		return json.Marshal(t.Pattern)
	}
	return json.Marshal(t.Names) // null if there are none
}

// Pattern gives some layers another number: those whose name a regular expression matches from a dot, or the beginning,
// to the end. The first that matches counts.
type Pattern []Entry

// Entry is one of a [Pattern].
type Entry struct {
	Key   string
	Value float64
}

// UnmarshalJSON reads an object and keeps its order.
func (p *Pattern) UnmarshalJSON(raw []byte) error {
	*p = nil
	d := json.NewDecoder(bytes.NewReader(raw))
	t, err := d.Token()
	if err != nil || t == nil {
		return err
	}
	if t != json.Delim('{') {
		return fmt.Errorf("a pattern is an object from regular expressions to numbers, got %.60s", raw)
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		e := Entry{Key: key.(string)} // the decoder lets only strings through
		if err := d.Decode(&e.Value); err != nil {
			return fmt.Errorf("pattern %q: %w", e.Key, err)
		}
		*p = append(*p, e)
	}
	return nil
}

// MarshalJSON writes an object in the pattern's order.
func (p Pattern) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, e := range p {
		if i > 0 {
			b = append(b, ',')
		}
		key, _ := json.Marshal(e.Key)
		value, err := json.Marshal(e.Value)
		if err != nil {
			return nil, err
		}
		b = append(append(append(b, key...), ':'), value...)
	}
	return append(b, '}'), nil
}

// List is written as one text or several.
type List []string

func (l *List) UnmarshalJSON(raw []byte) error {
	var one string
	if json.Unmarshal(raw, &one) == nil && one != "" {
		*l = List{one}
		return nil
	}
	return json.Unmarshal(raw, (*[]string)(l))
}

// Ints is written as one number or several.
type Ints []int

func (l *Ints) UnmarshalJSON(raw []byte) error {
	var one *int
	if json.Unmarshal(raw, &one) == nil {
		if *l = nil; one != nil {
			*l = Ints{*one}
		}
		return nil
	}
	return json.Unmarshal(raw, (*[]int)(l))
}

// Init says how adapters start: "true" (A uniform, B zero: nothing changes), "gaussian" (A normal, B zero), "false"
// (both random, for tests).
type Init struct{ Kind string }

func (i *Init) UnmarshalJSON(raw []byte) error {
	if json.Unmarshal(raw, &i.Kind) != nil {
		i.Kind = string(raw)
	}
	return nil
}

// MarshalJSON writes true, false or a name.
func (i Init) MarshalJSON() ([]byte, error) {
	switch i.Kind {
	case "", "true":
		return []byte("true"), nil
	case "false":
		return []byte("false"), nil
	}
	return json.Marshal(i.Kind)
}
