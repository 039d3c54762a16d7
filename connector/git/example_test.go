package git_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"

	"github.com/gollava/gollava/connector/git"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/data/tokenizer"
)

// A folder such as git-base-coco, opened, and an image described.
func ExampleCaption() {
	folder, err := tiny()
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(folder)

	a, err := git.Open(folder, git.LoadOptions{})
	if err != nil {
		panic(err)
	}
	a.Options.Beams, a.Options.LengthPenalty = 4, 0.6
	caption, err := git.Caption(context.Background(), a, "", imaging.New(30, 20))
	fmt.Println(len(caption) > 0, err) // an untrained model talks nonsense
	_, err = git.Caption(context.Background(), a, "")
	fmt.Println(err)
	// Output:
	// true <nil>
	// caption: 0 images: the model takes 1 (num_image_with_embedding)
}

// tiny writes a GIT with random weights.
func tiny() (string, error) {
	dir, err := os.MkdirTemp("", "git")
	if err != nil {
		return "", err
	}
	t, err := tokenizer.Train(slices.Values([]string{"a cat"}), tokenizer.TrainConfig{Size: 262,
		Specials: []string{"[PAD]", "[CLS]", "[SEP]"}, BOS: "[CLS]", EOS: "[SEP]", Pad: "[PAD]"})
	if err != nil {
		return "", err
	}
	c := small(0)
	c.VocabSize = t.Size()
	m, err := git.New(rand.New(rand.NewPCG(1, 2)), c)
	if err != nil {
		return "", err
	}
	if err := t.Save(dir); err != nil {
		return "", err
	}
	return dir, git.Save(dir, m, git.SaveOptions{})
}
