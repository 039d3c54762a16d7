package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"image/png"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gollava/gollava/data"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/internal/atomicfile"
	"github.com/gollava/gollava/tensor"
)

type showCommand struct {
	Images    string `short:"i" placeholder:"PATH" help:"Where the pictures and videos are: a folder, a .zip or a .tar file."`
	Frames    int    `default:"8" help:"Frames of a video that are shown."`
	Tokenizer string `short:"t" placeholder:"DIR" help:"A model's folder, whose tokenizer cuts the text; without, text is not cut."`
	Template  string `default:"vicuna_v1" help:"How conversations are written; an unknown name lists those there are."`
	Vision    string `placeholder:"DIR" help:"A model's folder, whose preprocessor_config.json says how pictures are cut."`
	Size      int    `default:"336" help:"Without -vision: the side of CLIP's pictures."`
	Pad       bool   `help:"Without -vision: pad pictures to squares, as LLaVA-1.5 does."`
	Patch     int    `default:"14" help:"The side of a patch, which says how many positions a picture takes."`
	MaxLength int    `help:"Cut the text to so many tokens."`
	Marks     bool   `help:"Put <im_start> and <im_end> around pictures."`
	N         int    `short:"n" default:"16" help:"How many samples."`
	From      int    `help:"The first sample, from 0."`
	Random    bool   `help:"Take samples at random."`
	Seed      uint64 `help:"Of -random."`
	Out       string `short:"o" default:"samples.html" placeholder:"FILE" help:"The page to write."`
	File      string `arg:"" help:"A data file: .json, .jsonl, a .yaml mixture, a .tar shard."`
}

func (showCommand) Help() string {
	return `The page shows for each sample the picture after resizing and cropping, and the text that the model is given. Tokens that train are
green, the places of pictures are blue, the rest is grey. A sample that cannot be trained on is shown with the reason. The page needs no other files.

Example: twenty samples at random, as LLaVA-1.5's second stage sees them

  gollava data show llava_instruct_150k.json -images train2017 -tokenizer vicuna-7b-v1.5 -pad -n 20 -random -o samples.html`
}

// piece is a run of text on the page; Class is "trains", "image" or "rest".
type piece struct{ Class, Text, Title string }

// card is a sample on the page.
type card struct {
	Record   int
	ID       string
	Images   []template.URL
	Strips   [][]template.URL // the frames of each video
	Pieces   []piece
	Tokens   string
	Problems []string
}

// pageOnly refuses to replace what is no page, such as a data file or an image.
func pageOnly(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return nil // what cannot be written to says so then
	}
	defer f.Close()
	head := make([]byte, 15)
	n, _ := io.ReadFull(f, head)
	if n > 0 && !strings.EqualFold(string(head[:n]), "<!doctype html>") {
		return fmt.Errorf("--out %s is there, and is no page: choose another", path)
	}
	return nil
}

