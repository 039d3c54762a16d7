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
	start := r.now()
	if r.at.Micro == 0 {
		for _, t := range r.all {
			t.p.ZeroGrad()
		}
		r.at.Loss, r.at.Tokens = 0, 0
	}
	mine, err := r.gradients(ctx)
	if err != nil {
		return err
	}
	loss, problem, err := r.exchange(mine)
	if err != nil {
		return err
	}
	norm, norms, bad := 0.0, map[string]float64{}, problem != ""
	if !bad {
		if norm, norms, err = r.norms(); err != nil {
			return err
		}
		bad = !finite(norm)
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
	if err := r.update(rates, norm); err != nil {
		return err
	}
	r.at.average(loss)
	if r.stage.After != nil {
		r.stage.After(r.at.Step)
	}
	rep.Loss, rep.Norm, rep.LR = append(rep.Loss, loss), append(rep.Norm, norm), append(rep.LR, rates[0])
	return r.emit(Event{Kind: "step", Stage: r.stage.Name, Step: r.at.Step, Loss: loss, Average: r.at.Average,
		GradNorm: norm, Norms: norms, LR: rates, Tokens: tokens, Samples: r.samples, FLOPs: float64(r.flops),
		Seconds: r.now().Sub(start).Seconds(),
		Memory:  resident()})
}

// average adds a loss to the running mean over about the last hundred steps.
func (s *state) average(loss float64) {
	s.Count = min(s.Count+1, 100)
	s.Average += (loss - s.Average) / float64(s.Count)
}

// gradients adds up the gradients of this rank's micro-batches of the step that are not done yet.
func (r *runner[B]) gradients(ctx context.Context) (mine exchanged, err error) {
	K, N, rank := r.config.Accumulate, r.comm().Size(), r.comm().Rank()
	mine.Losses, r.samples, r.flops, r.peak = map[int]float64{}, 0, 0, 0
	batches, total := map[int]B{}, 0
	if r.config.TokenWeighted {
		for k := rank; k < K; k += N {
			b, err := r.batch(ctx, k)
			if err != nil {
				return mine, err
			}
			batches[k], total = b, total+supervised(b)
		}
		all, err := share(r.comm(), total)
		if err != nil {
			return mine, fmt.Errorf("counting tokens over ranks: %w", err)
		}
		total = 0
		for _, n := range all {
			total += n
		}
	}
	if N > 1 {
		r.red.reset(r.at.Micro > 0)
	}
	for r.at.Micro < K {
		first := r.at.Micro - r.at.Micro%N // of the round
		k := first + rank
		if N == 1 && k > 0 {
			if err := r.interrupted(ctx); err != nil {
				return mine, err
			}
		}
		if N > 1 {
			r.red.round(r.at.Micro-first, min(N, K-first))
		}
		if N == 1 || r.red.computes() && mine.Problem == "" {
			b, ok := batches[k]
			if !ok {
				if b, err = r.batch(ctx, k); err != nil {
					return mine, err
				}
			}
			n := supervised(b)
			weight := 1 / float64(K)
			if r.config.TokenWeighted {
				weight = float64(n) / float64(total)
			}
			loss, err := r.backward(b, k, weight)
			if err != nil {
				return mine, err
			}
			if !finite(loss) {
				mine.Problem = r.locate(b, k, "the loss")
			}
			if N == 1 && mine.Problem != "" {
				r.at.Micro = K
				return mine, nil
			}
			if N > 1 {
				mine.Losses[k] = float64(weight * loss)
				mine.Tokens, mine.Samples = mine.Tokens+max(n, 0), mine.Samples+len(samples(b))
			} else {
				r.at.Loss += float64(weight * loss)
				r.at.Tokens, r.samples = r.at.Tokens+max(n, 0), r.samples+len(samples(b))
			}
		}
		if N > 1 {
			r.red.poison = mine.Problem != ""
			if err := r.red.finish(); err != nil {
				return mine, fmt.Errorf("reducing gradients over ranks: %w", err)
			}
		}
		r.at.Micro = min(K, first+N)
	}
	if N > 1 {
		mine.Seen, mine.Reach = r.red.seen, r.reach
		return mine, nil
	}
	if r.at.Step == 0 {
		seen := make([]bool, len(r.all))
		for i, t := range r.all {
			seen[i] = t.p.Grad() != nil
		}
		if err := r.reached(seen, r.reach); err != nil {
			return mine, err
		}
	}
	for _, t := range r.all {
		t.fill()
	}
	return mine, nil
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
			return b, fmt.Errorf("token_weighted: %T does not say how many tokens it supervises (it has no method "+
				"Supervised() int)", b)
		}
		return b, fmt.Errorf("step %d: micro-batch %d%s has no supervised tokens: leave such samples out, or check that "+
			"truncation does not cut all answers", r.at.Step+1, n, named(b))
	}
	if r.at.Step == 0 {
		if r.reach == nil {
			r.reach = make([]bool, len(r.all))
		}
		p, partial := any(b).(Partial)
		for i, t := range r.all {
			r.reach[i] = r.reach[i] || !partial || p.Reaches(t.name)
		}
	}
	return b, nil
}

// index is the number of micro-batch k of the present step.
func (r *runner[B]) index(k int) int {
	return r.at.Step*r.config.Accumulate + k
}

