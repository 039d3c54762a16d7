package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gollava/gollava/data/generate"
	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/data/shapes/teacher"
	"github.com/gollava/gollava/train"
)

type generateCommand struct {
	Captions  string `placeholder:"FILE" help:"COCO's captions_*.json."`
	Instances string `placeholder:"FILE" help:"COCO's instances_*.json; without it only conversations are written."`
	Records   string `placeholder:"FILE" help:"Instead of COCO's files: records of image, captions and boxes, one a line."`
	Images    string `placeholder:"DIR"  help:"Folder of the pictures; without it nobody looks whether they are there."`
	Out       string `placeholder:"DIR"  help:"Where the data go, and the log that a stopped run goes on from."`

	Teacher string        `enum:"rules,shapes,endpoint" default:"rules" help:"Who writes: rules over captions and boxes, the rules of the built-in shapes world, or an OpenAI-style endpoint (${enum})."`
	BaseURL string        `                                             help:"Of the endpoint, such as http://localhost:8080/v1. The key is read from OPENAI_API_KEY."                                   name:"base-url"            placeholder:"URL"`
	Model   string        `                                             help:"The endpoint's name for the model."`
	Workers int           `                             default:"4"     help:"Requests at once."`
	RPM     float64       `                                             help:"Limit of requests a minute; 0: none."                                                                                      name:"requests-per-minute"`
	TPM     float64       `                                             help:"Limit of tokens a minute; 0: none."                                                                                        name:"tokens-per-minute"`
	Timeout time.Duration `                             default:"2m"    help:"Of one request."`

	Config  string             `placeholder:"FILE" help:"JSON with any of the settings; see docs/instruction-data.md."`
	Prompts string             `placeholder:"DIR"  help:"Folder of prompts to use instead of ours."`
	Write   string             `placeholder:"DIR"  help:"Only write our prompts into a folder, to be edited."                                    name:"write-prompts"`
	Kinds   []string           `                   help:"Kinds to write: conversation, detail, reasoning. Default: all."`
	Shares  map[string]float64 `                   help:"Share of pictures that each kind is asked about, such as conversation=0.6;detail=0.25."`
	Seed    *int64             `                   help:"Of all random choices."`

	BudgetUSD       *float64 `name:"budget-usd"       help:"Stop asking when this is spent; needs the prices."`
	BudgetTokens    *int     `name:"budget-tokens"    help:"Stop asking after this many tokens."`
	PricePrompt     *float64 `name:"price-prompt"     help:"Dollars for a million tokens of questions."`
	PriceCompletion *float64 `name:"price-completion" help:"Dollars for a million tokens of answers."`

	JudgeModel string `name:"judge-model" help:"A second model that looks at every answer before it is accepted."`
	JudgeURL   string `name:"judge-url"   help:"Its endpoint; default: --base-url."                               placeholder:"URL"`

	DryRun bool   `name:"dry-run" help:"Only print the estimate and three requests."`
	Page   int    `               help:"Also write page.html with so many samples of each kind beside their pictures and boxes."`
	Seeds  string `               help:"With --grow: instructions, one a line, that the pool grows from."                                               placeholder:"FILE"`
	Grow   int    `               help:"Instead of data about pictures: grow a pool by so many instructions (Self-Instruct), and write it to pool.txt."`
}

func (generateCommand) Help() string {
	return `Writes visual instruction data in LLaVA's form from captions and boxes: conversation.json, detail.json, reasoning.json and all.json, with
where each sample comes from (provenance.jsonl), a report (report.json) and every reply of the teacher (replies.jsonl). A run that was stopped
goes on where it was, and nothing is asked twice. Several processes (mpirun, of a gollava with MPI) share the requests
out, with the same result; the limits a minute are then of all together.

Examples: with rules alone; with a model behind an endpoint, for at most five dollars.

  gollava generate --captions captions_val2017.json --instances instances_val2017.json --images val2017 --out made
  gollava generate --teacher endpoint --base-url http://localhost:8080/v1 --model llama-3 --price-prompt 0.5 --price-completion 1.5
    --budget-usd 5 --captions captions_val2017.json --instances instances_val2017.json --images val2017 --out made`
}

func (v generateCommand) Run(ctx context.Context, c console) error {
	err := c.ranks(func(c console, comm train.Comm) error { return v.run(ctx, c, comm) })
	if err != nil {
		return fmt.Errorf("generate: %w", err)
	}
	return nil
}

