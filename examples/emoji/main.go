// Command emoji teaches a pretrained language model to see real drawings. SmolLM2-135M-Instruct has never seen
// anything. CLIP learns from scratch which name belongs to which of some hundred drawings in three styles; a projector
// turns its tower's features into tokens; adapters (LoRA) learn to talk about them in the language model's own chat
// template. The exam is about drawings of the same things in a style that was never shown.
//
//	go run ./examples/emoji -fetch -packages emoji-packages     which packages, their licences; gets them where it can
//	go run ./examples/emoji -packages emoji-packages -out run
//	go run ./examples/emoji -packages emoji-packages -out run -chat picture.png
//	go run ./examples/emoji -data mine.csv -packages emoji-packages -out mine
//
// docs/your-own-pictures.md is about the CSV.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/lora"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train/study"
)

// length is how long CLIP trains, on how much, and how fast.
type length struct {
	Steps, Batch int
	LR           float64
}

// preset is everything that decides a run's result besides its data and its seed.
type preset struct {
	Side, Patch, Width, Layers int // of the tower
	Merge                      int // features each way that become one token
	Clip                       length
	Length                     float64 // of the lessons, as a share of the curriculum's
	Replayed                   int     // answers of the language model that stay in its training
	Questions                  int     // of each kind, in the exam
}

var presets = map[string]preset{
	"default": {Side: 32, Patch: 8, Width: 128, Layers: 4, Merge: 2, Clip: length{3000, 64, 1.5e-3}, Length: 1,
		Replayed: 60, Questions: 100},
	"smoke": {Side: 32, Patch: 8, Width: 128, Layers: 4, Merge: 2, Clip: length{60, 32, 1.5e-3}, Length: 0.02,
		Replayed: 2, Questions: 4},
}

type options struct {
	packages, data, llm, out, chat string
	unseen                         []string
	fetch, resume, gate            bool
	seed                           uint64
	preset
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdin, os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "emoji:", err)
		os.Exit(1)
	}
}

// flags reads the command line.
func flags(args []string, out io.Writer) (o options, err error) {
	f := flag.NewFlagSet("emoji", flag.ContinueOnError)
	f.SetOutput(out)
	f.BoolVar(&o.fetch, "fetch", false, "get the packages with pip and npm, or say how, and unpack them")
	f.StringVar(&o.packages, "packages", "emoji-packages", "`folder` of the packages")
	f.StringVar(&o.data, "data", "", "`file` of your own pictures: a CSV with the columns "+
		strings.Join(study.Columns, ","))
	f.StringVar(&o.llm, "llm", "", "the language model, with a chat template: a GGUF `file`; none: SmolLM2, of the "+
		"packages")
	f.StringVar(&o.out, "out", "emoji", "`folder` of the run")
	unseen := f.String("unseen", "", "names of the CSV, with commas between, that are only asked about")
	f.BoolVar(&o.resume, "resume", false, "go on with the run in -out")
	f.BoolVar(&o.gate, "gate", false, "fail if the default preset's scores are below what they were")
	f.StringVar(&o.chat, "chat", "", "talk about a `picture` with the finished run in -out")
	f.Uint64Var(&o.seed, "seed", 0, "of weights, order and variation")
	name := f.String("preset", "default", "default, or smoke: a few steps that show that everything works")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	var ok bool
	if o.preset, ok = presets[*name]; !ok {
		return o, fmt.Errorf("-preset %s: it is default or smoke", *name)
	}
	if o.llm == "" {
		o.llm = filepath.Join(o.packages, "SmolLM2-135M-Instruct.Q4_1.gguf")
	}
	for name := range strings.SplitSeq(*unseen, ",") {
		if name = strings.TrimSpace(name); name != "" {
			o.unseen = append(o.unseen, name)
		}
	}
	if o.data == "" {
		o.data = filepath.Join(o.packages, "emoji.csv")
		if len(o.unseen) == 0 {
			o.unseen = unseenNames
		}
	}
	return o, nil
}

