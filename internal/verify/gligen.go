package verify

import (
	"context"
	"fmt"

	"github.com/gollava/gollava/connector/gligen"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit/diffusion"
)

// pipelineCase is case.json of a pipeline.
type pipelineCase struct {
	Checkpoints []checkpoint
	Prompt      string
	Phrases     []string
	Boxes       [][4]float64
	Runs        map[string]struct {
		Scheduler string
		Steps     int
		Guidance  float64 `json:"guidance_scale"`
		Tau       float64
		Negative  string `json:"negative_prompt"`
	}
}

// pipeline checks whole drawings, from a prompt, phrases and boxes to an image.
func pipeline(r *Report, c pipelineCase) {
	if len(c.Phrases) != len(c.Boxes) {
		failf("%d phrases, %d boxes: each phrase needs a box", len(c.Phrases), len(c.Boxes))
	}
	request := gligen.Request{Prompt: c.Prompt}
	for i, phrase := range c.Phrases {
		request.Objects = append(request.Objects, gligen.Object{Phrase: phrase, Box: c.Boxes[i]})
	}
	r.checkpoints(c.Checkpoints, func(checkpoint) {
		p := must(gligen.Open(r.Checkpoint, nn.LoadOptions{DType: nn.As(tensor.Float32)}))
		prompt, phrases := p.IDs([]string{c.Prompt}, true), p.IDs(c.Phrases, false)
		r.add(absolute("prompt_ids", widen(prompt.IntData()), widen(r.ints("out.prompt_ids")), 0),
			absolute("phrase_ids", widen(phrases.IntData()), widen(r.ints("out.phrase_ids")), 0))
		r.output("prompt_embeds", p.Text.Hidden(prompt, nil))
		r.output("phrase_embeds", p.Text.Pooled(phrases, nil))
		for _, name := range sorted(c.Runs) {
			run := c.Runs[name]
			request.Negative = run.Negative
			o := gligen.Options{Steps: run.Steps, Guidance: run.Guidance, Tau: run.Tau, Scheduler: run.Scheduler,
				Latents: r.tensor("in.latents")}
			if err := catch(func() { draw(r, name, p, request, o) }); err != nil {
				check(fmt.Errorf("run %s: %w", name, err))
			}
		}
	})
}

// draw compares the latents after every step, of which PNDM's first takes two calls, and the image.
func draw(r *Report, name string, p *gligen.Pipeline, request gligen.Request, o gligen.Options) {
	s := must(diffusion.New(p.Schedule.Config().As(o.Scheduler)))
	ts := must(s.Sampler(o.Steps)).Timesteps()
	r.add(absolute(name+": timesteps", widen(ts), widen(r.ints("out."+name+".timesteps")), 0))
	recorded := r.tensor("out." + name + ".latents")
	var xs []float64
	o.Each = func(call, calls int, x *tensor.Tensor) {
		if call >= calls-recorded.Dim(0) {
			xs = append(xs, widen(x.Data())...)
		}
	}
	x := must(p.Draw(context.Background(), []gligen.Request{request}, o))
	r.add(absolute(name+": latents", xs, widen(recorded.Data()), r.Tolerance.Out))
	r.output(name+".image", x)
}
