package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/gollava/gollava/data/generate"
	"github.com/gollava/gollava/data/score"
	"github.com/gollava/gollava/internal/atomicfile"
)

// benchmarkTruth are the files of a benchmark as they are distributed, but for its questions.
type benchmarkTruth struct {
	Annotations string `placeholder:"PATH" help:"The truth, where it is in a file or folder of its own."`
	Choices     string `placeholder:"FILE" help:"GQA: valid and plausible answers."`
	Splits      string `placeholder:"FILE" help:"ScienceQA: pid_splits.json."`
	Split       string `                   help:"ScienceQA: the split; default: test."`
	Context     string `placeholder:"FILE" help:"LLaVA-Bench: context.jsonl."`
	Rule        string `placeholder:"FILE" help:"LLaVA-Bench: rule.json."`
	Reference   string `placeholder:"FILE" help:"LLaVA-Bench: the reference answers; CHAIR: COCO's captions."`
	Grades      string `placeholder:"FILE" help:"MM-Vet, LLaVA-Bench, MathVista: what a judge said; written with --judge-url."`
	Synonyms    string `placeholder:"FILE" help:"CHAIR: a line of words for each object, the first its name."`
	Chinese     bool   `                   help:"MMBench: ask in Chinese."`
	Vanilla     bool   `                   help:"MMBench: every row by itself instead of the circular evaluation."`
	IgnoreEmpty bool   `                   help:"MathVista: an empty extraction is wrong instead of the nearest choice." name:"ignore-empty"`
}

func (f benchmarkTruth) files(answers ...string) score.Files {
	return score.Files{
		Annotations: f.Annotations,
		Answers:     answers,
		Choices:     f.Choices,
		Splits:      f.Splits,
		Split:       f.Split,
		Context:     f.Context,
		Rule:        f.Rule,
		Reference:   f.Reference,
		Grades:      f.Grades,
		Synonyms:    f.Synonyms,
		Chinese:     f.Chinese,
		Vanilla:     f.Vanilla,
		IgnoreEmpty: f.IgnoreEmpty,
	}
}

// judgeFlags name a judge.
type judgeFlags struct {
	JudgeURL    string `name:"judge-url"    placeholder:"URL"  help:"OpenAI-style endpoint that judges answers (MM-Vet, LLaVA-Bench) or extracts them (MathVista). The key is read from OPENAI_API_KEY."`
	JudgeModel  string `name:"judge-model"                     help:"Its name for the model."`
	JudgePrompt string `name:"judge-prompt" placeholder:"FILE" help:"MM-Vet, MathVista: instruction and examples for the judge, instead of ours."`
	Runs        int    `                                       help:"MM-Vet: how often each answer is judged."                                                              default:"1"`
}

type scoreCommand struct {
	Name      string         `arg:"" optional:"" help:"The benchmark: pope, scienceqa, mme, textvqa, vqav2, gqa, vizwiz, seedbench, mmbench, mmvet, mmmu, mathvista, llavabench, chair, captions."`
	Answers   []string       `arg:"" optional:"" help:"Answer files of one model, of any program: JSON lines, arrays, or objects from ids to texts."`
	Questions string         `                   help:"The question file."                                                                                                                         placeholder:"FILE"`
	Files     benchmarkTruth `                                                                                                                                                                                        embed:""`
	Judge     judgeFlags     `                                                                                                                                                                                        embed:""`

	JSON    string   `placeholder:"FILE" help:"Also write the report with the score of every question."`
	Upload  string   `placeholder:"FILE" help:"Write the answers in the official format instead, as the benchmark's server takes them."`
	Against []string `placeholder:"FILE" help:"Answers of another model to the same questions: compare the two."`
	Page    string   `placeholder:"FILE" help:"With --against: an HTML page with the questions on which the two differ, beside their pictures."`
	Images  string   `placeholder:"PATH" help:"Folder, zip or tar of the pictures, for the page."`

	Suite suiteFlags `embed:""`
}

func (scoreCommand) Help() string {
	return `Scores answers of any program as the benchmark's official program does, to the last digit. Answers are matched by question id; what is
missing, double or foreign is named and never scored as a blank. Where the official number is wrong or depends on the order of lines, the
right one is printed first and the official one beside it, with the reason.

Examples:

  gollava score pope answers.jsonl --questions llava_pope_test.jsonl --annotations coco
  gollava score textvqa a.jsonl --annotations TextVQA_0.5.1_val.json --against b.jsonl --page differ.html --images train_images
  gollava score vqav2 answers.jsonl --questions llava_vqav2_mscoco_test-dev2015.jsonl --upload answers_upload.json`
}

func (v scoreCommand) Run(ctx context.Context, c console) error {
	err := v.run(ctx, c)
	if err != nil && !strings.HasPrefix(err.Error(), "score: ") {
		return fmt.Errorf("score: %w", err)
	}
	return err
}

