package llm

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gollava/gollava/internal/jsonfile"
)

// Generation is what a checkpoint's generation_config.json says about how its model is to answer.
type Generation struct {
	Options Options  // what [Generate] heeds; EOS nil and PAD −1 where the file says nothing
	Ignored []string // fields that would change answers but are not supported, each with its value, sorted

	// Fields are all of the file, to be written again with the model.
	Fields map[string]json.RawMessage
}

// ReadGeneration reads dir/generation_config.json, or, where there is none, the fields of the same names in
// dir/config.json, as transformers does. Its errors name the file and the field.
func ReadGeneration(dir string) (Generation, error) {
	path := filepath.Join(dir, "generation_config.json")
	fields := map[string]json.RawMessage{}
	err := jsonfile.Read(path, &fields)
	if errors.Is(err, fs.ErrNotExist) {
		path = filepath.Join(dir, "config.json")
		all := map[string]json.RawMessage{}
		if err = jsonfile.Read(path, &all); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		for k, v := range all {
			if effect, ok := generationFields[k]; ok && effect != none && k != "max_length" {
				fields[k] = v
			}
		}
	}
	if err != nil {
		return Generation{}, err
	}
	g, err := parseGeneration(fields)
	if err != nil {
		return Generation{}, fmt.Errorf("%s: %w", path, err)
	}
	return g, nil
}

// effect is what a field of generation_config.json changes.
type effect int

const (
	none     effect = iota // nothing that is generated here
	heeded                 // what Options holds
	always                 // answers; not supported
	sampling               // sampled answers; not supported
	beams                  // answers of beam search; not supported
)

// generationFields are the fields that transformers knows, presence_penalty and frequency_penalty those of servers.
var generationFields = map[string]effect{
	"eos_token_id": heeded, "pad_token_id": heeded, "do_sample": heeded, "temperature": heeded, "top_k": heeded,
	"top_p": heeded, "repetition_penalty": heeded, "num_beams": heeded, "length_penalty": heeded,
	"max_new_tokens": heeded, "stop_strings": heeded,
	"min_new_tokens": heeded, "min_length": heeded, "no_repeat_ngram_size": heeded, "bad_words_ids": heeded,
	"suppress_tokens": heeded, "begin_suppress_tokens": heeded, "forced_bos_token_id": heeded,
	"forced_eos_token_id": heeded, "sequence_bias": heeded,
	"presence_penalty": heeded, "frequency_penalty": heeded, "typical_p": heeded, "min_p": heeded,

	// of the prompt, where there is no encoder
	"encoder_no_repeat_ngram_size": always, "encoder_repetition_penalty": always,
	"force_words_ids": always, "constraints": always, "forced_decoder_ids": always,
	"exponential_decay_length_penalty": always, "guidance_scale": always, "watermarking_config": always,
	"penalty_alpha": always, "dola_layers": always, "token_healing": always,
	"renormalize_logits": beams, "max_time": none, "max_length": none,

	"top_h": sampling, "epsilon_cutoff": sampling, "eta_cutoff": sampling,

	"early_stopping": beams, "num_beam_groups": beams, "diversity_penalty": beams,

	"bos_token_id": none, "decoder_start_token_id": none, "transformers_version": none, "use_cache": none,
	"cache_implementation": none, "cache_config": none, "return_legacy_cache": none, "compile_config": none,
	"disable_compile": none, "low_memory": none,
	"output_attentions": none, "output_hidden_states": none, "output_scores": none, "output_logits": none,
	"return_dict_in_generate": none, "num_return_sequences": none, "remove_invalid_values": none,
	"generation_kwargs": none, "is_assistant": none, "num_assistant_tokens": none,
	"num_assistant_tokens_schedule": none, "assistant_confidence_threshold": none, "prompt_lookup_num_tokens": none,
	"max_matching_ngram_size": none, "assistant_early_exit": none, "assistant_lookbehind": none, "target_lookbehind": none,
	"prefill_chunk_size": none, "continuous_batching_config": none, "trust_remote_code": none,
}

// neutral reports whether a field's value asks for nothing.
func neutral(name string, value json.RawMessage) bool {
	var v any
	if json.Unmarshal(value, &v) != nil {
		return false
	}
	switch v := v.(type) {
	case nil:
		return true
	case bool:
		return !v
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	case float64:
		one := slices.Contains([]string{"guidance_scale", "typical_p", "top_h", "num_beam_groups",
			"encoder_repetition_penalty"}, name)
		return v == 0 || one && v == 1
	}
	return false
}

