// Command clip tells which of your own labels a picture shows, without training: zero-shot classification with CLIP.
//
//	go run ./examples/clip -model clip-vit-base-patch32 -labels "cat,dog,red bicycle" photo.jpg other.png
//
// The model is a folder as huggingface.co/openai/clip-vit-base-patch32 has it: config.json, model.safetensors, the
// tokenizer's files and preprocessor_config.json.
package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "clip:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("clip", flag.ContinueOnError)
	flags.SetOutput(out)
	dir := flags.String("model", "", "folder of a CLIP model")
	labels := flags.String("labels", "", "labels, with commas between")
	templates := flags.String("templates", "a photo of a {}.", `prompts, with | between, in which {} is the label; or "imagenet" for OpenAI's 80, "simple" for 7 of them`)
	best := flags.Int("best", 3, "how many labels to print for a picture")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return err
	case *dir == "" || *labels == "" || flags.NArg() == 0:
		return errors.New(`-model, -labels and a picture are needed, such as: -model clip-vit-base-patch32 -labels "cat,dog" photo.jpg`)
	}

	model, err := vit.LoadCLIP(*dir, nn.LoadOptions{DType: nn.As(tensor.Float32)})
	if err != nil {
		return err
	}
	words, err := tokenizer.Load(*dir)
	if err != nil {
		return err
	}
	processor, err := imaging.ReadProcessor(*dir)
	if err != nil {
		return err
	}

	var prompts []string
	switch *templates {
	case "imagenet":
		prompts = vit.ImageNetTemplates()
	case "simple":
		prompts = vit.SimpleTemplates()
	default:
		unmarked := func(p string) bool { return !strings.Contains(p, "{}") }
		if prompts = strings.Split(*templates, "|"); slices.ContainsFunc(prompts, unmarked) {
			return fmt.Errorf("-templates %q: {} marks the place of the label in each", *templates)
		}
	}
	classes := strings.Split(*labels, ",")
	for i := range classes {
		classes[i] = strings.TrimSpace(classes[i])
	}
	// The class weights are computed once; after that a picture costs one pass through the vision tower.
	classifier, err := vit.NewClassifier(model, classes, prompts, encoder(words, model.Config().Text))
	if err != nil {
		return err
	}

	for _, name := range flags.Args() {
		picture, err := imaging.Open(name, imaging.Options{})
		if err != nil {
			return err
		}
		views, err := processor.Process(picture)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if size := model.Config().Vision.ImageSize; views.H != size || views.W != size {
			return fmt.Errorf("%s: preprocessor_config.json makes pictures of %d×%d pixels, the model looks at %d×%d",
				*dir, views.W, views.H, size, size)
		}
		tensor.Scope(func(s *tensor.Arena) {
			p := classifier.Probabilities(tensor.Wrap(views.Data, 1, 3, views.H, views.W).In(s)).Data()
			fmt.Fprint(out, name, ":")
			for _, k := range ranked(p)[:min(max(*best, 1), len(p))] {
				fmt.Fprintf(out, "  %s %.1f %%", classes[k], 100*p[k])
			}
			fmt.Fprintln(out)
		})
	}
	return nil
}

// encoder turns prompts into ids with start and end of text, cut to what the text tower reads.
func encoder(words *tokenizer.Tokenizer, c vit.TextConfig) func(string) ([]int32, error) {
	return func(text string) ([]int32, error) {
		ids := words.Wrap(words.Encode(text))
		if end := words.EOS(); end >= 0 && (len(ids) == 0 || ids[len(ids)-1] != end) {
			ids = append(ids, end)
		}
		if n := c.MaxPositionEmbeddings; len(ids) > n {
			ids[n-1] = ids[len(ids)-1]
			ids = ids[:n]
		}
		return ids, nil
	}
}

// ranked lists the indices of p, the largest first.
func ranked(p []float32) []int {
	order := make([]int, len(p))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(p[b], p[a]) })
	return order
}
