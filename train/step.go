package train

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// patience is how many steps in a row may be skipped before the run goes back to its last good state.
const patience = 3

// step is one optimizer step: gradients of all micro-batches, clipping, update.
func (r *runner[B]) step(ctx context.Context, rep *StageReport) error {
	start, work := r.now(), tensor.FLOPs()
	if r.at.Micro == 0 {
		for _, t := range r.all {
			t.p.ZeroGrad()
		}
		r.at.Loss, r.at.Tokens = 0, 0
	}
	problem, err := r.gradients(ctx)
	if err != nil {
		return err
	}
	if r.at.Step == 0 && problem == "" {
		if err := r.reached(); err != nil {
			return err
		}
	}
	for _, t := range r.all {
		t.fill()
	}
	loss, bad, err := r.exchange(problem != "")
	if err != nil {
		return err
	}
	norm, norms := 0.0, map[string]float64{}
	if !bad {
		norm, norms = r.norms()
		if !finite(norm) {
			bad = true
		}
	}
	rates := make([]float64, len(r.stage.Groups))
	for i, g := range r.stage.Groups {
		rates[i] = g.LR * r.config.Schedule.Factor(r.at.Step, r.config.Steps)
	}
	tokens := r.at.Tokens
	r.at.Micro = 0
	if bad {
		return r.skip(ctx, rep, problem, rates[0])
	}
	r.at.Step++
	r.at.Updates++
	r.at.Bad, r.at.Rolled = 0, false
	r.update(rates, norm)
	r.at.average(loss)
	if r.stage.After != nil {
		r.stage.After(r.at.Step)
	}
	rep.Loss, rep.Norm, rep.LR = append(rep.Loss, loss), append(rep.Norm, norm), append(rep.LR, rates[0])
	return r.emit(Event{Kind: "step", Stage: r.stage.Name, Step: r.at.Step, Loss: loss, Average: r.at.Average, GradNorm: norm, Norms: norms, LR: rates,
		Tokens: tokens, Samples: r.samples, FLOPs: float64(tensor.FLOPs() - work), Seconds: r.now().Sub(start).Seconds()})
}

// average adds a loss to the running mean over about the last hundred steps.
func (s *state) average(loss float64) {
	s.Count = min(s.Count+1, 100)
	s.Average += (loss - s.Average) / float64(s.Count)
}

// gradients adds up the gradients of the step's micro-batches that are not done yet. problem says where NaN or Inf came from, if one did.
func (r *runner[B]) gradients(ctx context.Context) (problem string, err error) {
	K := r.config.Accumulate
	r.samples = 0
	var batches []B
	total := 0
	if r.config.TokenWeighted {
		for k := range K {
			b, err := r.batch(ctx, k)
			if err != nil {
				return "", err
			}
			batches, total = append(batches, b), total+supervised(b)
		}
		if total, err = r.sumTokens(total); err != nil {
			return "", err
		}
	}
	for r.at.Micro < K {
		k := r.at.Micro
		if k > 0 {
			if err := r.interrupted(ctx); err != nil {
				return "", err
			}
		}
		var b B
		if batches != nil {
			b = batches[k]
		} else if b, err = r.batch(ctx, k); err != nil {
			return "", err
		}
		n := supervised(b)
		weight := 1 / float64(K)
		if r.config.TokenWeighted {
			weight = float64(n) * float64(r.config.Ranks) / float64(total)
		}
		loss, err := r.backward(b, k, weight)
		if err != nil {
			return "", err
		}
		if !finite(loss) {
			problem = r.locate(b, k, "the loss")
			r.at.Micro = K
			return problem, nil
		}
		r.at.Loss += weight * loss
		r.at.Tokens += max(n, 0)
		r.samples += len(samples(b))
		r.at.Micro++
	}
	return "", nil
}

// batch gets micro-batch k of the step and refuses one without anything to learn.
func (r *runner[B]) batch(ctx context.Context, k int) (B, error) {
	n := r.index(k)
	b, err := r.stage.Batches(ctx, n)
	if err != nil {
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			if stop := r.interrupted(ctx); stop != nil {
				return b, stop
			}
		}
		return b, fmt.Errorf("step %d: micro-batch %d: %w", r.at.Step+1, n, err)
	}
	if s := supervised(b); s == 0 || s < 0 && r.config.TokenWeighted {
		if s < 0 {
			return b, fmt.Errorf("token_weighted: %T does not say how many tokens it supervises (it has no method Supervised() int)", b)
		}
		return b, fmt.Errorf("step %d: micro-batch %d%s has no supervised tokens: leave such samples out, or check that truncation does not cut all answers", r.at.Step+1, n, named(b))
	}
	return b, nil
}

// index is the number of micro-batch k of the present step, for this rank.
func (r *runner[B]) index(k int) int {
	return (r.at.Step*r.config.Accumulate+k)*r.config.Ranks + r.comm().Rank()
}

