package git_test

import (
	"flag"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector/git"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

var saveTo = flag.String("save", "", "folder for models that ../testdata/load_saved.py loads in transformers")

// TestSaveForPython writes GIT for an image and for a video, each with an input and what this package computes of it.
func TestSaveForPython(t *testing.T) {
	if *saveTo == "" {
		t.Skip("-save is not given: connector/testdata/load_saved.py runs this test to load what it writes in " +
			"transformers; its last output is connector/testdata/load_saved.txt")
	}
	tied := small(0)
	tied.TieWordEmbeddings = true
	for name, c := range map[string]git.Config{"git": small(0), "git-video": small(3), "git-tied": tied} {
		dir := filepath.Join(*saveTo, name)
		require.NoError(t, git.Save(dir, build(t, c), git.SaveOptions{}))
		m, err := git.Load(dir, git.LoadOptions{})
		require.NoError(t, err)
		b := splice(t, m, false, sample("a", 1, c.Frames, 1, 7, 9, 30))
		ids := slices.DeleteFunc(slices.Clone(b.IDs.IntData()), func(id int32) bool { return id < 0 })
		shape := []int{1, 3, 12, 12}
		if c.Frames > 0 {
			shape = []int{1, c.Frames, 3, 12, 12}
		}
		require.NoError(t, nn.Save(struct {
			IDs    *tensor.Tensor `param:"input_ids"`
			Pixels *tensor.Tensor `param:"pixel_values"`
			Logits *tensor.Tensor `param:"logits"`
		}{tensor.From(ids, 1, len(ids)), b.Pixels.Reshape(shape...), llm.Logits(m.Language, m.Hidden(b))},
			filepath.Join(dir, "expected.safetensors"), nn.SaveOptions{}))
	}
}