// backward adds weight times the gradient of b's loss to the parameters' and returns the loss.
func (r *runner[B]) backward(b B, k int, weight float64) (loss float64, err error) {
	nn.Train(r.model, r.config.Seed, uint64(r.index(k)))
	err = tensor.Catch(func() {
		tensor.Scope(func(s *tensor.Arena) {
			defer func() { r.flops, r.peak = r.flops+s.FLOPs(), max(r.peak, s.Peak()) }()
			l := r.Model.Loss(in(b, s))
			if loss = float64(l.Item()); !finite(loss) {
				return
			}
			if weight != 1 {
				l = l.Scale(float32(weight))
			}
			switch {
			case r.comm().Size() > 1:
				l.BackwardEach(r.red.complete)
			case r.config.Accumulate > 1:
				r.accumulate(l)
			default:
				l.Backward()
			}
		})
	})
	if err != nil {
		return 0, fmt.Errorf("step %d: micro-batch %d%s: %w", r.at.Step+1, r.index(k), named(b), nn.Locate(r.model, err))
	}
	return loss, nil
}

// accumulate adds l's gradient to the one that the step's earlier micro-batches left, parameter by parameter as soon as
// each is complete. It is computed by itself first, not into their sum, so that the result does not depend on which
// rank computes a micro-batch.
func (s *session) accumulate(l *tensor.Tensor) {
	at := make(map[*tensor.Tensor]*trained, len(s.all))
	for _, t := range s.all {
		at[t.p], t.sum = t, t.p.Grad()
		t.p.SetGrad(nil)
	}
	defer func() {
		for _, t := range s.all {
			t.p.SetGrad(t.sum)
			t.sum = nil
		}
	}()
	l.BackwardEach(func(p *tensor.Tensor) {
		t, g := at[p], p.Grad()
		switch {
		case t == nil || g == nil:
		case t.sum == nil:
			t.sum = g
			p.SetGrad(nil)
		default:
			t.sum.AddFrom(g)
			p.ZeroGrad()
		}
	})
}

// reached returns an error that names the parameters that the first step brought no gradient; seen are those that it
// did, reach those that its batches could.
func (r *runner[B]) reached(seen, reach []bool) error {
	var missing []string
	group := ""
	for i, t := range r.all {
		if !seen[i] && i < len(reach) && reach[i] {
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
	return fmt.Errorf("the first step brought no gradient to %d parameters of group %q: %v; the loss does not depend on "+
		"them: take them out with Except, or begin with a batch that uses them", n, group, missing)
}

// fill gives a parameter that the step did not use a gradient of zero, so that its moments go on as LLaVA's do.
func (t *trained) fill() {
	if t.p.Grad() != nil {
		return
	}
	if t.zero == nil {
		t.zero = tensor.New(t.p.Shape()...).To(t.p.Device())
	}
	t.p.SetGrad(t.zero)
}

// norms is the global gradient norm and that of each tower.
func (s *session) norms() (norm float64, norms map[string]float64, err error) {
	var squares map[*block]float64
	if s.sharded() {
		if squares, err = s.squares(); err != nil {
			return 0, nil, err
		}
	}
	sum := 0.0
	norms = make(map[string]float64, len(s.towers))
	for _, name := range slices.Sorted(maps.Keys(s.towers)) {
		var gs []*tensor.Tensor
		var ts []*trained
		for _, i := range s.towers[name] {
			gs, ts = append(gs, s.all[i].p.Grad()), append(ts, s.all[i])
		}
		n := 0.0
		if s.sharded() {
			n = shardNorm(squares, ts)
		} else {
			n = tensor.GlobalNorm(gs)
		}
		norms[name] = n
		sum += float64(n * n)
	}
	return math.Sqrt(sum), norms, nil
}

// update moves the weights: clipping as torch's clip_grad_norm_, then AdamW, then the average of the weights.
func (r *runner[B]) update(rates []float64, norm float64) error {
	r.hold()
	scale := 1.0
	if r.config.Clip > 0 {
		scale = min(1, r.config.Clip/(norm+1e-6))
	}
	for i, items := range r.items {
		c := tensor.AdamWConfig{LR: rates[r.rates[i].group], Beta1: r.config.Betas[0], Beta2: r.config.Betas[1],
			Eps:         r.config.Eps,
			WeightDecay: r.rates[i].decay, GradScale: scale, Step: r.at.Updates}
		if r.dry {
			spare(c, items)
			continue
		}
		tensor.AdamW(c, items)
	}
	if d := float32(r.config.EMA); d > 0 {
		follow := func(ema, value *tensor.Tensor) {
			tensor.Scope(func(s *tensor.Arena) {
				ema.CopyFrom(ema.In(s).Scale(d).Add(value.NoGrad().In(s).Scale(1 - d)))
			})
		}
		for _, t := range r.all {
			if t.ema != nil {
				follow(t.ema, t.value())
			}
		}
		for _, x := range r.own {
			if x.ema != nil {
				follow(x.ema, x.value())
			}
		}
	}
	if r.sharded() {
		return r.spread()
	}
	return nil
}

// spare does the work of an update, and puts the weights back.
func spare(c tensor.AdamWConfig, items []tensor.AdamWItem) {
	for i := range items {
		was := items[i].Param.Clone()
		tensor.AdamW(c, items[i:i+1])
		items[i].Param.CopyFrom(was)
	}
}

// in is b in scope s, if it can be.
func in[B any](b B, s *tensor.Arena) B {
	if m, ok := any(b).(Scoped[B]); ok {
		return m.In(s)
	}
	return b
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
