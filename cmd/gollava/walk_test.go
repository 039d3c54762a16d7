package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/vit"
)

// TestWalk runs the six commands of docs/instruction-data.md as they are printed there, on pictures of the shapes
// world in COCO's files, with a tower and a language model that are tiny and know nothing.
func TestWalk(t *testing.T) {
	page, err := os.ReadFile("../../docs/instruction-data.md")
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?s)```(sh|yaml)\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	require.GreaterOrEqual(t, len(blocks), 3)
	blocks = blocks[:3]
	dir := t.TempDir()
	t.Chdir(dir)
	r := rand.New(rand.NewPCG(1, 1))
	w, err := shapes.New(shapes.Smoke(1))
	require.NoError(t, err)
	require.NoError(t, w.WriteCOCO(t.Context(), dir, 0, 12))
	for from, to := range map[string]string{"captions.json": "captions_val2017.json", "instances.json": "instances_val2017.json", "images": "val2017"} {
		require.NoError(t, os.Rename(from, to))
	}
	require.NoError(t, os.Symlink("val2017", "val2014"))
	tower, err := vit.New(
		r,
		vit.VisionConfig{
			ModelType:         "clip_vision_model",
			HiddenSize:        16,
			IntermediateSize:  32,
			NumHiddenLayers:   3,
			NumAttentionHeads: 2,
			NumChannels:       3,
			ImageSize:         32,
			PatchSize:         8,
			HiddenAct:         "quick_gelu",
			LayerNormEps:      1e-5,
		},
	)
	require.NoError(t, err)
	require.NoError(t, vit.Save("clip-vit-large-patch14-336", tower, nn.SaveOptions{}))
	raw, err := json.Marshal(imaging.CLIP(32))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile("clip-vit-large-patch14-336/preprocessor_config.json", raw, 0o666))
	tok, err := tokenizer.Train(
		slices.Values([]string{string(page)}),
		tokenizer.TrainConfig{Size: 384, Specials: []string{"<unk>", "<s>", "</s>"}, BOS: "<s>", EOS: "</s>"},
	)
	require.NoError(t, err)
	m, err := llm.New(
		r,
		llm.Config{
			ModelType:             "llama",
			VocabSize:             tok.Size(),
			HiddenSize:            24,
			IntermediateSize:      48,
			NumHiddenLayers:       2,
			NumAttentionHeads:     4,
			NumKeyValueHeads:      2,
			HeadDim:               6,
			MaxPositionEmbeddings: 2048,
			NormEps:               1e-5,
			HiddenAct:             "silu",
			RoPE:                  nn.RoPEConfig{Type: "default", Theta: 1e4},
			BOS:                   1,
			EOS:                   []int{2},
			PAD:                   -1,
		},
	)
	require.NoError(t, err)
	require.NoError(t, llm.Save(m, "vicuna-7b-v1.5", nn.SaveOptions{}))
	require.NoError(t, tok.Save("vicuna-7b-v1.5"))
	pope(t, w)

	for _, b := range blocks {
		if b[1] == "yaml" { // toy size: two steps of four samples
			name := regexp.MustCompile(`^# (\S+)`).FindStringSubmatch(b[2])[1]
			require.NoError(t, os.WriteFile(name, []byte(b[2]+"steps: 2\nbatch: 4\n"), 0o666))
		}
	}
	commands := strings.Split(strings.TrimSpace(blocks[0][2]), "\n")
	require.Len(t, commands, 6)
	said := ""
	for _, line := range commands {
		args := strings.Fields(strings.TrimPrefix(line, "gollava "))
		if args[0] == "eval" {
			args = append(args, "--max-tokens", "3")
		}
		code, text := command(t, "", strings.Join(args, " "))
		if args[0] == "data" { // warnings do not fail it
			require.NotContains(t, text, "error:")
		}
		require.Zero(t, code, "%s: %s", line, text)
		said = text
	}
	require.Contains(t, said, "mean_f1")
	require.Contains(t, said, "paired bootstrap, 12 questions")
	for _, name := range []string{"made/page.html", "differ.html", "pope-shuffled.jsonl", "made/report.json"} {
		info, err := os.Stat(name)
		require.NoError(t, err)
		require.NotZero(t, info.Size(), name)
	}
}

// pope writes POPE's files for pictures of the world.
func pope(t *testing.T, w *shapes.World) {
	var questions strings.Builder
	require.NoError(t, os.Mkdir("coco", 0o777))
	for k, category := range []string{"adversarial", "popular", "random"} {
		var lines strings.Builder
		for i := range 4 {
			image := fmt.Sprintf("shapes_train_%09d.png", i)
			text, label := "Is there a red circle in the image?", []string{"yes", "no"}[i%2]
			fmt.Fprintf(
				&lines,
				`{"question_id": %d, "image": %q, "text": %q, "label": %q}`+"\n",
				i+1,
				image,
				text,
				label,
			)
			fmt.Fprintf(
				&questions,
				`{"question_id": %d, "image": %q, "text": %q, "category": %q}`+"\n",
				4*k+i,
				image,
				text+"\nAnswer the question using a single word or phrase.",
				category,
			)
		}
		require.NoError(
			t,
			os.WriteFile(filepath.Join("coco", "coco_pope_"+category+".json"), []byte(lines.String()), 0o666),
		)
	}
	require.NoError(t, os.WriteFile("llava_pope_test.jsonl", []byte(questions.String()), 0o666))
}
