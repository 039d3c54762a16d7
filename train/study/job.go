package study

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
	"slices"
	"strings"
	"time"

	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/internal/atomicfile"
	"github.com/gollava/gollava/train"
	"github.com/gollava/gollava/vit"
)

// Flags are the command line.
type Flags struct {
	preset string
	Out    string // directory of the run
	seed   uint64
	resume bool
	Full   bool // train the baselines as long as the model itself
	Chat   bool // talk with the finished model
	Made   bool // compare with instructions that rules make from captions and boxes
	gate   bool

	accumulate int  // micro-batches of a step
	zero1      bool // ranks share the optimizer's state out
	autocast   bool // products in bfloat16
}

// Study is a run: its directory, its world, and what it has found out so far. It serves one goroutine at a time.
type Study struct {
	Flags      Flags
	Preset     Preset
	World      *shapes.World
	Vocabulary *Vocabulary
	Places     int        // tokens of a picture
	Selects    vit.Select // which of the tower's features are taken
	Out        io.Writer
	Comm       train.Comm // ranks that train together and share the exams out; nil: one process
	Report     Report
	started    time.Time
}

// settings is the file in a run's directory that says which run it is.
type settings struct {
	Seed   uint64 `json:"seed"`
	Full   bool   `json:"full"`
	Made   bool   `json:"made,omitempty"`
	Preset Preset `json:"preset"`

	Autocast bool `json:"autocast,omitempty"`
}

const settingsFile = "quickstart.json"

// Open reads the command line, where -preset names one of presets, and takes the run's directory. If c is not nil, all
// ranks of it open the same run; only rank 0 prints.
func Open(args []string, out io.Writer, presets []Preset, c train.Comm) (*Study, error) {
	j := &Study{Out: out, Comm: c, started: time.Now()}
	if !j.first() {
		j.Out = io.Discard
	}
	set := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	set.SetOutput(j.Out)
	f := &j.Flags
	set.StringVar(&f.preset, "preset", "default", "default (minutes) or smoke (about one)")
	set.StringVar(&f.Out, "out", "", "directory of the run (default quickstart-run, quickstart-smoke)")
	set.Uint64Var(&f.seed, "seed", 1, "decides the world and all weights")
	set.BoolVar(&f.resume, "resume", false, "go on with the run in -out")
	set.BoolVar(&f.Full, "full", false, "train the baselines as long as the model itself")
	set.BoolVar(&f.Chat, "chat", false, "talk with the model in -out about an unseen picture")
	set.BoolVar(&f.Made, "made", false, "instead of the other baselines: also tune on instructions that rules make "+
		"from captions and boxes, and compare")
	set.BoolVar(&f.gate, "gate", false, "end with an error unless the scores reach what the preset promises")
	set.IntVar(&f.accumulate, "accumulate", 1, "micro-batches that each step's batch is cut into; several ranks need "+
		"at least one each")
	set.BoolVar(&f.zero1, "zero1", false, "each rank keeps its share of the optimizer's state")
	set.BoolVar(&f.autocast, "autocast", false, "train with products in bfloat16: train.Stage's Autocast")
	set.Usage = func() {
		fmt.Fprintln(j.Out, "usage: go run ./examples/quickstart [-preset smoke] [-out DIR] [-seed N] [-resume] "+
			"[-full] [-made] [-gate] [-chat] [-accumulate N] [-zero1] [-autocast]")
		set.PrintDefaults()
	}
	if err := set.Parse(args); err != nil {
		return nil, err
	}
	if set.NArg() > 0 {
		return nil, fmt.Errorf("%q is no flag; see -help", set.Arg(0))
	}
	var err error
	i := slices.IndexFunc(presets, func(p Preset) bool { return p.Name == f.preset })
	if i < 0 {
		return nil, fmt.Errorf("-preset %q is not known: use default (minutes) or smoke (about one)", f.preset)
	}
	j.Preset = presets[i]
	if err := j.Preset.cut(f.accumulate); err != nil {
		return nil, err
	}
	if f.Out == "" {
		if f.Out = "quickstart-run"; f.preset != "default" {
			f.Out = "quickstart-" + f.preset
		}
	}
	if f.Chat && c != nil && c.Size() > 1 {
		return nil, fmt.Errorf("-chat is for one process, and a launcher started %d", c.Size())
	}
	if err := j.Alone(j.take); err != nil {
		return nil, err
	}
	if j.World, err = shapes.New(j.Preset.world(f.seed)); err != nil {
		return nil, err
	}
	j.Vocabulary = NewVocabulary()
	return j, nil
}

// first reports whether this process is the one that prints and writes.
func (j *Study) first() bool { return j.Comm == nil || j.Comm.Rank() == 0 }

// Alone runs f on rank 0; its error is everybody's.
func (j *Study) Alone(f func() error) error {
	_, err := train.Map(context.Background(), j.Comm, 1, func(context.Context, int) (bool, error) { return true, f() })
	return err
}