func (v showCommand) Run(ctx context.Context, c console) error {
	if err := pageOnly(v.Out); err != nil {
		return fmt.Errorf("data show: %w", err)
	}
	set, images, err := openSet(v.File)
	if err != nil {
		return fmt.Errorf("data show: %w", err)
	}
	if closer, ok := set.(io.Closer); ok {
		defer closer.Close()
	}
	if v.Images != "" {
		if images, err = data.OpenSource(v.Images); err != nil {
			return fmt.Errorf("data show: --images: %w", err)
		}
		defer images.Close()
	}
	s := sheet{v: v, images: images}
	if v.Tokenizer != "" {
		if s.tok, err = tokenizer.Load(v.Tokenizer); err != nil {
			return fmt.Errorf("data show: --tokenizer: %w", err)
		}
	}
	s.template, err = chat.Lookup(v.Template)
	if v.Template == chat.Own && s.tok != nil {
		s.template, err = chat.FromTokenizer(s.tok)
	}
	if err != nil {
		return fmt.Errorf("data show: --template: %w", err)
	}
	s.processor = imaging.CLIP(v.Size)
	if v.Pad {
		s.processor.Aspect = "pad"
	}
	if v.Vision != "" {
		if s.processor, err = imaging.ReadProcessor(v.Vision); err != nil {
			return fmt.Errorf("data show: --vision: %w", err)
		}
	}
	if v.Patch < 1 || v.Frames < 1 {
		return fmt.Errorf("data show: --patch %d --frames %d: at least 1", v.Patch, v.Frames)
	}
	if err := s.processor.Validate(); err != nil {
		return fmt.Errorf("data show: %w", err)
	}
	order := data.InOrder(set.Len())
	if v.Random {
		order = data.Shuffled(set.Len(), v.Seed)
	}
	records := order(0)
	if v.From < 0 || v.From >= len(records) || v.N < 1 {
		return fmt.Errorf("data show: -from %d -n %d: the set has records 0 to %d", v.From, v.N, len(records)-1)
	}
	records = records[v.From:min(v.From+v.N, len(records))]
	var cards []card
	for _, i := range records {
		if err := ctx.Err(); err != nil {
			return err
		}
		cards = append(cards, s.card(ctx, set, i))
	}
	err = atomicfile.Write(v.Out, func(w io.Writer) error {
		return page.Execute(w, map[string]any{"File": v.File, "Of": set.Len(), "Cards": cards,
			"Template": s.template.Name, "Cut": s.tok != nil})
	})
	if err != nil {
		return fmt.Errorf("data show: %w", err)
	}
	bad := 0
	for _, x := range cards {
		bad += min(len(x.Problems), 1)
	}
	fmt.Fprintf(c.out, "%s: %d samples of %d, %d of them with problems\n", v.Out, len(cards), set.Len(), bad)
	switch {
	case bad > 0:
		args := []string{"data", "check", place(v.File)}
		if v.Images != "" {
			args = append(args, "--images", place(v.Images))
		}
		c.next(args...)
	case s.tok == nil:
		c.hint("open %s in a browser; with --tokenizer FOLDER it shows tokens", v.Out)
	default:
		c.hint("open %s in a browser", v.Out)
	}
	return nil
}

// sheet makes cards of samples.
type sheet struct {
	v         showCommand
	images    data.Source
	template  chat.Template
	tok       *tokenizer.Tokenizer
	processor *imaging.Processor
}

func (s *sheet) card(ctx context.Context, set data.Set, i int) card {
	sample, err := set.Sample(i)
	x := card{Record: i, ID: sample.ID}
	problem := func(err error) { x.Problems = append(x.Problems, err.Error()) }
	if err != nil {
		problem(err)
		return x
	}
	for _, f := range sample.Faults() {
		problem(&f)
	}
	shown := sample.Visuals()
	positions := s.pictures(ctx, &x, shown, problem)
	o := chat.Options{Pictures: len(shown) > 0, Marks: s.v.Marks, MaxLength: s.v.MaxLength}
	sample.Turns = sample.Places()
	turns := sample.Turns
	if o.Pictures {
		turns = s.template.Multimodal(turns, o.Marks)
	}
	spans, err := s.template.Sample(turns)
	if err != nil {
		problem(err)
		return x
	}
	if s.tok == nil {
		for _, p := range spans {
			x.Pieces = append(x.Pieces, piece{Class: class(p.Supervised), Text: p.Text})
		}
		return x
	}
	ids, err := s.template.Train(s.tok, sample.Turns, o)
	if err != nil {
		problem(err)
	}
	x.Pieces = s.tokens(chat.Text(spans), ids, positions)
	x.Tokens = fmt.Sprintf("%d tokens, %d of them train", len(ids.IDs), ids.Supervised())
	if n := sum(positions); n > 0 {
		x.Tokens += fmt.Sprintf("; %d positions with pictures", len(ids.IDs)-len(positions)+n)
		if len(sample.Videos) > 0 {
			x.Tokens += ", fewer where the model pools frames"
		}
	}
	if ids.Cut > 0 {
		x.Tokens += fmt.Sprintf("; %d tokens cut off", ids.Cut)
	}
	return x
}

// pictures puts what a sample shows on the card, the views of images and the frames of videos, and returns how many
// positions each takes, before any pooling of frames.
func (s *sheet) pictures(ctx context.Context, x *card, shown []data.Visual, problem func(error)) (positions []int) {
	for _, v := range shown {
		positions = append(positions, 0)
		if s.images == nil {
			problem(errors.New("no place to look for " + v.Name + ": say it with -images"))
			continue
		}
		views, err := s.views(ctx, v)
		if err != nil {
			problem(err)
			continue
		}
		var list []template.URL
		for _, view := range views {
			var buf bytes.Buffer
			if err := png.Encode(&buf, view); err != nil {
				problem(err)
				continue
			}
			list = append(list, template.URL("data:image/png;base64,"+base64.StdEncoding.EncodeToString(buf.Bytes())))
			positions[len(positions)-1] += (view.W / s.v.Patch) * (view.H / s.v.Patch)
		}
		if v.Video {
			x.Strips = append(x.Strips, list)
		} else {
			x.Images = append(x.Images, list...)
		}
	}
	return positions
}

