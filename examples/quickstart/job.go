package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/internal/atomicfile"
	"github.com/gollava/gollava/train"
	"github.com/gollava/gollava/vit"
)

// flags are the command line.
type flags struct {
	preset string
	out    string
	seed   uint64
	resume bool
	full   bool
	chat   bool
	gate   bool
}

// job is a run: its directory, its world, and what it has found out so far.
type job struct {
	flags      flags
	preset     Preset
	world      *shapes.World
	vocabulary *Vocabulary
	out        io.Writer
	report     Report
	started    time.Time
}

// settings is the file in a run's directory that says which run it is.
type settings struct {
	Seed   uint64 `json:"seed"`
	Full   bool   `json:"full"`
	Preset Preset `json:"preset"`
}

const settingsFile = "quickstart.json"

// open reads the command line and takes the run's directory.
func open(args []string, out io.Writer) (*job, error) {
	j := &job{out: out, started: time.Now()}
	set := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	set.SetOutput(out)
	f := &j.flags
	set.StringVar(&f.preset, "preset", "default", "default (minutes) or smoke (about one)")
	set.StringVar(&f.out, "out", "", "directory of the run (default quickstart-run, quickstart-smoke)")
	set.Uint64Var(&f.seed, "seed", 1, "decides the world and all weights")
	set.BoolVar(&f.resume, "resume", false, "go on with the run in -out")
	set.BoolVar(&f.full, "full", false, "train the baselines as long as the model itself")
	set.BoolVar(&f.chat, "chat", false, "talk with the model in -out about an unseen picture")
	set.BoolVar(&f.gate, "gate", false, "end with an error unless the scores reach what the preset promises")
	set.Usage = func() {
		fmt.Fprintln(out, "usage: go run ./examples/quickstart [-preset smoke] [-out DIR] [-seed N] [-resume] [-full] [-gate] [-chat]")
		set.PrintDefaults()
	}
	if err := set.Parse(args); err != nil {
		return nil, err
	}
	if set.NArg() > 0 {
		return nil, fmt.Errorf("%q is no flag; see -help", set.Arg(0))
	}
	var err error
	if j.preset, err = presetNamed(f.preset); err != nil {
		return nil, err
	}
	if f.out == "" {
		if f.out = "quickstart-run"; f.preset != "default" {
			f.out = "quickstart-" + f.preset
		}
	}
	if err := j.take(); err != nil {
		return nil, err
	}
	if j.world, err = shapes.New(j.preset.world(f.seed)); err != nil {
		return nil, err
	}
	j.vocabulary = newVocabulary()
	return j, nil
}

// take makes the directory this run's, or checks that it is.
func (j *job) take() error {
	path := filepath.Join(j.flags.out, settingsFile)
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && j.flags.chat:
		return fmt.Errorf("there is no run in %s yet; make one with: %s", j.flags.out, j.command(""))
	case errors.Is(err, fs.ErrNotExist):
		if es, err := os.ReadDir(j.flags.out); err == nil && len(es) > 0 {
			return fmt.Errorf("%s is not empty and not a run of this program: choose another directory with -out", j.flags.out)
		}
		mine, err := json.MarshalIndent(settings{j.flags.seed, j.flags.full, j.preset}, "", " ")
		if err != nil {
			return err
		}
		if err := write(path, append(mine, '\n')); err != nil {
			return fmt.Errorf("cannot write to %s (%w): choose another directory with -out", j.flags.out, err)
		}
		return nil
	case err != nil:
		return fmt.Errorf("cannot read %s (%w): choose another directory with -out", j.flags.out, err)
	}
	var was settings
	if err := json.Unmarshal(b, &was); err != nil {
		return fmt.Errorf("%s is damaged (%w): remove %s, or choose another directory with -out", path, err, j.flags.out)
	}
	if j.flags.chat { // the run in the directory decides
		j.flags.seed, j.preset = was.Seed, was.Preset
		return nil
	}
	if d := differences(was, settings{j.flags.seed, j.flags.full, j.preset}); d != "" {
		return fmt.Errorf("%s holds another run: %s. Go on with that one by its own flags and -resume, or choose another directory with -out", j.flags.out, d)
	}
	if !j.flags.resume {
		return fmt.Errorf("%s holds this very run already: go on with it with -resume, or choose another directory with -out", j.flags.out)
	}
	return nil
}

// differences names the settings that differ.
func differences(was, is settings) string {
	var d []string
	note := func(name string, a, b any) {
		if a != b {
			d = append(d, fmt.Sprintf("%s was %v and is now %v", name, a, b))
		}
	}
	note("-seed", was.Seed, is.Seed)
	note("-full", was.Full, is.Full)
	if note("-preset", was.Preset.Name, is.Preset.Name); was.Preset.Name == is.Preset.Name && was.Preset != is.Preset {
		d = append(d, fmt.Sprintf("-preset %s has other values than when it began", is.Preset.Name))
	}
	return strings.Join(d, ", ")
}

func write(path string, b []byte) error {
	return atomicfile.Write(path, func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
}

// command is how to start this run again, with another flag.
func (j *job) command(more string) string {
	c := "go run ./examples/quickstart"
	if j.flags.preset != "default" {
		c += " -preset " + j.flags.preset
	}
	if j.flags.seed != 1 {
		c += fmt.Sprintf(" -seed %d", j.flags.seed)
	}
	if j.flags.full {
		c += " -full"
	}
	return strings.TrimSpace(c + " -out " + j.flags.out + " " + more)
}

// printf says something.
func (j *job) printf(format string, args ...any) { fmt.Fprintf(j.out, format+"\n", args...) }

// lesson draws and renders the pictures.
func (j *job) lesson() *lesson {
	start := time.Now()
	l := &lesson{world: j.world, vocabulary: j.vocabulary, places: j.places(), first: j.preset.First, pool: newPool(j.world, j.preset.Pictures)}
	j.printf("world · %d pictures of %d×%d pixels, %d words · %.1f s", len(l.pool.scenes), j.world.Side(), j.world.Side(), j.vocabulary.Size(), time.Since(start).Seconds())
	return l
}

// places is how many tokens a picture becomes.
func (j *job) places() int {
	c := j.preset.vlmConfig(j.world.Side(), j.vocabulary)
	return c.FeaturesPerView()
}

// selects is which of the tower's features are taken.
func (j *job) selects() vit.Select { return j.preset.vlmConfig(j.world.Side(), j.vocabulary).Select }

// fit runs stages, in a folder of the run, and notes what they cost.
func fit[B any](ctx context.Context, j *job, name string, m train.Model[B], stages ...train.Stage[B]) error {
	for i := range stages {
		stages[i].Batches = train.Prefetch(stages[i].Batches, 2)
		stages[i].Every = max(1, stages[i].Steps/4)
		stages[i].Config = j.preset
		stages[i].Seed = j.flags.seed
	}
	_, err := train.Run(ctx, m, train.Options{Dir: filepath.Join(j.flags.out, name), Resume: true, Keep: 1, Progress: j.out,
		Command: j.command("-resume")}, stages...)
	return err
}
