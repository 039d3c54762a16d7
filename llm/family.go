package llm

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/gollava/gollava/internal/jsonfile"
)

// Family is one kind of decoder: its names, how its config.json is read and written, and how its blocks are built.
// All families of this package are listed in [Families], each in a file of its own. A family of another package is a
// value of this type as well: pass it to [New], [ReadConfig] and [Load]. A Family is read only and safe for
// concurrent use.
type Family struct {
	Type         string // model_type of config.json
	Architecture string // of config.json's architectures

	// The same of LLaVA's original checkpoints with this decoder, such as llava_mistral and LlavaMistralForCausalLM.
	// Empty: LLaVA has none.
	LLaVA             string
	LLaVAArchitecture string
	Aliases           []string // other model types that are read as Type

	Template string // conversation template, a name of package data/chat, that LLaVA uses with it
	// JSON: values that transformers' config class gives to absent fields and leaves out of a nested text_config
	Defaults string

	// Read returns the Config in raw, the bytes of config.json. Its errors name the field.
	Read func(raw []byte) (Config, error)

	// Write returns what is encoded as config.json. nil: the common fields in Llama's spelling.
	Write func(c Config) any

	// New builds the model of c, which is valid, with transformers' initial weights. With a nil r the weights are to
	// be loaded.
	New func(r *rand.Rand, c Config) (Model, error)
}

// Families returns the decoders of this package.
func Families() []Family {
	return []Family{llama(), mistral(), qwen2(), qwen3(), phi3(), mpt(), gemma(), gemma2(), phi(), stablelm(),
		mixtral(), qwen2MoE(), opt()}
}

// Lookup returns the family of a model_type, LLaVA's names included, from extra or from [Families].
func Lookup(modelType string, extra ...Family) (Family, bool) {
	for _, f := range append(extra[:len(extra):len(extra)], Families()...) {
		for _, name := range append([]string{f.Type, f.LLaVA}, f.Aliases...) {
			if name == modelType && name != "" {
				return f, true
			}
		}
	}
	return Family{}, false
}

// family is Lookup with an error that lists what is supported.
func family(modelType string, extra []Family) (Family, error) {
	if f, ok := Lookup(modelType, extra...); ok {
		return f, nil
	}
	if modelType == t5Type {
		return Family{}, errors.New("model_type \"t5\" is an encoder-decoder, where a decoder is expected: T5 is " +
			"the language model of a BLIP-2")
	}
	var names []string
	for _, f := range append(extra[:len(extra):len(extra)], Families()...) {
		names = append(names, f.Type)
	}
	return Family{}, fmt.Errorf("model_type %q is not supported (%s are)", modelType, strings.Join(names, ", "))
}

// ParseConfig reads raw, the bytes of config.json or of a text_config, of one of extra or of [Families], and validates
// it. Its errors name the field.
func ParseConfig(raw []byte, extra ...Family) (Config, error) {
	var head struct {
		ModelType string          `json:"model_type"`
		Text      json.RawMessage `json:"text_config"`
	}
	if err := jsonfile.Unmarshal(raw, &head); err != nil {
		return Config{}, err
	}
	if !jsonfile.IsNull(head.Text) {
		return Config{}, errors.New("text_config: the folder holds a multimodal model, not a language model alone")
	}
	f, err := family(head.ModelType, extra)
	if err != nil {
		return Config{}, err
	}
	if raw, err = withDefaults(raw, f.Defaults); err != nil {
		return Config{}, err
	}
	c, err := f.Read(raw)
	if err != nil {
		return Config{}, err
	}
	c.ModelType = f.Type
	return c, c.Validate()
}

// withDefaults adds fields to a config.json that lacks them: a text_config leaves out what equals transformers'
// defaults, and early files some more. A field that is null is there: sliding_window null means none.
func withDefaults(raw []byte, defaults string) ([]byte, error) {
	if defaults == "" {
		return raw, nil
	}
	var given, all map[string]json.RawMessage
	if err := json.Unmarshal([]byte(defaults), &all); err != nil {
		return nil, fmt.Errorf("the defaults of its family: %w", err)
	}
	if err := jsonfile.Unmarshal(raw, &given); err != nil {
		return nil, err
	}
	for k, v := range all {
		if _, ok := given[k]; !ok {
			given[k] = v
		}
	}
	return json.Marshal(given)
}
