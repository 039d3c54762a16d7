// Command lora teaches a finished LLaVA something new from a few pictures, through adapters.
//
//	go run ./examples/quickstart -out run
//	go run ./examples/lora -model run/model -data few.json -images pictures -out adapter \
//	  -replay old.json -replay-images old
//
// The few samples are LLaVA's json. Learnt alone they would push out what the model could do before, so every other
// micro-batch comes from -replay, samples like those that it was trained on. What comes out is an adapter that PEFT
// loads, and `gollava chat adapter --base run/model`.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/data"
	"github.com/gollava/gollava/lora"
	"github.com/gollava/gollava/train"
)

// options are the flags.
type options struct {
	model, data, images, replay, replayImages, out string

	steps, batch, rank int
	alpha, lr          float64
	seed               uint64
}

func main() {
	var o options
	flag.StringVar(&o.model, "model", "", "folder of the finished model")
	flag.StringVar(&o.data, "data", "", "the few samples, LLaVA's json")
	flag.StringVar(&o.images, "images", "", "folder, zip or tar of their pictures")
	flag.StringVar(&o.replay, "replay", "", "samples of what the model can do already; none: it may forget")
	flag.StringVar(&o.replayImages, "replay-images", "", "folder, zip or tar of their pictures")
	flag.StringVar(&o.out, "out", "adapter", "folder for the adapter")
	flag.IntVar(&o.steps, "steps", 160, "optimizer steps")
	flag.IntVar(&o.batch, "batch", 8, "new samples of a step, and as many old ones")
	flag.IntVar(&o.rank, "r", 8, "rank of the adapters")
	flag.Float64Var(&o.alpha, "alpha", 16, "their scale is alpha/r")
	flag.Float64Var(&o.lr, "lr", 1e-3, "peak learning rate")
	flag.Uint64Var(&o.seed, "seed", 1, "of weights and order")
	flag.Parse()
	err := run(context.Background(), o, os.Stderr)
	var stopped *train.Stopped
	switch {
	case errors.As(err, &stopped):
		fmt.Fprintln(os.Stderr, err)
		os.Exit(stopped.Code)
	case err != nil:
		fmt.Fprintln(os.Stderr, "lora:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options, w io.Writer) error {
	switch {
	case o.model == "":
		return fmt.Errorf("-model is missing: which model shall learn?")
	case o.data == "" || o.images == "":
		return fmt.Errorf("-data and -images are missing: what shall it learn?")
	}
	a, err := llava.Open(o.model, llava.LoadOptions{})
	if err != nil {
		return err
	}
	few, err := batches(a, o, o.data, o.images)
	if err != nil {
		return err
	}
	all, parts := few, 1
	if o.replay != "" {
		old, err := batches(a, o, o.replay, o.replayImages)
		if err != nil {
			return err
		}
		parts = 2
		all = func(ctx context.Context, n int) (connector.Batch, error) {
			if n%2 == 0 {
				return few(ctx, n/2)
			}
			return old(ctx, n/2)
		}
	}

	c := lora.LLaVA()
	c.R, c.Alpha, c.Dropout, c.BaseModel = o.rank, o.alpha, 0, o.model
	adapter, err := lora.Wrap(a.Model, c, rand.New(rand.NewPCG(o.seed, 1)), llava.Transformers5)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%d values of adapters train, on %s\n", adapter.Trainable(), o.data)
	stage := train.Stage[connector.Batch]{
		Name: "lora", Batches: train.Prefetch(all, 2), Steps: o.steps, Accumulate: parts, Schedule: train.Cosine(0.03),
		Clip:   1,
		Groups: []train.Group{{Params: "**.lora_*.**", LR: o.lr}, {Params: "multi_modal_projector.**", LR: o.lr / 10}},
	}
	if _, err := train.Run(ctx, a.Model, train.Options{Progress: w, Signals: true}, stage); err != nil {
		return err
	}
	if err := adapter.Save(o.out, lora.SaveOptions{Others: []string{"multi_modal_projector.**"}}); err != nil {
		return err
	}
	fmt.Fprintf(w, "the adapter is in %s\nnext: gollava chat %s --base %s\n", o.out, o.out, o.model)
	return nil
}

// batches makes batches of a data file, in random order, without end.
func batches(a *connector.Assistant, o options, path, images string) (train.Batches[connector.Batch], error) {
	set, err := data.OpenMixture(path, data.MixtureOptions{})
	if err != nil {
		return nil, err
	}
	source, err := data.OpenSource(images)
	if err != nil {
		return nil, err
	}
	b, err := a.Batches(set, source, connector.BatchOptions{Batch: min(o.batch, set.Len()),
		Order: data.Shuffled(set.Len(), o.seed)})
	if err != nil {
		return nil, err
	}
	return b.Batch, nil
}