// views are an image as the encoder gets it, or the frames of a video, each as one view.
func (s *sheet) views(ctx context.Context, v data.Visual) (views []*imaging.RGB, err error) {
	if !v.Video {
		m, err := data.LoadImage(s.images, v.Name, imaging.Options{})
		if err != nil {
			return nil, err
		}
		if views, err = s.processor.Views(m); err != nil {
			return nil, fmt.Errorf("%s: %w", v.Name, err)
		}
		return views, nil
	}
	frames, err := data.LoadVideo(ctx, s.images, v.Name, s.v.Frames, imaging.Options{})
	plain := *s.processor
	plain.Aspect, plain.Canvases = "", nil
	for _, m := range frames {
		one, err := plain.Views(m)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", v.Name, err)
		}
		views = append(views, one...)
	}
	return views, err
}

// tokens cuts a text as its tokens do. Bytes that are behind no token belong to the one before.
func (s *sheet) tokens(text string, t chat.Tokens, positions []int) []piece {
	var out []piece
	at, image := 0, 0
	for i, id := range t.IDs {
		from, to := t.Ranges[i][0], t.Ranges[i][1]
		p := piece{Class: class(t.Labels[i] != tensor.IgnoreIndex), Title: fmt.Sprintf("%d %s", id, s.tok.Token(id))}
		if at < from && len(out) > 0 {
			out[len(out)-1].Text += text[at:from]
		}
		switch {
		case id == chat.ImageIndex:
			p = piece{Class: "image", Text: chat.ImageToken, Title: "a picture"}
			if image < len(positions) {
				p.Title = fmt.Sprintf("picture %d: %d positions", image+1, positions[image])
			}
			image++
		case from == to:
			p.Text = s.tok.Token(id)
		default:
			p.Text = text[max(from, at):max(to, at)]
			if p.Text == "" || !whole(p.Text) {
				p.Text = s.tok.Token(id)
			}
		}
		at = max(at, to)
		out = append(out, p)
	}
	return slices.Clip(out)
}

func class(trains bool) string {
	if trains {
		return "trains"
	}
	return "rest"
}

// whole reports whether a token's bytes are characters.
func whole(s string) bool { return utf8.ValidString(s) }

func sum[T int | float64](list []T) T {
	var n T
	for _, x := range list {
		n += x
	}
	return n
}

var page = template.Must(template.New("page").Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{{.File}}</title><style>
body { font: 15px/1.6 system-ui, sans-serif; margin: 2em auto; max-width: 70em; color: #222; background: #fff }
.card { border-top: 1px solid #ccc; padding: 1em 0; display: grid; grid-template-columns: minmax(0, 22em) 1fr; gap: 1.5em }
.card img { width: 100%; max-width: 336px; image-rendering: pixelated; margin-bottom: .5em }
.strip { display: grid; grid-template-columns: repeat(4, 1fr); gap: 2px }
.text { font: 14px/1.9 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere }
.text span { border-radius: 3px; padding: 1px 0; box-shadow: inset -1px 0 0 #fff }
.trains { background: #bfe8c4 } .image { background: #b9d7ff } .rest { background: #ececec; color: #555 }
.problem { color: #b00020 } .note { color: #777 }
</style></head><body>
<h1>{{.File}}</h1>
<p>{{len .Cards}} of {{.Of}} samples, template {{.Template}}. {{if .Cut}}Each box is a token, its number shows under the pointer.{{else}}The text is not cut into tokens.{{end}}
<span class="trains">trains</span> <span class="image">place of a picture</span> <span class="rest">does not train</span></p>
{{range .Cards}}<div class="card"><div>{{range .Images}}<img src="{{.}}" alt="">{{end}}{{range .Strips}}<div class="strip">{{range .}}<img src="{{.}}" alt="">{{end}}</div>{{end}}<div class="note">record {{.Record}}{{if .ID}}, {{.ID}}{{end}}<br>{{.Tokens}}</div></div>
<div>{{range .Problems}}<p class="problem">{{.}}</p>{{end}}<div class="text">{{range .Pieces}}<span class="{{.Class}}"{{if .Title}} title="{{.Title}}"{{end}}>{{.Text}}</span>{{end}}</div></div></div>
{{end}}</body></html>
`))
