package llava

import (
	"fmt"
	"math"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/train"
)

// smaller says what would do for n samples.
func (c *Config) smaller(n int) string {
	batch := max(1, min(8, n/4))
	return fmt.Sprintf("batch: %d with epochs: %d would take %d steps", batch, max(1, 100*batch/n),
		(n+batch-1)/batch*max(1, 100*batch/n))
}

// warn says if the rates of a run are too small, for too long, to learn anything.
func (r *Run) warn(s *train.Stage[connector.Batch]) {
	steps := s.Steps
	if s.Epochs > 0 {
		steps = int(math.Ceil(min(s.Epochs*float64(s.Length)/float64(s.Accumulate), 1<<30)))
	}
	warm := s.Schedule.Warmup(steps)
	if s.Schedule.Kind == "constant" {
		warm = 0
	}
	switch {
	case steps > 0 && warm >= steps && steps == 1:
		r.say("nothing will be learnt: the only step is the first of the warm-up, whose rate is 0. Give more epochs, a "+
			"smaller batch (%s), or warmup: 0",
			r.config.smaller(r.train.Len()))
	case steps > 0 && 2*warm > steps:
		r.say("%d of the %d steps are warm-up, at less than the full rate: give more epochs, a smaller batch, or a smaller "+
			"warmup", warm, steps)
	}
}

// judge says if the loss of a run did not fall.
func (r *Run) judge(loss []float64) {
	n := len(loss) / 5
	if n < 2 {
		return
	}
	first, last := mean(loss[:n]), mean(loss[len(loss)-n:])
	if !(last < first) {
		r.say("the loss did not fall: %.4g in the first %d steps, %.4g in the last; look at the data (gollava data show) "+
			"and at the rates", first, n, last)
	}
}

func mean(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}