// parseGeneration makes options of a file's fields.
func parseGeneration(fields map[string]json.RawMessage) (Generation, error) {
	g := Generation{Options: Options{PAD: -1}, Fields: fields}
	o := &g.Options
	var f struct {
		PAD           *int     `json:"pad_token_id"`
		Sample        bool     `json:"do_sample"`
		Temperature   *float64 `json:"temperature"`
		TopK          *int     `json:"top_k"`
		TopP          *float64 `json:"top_p"`
		Repetition    *float64 `json:"repetition_penalty"`
		Beams         *int     `json:"num_beams"`
		LengthPenalty *float64 `json:"length_penalty"`
		MaxNewTokens  *int     `json:"max_new_tokens"`

		MinNewTokens  int       `json:"min_new_tokens"`
		MinLength     int       `json:"min_length"`
		NoRepeatNGram int       `json:"no_repeat_ngram_size"`
		BadWords      [][]int32 `json:"bad_words_ids"`
		Suppress      []int32   `json:"suppress_tokens"`
		BeginSuppress []int32   `json:"begin_suppress_tokens"`
		Presence      float64   `json:"presence_penalty"`
		Frequency     float64   `json:"frequency_penalty"`
		MinP          float64   `json:"min_p"`
		TypicalP      *float64  `json:"typical_p"`
	}
	raw, err := json.Marshal(fields)
	if err == nil {
		err = jsonfile.Explain(raw, json.Unmarshal(raw, &f))
	}
	for name, to := range map[string]*[]int{"eos_token_id": &o.EOS, "forced_bos_token_id": &o.ForcedBOS,
		"forced_eos_token_id": &o.ForcedEOS} {
		if err == nil {
			*to, err = tokenIDs(name, fields[name])
		}
	}
	if err != nil {
		return g, err
	}
	positive := func(name string, v *int, to *int) {
		if v != nil && (*v < 1 || *v > math.MaxInt32) && err == nil {
			err = fmt.Errorf("%s %d is not positive", name, *v)
		} else if v != nil {
			*to = *v
		}
	}
	positive("num_beams", f.Beams, &o.Beams)
	positive("max_new_tokens", f.MaxNewTokens, &o.MaxNewTokens)
	if f.PAD != nil {
		if o.PAD = *f.PAD; o.PAD < -1 || o.PAD > math.MaxInt32 {
			return g, fmt.Errorf("pad_token_id %d is out of range", o.PAD)
		}
	}
	if p := f.Repetition; p != nil {
		if !(*p > 0) {
			return g, fmt.Errorf("repetition_penalty %v is not positive", *p)
		}
		o.Sampling.RepetitionPenalty = *p
	}
	if f.LengthPenalty != nil {
		o.LengthPenalty = written(*f.LengthPenalty)
	}
	if f.Sample {
		s := &o.Sampling
		s.Temperature, s.TopK = 1, 50 // transformers' own
		if f.Temperature != nil {
			s.Temperature = *f.Temperature
		}
		if f.TopK != nil {
			s.TopK = *f.TopK
		}
		if f.TopP != nil {
			s.TopP = written(*f.TopP)
		}
		if s.MinP = f.MinP; f.TypicalP != nil {
			if s.TypicalP = *f.TypicalP; s.TypicalP == 0 {
				return g, errors.New("typical_p 0 is not between 0 and 1")
			}
		}
		if !(s.Temperature >= 0) || s.TopK < 0 || !(s.TopP >= 0 && s.TopP <= 1) {
			return g, fmt.Errorf("temperature %v and top_k %d must not be negative, top_p %v lies in [0, 1]", s.Temperature,
				s.TopK, s.TopP)
		}
	}
	if f.MinNewTokens < 0 || f.MinLength < 0 || f.NoRepeatNGram < 0 {
		return g, fmt.Errorf("min_new_tokens %d, min_length %d and no_repeat_ngram_size %d must not be negative",
			f.MinNewTokens, f.MinLength, f.NoRepeatNGram)
	}
	o.MinNewTokens, o.MinLength = f.MinNewTokens, f.MinLength
	s := &o.Sampling
	s.NoRepeatNGram, s.PresencePenalty, s.FrequencyPenalty = f.NoRepeatNGram, f.Presence, f.Frequency
	if len(f.BadWords)+len(f.Suppress)+len(f.BeginSuppress) > 0 {
		s.BadWords, s.Suppress, s.BeginSuppress = f.BadWords, f.Suppress, f.BeginSuppress
	}
	for name, words := range map[string][][]int32{"bad_words_ids": f.BadWords, "suppress_tokens": {f.Suppress},
		"begin_suppress_tokens": {f.BeginSuppress}} {
		for _, word := range words {
			if slices.ContainsFunc(word, func(id int32) bool { return id < 0 }) {
				return g, fmt.Errorf("%s: an id is negative: %.60s", name, fields[name])
			}
			if len(word) == 0 && name == "bad_words_ids" {
				return g, fmt.Errorf("%s: an empty sequence", name)
			}
		}
	}
	biased := true
	if s.LogitBias, biased = logitBias(fields["sequence_bias"]); !biased {
		g.Ignored = append(g.Ignored, fmt.Sprintf("sequence_bias %.60s", fields["sequence_bias"]))
	}
	if err := s.check(math.MaxInt32); err != nil {
		return g, err
	}
	if !jsonfile.IsNull(fields["stop_strings"]) {
		var one string
		if json.Unmarshal(fields["stop_strings"], &one) == nil {
			o.StopStrings = []string{one}
		} else if json.Unmarshal(fields["stop_strings"], &o.StopStrings) != nil {
			return g, fmt.Errorf("stop_strings %.60s is neither text nor a list of texts", fields["stop_strings"])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		e, known := generationFields[name]
		switch {
		case !known && strings.HasPrefix(name, "_"):
		case known && e <= heeded, neutral(name, fields[name]):
		case e == sampling && !f.Sample, known && e == beams && o.Beams <= 1:
		default:
			g.Ignored = append(g.Ignored, fmt.Sprintf("%s %.60s", name, fields[name]))
		}
	}
	slices.Sort(g.Ignored)
	return g, err
}

// written is a number of a file for an option whose zero value stands for something else: 0 as the least number above
// it, which counts as 0.
func written(x float64) float64 {
	if x == 0 {
		return math.SmallestNonzeroFloat64
	}
	return x
}

// logitBias reads sequence_bias, pairs of a list of ids and a number. It reports false for what is none, and for
// sequences of more than one id.
func logitBias(raw json.RawMessage) (bias map[int32]float64, ok bool) {
	if jsonfile.IsNull(raw) {
		return nil, true
	}
	var pairs [][2]json.RawMessage
	if json.Unmarshal(raw, &pairs) != nil {
		return nil, false
	}
	bias = map[int32]float64{}
	for _, p := range pairs {
		var ids []int32
		var v *float64
		if json.Unmarshal(p[0], &ids) != nil || json.Unmarshal(p[1], &v) != nil || v == nil || len(ids) != 1 || ids[0] < 0 {
			return nil, false
		}
		bias[ids[0]] = *v
	}
	return bias, true
}

// EndTokens is eos_token_id of config.json and generation_config.json: a number, a list of numbers, or null, which is
// nil.
type EndTokens []int

// UnmarshalJSON reads any of the three.
func (t *EndTokens) UnmarshalJSON(raw []byte) (err error) {
	*t, err = tokenIDs("eos_token_id", raw)
	return err
}

// MarshalJSON writes one id as a number and none as null.
func (t EndTokens) MarshalJSON() ([]byte, error) {
	switch len(t) {
	case 0:
		return []byte("null"), nil
	case 1:
		return json.Marshal(t[0])
	}
	return json.Marshal([]int(t))
}

// tokenIDs reads a number, a list of numbers or null.
func tokenIDs(name string, raw json.RawMessage) ([]int, error) {
	if jsonfile.IsNull(raw) {
		return nil, nil
	}
	var one int
	var list []int
	if json.Unmarshal(raw, &one) == nil {
		list = []int{one}
	} else if json.Unmarshal(raw, &list) != nil {
		return nil, fmt.Errorf("%s: %.60s is neither a number nor a list of numbers", name, raw)
	}
	for _, id := range list {
		if id < -1 || id > math.MaxInt32 {
			return nil, fmt.Errorf("%s: %d is no token", name, id)
		}
	}
	return list, nil
}
