package flamingo_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector/flamingo"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/vit"
)

// Two examples in the prompt, and a third image to be described as they are.
func ExampleComplete() {
	folder, err := tiny()
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(folder)

	a, err := flamingo.Open(folder, flamingo.LoadOptions{})
	if err != nil {
		panic(err)
	}
	a.Options.MaxNewTokens = 4
	text := flamingo.ConfigOf(a.Model).FewShot([]string{"A cat.", "A dog."}, "A")
	images := []*imaging.RGB{imaging.New(20, 10), imaging.New(9, 9), imaging.New(16, 30)}
	answer, err := flamingo.Complete(context.Background(), a, text, images)
	fmt.Println(text)
	fmt.Println(len(answer) > 0, err) // an untrained model talks nonsense
	// Output:
	// <image>A cat.<|endofchunk|><image>A dog.<|endofchunk|><image>A
	// true <nil>
}

// tiny writes an OpenFlamingo with random weights, with the folders of its tower and its language model.
func tiny() (string, error) {
	dir, err := os.MkdirTemp("", "flamingo")
	if err != nil {
		return "", err
	}
	t, err := tokenizer.Train(slices.Values([]string{"A cat. A dog."}), tokenizer.TrainConfig{Size: 262,
		Specials: []string{"<s>", "</s>"}, BOS: "<s>", EOS: "</s>"})
	if err != nil {
		return "", err
	}
	r := rng()
	n := t.Size()
	l, err := llm.New(r, llm.Config{ModelType: "llama", VocabSize: n + 2, HiddenSize: 16, IntermediateSize: 24,
		NumHiddenLayers: 2, NumAttentionHeads: 2, MaxPositionEmbeddings: 64, NormEps: 1e-6, HiddenAct: "silu",
		RoPE: nn.RoPEConfig{Type: "default", Theta: 10000}, EOS: []int{1}, PAD: -1, InitStd: 0.3})
	if err != nil {
		return "", err
	}
	v, err := vit.New(r, tower())
	if err != nil {
		return "", err
	}
	for _, err := range []error{t.Save(dir + "/lm"), llm.Save(l, dir+"/lm", nn.SaveOptions{}),
		vit.Save(dir+"/tower", v, nn.SaveOptions{})} {
		if err != nil {
			return "", err
		}
	}
	c := open(0)
	c.Every, c.End, c.Image, c.Language, c.Tower = 1, n, n+1, "lm", "tower"
	m, err := flamingo.Join(r, v, l, c)
	if err != nil {
		return "", err
	}
	return dir, flamingo.Save(dir, m, flamingo.SaveOptions{})
}

// The marks of a text become places for images, around which IDEFICS has tokens that neighbours share.
func TestIDs(t *testing.T) {
	dir, err := tiny()
	require.NoError(t, err)
	defer os.RemoveAll(dir)
	a, err := flamingo.Open(dir, flamingo.LoadOptions{})
	require.NoError(t, err)
	end, _ := a.Tokenizer.ID("<|endofchunk|>")
	x, _ := a.Tokenizer.ID("x")
	bos := a.Tokenizer.BOS()
	require.Equal(t, []int32{bos, chat.ImageIndex, x, end, chat.ImageIndex},
		flamingo.IDs(a, "<image>x<|endofchunk|><image>"))
	_, err = flamingo.Complete(t.Context(), a, "<image>x<image>", []*imaging.RGB{imaging.New(9, 9)})
	require.ErrorContains(t, err, "1 images for 2 places in the text")
	require.Contains(t, a.Options.EOS, int(end))

	c := idefics()
	c.Text = a.Model.Language.Config()
	c.Text.VocabSize, c.Text.NumKeyValueHeads = a.Tokenizer.Size(), 2
	mark, _ := a.Tokenizer.ID("<image>")
	c.Image = int(mark)
	a.Tokenizer.AddTokens(tokenizer.AddedToken{Content: "<fake_token_around_image>", Special: true})
	fake, _ := a.Tokenizer.ID("<fake_token_around_image>")
	a.Model, err = flamingo.New(rand.New(rand.NewPCG(1, 2)), c)
	require.NoError(t, err)
	require.Equal(t, []int32{bos, fake, chat.ImageIndex, fake, chat.ImageIndex, fake, x},
		flamingo.IDs(a, "<image><image>x"))
	a.Around = fake // as Open sets it
	ids, err := a.PromptIDs([]chat.Turn{{From: chat.Human, Value: "<image><image>x"}}, true)
	require.NoError(t, err)
	require.Equal(t, []int32{bos, fake, chat.ImageIndex, fake, chat.ImageIndex, fake, x}, ids[:7])
}