func run(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	o, err := flags(args, out)
	if err != nil {
		return err
	}
	if o.fetch {
		return fetch(ctx, o.packages, sources, out)
	}
	if o.chat != "" {
		return o.talk(ctx, in, out)
	}
	for _, name := range []string{o.data, o.llm} {
		if _, err := os.Stat(name); err != nil {
			return fmt.Errorf("%w; get the packages first: go run ./examples/emoji -fetch -packages %s", err, o.packages)
		}
	}
	all, err := study.ReadThings(o.data, side, o.unseen)
	if err != nil {
		return err
	}
	before, err := connector.OpenText(o.llm, connector.TextOptions{
		LoadOptions: nn.LoadOptions{DType: nn.As(tensor.Float32)}})
	if err != nil {
		return err
	}
	if before.Tokenizer.ChatTemplate() == "" {
		return fmt.Errorf("%s: it has no chat template; take a model that was made for conversations (Instruct)", o.llm)
	}
	if err := study.Begin(o.out, o.resume, map[string]string{"-preset": fmt.Sprint(o.preset), "-seed": fmt.Sprint(o.seed),
		"-unseen": fmt.Sprint(o.unseen)}, map[string]string{"-data": o.data, "-llm": o.llm}); err != nil {
		return err
	}
	n, err := study.NewNaming(study.Trained(all), o.Side)
	if err != nil {
		return err
	}
	rep := report{Names: len(n.Things)}
	if rep.Before, err = study.Knows(ctx, before); err != nil {
		return err
	}
	fmt.Fprintf(out, "%d names; the language model before: %s\n", rep.Names, rep.Before)
	clip, err := o.clip(ctx, n, out)
	if err != nil {
		return err
	}
	if rep.ZeroShot, err = score(n, clip, all, out); err != nil {
		return err
	}
	a, err := o.tune(ctx, n, clip, before, out)
	if err != nil {
		return err
	}
	var text strings.Builder
	out = io.MultiWriter(out, &text)
	if rep.Scores, err = o.examine(ctx, a, all, out); err != nil {
		return err
	}
	if err := o.show(ctx, a, all, out); err != nil {
		return err
	}
	if rep.After, err = study.Knows(ctx, a); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nCLIP alone names %.1f %% of the pictures exactly, %.1f %% among five guesses.\n"+
		"The language model before: %s. After: %s.\n", 100*rep.ZeroShot.First, 100*rep.ZeroShot.Five, rep.Before,
		rep.After)
	if err := study.DrawMetrics(o.out, filepath.Join(o.out, "clip-run", "metrics.jsonl"),
		filepath.Join(o.out, "align", "checkpoints", "metrics.jsonl"),
		filepath.Join(o.out, "tune", "checkpoints", "metrics.jsonl")); err != nil {
		return err
	}
	if err := rep.store(o.out); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(o.out, "report.md"), []byte(text.String()), 0o644); err != nil {
		return err
	}
	if short := rep.short(); o.gate && short != nil {
		return fmt.Errorf("the gate: %s", strings.Join(short, "; "))
	}
	return nil
}

// rand is the source of the n-th draw for a purpose.
func (o options) rand(name string, n int) *rand.Rand {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s %d", name, n)
	return rand.New(rand.NewPCG(o.seed, h.Sum64()))
}

// finished is what a run has trained: the language model with projector and adapters.
func (o options) finished() (*connector.Assistant, error) {
	dir := filepath.Join(o.out, "tune")
	a, err := llava.Open(dir, llava.LoadOptions{Base: o.llm, DType: nn.As(tensor.Float32)})
	if err != nil {
		return nil, err
	}
	_, err = lora.Load(a.Model, dir, llava.Namings(a.Model)...)
	return a, err
}

// talk answers questions about a picture of any size.
func (o options) talk(ctx context.Context, in io.Reader, out io.Writer) error {
	a, err := o.finished()
	if err != nil {
		return fmt.Errorf("-chat needs a finished run in -out: %w", err)
	}
	m, err := study.OpenPicture(o.chat)
	if err != nil {
		return err
	}
	images := []*imaging.RGB{imaging.FromImage(study.OnWhite(m))}
	s, lines, turns := a.NewSession(), bufio.NewScanner(in), []chat.Turn{}
	for fmt.Fprint(out, "> "); lines.Scan(); fmt.Fprint(out, "\n> ") {
		question := lines.Text()
		if len(turns) == 0 {
			question = chat.ImageToken + "\n" + question
		}
		turns = append(turns, chat.Turn{From: chat.Human, Value: question})
		answer, err := s.Reply(ctx, turns, images, func(text string) error {
			_, err := fmt.Fprint(out, text)
			return err
		})
		if err != nil {
			return err
		}
		turns = append(turns, chat.Turn{From: chat.GPT, Value: answer})
	}
	return lines.Err()
}