// take makes the directory this run's, or checks that it is.
func (j *Study) take() error {
	path := filepath.Join(j.Flags.Out, settingsFile)
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && j.Flags.Chat:
		return fmt.Errorf("there is no run in %s yet; make one with: %s", j.Flags.Out, j.Command(""))
	case errors.Is(err, fs.ErrNotExist):
		if es, err := os.ReadDir(j.Flags.Out); err == nil && len(es) > 0 {
			return fmt.Errorf("%s is not empty and not a run of this program: choose another directory with -out",
				j.Flags.Out)
		}
		mine, err := json.MarshalIndent(j.settings(), "", " ")
		if err != nil {
			return err
		}
		if err := write(path, append(mine, '\n')); err != nil {
			return fmt.Errorf("cannot write to %s (%w): choose another directory with -out", j.Flags.Out, err)
		}
		return nil
	case err != nil:
		return fmt.Errorf("cannot read %s (%w): choose another directory with -out", j.Flags.Out, err)
	}
	var was settings
	if err := json.Unmarshal(b, &was); err != nil {
		return fmt.Errorf("%s is damaged (%w): remove %s, or choose another directory with -out", path, err,
			j.Flags.Out)
	}
	if j.Flags.Chat { // the run in the directory decides
		j.Flags.seed, j.Preset = was.Seed, was.Preset
		return nil
	}
	if d := differences(was, j.settings()); d != "" {
		return fmt.Errorf("%s holds another run: %s. Go on with that one by its own flags and -resume, or choose "+
			"another directory with -out", j.Flags.Out, d)
	}
	if !j.Flags.resume {
		return fmt.Errorf("%s holds this very run already: go on with it with -resume, or choose another directory "+
			"with -out", j.Flags.Out)
	}
	return nil
}

// settings are this run's.
func (j *Study) settings() settings {
	f := j.Flags
	return settings{Seed: f.seed, Full: f.Full, Made: f.Made, Preset: j.Preset, Autocast: f.autocast}
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
	note("-made", was.Made, is.Made)
	note("-autocast", was.Autocast, is.Autocast)
	note("-preset", was.Preset.Name, is.Preset.Name)
	note("-accumulate", max(1, was.Preset.Clip.Accumulate), max(1, is.Preset.Clip.Accumulate))
	if len(d) == 0 && was.Preset != is.Preset {
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

// Command is how to start this run again, with another flag.
func (j *Study) Command(more string) string {
	c := "go run ./examples/quickstart"
	if j.Flags.preset != "default" {
		c += " -preset " + j.Flags.preset
	}
	if j.Flags.seed != 1 {
		c += fmt.Sprintf(" -seed %d", j.Flags.seed)
	}
	if j.Flags.Full {
		c += " -full"
	}
	if j.Flags.Made {
		c += " -made"
	}
	if j.Flags.accumulate != 1 {
		c += fmt.Sprintf(" -accumulate %d", j.Flags.accumulate)
	}
	if j.Flags.zero1 {
		c += " -zero1"
	}
	if j.Flags.autocast {
		c += " -autocast"
	}
	return strings.TrimSpace(c + " -out " + j.Flags.Out + " " + more)
}

// Printf says something.
func (j *Study) Printf(format string, args ...any) { fmt.Fprintf(j.Out, format+"\n", args...) }

// Lesson draws and renders the pictures.
func (j *Study) Lesson() *Lesson {
	start := time.Now()
	l := &Lesson{World: j.World, Vocabulary: j.Vocabulary, Places: j.Places, first: j.Preset.First,
		Pool: newPool(j.World, j.Preset.Pictures)}
	j.Printf("world · %d pictures of %d×%d pixels, %d words · %.1f s", len(l.Pool.Scenes), j.World.Side(),
		j.World.Side(), j.Vocabulary.Size(), time.Since(start).Seconds())
	return l
}

// Fit runs stages, in a folder of the run, and notes what they cost.
func Fit[B any](ctx context.Context, j *Study, name string, m train.Model[B], stages ...train.Stage[B]) error {
	for i := range stages {
		stages[i].Batches = train.Prefetch(stages[i].Batches, 2)
		stages[i].Every = max(1, stages[i].Steps/4)
		stages[i].Accumulate = j.Flags.accumulate
		stages[i].Config = j.Preset
		stages[i].Seed = j.Flags.seed
		stages[i].Autocast = j.Flags.autocast
	}
	_, err := train.Run(ctx, m, train.Options{Dir: filepath.Join(j.Flags.Out, name), Resume: true, Keep: 1,
		Progress: j.Out,
		Command:  j.Command("-resume"), Comm: j.Comm, ZeRO1: j.Flags.zero1}, stages...)
	return err
}

// Compared is how long baselines are tuned: with -full as long as the model itself.
func (j *Study) Compared() Length {
	c := j.Preset.Compare
	if j.Flags.Full {
		c = j.Preset.Tune
	}
	return c
}
