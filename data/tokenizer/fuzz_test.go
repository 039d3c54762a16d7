package tokenizer

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/internal/jsonfile/mutate"
)

// use encodes and decodes with whatever a file has become; ranges must lie in the text.
func use(t *testing.T, tok *Tokenizer, err error) {
	if err != nil {
		var f *FormatError
		require.True(t, errors.As(err, &f) || !strings.Contains(err.Error(), "runtime error"), "%v", err)
		return
	}
	for _, text := range []string{"", " Hello  world", "<s>a</s>漢字\U0001F600\xff\x00", "▁a▁▁b 12"} {
		ids := tok.Encode(text)
		for _, special := range []bool{false, true} {
			ids, spans := tok.EncodeOffsets(text, special)
			at := 0
			for i, s := range spans {
				require.True(t, s[0] <= s[1] && s[0] >= 0 && s[1] <= len(text) && s[1] >= at, "token %d of %v at %v of %q", i, ids, s, text)
				at = s[1]
			}
		}
		guarded, _ := tok.EncodeGuarded(text, [][2]int{{0, len(text)}})
		if !slices.ContainsFunc(tok.Added(), func(x AddedToken) bool { return !x.Special }) {
			require.Equal(t, len(ids) == 0, len(guarded) == 0)
		}
		s := tok.Stream(nil)
		stream := ""
		for _, id := range ids {
			stream += s.Next(id)
		}
		require.Equal(t, tok.Decode(ids), stream+s.Flush())
		require.True(t, utf8.ValidString(stream))
	}
	tok.Decode([]int32{-1, 0, 1, 2, 3, int32(tok.Size()), 1 << 30})
	tok.Wrap(nil)
	tok.Context("a b", 4)
}

func noConfig() *hfConfig { return &hfConfig{special: map[string]*AddedToken{}} }

func seed(f *testing.F, pattern string, add func(b []byte)) {
	paths, err := filepath.Glob(pattern)
	require.NoError(f, err)
	require.NotEmpty(f, paths)
	for _, p := range paths {
		b, err := os.ReadFile(p)
		require.NoError(f, err)
		add(b)
	}
}

// FuzzSentencePiece reads tokenizer.model files, alone and as LlamaTokenizer and T5Tokenizer.
func FuzzSentencePiece(f *testing.F) {
	seed(f, "testdata/cases/*/*.model", func(b []byte) {
		for kind := range byte(6) {
			f.Add(b, kind)
		}
		f.Add(b[:700], byte(0))
	})
	f.Add([]byte("\x0a\x08\x0a\x01a\x15\x00\x00\x00\x00"), byte(0))
	f.Fuzz(func(t *testing.T, b []byte, kind byte) {
		class := []string{"", "LlamaTokenizer", "T5Tokenizer"}[kind%3]
		legacy := kind/3%2 == 0
		tok, err := loadSlow(b, Config{Class: class, Legacy: &legacy}, noConfig())
		use(t, tok, err)
	})
}

// FuzzTokenizerJSON reads tokenizer.json files of all kinds.
func FuzzTokenizerJSON(f *testing.F) {
	documents := mutate.Files(f, "../chat/testdata/cases/tokenizers/*/tokenizer.json")
	for _, s := range small {
		documents = append(documents, []byte(s))
	}
	mutate.Fuzz(f, func(t *testing.T, raw []byte) error {
		tok, err := loadFast(raw, Config{}, noConfig())
		use(t, tok, err)
		return err
	}, documents...)
}

// FuzzVocabFiles reads vocab.json with merges.txt, and vocab.txt.
func FuzzVocabFiles(f *testing.F) {
	f.Add([]byte(`{"a":0,"b":1,"ab":2,"<|endoftext|>":3}`), []byte("#version: 0.2\na b\n"), byte(0))
	f.Add([]byte(`{"a":0,"b</w>":1,"ab</w>":2,"a</w>":3,"<|startoftext|>":4,"<|endoftext|>":5}`), []byte("a b</w>"), byte(1))
	f.Add([]byte("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n##b\n"), []byte(""), byte(3))
	f.Fuzz(func(t *testing.T, vocab, merges []byte, kind byte) {
		if kind%4 == 3 {
			tok, err := loadBert(vocab, Config{}, noConfig())
			use(t, tok, err)
			return
		}
		list, err := parseMerges(merges)
		if err != nil {
			return
		}
		tok, err := loadMerges(vocab, list, Config{Class: []string{"GPT2Tokenizer", "CLIPTokenizer", "Qwen2Tokenizer"}[kind%4], Cleaning: Cleaning(kind / 4 % 4)}, noConfig())
		use(t, tok, err)
	})
}

