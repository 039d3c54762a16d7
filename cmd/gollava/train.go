package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/gollava/gollava/data"
	"github.com/gollava/gollava/train"
	"github.com/gollava/gollava/train/live"
	"github.com/gollava/gollava/train/llava"
)

type trainCommand struct {
	Config  string   `placeholder:"FILE" help:"The run's YAML file."`
	Set     []string `sep:"none" placeholder:"KEY=VALUE" help:"Set a key of the file to another value, such as lr=1e-4 or lora.r=16; may be given again."`
	Keys    bool     `help:"List the keys of the file with their published values and LLaVA's names for them, and end."`
	Example string   `placeholder:"STAGE" help:"Print a file for align, tune, lora, task or task_lora, and end."`
	Resume  bool     `help:"Go on from the newest checkpoint of the run."`
	AnyUnit bool     `help:"Resume on another kind of processor than the checkpoint's: the result is as good, but not the same to the bit."`
	Common  bool     `name:"common-unit" help:"Under mpirun: let all ranks compute with the instructions that every one of their processors has, so that the result does not depend on who computes what."`
	Plan    bool     `help:"Say how much memory and time the run will need, and end."`
	Ranks   int      `default:"1" help:"With --plan: of how many processes, each on a host of its own."`
	Serve   string   `placeholder:"HOST:PORT" help:"Show the run in a browser while it trains, such as at 127.0.0.1:6006: curves, answers, log, and buttons that save and stop."`
	Show    string   `type:"existingdir" placeholder:"FOLDER" help:"Show the run in a folder from its files, at --serve or 127.0.0.1:6006, until Ctrl-C."`
}

func (trainCommand) Help() string {
	return `Trains one stage of LLaVA's recipe. What the file does not say is as published; the resolved values are written to run.yaml in the
run's folder. Ctrl-C finishes the step, saves, and prints how to go on.

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

  mpirun -n 4 --bind-to none gollava train -config run.yaml -resume

In a browser while it trains, and later from the files of the run:

  gollava train -config run.yaml -serve 127.0.0.1:6006
  gollava train -show run/align`
}

// Validate refuses a call that names no run.
func (v trainCommand) Validate() error {
	if v.Config == "" && !v.Keys && v.Example == "" && v.Show == "" {
		return errors.New("missing flags: --config=FILE; --example STAGE prints such a file")
	}
	return nil
}

func (v trainCommand) Run(ctx context.Context, c console) error {
	var err error
	switch {
	case v.Keys:
		err = printKeys(c.out)
	case v.Example != "":
		err = printExample(c.out, v.Example)
	case v.Show != "":
		err = v.show(ctx, c)
	default:
		return v.run(ctx, c)
	}
	if err != nil {
		return fmt.Errorf("train: %w", err)
	}
	return nil
}

// command is the command line of this run, but for -resume. Paths in the file are relative to where the program was
// started, so it goes there first.
func (v trainCommand) command() string {
	line := "gollava train -config " + quoted(v.Config)
	if dir, err := os.Getwd(); err == nil {
		line = "cd " + quoted(dir) + " && " + line
	}
	for _, s := range v.Set {
		line += " -set " + quoted(s)
	}
	if v.Common {
		line += " -common-unit"
	}
	return line
}

// config reads the file and what is set on the command line.
func (v trainCommand) config() (llava.Config, error) {
	config, err := llava.ReadPartial(v.Config)
	if err != nil {
		return config, err
	}
	for _, s := range v.Set {
		key, value, ok := strings.Cut(s, "=")
		if !ok {
			return config, fmt.Errorf("--set %s: want KEY=VALUE, such as lr=1e-4", s)
		}
		if err := config.Set(key, value); err != nil {
			return config, fmt.Errorf("--set %s: %w", s, err)
		}
	}
	if config, err = config.Resolve(); err != nil {
		return config, fmt.Errorf("%s: %w", v.Config, err)
	}
	return config, nil
}

