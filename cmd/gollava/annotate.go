package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/seem"
	"github.com/gollava/gollava/data"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/internal/jsonrecord"
	"github.com/gollava/gollava/nn"
)

type annotateCommand struct {
	Source source `embed:""`
	Images string `required:"" placeholder:"DIR" help:"Folder of the images; those in its subfolders are taken too."`
	Out    string `required:"" placeholder:"FILE" help:"Records of image, width, height, captions and boxes, one a line. Those that are there already are kept."`

	Prompt    []string `sep:"none" help:"How the model is asked for a caption; may be repeated, for as many captions. Default: three ways."`
	Template  string   `help:"Conversation template; default: what the model was trained with."`
	MaxTokens int      `default:"64" help:"Tokens of a caption at most."`

	SEEM    string  `name:"seem" placeholder:"DIR" help:"A SEEM that finds the boxes; without it there are none, and only conversations can be generated."`
	Classes string  `help:"With --seem: names of the objects to look for, with commas between."`
	Score   float64 `default:"0.8" help:"With --seem: how likely an object must be, in 0 to 1."`
}

func (annotateCommand) Help() string {
	return `Images alone become records that gollava generate writes instruction data from: a vision-language model
captions each image, greedily and once for each prompt, and a SEEM finds the boxes of objects of the given classes.
What the two get wrong, the data will have wrong: look at the page that generate --page writes. A run that was stopped
goes on where it was.

Example:

  gollava data annotate ./llava-1.5-7b-hf --images photos --out records.jsonl --seem ./seem --classes "person,dog,car"
  gollava generate --records records.jsonl --images photos --out made --page 20`
}

// captionPrompts are how a caption is asked for where no prompt is given.
var captionPrompts = []string{"Provide a one-sentence caption for the provided image.", "Describe the image concisely.",
	"What objects are in the image? Answer in one sentence."}

// annotated is a line of the records.
type annotated struct {
	Image    string         `json:"image"`
	Width    int            `json:"width"`
	Height   int            `json:"height"`
	Captions []string       `json:"captions"`
	Boxes    []annotatedBox `json:"boxes"`
	By       string         `json:"captions_by"`
}

// annotatedBox is a box as COCO has it.
type annotatedBox struct {
	Name string `json:"name"`
	BBox [4]int `json:"bbox"` // x, y, width, height in pixels
}

func (v annotateCommand) Run(ctx context.Context, c console) error {
	if err := v.run(ctx, c); err != nil {
		return fmt.Errorf("data annotate: %w", err)
	}
	return nil
}

