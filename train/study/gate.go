package study

import (
	"fmt"
	"strings"
)

// Limit is what a score must reach, or, with a negative sign, must not exceed.
type Limit struct {
	Score string
	Least float64 // −x: at most x
}

// promises are what the presets must show, whatever the seed.
var promises = map[string][]Limit{
	"default": {
		{"mix", .88}, {"vision_gain", .50}, {"blind", -.373}, {"shuffled", -.373}, {"mean_picture", -.373},
		{"pope_random", .95}, {"pope_popular", .95}, {"pope_adversarial", .90},
		{"color", .95}, {"shape", .95}, {"where", .90}, {"count_all", .95}, {"count_color", .85},
		{"word", .75}, {"caption_f1", .85}, {"caption_chair", -.05}, {"held_out_existence", .80},
		{"held_out_shape", .70},
		{"zero_shot_seen", .97}, {"zero_shot_unseen", .85}, {"align_gain", .18}, {"encoder_gain", .10},
		{"widgets_before", -.20}, {"widgets_after", .78}, {"widgets_fade", -.03},
	},
	"smoke": {{"mix", .58}, {"vision_gain", .20}},
}

// Short lists the scores that fall short of their limits or were not measured.
func Short(scores map[string]float64, limits []Limit) (short []string) {
	for _, l := range limits {
		v, ok := scores[l.Score]
		switch {
		case !ok:
			short = append(short, l.Score+" was not measured")
		case l.Least >= 0 && v < l.Least:
			short = append(short, fmt.Sprintf("%s %.3f, wanted at least %.3f", l.Score, v, l.Least))
		case l.Least < 0 && v > -l.Least:
			short = append(short, fmt.Sprintf("%s %.3f, wanted at most %.3f", l.Score, v, -l.Least))
		}
	}
	return short
}

// Gate compares the scores with what the preset promises and returns an error that names what falls short.
func (r *Report) Gate() error {
	if short := Short(r.Scores, promises[r.Preset]); short != nil {
		return fmt.Errorf("the gate of preset %s, seed %d: %s", r.Preset, r.Seed, strings.Join(short, "; "))
	}
	return nil
}

// worst is, of each score that the gate asks for, the worst of several runs.
func worst(reports []Report) map[string]float64 {
	w := map[string]float64{}
	for _, r := range reports {
		for _, p := range promises[r.Preset] {
			v, seen := w[p.Score]
			if x := r.Scores[p.Score]; !seen || (p.Least >= 0) == (x < v) {
				w[p.Score] = x
			}
		}
	}
	return w
}

// Scoreboard prints the gate's scores of several runs side by side, with the worst.
func Scoreboard(reports []Report) string {
	var b strings.Builder
	w := worst(reports)
	fmt.Fprintf(&b, "%-20s", "score")
	for _, r := range reports {
		fmt.Fprintf(&b, "%10s", fmt.Sprintf("seed %d", r.Seed))
	}
	fmt.Fprintf(&b, "%10s%10s\n", "worst", "limit")
	if len(reports) == 0 {
		return b.String()
	}
	for _, p := range promises[reports[0].Preset] {
		fmt.Fprintf(&b, "%-20s", p.Score)
		for _, r := range reports {
			fmt.Fprintf(&b, "%10.3f", r.Scores[p.Score])
		}
		sign := "≥ "
		if p.Least < 0 {
			sign = "≤ "
		}
		fmt.Fprintf(&b, "%10.3f%10s\n", w[p.Score], sign+fmt.Sprintf("%.3f", max(p.Least, -p.Least)))
	}
	fmt.Fprintf(&b, "%-20s", "seconds")
	for _, r := range reports {
		fmt.Fprintf(&b, "%10.0f", r.Seconds)
	}
	return b.String() + "\n"
}