func (v generateCommand) run(ctx context.Context, c console, comm train.Comm) error {
	if comm != nil && (v.Write != "" || v.Grow > 0) {
		return errors.New("--write-prompts and --grow are for one process: run without a launcher")
	}
	if v.Write != "" {
		if err := generate.WritePrompts(v.Write); err != nil {
			return err
		}
		c.hint("edit the files in %s, then generate with --prompts %s", v.Write, v.Write)
		return nil
	}
	if v.Out == "" {
		return errors.New("--out is missing: name the folder that the data go into")
	}
	if v.Grow > 0 {
		return v.grow(ctx, c)
	}
	if comm != nil {
		v.RPM, v.TPM = v.RPM/float64(comm.Size()), v.TPM/float64(comm.Size())
	}
	set, err := v.open()
	if err != nil {
		return err
	}
	config, asker, err := v.teacher(set)
	if err != nil {
		return err
	}
	if err := v.settings(&config); err != nil {
		return err
	}
	if err := config.Validate(); err != nil {
		return err
	}
	e := config.Estimate(set)
	fmt.Fprintf(
		c.err,
		"%d pictures, %d samples to ask for; about %d + %d tokens",
		len(set.Scenes),
		e.Samples,
		e.Usage.Prompt,
		e.Usage.Completion,
	)
	if e.USD > 0 {
		fmt.Fprintf(c.err, ", $%.2f", e.USD)
	}
	fmt.Fprintln(c.err, " if every first answer is accepted")
	if e.Samples == 0 {
		var why []string
		for _, fault := range slices.Sorted(maps.Keys(set.Faults.Counts)) {
			why = append(why, fmt.Sprintf("%s: %d", fault, set.Faults.Counts[fault]))
		}
		return fmt.Errorf("there is nothing to ask: no picture has captions and a file (%s)", strings.Join(why, ", "))
	}
	if v.DryRun {
		out := json.NewEncoder(c.out)
		out.SetIndent("", "  ")
		out.SetEscapeHTML(false)
		for _, r := range config.FirstRequests(set, 3) {
			if err := out.Encode(r); err != nil {
				return err
			}
		}
		return nil
	}
	o := generate.Options{Teacher: asker, Out: v.Out, Workers: v.Workers, Progress: progress(c)}
	if comm != nil {
		o.Comm = comm
	}
	if v.JudgeModel != "" {
		url := v.JudgeURL
		if url == "" {
			url = v.BaseURL
		}
		if url == "" {
			return errors.New("the judge needs an endpoint: name it with --judge-url")
		}
		o.Judge = &generate.Judge{Teacher: v.endpoint(url), Model: v.JudgeModel}
	}
	report, err := generate.Run(ctx, set, config, o)
	if err != nil {
		return err
	}
	fmt.Fprint(c.out, report.Text())
	if v.Page > 0 && first(comm) {
		if err := generate.WritePage(filepath.Join(v.Out, "page.html"), v.Out, v.Images, set, config.Kinds,
			v.Page); err != nil {
			return err
		}
	}
	c.next("data", "check", place(filepath.Join(v.Out, "all.json")), "--images", place(v.Images))
	return nil
}

// open reads the annotations.
func (v generateCommand) open() (*generate.Set, error) {
	switch {
	case v.Records != "" && v.Captions == "":
		return generate.OpenRecords(v.Records, v.Images)
	case v.Captions != "" && v.Records == "":
		return generate.OpenCOCO(v.Captions, v.Instances, v.Images)
	}
	return nil, errors.New("name what is known of the pictures: --captions (and --instances) in COCO's form, or " +
		"--records")
}

// teacher is who writes, with the settings that suit it.
func (v generateCommand) teacher(set *generate.Set) (generate.Config, generate.Teacher, error) {
	c := generate.DefaultConfig()
	switch v.Teacher {
	case "rules":
		c.Model, c.DedupROUGE, c.Checks = "rules", 0, nil // its questions repeat, and its answers are true of the annotations
		var seed int64
		if v.Seed != nil {
			seed = *v.Seed
		}
		return c, generate.Rules{Categories: set.Categories, Seed: seed}, nil
	case "shapes":
		w, err := shapes.New(shapes.Default(1))
		if err != nil {
			return c, nil, err
		}
		c, err = teacher.Config(w)
		return c, teacher.Rule{World: w}, err
	}
	if v.BaseURL == "" || v.Model == "" {
		return c, nil, errors.New("an endpoint needs --base-url and --model")
	}
	c.Model = v.Model
	return c, v.endpoint(v.BaseURL), nil
}

