package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/data/shapes/eval"
	"github.com/gollava/gollava/llm"
)

// score is what the model reaches on a family of questions about unseen images.
type score struct {
	family                            shapes.Family
	right, shuffled, prior, otherwise float64 // shares; otherwise: asked in other words, -1: not asked
}

// examine asks about images of the split Test: with the right image, with another one, and in words that no training
// text has.
func examine(ctx context.Context, a *connector.Assistant, w *shapes.World, n int) ([]score, error) {
	var scores []score
	for _, f := range w.Families(shapes.Test) {
		set := eval.Questions(w, shapes.Test, f, n)
		s := score{family: f, prior: eval.Prior(w, shapes.Test, f), otherwise: -1}
		for _, sitting := range []struct {
			to       *float64
			mistaken bool
			words    func(string) string
		}{{&s.right, false, same}, {&s.shuffled, true, same}, {&s.otherwise, false, reword}} {
			if sitting.to == &s.otherwise && reword(set[0].Text) == set[0].Text {
				continue
			}
			answers, err := ask(ctx, a, set, sitting.mistaken, sitting.words)
			if err != nil {
				return nil, err
			}
			*sitting.to = eval.Exact(set, answers)
		}
		scores = append(scores, s)
	}
	return scores, nil
}

func same(question string) string { return question }

// reword asks the same in other words, where it knows some.
func reword(question string) string {
	for old, new := range map[string]string{
		"what color is the ": "Tell me the color of the ",
		"what shape is the ": "Which shape does the ",
		"where is the ":      "Tell me where I can find the ",
	} {
		if rest, ok := strings.CutPrefix(question, old); ok {
			rest = strings.TrimSpace(strings.TrimSuffix(rest, "?"))
			if strings.HasPrefix(old, "what shape") {
				rest += " have?"
			}
			return new + strings.TrimSuffix(rest, ".")
		}
	}
	return question
}

// atOnce is how many questions are answered side by side.
const atOnce = 20

// ask answers a set greedily: about the right images, or each about another one if mistaken.
func ask(ctx context.Context, a *connector.Assistant, set eval.Set, mistaken bool, words func(string) string) (
	[]string, error) {
	order := eval.Shuffle(len(set), 1)
	var answers []string
	for from := 0; from < len(set); from += atOnce {
		var prompts []connector.Sample
		for i := from; i < min(len(set), from+atOnce); i++ {
			scene := set[i].Scene
			if mistaken {
				scene = set[order[i]].Scene
			}
			turns := []chat.Turn{{From: chat.Human, Value: chat.ImageToken + "\n" + words(set[i].Text)}}
			x, err := a.Prompt(turns, []*imaging.RGB{imaging.FromImage(scene.Image())})
			if err != nil {
				return nil, err
			}
			prompts = append(prompts, x)
		}
		b, err := a.Model.Splice(prompts, true)
		if err != nil {
			return nil, err
		}
		g, err := a.Model.Generate(ctx, b, llm.Options{MaxNewTokens: 40})
		if err != nil {
			return nil, err
		}
		for _, ids := range g.IDs {
			answers = append(answers, strings.TrimSpace(a.Tokenizer.Decode(ids)))
		}
	}
	return answers, nil
}

// report prints the scores, the mean of the world's mix among them, and writes them to report.md.
func report(dir string, out io.Writer, scores []score, before, after knowledge) error {
	var b strings.Builder
	b.WriteString("| question | right | other image | prior | in other words |\n|---|---|---|---|---|\n")
	mix := score{family: "mix", otherwise: -1}
	for to, of := range map[*float64]func(score) float64{&mix.right: func(s score) float64 { return s.right },
		&mix.shuffled: func(s score) float64 { return s.shuffled },
		&mix.prior:    func(s score) float64 { return s.prior }} {
		shares := map[shapes.Family]float64{}
		for _, s := range scores {
			shares[s.family] = of(s)
		}
		*to = eval.Mean(eval.Weights(), shares)
	}
	for _, s := range append(scores, mix) {
		otherwise := "–"
		if s.otherwise >= 0 {
			otherwise = fmt.Sprintf("%.1f", 100*s.otherwise)
		}
		fmt.Fprintf(&b, "| %s | %.1f | %.1f | %.1f | %s |\n", s.family, 100*s.right, 100*s.shuffled, 100*s.prior,
			otherwise)
	}
	fmt.Fprintf(&b, "\nThe language model before: %s. After: %s.\n", before, after)
	if _, err := io.WriteString(out, b.String()); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "report.md"), []byte(b.String()), 0o644)
}