func (v trainCommand) run(ctx context.Context, c console) error {
	config, err := v.config()
	if err != nil {
		return fmt.Errorf("train: %w", err)
	}
	if v.Plan {
		e, err := llava.Plan(ctx, config, c.err)
		if err != nil {
			return fmt.Errorf("train: %w", err)
		}
		fmt.Fprintln(c.out, e.Over(v.Ranks, config.ZeRO1))
		fmt.Fprintf(c.err, "next: %s\n", v.command())
		return nil
	}
	comm, leave, err := join()
	if err != nil {
		return fmt.Errorf("train: %w", err)
	}
	if v.Common {
		unit, slowed, err := train.CommonUnit(comm)
		if err != nil {
			return fmt.Errorf("train: --common-unit: %w", err)
		}
		if slowed != "" && first(comm) {
			fmt.Fprintf(c.err, "all ranks compute on %s; %s\n", unit, slowed)
		}
	}
	o := train.Options{Resume: v.Resume, AnyUnit: v.AnyUnit, Progress: c.progress,
		Signals: true, Comm: comm, Command: v.command() + " -resume"}
	if v.Serve != "" && (comm == nil || comm.Rank() == 0) {
		o.Control = &train.Control{}
		page := live.New(live.Config{Dir: config.Out, Hosts: hostOf(v.Serve), Control: o.Control})
		o.Observe = page.Observe
		close, err := v.open(ctx, page, c)
		if err != nil {
			return fmt.Errorf("train: %w", err)
		}
		defer close()
	}
	_, err = llava.Train(ctx, config, o)
	if f := (*data.Fault)(nil); errors.As(err, &f) {
		args := []string{"data", "check", place(config.Data)}
		if config.Images != "" {
			args = append(args, "--images", place(config.Images))
		}
		c.hint("the next command lists all faults of the data; skip: true in the file leaves faulty samples out and " +
			"counts them")
		c.next(args...)
	}
	var stopped *train.Stopped
	if err == nil || errors.As(err, &stopped) {
		leave() // else the launcher ends the others when this process does
	}
	if stopped != nil {
		return exitError{err, stopped.Code}
	}
	return err
}

// open shows a page at --serve until close.
func (v trainCommand) open(ctx context.Context, page *live.Page, c console) (close func(), err error) {
	l, err := net.Listen("tcp", v.Serve)
	if err != nil {
		return nil, err
	}
	if !l.Addr().(*net.TCPAddr).IP.IsLoopback() {
		fmt.Fprintf(c.err, "WARNING: %s can be reached from other machines, and anybody there may stop the run\n",
			l.Addr())
	}
	fmt.Fprintf(c.err, "the run's page is at http://%s/\n", l.Addr())
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer func() { ended <- struct{}{} }()
		if err := page.Serve(ctx, l); err != nil {
			fmt.Fprintf(c.err, "the run's page has ended: %v\n", err)
		}
	}()
	return func() { cancel(); <-ended }, nil
}

// show shows the run in a folder until Ctrl-C.
func (v trainCommand) show(ctx context.Context, c console) error {
	if v.Serve == "" {
		v.Serve = "127.0.0.1:6006"
	}
	page, err := live.Open(live.Config{Dir: v.Show, Hosts: hostOf(v.Serve)})
	if err != nil {
		return err
	}
	close, err := v.open(ctx, page, c)
	if err != nil {
		return err
	}
	defer close()
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	<-ctx.Done()
	return nil
}

// hostOf is the name that clients use for a server that listens at an address, if it says one.
func hostOf(address string) []string {
	host, _, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err != nil || host == "" || ip != nil && ip.IsUnspecified() {
		return nil
	}
	return []string{host}
}

// exitError ends the program with a status of its own.
type exitError struct {
	error
	code int
}

func (e exitError) ExitCode() int { return e.code }