func (v generateCommand) endpoint(url string) *generate.Endpoint {
	return &generate.Endpoint{
		URL:               url,
		Key:               os.Getenv("OPENAI_API_KEY"),
		Timeout:           v.Timeout,
		RequestsPerMinute: v.RPM,
		TokensPerMinute:   v.TPM,
	}
}

// settings applies a file of settings, prompts and flags, in this order.
func (v generateCommand) settings(c *generate.Config) error {
	if v.Config != "" {
		b, err := os.ReadFile(v.Config)
		if err != nil {
			return err
		}
		d := json.NewDecoder(strings.NewReader(string(b)))
		d.DisallowUnknownFields()
		if err := d.Decode(c); err != nil {
			return fmt.Errorf("%s: %w", v.Config, err)
		}
	}
	if v.Prompts != "" {
		if err := c.ReadPrompts(os.DirFS(v.Prompts)); err != nil {
			return fmt.Errorf("%s: %w", v.Prompts, err)
		}
	}
	if v.Model != "" {
		c.Model = v.Model
	}
	if v.Kinds != nil {
		c.Kinds = nil
		for _, k := range v.Kinds {
			c.Kinds = append(c.Kinds, generate.Kind(k))
		}
	}
	for k, s := range v.Shares {
		if c.Shares == nil {
			c.Shares = map[generate.Kind]float64{}
		}
		c.Shares[generate.Kind(k)] = s
	}
	set(&c.Seed, v.Seed)
	set(&c.BudgetUSD, v.BudgetUSD)
	set(&c.BudgetTokens, v.BudgetTokens)
	set(&c.Price.Prompt, v.PricePrompt)
	set(&c.Price.Completion, v.PriceCompletion)
	return nil
}

// set takes over a flag that was given.
func set[T any](to *T, flag *T) {
	if flag != nil {
		*to = *flag
	}
}

// progress prints a line a second at most.
func progress(c console) func(generate.Progress) {
	var last time.Time
	return func(p generate.Progress) {
		if now := time.Now(); now.Sub(last) >= time.Second {
			last = now
			rate := float64(p.Requests) / p.Elapsed.Seconds()
			fmt.Fprintf(
				c.err,
				"%d of %d samples, %.1f requests/s, %d + %d tokens, $%.4f, slowest %s, %s left\n",
				p.Done,
				p.Total,
				rate,
				p.Usage.Prompt,
				p.Usage.Completion,
				p.USD,
				p.Slowest.Round(time.Millisecond),
				p.ETA.Round(time.Second),
			)
		}
	}
}

// grow grows a pool of instructions.
func (v generateCommand) grow(ctx context.Context, c console) error {
	if v.Seeds == "" || v.BaseURL == "" || v.Model == "" {
		return errors.New("--grow needs --seeds, and an endpoint: --base-url and --model")
	}
	f, err := os.Open(v.Seeds)
	if err != nil {
		return err
	}
	defer f.Close()
	var seeds []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if s := strings.TrimSpace(lines.Text()); s != "" {
			seeds = append(seeds, s)
		}
	}
	g := generate.Growth{Model: v.Model, Temperature: 0.7, Count: v.Grow}
	set(&g.Seed, v.Seed)
	grown, err := g.Run(ctx, seeds, v.endpoint(v.BaseURL), v.Out)
	if err != nil {
		return err
	}
	path := filepath.Join(v.Out, "pool.txt")
	if err := os.WriteFile(path, []byte(strings.Join(append(seeds, grown.Added...), "\n")+"\n"), 0o666); err != nil {
		return err
	}
	fmt.Fprintf(
		c.out,
		"%d instructions from %d seeds in %d rounds; dropped: %v\n",
		len(grown.Added),
		len(seeds),
		grown.Rounds,
		grown.Dropped,
	)
	c.hint("the pool is in %s; as detail_questions.txt in a folder of prompts it is what descriptions answer", path)
	return nil
}
