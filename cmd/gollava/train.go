package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/gollava/gollava/train"
	"github.com/gollava/gollava/train/llava"
)

type trainCommand struct {
	Config  string `required:"" placeholder:"FILE" help:"The run's YAML file."`
	Resume  bool   `help:"Go on from the newest checkpoint of the run."`
	AnyUnit bool   `help:"Resume on another kind of processor than the checkpoint's: the result is as good, but not the same to the bit."`
	Plan    bool   `help:"Say how much memory and time the run will need, and end."`
	Ranks   int    `default:"1" help:"With --plan: of how many processes, each on a host of its own."`
}

func (trainCommand) Help() string {
	return `Trains one stage of LLaVA's recipe. What the file does not say is as published; the resolved values are written to run.yaml in the
run's folder. Ctrl-C finishes the step, saves, and tells how to go on. examples/llava takes the same keys as flags and lists them.

Example, run.yaml:

  stage: align            # then tune, or lora
  vision: clip-vit-large-patch14-336
  llm: vicuna-7b-v1.5
  data: blip_laion_cc_sbu_558k.json
  images: images.zip
  features: features      # the frozen tower looks at each picture once
  out: run/align

  gollava train -config run.yaml

On a cluster, with a gollava that was built with -tags mpi (docs/cluster.md):

  mpirun -n 4 --bind-to none gollava train -config run.yaml -resume`
}

func (v trainCommand) Run(ctx context.Context, c console) error {
	config, err := llava.ReadConfig(v.Config)
	if err != nil {
		return fmt.Errorf("train: %w", err)
	}
	if v.Plan {
		e, err := llava.Plan(ctx, config, c.err)
		if err != nil {
			return fmt.Errorf("train: %w", err)
		}
		fmt.Fprintln(c.out, e.Over(v.Ranks, config.ZeRO1))
		c.next("gollava train -config %s", v.Config)
		return nil
	}
	comm, leave, err := join()
	if err != nil {
		return fmt.Errorf("train: %w", err)
	}
	_, err = llava.Train(ctx, config, train.Options{Resume: v.Resume, AnyUnit: v.AnyUnit, Progress: c.progress, Signals: true, Comm: comm,
		Command: fmt.Sprintf("gollava train -config %s -resume", v.Config)})
	var stopped *train.Stopped
	if err == nil || errors.As(err, &stopped) {
		leave() // else the launcher ends the others when this process does
	}
	if stopped != nil {
		return exitError{err, stopped.Code}
	}
	return err
}

// exitError ends the program with a status of its own.
type exitError struct {
	error
	code int
}

func (e exitError) ExitCode() int { return e.code }
