// Command llava trains LLaVA as its authors do, from Hugging Face folders and LLaVA's own json files, in two stages:
//
//	go run ./examples/llava -stage align -vision clip-vit-large-patch14-336 -llm vicuna-7b-v1.5 \
//		-data blip_laion_cc_sbu_558k.json -images images.zip -out run/align
//	go run ./examples/llava -stage tune -vision clip-vit-large-patch14-336 -llm vicuna-7b-v1.5 -projector run/align \
//		-data llava_v1_5_mix665k.json -images data -out run/tune
//
// Stage align trains the connector alone on captions, stage tune the connector and the language model on instructions
// (stage lora: adapters instead). What is not said is as published. The folder of the second stage is one that
// transformers opens. A run that was stopped goes on with the same command and -resume.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/gollava/gollava/train"
	"github.com/gollava/gollava/train/llava"
)

func main() { os.Exit(run(context.Background(), os.Args[1:], os.Stderr)) }

// run returns the exit status: 0, 1 for failure, 2 for flags that make no sense, 130 or 143 after a signal.
func run(ctx context.Context, args []string, w io.Writer) int {
	var c llava.Config
	fs := flag.NewFlagSet("llava", flag.ContinueOnError)
	fs.SetOutput(w)
	c.Flags(fs)
	resume := fs.Bool("resume", false, "go on from the newest checkpoint in -out")
	anyUnit := fs.Bool("any-unit", false,
		"resume on another kind of processor than the checkpoint's, and not to the same bits")
	plan := fs.Bool("plan", false, "say what the run will need, and do not train")
	if err := fs.Parse(args); errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil {
		return 2
	}
	args = append(slices.DeleteFunc(args, func(a string) bool { return a == "-resume" }), "-resume")
	again := "go run ./examples/llava " + strings.Join(args, " ")
	err := stage(ctx, c, *plan, train.Options{Resume: *resume, AnyUnit: *anyUnit, Progress: w, Signals: true,
		Command: again}, w)
	var stopped *train.Stopped
	switch {
	case errors.As(err, &stopped):
		fmt.Fprintln(w, err)
		return stopped.Code
	case err != nil:
		fmt.Fprintf(w, "llava: %v\n", err)
		return 1
	}
	return 0
}

// stage is a run from its files to the folder of the finished model.
func stage(ctx context.Context, c llava.Config, plan bool, o train.Options, w io.Writer) error {
	if plan {
		e, err := llava.Plan(ctx, c, w)
		if err == nil {
			fmt.Fprintln(w, e)
		}
		return err
	}
	_, err := llava.Train(ctx, c, o)
	return err
}
