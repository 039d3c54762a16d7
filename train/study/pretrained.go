package study

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
	"github.com/gollava/gollava/vit"
)

// Centre saves a tower to a folder, with the processor of its images, so that the features of the layer before the last
// have a mean over images of zero: the mean goes off the bias that is added last to them. It is the same for all images
// and as large as what differs between them, so that otherwise a projector would learn it first, with steps too large
// for the rest. Image i of n is at(i). A folder that an earlier call wrote is kept. The tower changes too.
func Centre(dir string, tower vit.Tower, p *imaging.Processor, n int, at func(i int) image.Image) error {
	config := filepath.Join(dir, "preprocessor_config.json")
	if _, err := os.Stat(config); err == nil {
		return nil
	}
	var mean *tensor.Tensor // [D]
	for i := range n {
		pixels, err := p.Process(imaging.FromImage(at(i)))
		if err != nil {
			return err
		}
		x := tensor.Wrap(pixels.Data, pixels.N, 3, pixels.H, pixels.W).NoGrad()
		x = vit.Features(tower, x, vit.Select{Layers: []int{-2}, Class: "patch"}) // [1, P, D]
		x = x.Mean(0, 1).Scale(1 / float32(n))
		if mean != nil {
			x = x.Add(mean)
		}
		mean = x
	}
	last := fmt.Sprintf("encoder.layers.%d.mlp.fc2.bias", tower.Config().NumHiddenLayers-2)
	for name, bias := range nn.Params(tower) {
		if strings.HasSuffix(name, last) {
			bias.CopyFrom(bias.Sub(mean))
		}
	}
	if err := vit.Save(dir, tower, nn.SaveOptions{}); err != nil {
		return err
	}
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return os.WriteFile(config, b, 0o644) // written last: its presence says that the folder is whole
}

// Shrink makes a fresh projector's tokens about as large as the embeddings of words. PyTorch's initial weights are for
// inputs and outputs of size one, and the embeddings of SmolLM2 have a root mean square of 0.09.
func Shrink(m *connector.VLM) {
	for name, p := range nn.Params(m) {
		if strings.HasPrefix(name, "multi_modal_projector.") {
			p.CopyFrom(p.Scale(0.1))
		}
	}
}

// FromFile is stage s with the batches of a file of LLaVA's json, whose images lie in a folder. plain: its texts are
// what the model continues an image with, as in LLaVA's first stage, and otherwise conversations in a's own template.
func FromFile(s train.Stage[connector.Batch], a connector.Assistant, file, images string, batch int, plain bool) (
	train.Stage[connector.Batch], error) {
	set, err := data.OpenMixture(file, data.MixtureOptions{})
	if err != nil {
		return s, err
	}
	source, err := data.OpenSource(images)
	if err != nil {
		return s, err
	}
	if plain {
		if a.Template, err = chat.Lookup("plain"); err != nil {
			return s, err
		}
	}
	b, err := a.Batches(set, source, connector.BatchOptions{Batch: batch})
	if err != nil {
		return s, err
	}
	s.Batches, s.Length = train.Prefetch(b.Batch, 2), b.Len()
	return s, nil
}

// Replay is n conversations without an image: a request, and what the language model answers before it is trained, so
// that it keeps answering that way.
func Replay(ctx context.Context, a *connector.Assistant, n int) (texts [][]chat.Turn, err error) {
	var requests []string
	for i := range n {
		requests = append(requests, forms[i%len(forms)]+things[i/len(forms)%len(things)]+". Be brief.")
	}
	answers, err := Ask(ctx, a, requests, nil, 48)
	for i, answer := range answers {
		texts = append(texts, []chat.Turn{{From: chat.Human, Value: requests[i]}, {From: chat.GPT, Value: answer}})
	}
	return texts, err
}