// backward adds weight times the gradient of b's loss to the parameters' and returns the loss.
func (r *runner[B]) backward(b B, k int, weight float64) (loss float64, err error) {
	nn.Train(r.model, r.config.Seed, uint64(r.index(k)))
	err = tensor.Catch(func() {
		tensor.Scope(func() {
			l := r.Model.Loss(b)
			if loss = float64(l.Item()); !finite(loss) {
				return
			}
			if weight != 1 {
				l = l.Scale(float32(weight))
			}
			l.Backward()
		})
	})
	if err != nil {
		return 0, fmt.Errorf("step %d: micro-batch %d%s: %w", r.at.Step+1, r.index(k), named(b), nn.Locate(r.model, err))
	}
	return loss, nil
}

// reached returns an error that names the parameters that the first step brought no gradient.
func (r *runner[B]) reached() error {
	var missing []string
	group := ""
	for _, t := range r.all {
		if t.p.Grad() == nil {
			missing = append(missing, t.name)
			group = r.stage.Groups[t.group].Params
		}
	}
	if missing == nil {
		return nil
	}
	n := len(missing)
	if n > 8 {
		missing = append(missing[:8], fmt.Sprintf("and %d more", n-8))
	}
	return fmt.Errorf("the first step brought no gradient to %d parameters of group %q: %v; the loss does not depend on them: take them out with Except, or begin with a batch that uses them", n, group, missing)
}

// fill gives a parameter that the step did not use a gradient of zero, so that its moments go on as LLaVA's do.
func (t *trained) fill() {
	if t.p.Grad() != nil {
		return
	}
	if t.zero == nil {
		t.zero = tensor.New(t.p.Shape()...)
	}
	t.p.SetGrad(t.zero)
}

// sumTokens adds up n over all ranks.
func (s *session) sumTokens(n int) (int, error) {
	c := s.comm()
	if c.Size() == 1 {
		return n, nil
	}
	x := []float32{float32(n >> 12), float32(n & 4095)}
	if err := c.Sum(x); err != nil {
		return 0, fmt.Errorf("summing token counts over ranks: %w", err)
	}
	return int(x[0])<<12 + int(x[1]), nil
}

// exchange averages loss and gradients over all ranks; one rank's bad step is everybody's.
func (s *session) exchange(wrong bool) (loss float64, bad bool, err error) {
	c := s.comm()
	if c.Size() == 1 {
		return s.at.Loss, wrong, nil
	}
	x := []float32{float32(s.at.Loss), 0}
	if wrong {
		x = []float32{0, 1}
	}
	if err = c.Sum(x); err == nil && x[1] == 0 {
		err = reduce(c, s.all)
	}
	if err != nil {
		return 0, false, fmt.Errorf("reducing gradients over ranks: %w", err)
	}
	return float64(x[0]) / float64(c.Size()), x[1] > 0, nil
}

// norms is the global gradient norm and that of each tower.
func (s *session) norms() (float64, map[string]float64) {
	sum, norms := 0.0, make(map[string]float64, len(s.towers))
	for _, name := range slices.Sorted(maps.Keys(s.towers)) {
		gs := make([]*tensor.Tensor, 0, len(s.towers[name]))
		for _, i := range s.towers[name] {
			gs = append(gs, s.all[i].p.Grad())
		}
		n := tensor.GlobalNorm(gs)
		norms[name] = n
		sum += n * n
	}
	return math.Sqrt(sum), norms
}

// update moves the weights: clipping as torch's clip_grad_norm_, then AdamW, then the average of the weights.
func (r *runner[B]) update(rates []float64, norm float64) {
	scale := 1.0
	if r.config.Clip > 0 {
		scale = min(1, r.config.Clip/(norm+1e-6))
	}
	for i, items := range r.items {
		c := tensor.AdamWConfig{LR: rates[r.rates[i].group], Beta1: r.config.Betas[0], Beta2: r.config.Betas[1], Eps: r.config.Eps,
			WeightDecay: r.rates[i].decay, GradScale: scale, Step: r.at.Updates}
		if r.dry {
			spare(c, items)
			continue
		}
		tensor.AdamW(c, items)
	}
	if d := float32(r.config.EMA); d > 0 {
		for _, t := range r.all {
			tensor.Scope(func() { t.ema.CopyFrom(t.ema.Scale(d).Add(t.value().Scale(1 - d))) })
		}
	}
}

// spare does the work of an update, and puts the weights back.
func spare(c tensor.AdamWConfig, items []tensor.AdamWItem) {
	for i := range items {
		was := items[i].Param.Clone()
		tensor.AdamW(c, items[i:i+1])
		items[i].Param.CopyFrom(was)
	}
}

// supervised is the number of tokens that b's loss averages over, −1 if it does not say.
func supervised(b any) int {
	if c, ok := b.(Counted); ok {
		return c.Supervised()
	}
	return -1
}

func samples(b any) []string {
	if d, ok := b.(Described); ok {
		return d.Samples()
	}
	return nil
}

// named is " (samples a, b)" if b can name its samples, else "".
func named(b any) string {
	if s := samples(b); len(s) > 0 {
		if len(s) > 8 {
			return fmt.Sprintf(" (samples %v and %d more)", s[:8], len(s)-8)
		}
		return fmt.Sprintf(" (samples %v)", s)
	}
	return ""
}