// FuzzTokenizerConfig reads tokenizer_config.json beside a vocabulary.
func FuzzTokenizerConfig(f *testing.F) {
	model, err := os.ReadFile("testdata/cases/llama-sp/tokenizer.model")
	require.NoError(f, err)
	mutate.Fuzz(f, func(t *testing.T, raw []byte) error {
		hf := noConfig()
		if err := hf.read(raw); err != nil {
			return err
		}
		slow, err := loadSlow(model, hf.merge(Config{}), hf)
		use(t, slow, err)
		fast, err2 := loadFast([]byte(small[0]), hf.merge(Config{}), hf)
		use(t, fast, err2)
		return errors.Join(err, err2)
	}, append(mutate.Files(f, "testdata/cases/*/tokenizer_config.json"),
		[]byte(`{"tokenizer_class":"T5Tokenizer","extra_ids":3,"eos_token":{"content":"</s>"},"pad_token":null}`),
		[]byte(`{"added_tokens_decoder":{"7":{"content":"<x>","lstrip":true,"rstrip":true,"single_word":true,
			"normalized":true}}}`))...)
}

// FuzzText holds that byte-level text comes back, whole and as a stream, and that special tokens in it stay text.
func FuzzText(f *testing.F) {
	tok, err := Load("../chat/testdata/cases/tokenizers/qwen2")
	require.NoError(f, err)
	for _, s := range []string{"", " a  b\n", "<|im_start|>system", "e\u0301 ﬁ", "\xff\xfe", "😀\u200d👩"} {
		f.Add(s)
	}
	special, ok := tok.ID("<|im_start|>")
	require.True(f, ok)
	f.Fuzz(func(t *testing.T, text string) {
		ids := tok.Encode(text)
		require.NotContains(t, ids, special)
		want := tok.norm(strings.ToValidUTF8(text, "\uFFFD"))
		if utf8.ValidString(text) {
			require.Equal(t, want, tok.Decode(ids))
		}
		guarded, spans := tok.EncodeGuarded(text, [][2]int{{0, len(text)}})
		require.Equal(t, ids, guarded)
		require.Len(t, spans, len(ids))
	})
}

// small are the smallest tokenizer.json files of each kind.
var small = []string{
	`{"added_tokens":[{"id":3,"content":"<s>","special":true}],"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":true,"use_regex":true},"decoder":{"type":"ByteLevel"},"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]}}`,
	`{"normalizer":{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"▁"},{"type":"Replace","pattern":{"String":" "},"content":"▁"}]},"decoder":{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},{"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]},"model":{"type":"BPE","unk_token":"<unk>","byte_fallback":true,"fuse_unk":true,"vocab":{"<unk>":0,"▁":1,"a":2,"▁a":3,"<0x0A>":4},"merges":[["▁","a"]]}}`,
	`{"pre_tokenizer":{"type":"Metaspace","replacement":"▁","prepend_scheme":"first","split":true},"decoder":{"type":"Metaspace"},"model":{"type":"Unigram","unk_id":0,"vocab":[["<unk>",0],["▁",-2.5],["a",-1],["▁a",-1.5]]}}`,
	`{"normalizer":{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,"lowercase":true},"pre_tokenizer":{"type":"BertPreTokenizer"},"post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"[CLS]"}},{"Sequence":{"id":"A"}}],"special_tokens":{"[CLS]":{"ids":[1]}}},"decoder":{"type":"WordPiece","prefix":"##","cleanup":true},"model":{"type":"WordPiece","unk_token":"[UNK]","continuing_subword_prefix":"##","max_input_chars_per_word":9,"vocab":{"[UNK]":0,"[CLS]":1,"a":2,"##b":3}}}`,
	`{"normalizer":{"type":"Precompiled","precompiled_charsmap":"BAAAAAAAAAA="},"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"\\s+(?!\\S)|\\w+"},"behavior":"MergedWithNext","invert":true},{"type":"Digits","individual_digits":true},{"type":"Punctuation","behavior":"Contiguous"},{"type":"WhitespaceSplit"}]},"model":{"type":"BPE","ignore_merges":true,"end_of_word_suffix":"</w>","vocab":{"a</w>":0,"a":1},"merges":[]}}`,
}
