package connector_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/data"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/train"
)

// writeText writes an untrained language model with its tokenizer.
func writeText(dir string) error {
	a, err := build(plain)
	if err == nil {
		err = llm.Save(a.Model.Language, dir, nn.SaveOptions{})
	}
	if err == nil {
		err = a.Tokenizer.Save(dir)
	}
	return err
}

// TestOpenText: an assistant over a language model answers as that model alone does, and has no place for images.
func TestOpenText(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, writeText(dir))
	a, err := connector.OpenText(dir, connector.TextOptions{Template: "vicuna_v1"})
	require.NoError(t, err)
	a.Options.MaxNewTokens, a.Options.EOS = 7, []int{}
	turns := []chat.Turn{{From: chat.Human, Value: "What color is it?"}}
	ids, err := a.PromptIDs(turns, false)
	require.NoError(t, err)
	alone, err := llm.Generate(t.Context(), a.Model.Language, llm.Prompts{IDs: [][]int32{ids}}, a.Options)
	require.NoError(t, err)
	want := strings.TrimSpace(a.Tokenizer.Decode(alone.IDs[0]))
	answer, err := a.Ask(t.Context(), turns[0].Value)
	require.NoError(t, err)
	require.Equal(t, want, answer)
	s := a.NewSession()
	answer, err = s.Reply(t.Context(), turns, nil, nil)
	require.NoError(t, err)
	require.Equal(t, want, answer)

	const refusal = "a language model without a vision encoder"
	picture := []*imaging.RGB{imaging.New(9, 9)}
	turns[0].Value = "<image>\nWhat?"
	_, err = a.Reply(t.Context(), turns, picture, nil)
	require.ErrorContains(t, err, refusal)
	_, err = s.Reply(t.Context(), turns, picture, nil)
	require.ErrorContains(t, err, refusal)
	_, err = a.Video(picture)
	require.ErrorContains(t, err, refusal)
	pixels := imaging.Pixels{N: 1, H: 9, W: 9, Data: make([]float32, 3*9*9)}
	sample := connector.Sample{IDs: []int32{1, chat.ImageIndex}, Images: []connector.Image{{Pixels: pixels}}}
	_, err = a.Model.Splice([]connector.Sample{sample}, true)
	require.ErrorContains(t, err, refusal)
	_, err = a.Batches(data.Memory{{ID: "1", Turns: turns}}, squares{}, connector.BatchOptions{Batch: 1})
	require.ErrorContains(t, err, refusal)
	b, err := a.Batches(data.Memory{about("a", "30x20", "What?", "So.")}, nil, connector.BatchOptions{Batch: 1})
	require.NoError(t, err)
	_, err = b.Batch(t.Context(), 0)
	require.ErrorContains(t, err, refusal)

	turns[0].Value = strings.Repeat("What color is it? ", 2000)
	_, err = a.Reply(t.Context(), turns, nil, nil)
	require.ErrorContains(t, err, "shorten or clear it")
}

// TestLongPrompt: a prompt longer than the model keeps is an error, and not cut.
func TestLongPrompt(t *testing.T) {
	a := assistant(t, func(c *llava.Config, _ *imaging.Processor) { c.MaxLength = 100 })
	turns := []chat.Turn{{From: chat.Human, Value: strings.Repeat("What is this? ", 30)}}
	for _, reply := range []func(context.Context, []chat.Turn, []*imaging.RGB, func(string) error) (string, error){
		a.Reply, a.NewSession().Reply,
	} {
		_, err := reply(t.Context(), turns, nil, nil)
		require.ErrorContains(t, err, "the model takes only 100: shorten or clear it")
	}
}

// A plain language model in a folder answers through the same Ask and Reply as a vision-language model.
func ExampleOpenText() {
	dir, err := os.MkdirTemp("", "language") // a folder of transformers' layout, or a GGUF file
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	if err := writeText(dir); err != nil {
		panic(err)
	}
	a, err := connector.OpenText(dir, connector.TextOptions{Template: "vicuna_v1"})
	if err != nil {
		panic(err)
	}
	a.Options.MaxNewTokens = 4
	answer, err := a.Ask(context.Background(), "What color is the circle?")
	fmt.Println(len(answer) > 0, err)
	_, err = a.Reply(context.Background(), []chat.Turn{{From: chat.Human, Value: "<image>\nWhat?"}},
		[]*imaging.RGB{imaging.New(9, 9)}, nil)
	fmt.Println(err)
	// Output:
	// true <nil>
	// reply: picture 1: this is a language model without a vision encoder: it takes no images
}

// Samples that a program makes in memory become batches without any file.
func ExampleVLM_Splice_slices() {
	a, err := build(plain) // llava.Open reads a trained one
	if err != nil {
		panic(err)
	}
	var samples []connector.Sample
	for i, colour := range []string{"red", "green", "blue"} {
		picture := imaging.New(20, 10+i)
		x, err := a.Sample([]chat.Turn{
			{From: chat.Human, Value: "<image>\nWhat is this?"}, {From: chat.GPT, Value: colour},
		}, []*imaging.RGB{picture})
		if err != nil {
			panic(err)
		}
		samples = append(samples, x)
	}
	batches, length := train.Slices(samples, 2, data.Shuffled(len(samples), 1),
		func(s []connector.Sample) (connector.Batch, error) { return a.Model.Splice(s, false) })
	report, err := train.Run(context.Background(), a.Model, train.Options{}, train.Stage[connector.Batch]{
		Name: "colours", Batches: batches, Length: length, Epochs: 2,
		Groups: []train.Group{{Params: "multi_modal_projector.**", LR: 1e-3}},
	})
	fmt.Println(length, "batches,", report.Stages[0].Steps, "steps,", err)
	// Output: 2 batches, 4 steps, <nil>
}
