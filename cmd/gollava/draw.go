package main

import (
	"context"
	"fmt"
	"image/png"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/gollava/gollava/connector/gligen"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/internal/atomicfile"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit/diffusion"
)

type drawCommand struct {
	Model     string   `arg:"" help:"Folder of a text-to-image model as diffusers writes it: Stable Diffusion 1, with or without GLIGEN's gated layers."`
	Prompt    string   `arg:"" help:"What to draw."`
	Out       string   `required:"" help:"The PNG file to write. With --count the images are numbered: llama.png, llama-2.png, …"`
	Box       []string `sep:"none" placeholder:"PHRASE=X0,Y0,X1,Y1" help:"What is to be where, as shares of the width and the height from the top left; may be given again."`
	Negative  string   `help:"What is not to be drawn."`
	Steps     int      `default:"50" help:"Steps of the sampler."`
	Guidance  float64  `default:"7.5" help:"How strongly the prompt is followed; 1: no guidance, which takes half the time."`
	Tau       float64  `default:"0.3" help:"Share of the steps in which boxes are heeded; 1 follows them most strictly."`
	Scheduler string   `enum:"model,ddim,pndm,dpm" default:"model" help:"How to sample: ${enum}; dpm needs the fewest steps."`
	Seed      uint64   `help:"Of the noise that the images start from."`
	Size      string   `placeholder:"WIDTHxHEIGHT" help:"Of the image; default: as the model was trained."`
	Count     int      `default:"1" help:"How many images to draw."`
	Inpaint   string   `type:"existingfile" help:"An image of which only what the boxes cover is drawn anew."`
	DType     string   `name:"dtype" enum:"float32,bfloat16,stored" default:"float32" help:"What weights are kept as: ${enum}, in which float16 counts as float32."`
	Force     bool     `help:"Write to --out though there is such a file."`
}

func (drawCommand) Help() string {
	return `Draws an image from a text, and from phrases with boxes.

Example:

  gollava draw ./gligen-1-4-generation-text-box "a llama with a hat on a beach" --out llama.png \
    --box "a llama=0.2,0.3,0.8,1" --box "a hat=0.4,0.1,0.6,0.3"`
}

func (v drawCommand) Run(c console) error {
	if err := v.run(c); err != nil {
		return fmt.Errorf("draw: %w", err)
	}
	return nil
}

func (v drawCommand) run(c console) error {
	r := gligen.Request{Prompt: v.Prompt, Negative: v.Negative}
	for _, text := range v.Box {
		o, err := parseBox(text)
		if err != nil {
			return err
		}
		r.Objects = append(r.Objects, o)
	}
	o := gligen.Options{Steps: v.Steps, Guidance: v.Guidance, Tau: v.Tau, Seed: v.Seed,
		Scheduler: map[string]string{"ddim": diffusion.DDIM, "pndm": diffusion.PNDM, "dpm": diffusion.DPM}[v.Scheduler]}
	if v.Size != "" {
		w, h, ok := strings.Cut(v.Size, "x")
		var errW, errH error
		o.Width, errW = strconv.Atoi(w)
		o.Height, errH = strconv.Atoi(h)
		if !ok || errW != nil || errH != nil || o.Width < 1 || o.Height < 1 {
			return fmt.Errorf("--size %s: WIDTHxHEIGHT in pixels is needed, such as 512x512", v.Size)
		}
	}
	if v.Count < 1 {
		return fmt.Errorf("--count %d: at least 1 is needed", v.Count)
	}
	for i := range v.Count {
		if _, err := os.Stat(v.file(i)); err == nil && !v.Force {
			return fmt.Errorf("--out %s is there already: choose another, or replace it with --force", v.file(i))
		}
		if err := unread("--out", v.file(i), v.Inpaint); err != nil {
			return err
		}
	}
	p, err := gligen.Open(v.Model, nn.LoadOptions{DType: source{DType: v.DType}.dtype()})
	if err != nil {
		return err
	}
	if o.Inpaint, err = v.image(p, &o); err != nil {
		return err
	}
	if len(r.Objects) == 0 {
		o.Tau = 0
	}
	o.Each = func(call, calls int, _ *tensor.Tensor) {
		fmt.Fprintf(c.progress, "\rstep %d of %d", call+1, calls)
		if call+1 == calls {
			fmt.Fprintln(c.progress)
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	for i := range v.Count {
		o.Seed = v.Seed + uint64(i)
		x, err := p.Draw(ctx, []gligen.Request{r}, o)
		if err != nil {
			return err
		}
		if err := atomicfile.Write(v.file(i), func(w io.Writer) error {
			return png.Encode(w, gligen.Image(x, 0))
		}); err != nil {
			return err
		}
		fmt.Fprintln(c.out, v.file(i))
	}
	return nil
}

// file is where image i goes.
func (v drawCommand) file(i int) string {
	if i == 0 {
		return v.Out
	}
	ext := filepath.Ext(v.Out)
	return fmt.Sprintf("%s-%d%s", strings.TrimSuffix(v.Out, ext), i+1, ext)
}

// parseBox reads PHRASE=X0,Y0,X1,Y1.
func parseBox(text string) (o gligen.Object, err error) {
	i := strings.LastIndexByte(text, '=')
	numbers := strings.Split(text[i+1:], ",")
	if i < 1 || len(numbers) != 4 {
		return o, fmt.Errorf("--box %q: PHRASE=X0,Y0,X1,Y1 is needed", text)
	}
	o.Phrase = text[:i]
	for k, n := range numbers {
		if o.Box[k], err = strconv.ParseFloat(strings.TrimSpace(n), 64); err != nil {
			return o, fmt.Errorf("--box %q: %q is no number", text, n)
		}
	}
	return o, nil
}

// image reads the one to inpaint, at the size that is to be drawn: [3, H, W] in 0…1.
func (v drawCommand) image(p *gligen.Pipeline, o *gligen.Options) (*tensor.Tensor, error) {
	if v.Inpaint == "" {
		return nil, nil
	}
	if len(v.Box) == 0 {
		return nil, fmt.Errorf("--inpaint %s: --box says what is to be drawn anew", v.Inpaint)
	}
	m, err := imaging.Open(v.Inpaint, imaging.Options{})
	if err != nil {
		return nil, err
	}
	if trained := p.UNet.Config().SampleSize * p.VAE.Factor(); v.Size == "" {
		o.Width, o.Height = trained, trained
	}
	m = imaging.Resize(m, o.Width, o.Height, imaging.Lanczos)
	x := tensor.New(3, m.H, m.W)
	for i := range m.W * m.H {
		for c := range 3 {
			x.Data()[c*m.W*m.H+i] = float32(m.Pix[3*i+c]) / 255
		}
	}
	return x, nil
}
