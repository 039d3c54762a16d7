package study

import (
	"fmt"
	"strings"
)

// limit is what a score must reach, or, with a negative sign, must not exceed.
type limit struct {
	score string
	least float64 // −x: at most x
}

// promises are what the presets must show, whatever the seed.
var promises = map[string][]limit{
	"default": {
		{"mix", .88}, {"vision_gain", .50}, {"blind", -.373}, {"shuffled", -.373}, {"mean_picture", -.373},
		{"pope_random", .95}, {"pope_popular", .95}, {"pope_adversarial", .90}, {"color", .95}, {"shape", .95}, {"where", .90}, {"count_all", .95}, {"count_color", .85},
		{"word", .75}, {"caption_f1", .85}, {"caption_chair", -.05}, {"held_out_existence", .80}, {"held_out_shape", .70},
		{"zero_shot_seen", .97}, {"zero_shot_unseen", .85}, {"align_gain", .18}, {"encoder_gain", .10},
		{"widgets_before", -.20}, {"widgets_after", .78}, {"widgets_fade", -.03},
	},
	"smoke": {{"mix", .58}, {"vision_gain", .20}},
}

// Gate compares the scores with what the preset promises and returns an error that names what falls short.
func (r *Report) Gate() error {
	var short []string
	for _, p := range promises[r.Preset] {
		v, ok := r.Scores[p.score]
		switch {
		case !ok:
			short = append(short, p.score+" was not measured")
		case p.least >= 0 && v < p.least:
			short = append(short, fmt.Sprintf("%s %.3f, wanted at least %.3f", p.score, v, p.least))
		case p.least < 0 && v > -p.least:
			short = append(short, fmt.Sprintf("%s %.3f, wanted at most %.3f", p.score, v, -p.least))
		}
	}
	if short != nil {
		return fmt.Errorf("the gate of preset %s, seed %d: %s", r.Preset, r.Seed, strings.Join(short, "; "))
	}
	return nil
}

// worst is, of each score that the gate asks for, the worst of several runs.
func worst(reports []Report) map[string]float64 {
	w := map[string]float64{}
	for _, r := range reports {
		for _, p := range promises[r.Preset] {
			v, seen := w[p.score]
			if x := r.Scores[p.score]; !seen || (p.least >= 0) == (x < v) {
				w[p.score] = x
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
		fmt.Fprintf(&b, "%-20s", p.score)
		for _, r := range reports {
			fmt.Fprintf(&b, "%10.3f", r.Scores[p.score])
		}
		sign := "≥ "
		if p.least < 0 {
			sign = "≤ "
		}
		fmt.Fprintf(&b, "%10.3f%10s\n", w[p.score], sign+fmt.Sprintf("%.3f", max(p.least, -p.least)))
	}
	fmt.Fprintf(&b, "%-20s", "seconds")
	for _, r := range reports {
		fmt.Fprintf(&b, "%10.0f", r.Seconds)
	}
	return b.String() + "\n"
}