// WriteSamples writes n samples as LLaVA's json, dir/name.json, with their images in the folder dir/name. Sample i is
// the image and the conversation of at(i); every replay-th is one of texts in turn, without an image (0: none).
func WriteSamples(dir, name string, n, replay int, texts [][]chat.Turn,
	at func(i int) (image.Image, []chat.Turn)) error {
	if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
		return err
	}
	var samples []map[string]any
	for i := range n {
		sample := map[string]any{"id": fmt.Sprintf("%s-%05d", name, i)}
		if replay > 0 && i%replay == replay-1 {
			sample["conversations"] = texts[i/replay%len(texts)]
		} else {
			m, said := at(i)
			said[0].Value = chat.ImageToken + "\n" + said[0].Value
			file := fmt.Sprintf("%s/%05d.png", name, i)
			var b bytes.Buffer
			if err := png.Encode(&b, m); err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(dir, file), b.Bytes(), 0o644); err != nil {
				return err
			}
			sample["image"], sample["conversations"] = file, said
		}
		samples = append(samples, sample)
	}
	b, err := json.Marshal(samples)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, name+".json"), b, 0o644)
}

// Requests to the language model are one of each put together.
var (
	forms = []string{"Write one sentence about ", "Tell me a fact about ", "Write a short poem about ",
		"Explain to a child what is special about ", "Write the first line of a story about ", "Why do people like "}
	things = []string{"rain", "a river", "a bakery", "an old bridge", "winter", "the sea", "a library", "music",
		"trains", "a garden", "bread", "the moon", "a market", "glass", "clocks", "wool"}
)

// Knowledge is what a language model knows without an image.
type Knowledge struct {
	Perplexity float64 `json:"perplexity"` // of a text of the kind that it was trained on
	Right      int     `json:"right"`      // plain questions
	Questions  int     `json:"questions"`
}

// String is k in words.
func (k Knowledge) String() string {
	return fmt.Sprintf("perplexity %.2f, %d of %d plain questions right", k.Perplexity, k.Right, k.Questions)
}

// plain is text of the kind that a language model was trained on.
//
//go:embed plain.txt
var plain string

// plainQuestions are questions, each before the words of which an answer must have one.
var plainQuestions = []string{
	"What is the capital of France?", "Paris", "What is the capital of Italy?", "Rome",
	"What is the capital of Japan?", "Tokyo", "Which planet do we live on?", "Earth",
	"How many days are there in a week?", "seven|7", "How many legs does a spider have?", "eight|8",
	"What do bees make?", "honey", "What is frozen water called?", "ice",
	"Which animal says meow?", "cat", "What is 2 plus 3?", "5|five",
	"Which season comes after winter?", "spring", "What is the opposite of hot?", "cold",
	"What language is spoken in Spain?", "Spanish", "Who wrote Romeo and Juliet?", "Shakespeare",
	"What is the largest ocean on Earth?", "Pacific",
}

// Knows measures what a model knows without an image.
func Knows(ctx context.Context, a *connector.Assistant) (k Knowledge, err error) {
	if k.Perplexity, err = llm.Perplexity(ctx, a.Model.Language, a.Tokenizer.Encode(plain), 256); err != nil {
		return k, err
	}
	var questions []string
	for q := range slices.Chunk(plainQuestions, 2) {
		questions = append(questions, q[0])
	}
	k.Questions = len(questions)
	answers, err := Ask(ctx, a, questions, nil, 32)
	for i, answer := range answers {
		for word := range strings.SplitSeq(plainQuestions[2*i+1], "|") {
			if strings.Contains(strings.ToLower(answer), strings.ToLower(word)) {
				k.Right++
				break
			}
		}
	}
	return k, err
}

// atOnce is how many questions are answered side by side.
const atOnce = 20

// Ask answers questions greedily with at most so many tokens: question i about images[i], or about none if images is
// nil.
func Ask(ctx context.Context, a *connector.Assistant, questions []string, images []image.Image, most int) (
	answers []string, err error) {
	prompts := make([]connector.Sample, len(questions))
	for i, question := range questions {
		var shown []*imaging.RGB
		if images != nil {
			question, shown = chat.ImageToken+"\n"+question, []*imaging.RGB{imaging.FromImage(images[i])}
		}
		if prompts[i], err = a.Prompt([]chat.Turn{{From: chat.Human, Value: question}}, shown); err != nil {
			return nil, err
		}
	}
	for some := range slices.Chunk(prompts, atOnce) {
		b, err := a.Model.Splice(some, true)
		if err != nil {
			return nil, err
		}
		g, err := a.Model.Generate(ctx, b, llm.Options{MaxNewTokens: most, PAD: -1})
		if err != nil {
			return nil, err
		}
		for _, ids := range g.IDs {
			answers = append(answers, strings.TrimSpace(a.Tokenizer.Decode(ids)))
		}
	}
	return answers, nil
}