func (v annotateCommand) run(ctx context.Context, c console) error {
	names, err := imagesIn(v.Images)
	if err != nil {
		return err
	}
	if (v.SEEM == "") != (v.Classes == "") {
		return errors.New("--seem and --classes belong together: who looks for boxes, and for which objects")
	}
	if v.MaxTokens < 1 {
		return fmt.Errorf("--max-tokens %d: a caption takes at least one", v.MaxTokens)
	}
	prompts := v.Prompt
	if len(prompts) == 0 {
		prompts = captionPrompts
	}
	done, err := v.done()
	if err != nil {
		return err
	}
	names = slices.DeleteFunc(names, func(name string) bool { return done[name] })
	if len(done) > 0 {
		fmt.Fprintf(c.err, "%d images are in %s already\n", len(done), v.Out)
	}
	if len(names) == 0 {
		v.next(c)
		return nil
	}
	a, err := v.Source.assistant(v.Template)
	if err != nil {
		return err
	}
	a.Options.MaxNewTokens, a.Options.Sampling.Temperature = v.MaxTokens, 0
	var finder *seem.Segmenter
	if v.SEEM != "" {
		if finder, err = seem.Open(v.SEEM, nn.LoadOptions{DType: v.Source.dtype()}); err != nil {
			return err
		}
	}
	out, err := os.OpenFile(v.Out, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
	if err != nil {
		return err
	}
	defer out.Close()
	for i, name := range names {
		r, err := v.annotate(ctx, a, finder, name, prompts)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		line, err := json.Marshal(r)
		if err == nil {
			_, err = out.Write(append(line, '\n'))
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(c.err, "%d of %d: %s: %d boxes, %q\n", i+1, len(names), name, len(r.Boxes), r.Captions[0])
	}
	v.next(c)
	return out.Close()
}

// next prints what the records are for.
func (v annotateCommand) next(c console) {
	c.next("generate", "--records", place(v.Out), "--images", place(v.Images), "--out", "made", "--page", "20")
}

// annotate captions an image, and finds its boxes.
func (v annotateCommand) annotate(ctx context.Context, a *connector.Assistant, finder *seem.Segmenter, name string,
	prompts []string) (annotated, error) {
	m, err := imaging.Open(filepath.Join(v.Images, name), imaging.Options{Limits: data.DefaultLimits()})
	if err != nil {
		return annotated{}, err
	}
	r := annotated{Image: name, Width: m.W, Height: m.H, Boxes: []annotatedBox{}, By: v.Source.name()}
	for _, p := range prompts {
		ask := []chat.Turn{{From: chat.Human, Value: chat.ImageToken + "\n" + p}}
		said, err := a.Reply(ctx, ask, []*imaging.RGB{m}, nil)
		if err != nil {
			return r, err
		}
		r.Captions = append(r.Captions, strings.Join(strings.Fields(said), " "))
	}
	if finder == nil {
		return r, nil
	}
	classes := strings.Split(v.Classes, ",")
	for i := range classes {
		classes[i] = strings.TrimSpace(classes[i])
	}
	p, err := finder.Look(m)
	if err != nil {
		return r, err
	}
	const overlap = 0.8 // as MaskFormer's
	found, err := p.Objects(classes, nil, v.Score, overlap)
	for _, f := range found {
		if b, ok := around(f.Mask); ok {
			r.Boxes = append(r.Boxes, annotatedBox{classes[f.Class], b})
		}
	}
	return r, err
}

// around is the box of a mask's pixels: x, y, width, height. It is not ok if there are none.
func around(m seem.Mask) (box [4]int, ok bool) {
	pixels := m.Pixels()
	if len(pixels) == 0 {
		return box, false
	}
	lo, hi := pixels[0], pixels[0]
	for _, p := range pixels {
		lo.X, lo.Y, hi.X, hi.Y = min(lo.X, p.X), min(lo.Y, p.Y), max(hi.X, p.X), max(hi.Y, p.Y)
	}
	return [4]int{lo.X, lo.Y, hi.X - lo.X + 1, hi.Y - lo.Y + 1}, true
}

// done are the images that the records have, by this model; a last line that a killed run left unfinished is cut off.
func (v annotateCommand) done() (map[string]bool, error) {
	done := map[string]bool{}
	unfinished := int64(-1)
	err := jsonrecord.EachLine(v.Out, func(r jsonrecord.Record, cut bool) error {
		if cut && !r.Begins("image") {
			return fmt.Errorf("%s: this is no record of a run: choose another file for --out", r.At())
		}
		if cut {
			unfinished = r.Offset
			return nil
		}
		x, err := jsonrecord.Decode[annotated](r)
		if err == nil && (x.Image == "" || x.By != v.Source.name()) {
			err = fmt.Errorf("%s: %q is no image that %s captioned: choose another file for --out", r.At(), x.Image,
				v.Source.name())
		}
		done[x.Image] = true
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return done, nil
	}
	if err == nil && unfinished >= 0 {
		err = os.Truncate(v.Out, unfinished)
	}
	return done, err
}

// imagesIn lists the images of a folder and its subfolders by their extensions, with slashes, in order.
func imagesIn(dir string) (names []string, err error) {
	err = fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			switch ext(path) {
			case ".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif":
				names = append(names, path)
			}
		}
		return err
	})
	if err == nil && len(names) == 0 {
		err = fmt.Errorf("%s holds no images", dir)
	}
	return names, err
}
