package llm

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/internal/jsonfile/mutate"
)

// What generation_config.json says is heeded or named, and what asks for nothing is neither.
func TestReadGeneration(t *testing.T) {
	read := func(file, text string) (Generation, error) {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600))
		return ReadGeneration(dir)
	}
	for text, want := range map[string]Generation{
		`{"eos_token_id": 2, "pad_token_id": 0, "use_cache": true, "transformers_version": "5.24.0"}`: {Options: Options{EOS: []int{2}, PAD: 0}},
		`{"eos_token_id": [2, 577], "min_new_tokens": 6}`:                                             {Options: Options{EOS: []int{2, 577}, PAD: -1, MinNewTokens: 6}},
		`{"repetition_penalty": 1.5, "temperature": 0.9, "top_p": 0.6}`:                               {Options: Options{PAD: -1, Sampling: Sampling{RepetitionPenalty: 1.5}}},
		`{"do_sample": true, "temperature": 0.9, "top_p": 0.6, "min_p": 0.1}`:                         {Options: Options{PAD: -1, Sampling: Sampling{Temperature: 0.9, TopK: 50, TopP: 0.6, MinP: 0.1}}},
		`{"do_sample": true, "temperature": 0.0, "top_k": 0}`:                                         {Options: Options{PAD: -1}},
		`{"num_beams": 3, "length_penalty": 0.0, "early_stopping": true}`:                             {Options: Options{PAD: -1, Beams: 3, LengthPenalty: math.SmallestNonzeroFloat64}, Ignored: []string{"early_stopping true"}},
		`{"do_sample": true, "top_p": 0.0, "top_k": 5}`: {
			Options: Options{PAD: -1, Sampling: Sampling{Temperature: 1, TopK: 5, TopP: math.SmallestNonzeroFloat64}}},
		`{"encoder_no_repeat_ngram_size": 2, "encoder_repetition_penalty": 1.0}`: {
			Options: Options{PAD: -1}, Ignored: []string{"encoder_no_repeat_ngram_size 2"}},
		`{"num_beams": 1, "early_stopping": true, "max_new_tokens": 40, "stop_strings": ["a", "b"]}`:                         {Options: Options{PAD: -1, Beams: 1, MaxNewTokens: 40, StopStrings: []string{"a", "b"}}},
		`{"no_repeat_ngram_size": 0, "bad_words_ids": [], "suppress_tokens": null, "guidance_scale": 1.0, "typical_p": 1.0}`: {Options: Options{PAD: -1}},
		`{"no_repeat_ngram_size": 3, "suppress_tokens": [4], "presence_penalty": 0.5, "chat_format": "x", "min_length": 9}`: {
			Options: Options{PAD: -1, MinLength: 9, Sampling: Sampling{NoRepeatNGram: 3, Suppress: []int32{4}, PresencePenalty: 0.5}},
			Ignored: []string{`chat_format "x"`}},
		`{"bad_words_ids": [[3], [4, 5]], "forced_eos_token_id": 2, "sequence_bias": [[[7], -2.5]], "watermarking_config": {"a": 1}}`: {
			Options: Options{PAD: -1, ForcedEOS: []int{2}, Sampling: Sampling{BadWords: [][]int32{{3}, {4, 5}}, LogitBias: map[int32]float64{7: -2.5}}},
			Ignored: []string{`watermarking_config {"a": 1}`}},
		`{"sequence_bias": [[[7, 8], -2.5]]}`: {Options: Options{PAD: -1}, Ignored: []string{"sequence_bias [[[7, 8], -2.5]]"}},
	} {
		got, err := read("generation_config.json", text)
		require.NoError(t, err, text)
		require.NotEmpty(t, got.Fields)
		got.Fields = nil
		require.Equal(t, want, got, text)
	}
	got, err := read("config.json", `{"model_type": "llama", "repetition_penalty": 1.2, "eos_token_id": 3, "max_length": 20, "hidden_size": 8}`)
	require.NoError(t, err)
	require.Equal(t, Options{EOS: []int{3}, PAD: -1, Sampling: Sampling{RepetitionPenalty: 1.2}}, got.Options)
	require.Empty(t, got.Ignored)
	for text, says := range map[string]string{`{"eos_token_id": "x"}`: "eos_token_id", `{"temperature": "hot"}`: "temperature is text, where a number belongs",
		`{"repetition_penalty": 0}`: "repetition_penalty 0 is not positive", `{"num_beams": 1.5}`: "num_beams is 1.5, where a whole number belongs", `null`: "is null",
		`{"do_sample": true, "typical_p": 0}`: "typical_p 0 is not between 0 and 1",
		`{"max_new_tokens": -1}`:              "max_new_tokens -1", `{"do_sample": true, "temperature": -1}`: "temperature -1", `{`: "line 1, column 1: the JSON ends too early"} {
		_, err := read("generation_config.json", text)
		require.ErrorContains(t, err, says)
		require.ErrorContains(t, err, "generation_config.json: ")
	}
	for what, b := range mutate.All([]byte(`{"eos_token_id": [2, 3], "do_sample": true, "temperature": 1, "top_k": 3, "num_beams": 2, "stop_strings": ["a"], "x": {}}`)) {
		if g, err := read("generation_config.json", string(b)); err == nil && g.Options.Beams <= 1 {
			o := g.Options
			require.NoError(t, o.Sampling.check(math.MaxInt32), what)
		}
	}
}
