package drawcase

import (
	"context"
	"fmt"

	"github.com/gollava/gollava/connector/gligen"
	"github.com/gollava/gollava/internal/verify"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit/diffusion"
)

// pipelineFacts is case.json of a pipeline.
type pipelineFacts struct {
	Checkpoints []string
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

// Pipeline checks whole drawings, from a prompt, phrases and boxes to an image: the task gligen_pipeline.
func Pipeline(dir string) ([]verify.Row, error) {
	return verify.Check(dir, func(f *verify.Report, facts pipelineFacts) error {
		if len(facts.Phrases) != len(facts.Boxes) {
			return fmt.Errorf("%d phrases, %d boxes: each phrase needs a box", len(facts.Phrases), len(facts.Boxes))
		}
		request := gligen.Request{Prompt: facts.Prompt}
		for i, phrase := range facts.Phrases {
			request.Objects = append(request.Objects, gligen.Object{Phrase: phrase, Box: facts.Boxes[i]})
		}
		return f.Checkpoints(facts.Checkpoints, func(dir string) error {
			p, err := gligen.Open(dir, nn.LoadOptions{DType: nn.As(tensor.Float32)})
			if err != nil {
				return err
			}
			texts(f, p, request)
			latents := f.Tensor("in.latents")
			for _, name := range verify.Sorted(facts.Runs) {
				if f.Err != nil {
					return f.Err
				}
				r := facts.Runs[name]
				request.Negative = r.Negative
				o := gligen.Options{Steps: r.Steps, Guidance: r.Guidance, Tau: r.Tau, Scheduler: r.Scheduler,
					Latents: latents}
				if err := draw(f, name, p, request, o); err != nil {
					return fmt.Errorf("run %s: %w", name, err)
				}
			}
			return nil
		})
	})
}

// texts compares token ids and embeddings of the prompt and the phrases.
func texts(f *verify.Report, p *gligen.Pipeline, r gligen.Request) {
	prompt := p.IDs([]string{r.Prompt}, true)
	var list []string
	for _, o := range r.Objects {
		list = append(list, o.Phrase)
	}
	phrases := p.IDs(list, false)
	f.Add(verify.Absolute("prompt_ids", wide(prompt.IntData()), wide(f.Ints("out.prompt_ids")), 0),
		verify.Absolute("phrase_ids", wide(phrases.IntData()), wide(f.Ints("out.phrase_ids")), 0))
	f.Output("prompt_embeds", p.Text.Hidden(prompt, nil))
	f.Output("phrase_embeds", p.Text.Pooled(phrases, nil))
}

// draw compares the latents after every step, of which PNDM's first takes two calls, and the image.
func draw(f *verify.Report, name string, p *gligen.Pipeline, r gligen.Request, o gligen.Options) error {
	s, err := diffusion.New(p.Schedule.Config().As(o.Scheduler))
	if err != nil {
		return err
	}
	sampler, err := s.Sampler(o.Steps)
	if err != nil {
		return err
	}
	var ts, xs []float64
	for _, t := range sampler.Timesteps() {
		ts = append(ts, float64(t))
	}
	f.Add(verify.Absolute(name+": timesteps", ts, wide(f.Ints("out."+name+".timesteps")), 0))
	recorded := f.Tensor("out." + name + ".latents")
	if f.Err != nil {
		return f.Err
	}
	o.Each = func(call, calls int, x *tensor.Tensor) {
		if call >= calls-recorded.Dim(0) {
			xs = append(xs, verify.Widen(x.Data())...)
		}
	}
	x, err := p.Draw(context.Background(), []gligen.Request{r}, o)
	if err != nil {
		return err
	}
	f.Add(verify.Absolute(name+": latents", xs, verify.Widen(recorded.Data()), f.Tolerance.Out))
	f.Output(name+".image", x)
	return nil
}
