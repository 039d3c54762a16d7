package train

import (
	"encoding/json"
	"fmt"
	"math"
	"path"
	"strings"
)

// plan is a stage with every default filled in: what decides its result, as checkpoints store it.
type plan struct {
	Name          string          `json:"name"`
	Steps         int             `json:"steps"`
	Accumulate    int             `json:"accumulate"`
	TokenWeighted bool            `json:"token_weighted"`
	Groups        []Group         `json:"groups"`
	Schedule      Schedule        `json:"schedule"`
	Betas         [2]float64      `json:"betas"`
	Eps           float64         `json:"eps"`
	Clip          float64         `json:"clip"`
	EMA           float64         `json:"ema"`
	Seed          uint64          `json:"seed"`
	Autocast      bool            `json:"autocast,omitempty"`
	Ranks         int             `json:"ranks,omitempty"` // that the result depends on, with Options.InexactSum
	Stops         []string        `json:"stops,omitempty"` // evaluations that can end the stage early
	Config        json.RawMessage `json:"config,omitempty"`
}

// maxSteps bounds the steps of a stage, and the micro-batches of a step, far above any real run.
const maxSteps = 1 << 30

// resolveStage fills in defaults and returns an error that names the field that is wrong.
func resolveStage[B any](model any, s *Stage[B]) (plan, error) {
	c := plan{Name: s.Name, Steps: s.Steps, Accumulate: s.Accumulate, TokenWeighted: s.TokenWeighted, Groups: s.Groups,
		Schedule: s.Schedule, Betas: s.Betas, Eps: s.Eps, Clip: s.Clip, EMA: s.EMA, Seed: s.Seed, Autocast: s.Autocast}
	if c.Accumulate == 0 {
		c.Accumulate = 1
	}
	if c.Betas == [2]float64{} {
		c.Betas = [2]float64{0.9, 0.999}
	}
	if c.Eps == 0 {
		c.Eps = 1e-8
	}
	for i := range c.Betas {
		if !(c.Betas[i] >= 0 && c.Betas[i] < 1) {
			return c, fmt.Errorf("betas %v must lie in [0, 1)", c.Betas)
		}
	}
	switch {
	case s.Name == "":
		return c, fmt.Errorf("has no name")
	case s.Batches == nil:
		return c, fmt.Errorf("Batches is nil: say where its batches come from")
	case c.Accumulate < 0:
		return c, fmt.Errorf("accumulate %d is negative", c.Accumulate)
	case s.Steps < 0:
		return c, fmt.Errorf("steps %d is negative", s.Steps)
	case s.Steps > 0 && s.Epochs > 0:
		return c, fmt.Errorf("both steps (%d) and epochs (%v) are given; give one", s.Steps, s.Epochs)
	case !(s.Epochs >= 0) || math.IsInf(s.Epochs, 0):
		return c, fmt.Errorf("epochs %v is not a length", s.Epochs)
	case s.Epochs > 0 && s.Length <= 0:
		return c, fmt.Errorf("epochs %v of an empty data set (length %d micro-batches)", s.Epochs, s.Length)
	case !(c.Eps > 0):
		return c, fmt.Errorf("eps %v must be positive", c.Eps)
	case !(c.Clip >= 0):
		return c, fmt.Errorf("clip %v must not be negative", c.Clip)
	case !(c.EMA >= 0 && c.EMA < 1):
		return c, fmt.Errorf("ema %v must lie in [0, 1)", c.EMA)
	case s.Every < 0:
		return c, fmt.Errorf("every %d is negative", s.Every)
	}
	if n := math.Ceil(s.Epochs * float64(s.Length) / float64(c.Accumulate)); n > maxSteps {
		return c, fmt.Errorf("epochs %v are %.3g steps, more than the %d that a stage may have", s.Epochs, n, maxSteps)
	}
	if s.Steps > maxSteps || c.Accumulate > maxSteps {
		return c, fmt.Errorf("%d steps of %d micro-batches: each may be %d at most", s.Steps, c.Accumulate, maxSteps)
	}
	if s.Epochs > 0 {
		c.Steps = int(math.Ceil(s.Epochs * float64(s.Length) / float64(c.Accumulate)))
	}
	if c.Steps == 0 {
		return c, fmt.Errorf("zero steps: set steps, or epochs and length")
	}
	if err := c.Schedule.Validate(); err != nil {
		return c, err
	}
	for _, e := range s.Evaluate {
		switch {
		case e.Run == nil && e.Generate == nil:
			return c, fmt.Errorf("evaluation %q: Run and Generate are nil", e.Name)
		case e.Run == nil && e.Best != "":
			return c, fmt.Errorf("evaluation %q: best %q needs Run, which gives scores", e.Name, e.Best)
		case e.Every < 0 || e.Patience < 0:
			return c, fmt.Errorf("evaluation %q: every %d and patience %d must not be negative", e.Name, e.Every, e.Patience)
		case e.Patience > 0 && e.Best == "":
			return c, fmt.Errorf("evaluation %q: patience %d needs best, the score that is to improve", e.Name, e.Patience)
		case e.Patience > 0:
			c.Stops = append(c.Stops, fmt.Sprintf("%s every %d, patience %d on %s", e.Name, e.Every, e.Patience, e.Best))
		}
	}
	for _, g := range s.Groups {
		for _, p := range append(append([]string{g.Params}, g.Except...), g.NoDecay...) {
			for e := range strings.SplitSeq(p, ".") {
				if _, err := path.Match(e, ""); err != nil || e == "" {
					return c, fmt.Errorf("group %q: pattern %q is malformed at %q", g.Params, p, e)
				}
			}
		}
	}
	if _, ok := model.(interface{ SetRecompute(bool) }); s.Recompute && !ok {
		return c, fmt.Errorf("recompute: the model has no SetRecompute")
	}
	if s.Config != nil {
		b, err := json.Marshal(s.Config)
		if err != nil {
			return c, fmt.Errorf("config: %w", err)
		}
		c.Config = b
	}
	_, err := resolve(model, s.Groups)
	return c, err
}

// differ names the first field in which two resolved configs, as JSON, differ, with both values; "" if none.
func differ(was, is []byte) string {
	var a, b any
	if json.Unmarshal(was, &a) != nil || json.Unmarshal(is, &b) != nil {
		return "the config is not readable"
	}
	return differAt("", a, b)
}

func differAt(at string, a, b any) string {
	show := func(x any) string { j, _ := json.Marshal(x); return string(j) }
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok {
			break
		}
		for _, k := range keys(x, y) {
			p := strings.TrimPrefix(at+"."+k, ".")
			if d := differAt(p, x[k], y[k]); d != "" {
				return d
			}
		}
		return ""
	case []any:
		y, ok := b.([]any)
		if !ok {
			break
		}
		for i := range max(len(x), len(y)) {
			var u, v any
			name := fmt.Sprint(i)
			if i < len(x) {
				u = x[i]
			}
			if i < len(y) {
				v = y[i]
			}
			if d := differAt(at+"["+name+"]", u, v); d != "" {
				return d
			}
		}
		return ""
	}
	if show(a) == show(b) {
		return ""
	}
	return fmt.Sprintf("%s was %s and is now %s", at, show(a), show(b))
}
