package tokenizer_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/gollava/gollava/data/tokenizer"
)

func corpus(t testing.TB) []string {
	b, err := os.ReadFile("testdata/train/corpus.txt")
	require.NoError(t, err)
	return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
}

func trainConfig(size int) tokenizer.TrainConfig {
	return tokenizer.TrainConfig{Size: size, Specials: []string{"<pad>", "<s>", "</s>", "<image>"}, BOS: "<s>", EOS: "</s>", Pad: "<pad>"}
}

// kinds are the four sorts of vocabulary that Train makes.
func kinds(size int) map[string]tokenizer.TrainConfig {
	out := map[string]tokenizer.TrainConfig{}
	for _, words := range []bool{false, true} {
		for _, fallback := range []bool{false, true} {
			c := trainConfig(size)
			c.Words, c.ByteFallback = words, fallback
			name := map[bool]string{false: "pairs", true: "words"}[words] + "-" + map[bool]string{false: "bytes", true: "fallback"}[fallback]
			out[name] = c
		}
	}
	return out
}

// TestTrainReference compares merges and ids with those of the tokenizers library's own trainer.
func TestTrainReference(t *testing.T) {
	type learnt struct {
		Merges []string
		IDs    [][]int32
	}
	b, err := os.ReadFile("testdata/train/reference.json")
	require.NoError(t, err)
	var all map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(b, &all))
	texts := corpus(t)
	for size, name := range map[int]string{300: "300", 384: "384", 1000: "1000"} {
		var want learnt
		require.NoError(t, json.Unmarshal(all[name], &want))
		got, err := tokenizer.Train(slices.Values(texts), trainConfig(size))
		require.NoError(t, err)
		dir := t.TempDir()
		require.NoError(t, got.Save(dir))
		var file struct{ Model struct{ Merges []string } }
		b, err := os.ReadFile(filepath.Join(dir, "tokenizer.json"))
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(b, &file))
		require.Equal(t, want.Merges, file.Model.Merges, "size %d", size)
		require.Equal(t, 4+256+len(want.Merges), got.Size())
		for i, ids := range want.IDs {
			require.Equal(t, ids, got.Encode(texts[i]))
		}
	}
}

func TestTrainKinds(t *testing.T) {
	texts := corpus(t)
	for name, c := range kinds(384) {
		t.Run(name, func(t *testing.T) {
			tok, err := tokenizer.Train(slices.Values(texts), c)
			require.NoError(t, err)
			require.LessOrEqual(t, tok.Size(), 384)
			require.Greater(t, tok.Size(), 320)
			for i, s := range c.Specials {
				id, ok := tok.ID(s)
				require.True(t, ok)
				require.EqualValues(t, i, id)
				require.True(t, tok.Special(id))
			}
			require.Equal(t, []int32{tok.BOS(), tok.EOS(), tok.Pad()}, []int32{1, 2, 0})
			require.EqualValues(t, 1, tok.Wrap(nil)[0])

			// a word of the corpus is short, and a special token in a text is text unless asked
			if c.Words {
				require.Len(t, tok.Encode(" triangle"), 1)
			}
			require.Less(t, len(tok.Encode("There is a red circle.")), 12)
			require.NotContains(t, tok.Encode("a<image>b"), int32(3))
			require.Contains(t, tok.EncodeSpecial("a<image>b"), int32(3))

			// the order of the texts does not matter, and what is saved is what was trained
			back := slices.Clone(texts)
			slices.Reverse(back)
			other, err := tokenizer.Train(slices.Values(back), c)
			require.NoError(t, err)
			dir := t.TempDir()
			require.NoError(t, other.Save(dir))
			loaded, err := tokenizer.Load(dir)
			require.NoError(t, err)
			require.Equal(t, []int32{tok.BOS(), tok.EOS(), tok.Pad()}, []int32{loaded.BOS(), loaded.EOS(), loaded.Pad()})
			again := t.TempDir()
			require.NoError(t, loaded.Save(again))
			for _, f := range []string{"tokenizer.json", "tokenizer_config.json"} {
				a, err := os.ReadFile(filepath.Join(dir, f))
				require.NoError(t, err)
				b, err := os.ReadFile(filepath.Join(again, f))
				require.NoError(t, err)
				require.Equal(t, string(a), string(b))
			}
			check := func(text string) {
				ids := tok.Encode(text)
				require.Equal(t, ids, loaded.Encode(text))
				if !c.ByteFallback || !strings.Contains(text, "▁") { // which stands for a space there
					require.Equal(t, text, tok.Decode(ids), "%v", ids)
				}
			}
			for _, text := range append(texts[:20:20], "", " ", "  a", "\n\n x\t", "Привет, мир 12345", "🏳️‍🌈 e\u0301", "a\x00b", "<s></s>", "<|x|>###") {
				check(text)
			}
			rapid.Check(t, func(r *rapid.T) { check(strings.ToValidUTF8(rapid.String().Draw(r, "text"), "?")) })
		})
	}
}