func (v scoreCommand) run(ctx context.Context, c console) error {
	if v.Suite.Suite != "" {
		return v.Suite.run(c, func(b score.Benchmark, f score.Files, _ suiteEntry) (*score.Report, error) {
			return b.Score(f)
		})
	}
	b, err := score.Find(v.Name)
	if err != nil {
		return err
	}
	f := v.Files.files(v.Answers...)
	f.Questions = v.Questions
	inputs := append(append(filesOf(f), v.Images), v.Against...)
	for _, out := range [][2]string{{"--json", v.JSON}, {"--upload", v.Upload}, {"--page", v.Page}} {
		if err := unread(out[0], out[1], inputs...); err != nil {
			return err
		}
	}
	if v.Upload != "" {
		if b.Upload == nil {
			return fmt.Errorf("%s has no upload format of its own: its program reads LLaVA's answer files", b.Title)
		}
		if err := b.Upload(f, v.Upload); err != nil {
			return err
		}
		c.hint("hand in %s", v.Upload)
		return nil
	}
	if err := v.Judge.judge(ctx, b, &f); err != nil {
		return err
	}
	r, err := b.Score(f)
	if err != nil {
		if b.Needs != "" {
			return fmt.Errorf("%w\n%s needs: %s", err, b.Title, b.Needs)
		}
		return err
	}
	if err := printReport(c, r); err != nil {
		return err
	}
	if v.JSON != "" {
		if err := atomicfile.WriteJSON(v.JSON, r); err != nil {
			return err
		}
	}
	if len(v.Against) == 0 {
		return nil
	}
	other := f
	other.Answers = v.Against
	r2, err := b.Score(other)
	if err != nil {
		return err
	}
	printComparison(c, "the other answers", score.Compare(r.Items, r2.Items))
	if v.Page != "" {
		return comparePage(v.Page, v.Images, b, f, other, r, r2)
	}
	return nil
}

// printReport prints a report with the interval of its questions' mean.
func printReport(c console, r *score.Report) error {
	if err := r.Write(c.out); err != nil {
		return err
	}
	i := score.Bootstrap(r.Items)
	fmt.Fprintf(
		c.out,
		"  mean over %d questions %.4f, 95 %% interval %.4f to %.4f (bootstrap)\n",
		i.N,
		i.Mean,
		i.Low,
		i.High,
	)
	return nil
}

func printComparison(c console, name string, d score.Comparison) {
	fmt.Fprintf(c.out, "  against %s: %+.4f, 95 %% interval %+.4f to %+.4f (paired bootstrap, %d questions); "+
		"better on %d, worse on %d\n", name,
		d.Difference.Mean, d.Difference.Low, d.Difference.High, d.Difference.N, d.Better, d.Worse)
}

// prompt is the instruction for the judge: the user's, or ours.
func (j judgeFlags) prompt(ours string) (string, error) {
	if j.JudgePrompt == "" {
		return ours, nil
	}
	text, err := os.ReadFile(j.JudgePrompt)
	return strings.TrimRight(string(text), "\n"), err
}

// judge asks for grades where the benchmark needs a judge, and one is named. Grades go into the file --grades.
func (j judgeFlags) judge(ctx context.Context, b score.Benchmark, f *score.Files) error {
	if j.JudgeURL == "" {
		return nil
	}
	if j.JudgeModel == "" {
		return errors.New("--judge-url needs --judge-model")
	}
	if f.Grades == "" {
		return errors.New("--judge-url needs --grades, the file that the judge's words are kept in")
	}
	e := &generate.Endpoint{URL: j.JudgeURL, Key: os.Getenv("OPENAI_API_KEY")}
	ask := func(ctx context.Context, r score.JudgeRequest) (score.JudgeReply, error) {
		q := &generate.Request{Model: j.JudgeModel, Temperature: r.Temperature, MaxTokens: r.MaxTokens}
		for _, m := range r.Messages {
			q.Messages = append(q.Messages, generate.Message(m))
		}
		reply, err := e.AskUntil(ctx, q, 4)
		if err != nil {
			return score.JudgeReply{}, err
		}
		return score.JudgeReply{Text: *reply.Text, Model: reply.Model}, nil
	}
	switch b.Name {
	case "llavabench":
		return score.ReviewLLaVABench(ctx, *f, f.Grades, ask)
	case "mathvista":
		prompt, err := j.prompt(score.MathVistaPrompt)
		if err != nil {
			return err
		}
		return score.ExtractMathVista(ctx, *f, f.Grades, prompt, ask)
	case "mmvet":
		prompt, err := j.prompt(score.VetPrompt)
		if err != nil {
			return err
		}
		grades := map[string]*score.VetGrade{}
		old, err := os.ReadFile(f.Grades)
		if err == nil {
			err = json.Unmarshal(old, &grades)
		} else if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", f.Grades, err)
		}
		return score.GradeMMVet(
			ctx,
			*f,
			prompt,
			j.Runs,
			ask,
			grades,
			func() error { return atomicfile.WriteJSON(f.Grades, grades) },
		)
	}
	return fmt.Errorf("%s needs no judge", b.Title)
}
