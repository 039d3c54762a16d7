package study

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"

	"github.com/gollava/gollava/train"
)

const gainFile = "vision-gain.png"

// drawCurves writes the loss of every stage and what the questions showed while stage 2 trained.
func (j *Study) drawCurves() error {
	losses, scores := map[string]plotter.XYs{}, map[string]plotter.XYs{}
	for _, p := range j.Report.Curves {
		at := float64(p.Step)
		if p.Scores == nil {
			losses[p.Stage] = append(losses[p.Stage], plotter.XY{X: at, Y: p.Loss})
		}
		if p.Stage == "tune" {
			for name, v := range p.Scores {
				scores[name] = append(scores[name], plotter.XY{X: at, Y: v})
			}
		}
	}
	lines := []string{"clip", "language", "align", "tune"}
	if err := j.drawLines("loss.png", "Loss, running mean", "loss", losses, lines); err != nil {
		return err
	}
	return j.drawLines(gainFile, "Questions about unseen pictures, stage 2", "share right", scores,
		[]string{"mix", "shuffled", "vision_gain"})
}

func (j *Study) drawLines(file, title, y string, lines map[string]plotter.XYs, order []string) error {
	return drawLines(filepath.Join(j.Flags.Out, file), title, y, lines, order)
}

// DrawMetrics writes two plots of what runs wrote to their metrics.jsonl: the losses of their stages, running means, to
// dir/loss.png, and the scores of their evaluations, if there are any, to dir/scores.png.
func DrawMetrics(dir string, metrics ...string) error {
	losses, scores := map[string]plotter.XYs{}, map[string]plotter.XYs{}
	var stages []string
	for _, name := range metrics {
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		for line := range bytes.Lines(b) {
			var e train.Event
			if err := json.Unmarshal(line, &e); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			switch e.Kind {
			case "step":
				if losses[e.Stage] == nil {
					stages = append(stages, e.Stage)
				}
				losses[e.Stage] = append(losses[e.Stage], plotter.XY{X: float64(e.Step), Y: e.Average})
			case "evaluation":
				for score, v := range e.Scores {
					scores[score] = append(scores[score], plotter.XY{X: float64(e.Step), Y: v})
				}
			}
		}
	}
	if err := drawLines(filepath.Join(dir, "loss.png"), "Loss, running mean", "loss", losses, stages); err != nil {
		return err
	}
	if len(scores) == 0 {
		return nil
	}
	return drawLines(filepath.Join(dir, "scores.png"), "Scores while training", "share right", scores,
		slices.Sorted(maps.Keys(scores)))
}

// drawLines draws lines over steps, those of order that are there.
func drawLines(file, title, y string, lines map[string]plotter.XYs, order []string) error {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, "step", y
	p.Y.Min = 0
	p.Add(plotter.NewGrid())
	for i, name := range order {
		if len(lines[name]) == 0 {
			continue
		}
		l, err := plotter.NewLine(lines[name])
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		l.Color, l.Width = plotutil.Color(i), vg.Points(1.5)
		p.Add(l)
		p.Legend.Add(name, l)
	}
	p.Legend.Top, p.Legend.XOffs, p.Legend.YOffs = true, -vg.Points(6), -vg.Points(3)
	if filepath.Base(file) == gainFile { // shares, of which the lower third of the plot has none
		p.Y.Max, p.Legend.Top, p.Legend.YOffs = 1, false, vg.Points(12)
	}
	if err := p.Save(6*vg.Inch, 4*vg.Inch, file); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}