func TestTrainErrors(t *testing.T) {
	for want, change := range map[string]func(c *tokenizer.TrainConfig){
		"size 260: must be from 261":           func(c *tokenizer.TrainConfig) { c.Size = 260 },
		`special token 1, "<pad>", is empty`:   func(c *tokenizer.TrainConfig) { c.Specials[1] = "<pad>" },
		`special token 0, "", is empty`:        func(c *tokenizer.TrainConfig) { c.Specials[0] = "" },
		`"x", would also be a token of text`:   func(c *tokenizer.TrainConfig) { c.Specials[0] = "x" },
		`"Ġis", would also be a token`:         func(c *tokenizer.TrainConfig) { c.Specials[3], c.Words = "Ġis", true },
		`EOS "<e>" is not among the special`:   func(c *tokenizer.TrainConfig) { c.EOS = "<e>" },
		"MinCount is -1":                       func(c *tokenizer.TrainConfig) { c.MinCount = -1 },
		`special token 3, "###", would also b`: func(c *tokenizer.TrainConfig) { c.Specials[3], c.Words = "###", true },
	} {
		c := trainConfig(384)
		change(&c)
		_, err := tokenizer.Train(slices.Values(corpus(t)), c)
		require.ErrorContains(t, err, want)
	}
	few, err := tokenizer.Train(slices.Values([]string{"a b"}), trainConfig(384))
	require.NoError(t, err)
	require.Equal(t, 260, few.Size())
}

// TestSaveAdded writes tokens that were added after loading.
func TestSaveAdded(t *testing.T) {
	tok, err := tokenizer.Train(slices.Values(corpus(t)), trainConfig(300))
	require.NoError(t, err)
	tok.AddTokens(tokenizer.AddedToken{Content: "<im_start>", Special: true}, tokenizer.AddedToken{Content: "<x>", RStrip: true})
	dir := t.TempDir()
	require.NoError(t, tok.Save(dir))
	back, err := tokenizer.Load(dir)
	require.NoError(t, err)
	require.Equal(t, 302, back.Size())
	require.Equal(t, tok.EncodeSpecial("a <im_start>b<x> c"), back.EncodeSpecial("a <im_start>b<x> c"))
	require.Contains(t, back.EncodeSpecial("<im_start>"), int32(300))

	slow, err := tokenizer.Load("testdata/cases/llama-sp/tokenizer.model")
	require.NoError(t, err)
	slow.AddTokens(tokenizer.AddedToken{Content: "<im_start>"})
	require.ErrorIs(t, slow.Save(t.TempDir()), tokenizer.ErrUnsupported)
}

func ExampleTrain() {
	texts := []string{"low lower lowest", "new newer newest", "a low tower<image>"}
	t, err := tokenizer.Train(slices.Values(texts), tokenizer.TrainConfig{Size: 270, Specials: []string{"<s>", "</s>", "<image>"}, BOS: "<s>", EOS: "</s>"})
	if err != nil {
		panic(err)
	}
	os.Stdout.WriteString(strings.Join(t.Pieces("a lower lower tower<image>"), " "))
	// Output: a Ġlow er Ġlow er Ġ t ow er <image>
}
