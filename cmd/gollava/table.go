package main

import (
	"encoding/base64"
	"fmt"
	"html/template"
	"image/color"
	"io"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"github.com/gollava/gollava/data"
	"github.com/gollava/gollava/data/score"
	"github.com/gollava/gollava/internal/atomicfile"
)

// tableRow is a benchmark's line in the table of all.
type tableRow struct {
	title, metric   string
	value, official float64 // as papers print it
	differs         bool
	low, high       float64 // bootstrap interval of the questions' mean, from 0 to 1
	share           float64 // of the highest score
	questions       int
	missing         int
}

func newTableRow(b score.Benchmark, r *score.Report) tableRow {
	v, _ := r.Get(b.Main)
	o, _ := r.GetOfficial(b.Main)
	i := score.Bootstrap(r.Items)
	return tableRow{
		b.Title,
		b.Main,
		v * b.Scale,
		o * b.Scale,
		r.Stopped != "" || v != o,
		i.Low,
		i.High,
		v * b.Scale / b.Max,
		i.N,
		r.Faults.Count(score.Missing),
	}
}

// markdown is the table as Markdown.
func markdown(rows []tableRow) string {
	var b strings.Builder
	b.WriteString("| benchmark | number | score | official program | mean per question, 95 % | questions | " +
		"unanswered |\n|---|---|---|---|---|---|---|\n")
	for _, r := range rows {
		official := "the same"
		if r.differs {
			official = fmt.Sprintf("%.2f", r.official)
		}
		fmt.Fprintf(
			&b,
			"| %s | %s | %.2f | %s | %.3f–%.3f | %d | %d |\n",
			r.title,
			r.metric,
			r.value,
			official,
			r.low,
			r.high,
			r.questions,
			r.missing,
		)
	}
	return b.String()
}

// drawTable draws the table as bars in percent of the highest score.
func drawTable(path string, rows []tableRow) error {
	p := plot.New()
	p.Y.Label.Text = "percent of the highest score"
	p.Y.Min, p.Y.Max = 0, 100
	values := make(plotter.Values, len(rows))
	names := make([]string, len(rows))
	for i, r := range rows {
		values[i], names[i] = 100*min(max(r.share, 0), 1), r.title
	}
	bars, err := plotter.NewBarChart(values, vg.Points(22))
	if err != nil {
		return err
	}
	bars.Color, bars.LineStyle.Width = color.RGBA{0x2a, 0x6f, 0x97, 0xff}, 0
	grid := plotter.NewGrid()
	grid.Vertical.Width = 0
	p.Add(grid, bars)
	p.NominalX(names...)
	p.X.Tick.Label.Rotation = 0.7
	p.X.Tick.Label.XAlign, p.X.Tick.Label.YAlign = -1, -0.5
	return p.Save(vg.Points(float64(90+48*len(rows))), 9*vg.Centimeter, path)
}

// difference is a question on which two models differ.
type difference struct {
	ID, Text, Image string
	A, B            string
	ScoreA, ScoreB  float64
	Picture         template.URL
}

var differencePage = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{{.Title}}: where two models differ</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; margin: 1rem auto; max-width: 70rem; padding: 0 1rem; color-scheme: light dark }
article { display: grid; grid-template-columns: minmax(10rem, 18rem) 1fr; gap: 1.5rem; border-top: 1px solid #8888; padding: 1rem 0 }
img { width: 100% } pre { white-space: pre-wrap; font: inherit; margin: 0 } table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: .2rem .6rem .2rem 0 } .win { color: #2a9d58 }
@media (max-width: 45rem) { article { grid-template-columns: 1fr } }
</style>
<h1>{{.Title}}: where two models differ</h1>
<p>First {{printf "%.4f" .A}}, second {{printf "%.4f" .B}}; {{len .Rows}} of {{.N}} questions differ{{if .Cut}}, the first {{len .Shown}} are shown{{end}}.</p>
{{range .Shown}}<article><div>{{if .Picture}}<img src="{{.Picture}}" alt="{{.Image}}">{{else}}{{.Image}}{{end}}</div>
<div><strong>{{.ID}}</strong><pre>{{.Text}}</pre><table>
<tr><th>first<td{{if gt .ScoreA .ScoreB}} class="win"{{end}}>{{printf "%.2f" .ScoreA}}<td><pre>{{.A}}</pre></tr>
<tr><th>second<td{{if gt .ScoreB .ScoreA}} class="win"{{end}}>{{printf "%.2f" .ScoreB}}<td><pre>{{.B}}</pre></tr></table></div></article>
{{end}}</html>
`))

// pageLimit is how many differences a page shows: pictures are part of it.
const pageLimit = 300

// comparePage writes the questions on which two models differ.
func comparePage(path, images string, b score.Benchmark, fa, fb score.Files, a, other *score.Report) error {
	second := map[string]float64{}
	for _, i := range other.Items {
		second[i.ID] = i.Score
	}
	var rows []difference
	at := map[string]int{}
	for _, i := range a.Items {
		if s, ok := second[i.ID]; ok && s != i.Score {
			at[i.ID] = len(rows)
			rows = append(rows, difference{ID: i.ID, ScoreA: i.Score, ScoreB: s})
		}
	}
	if b.Ask != nil && fa.Questions != "" {
		err := b.Ask(fa, func(q score.Question) error {
			if i, ok := at[q.ID]; ok {
				rows[i].Text, rows[i].Image = q.Text, q.Image
				if q.Inline != nil && i < pageLimit {
					rows[i].Picture = dataURL(q.Inline)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	for k, files := range []score.Files{fa, fb} {
		answers, err := score.OpenAnswers(nil, files.Answers...)
		if err != nil {
			return err
		}
		for i := range rows {
			text, _ := answers.Text(rows[i].ID)
			if k == 0 {
				rows[i].A = text
			} else {
				rows[i].B = text
			}
		}
		answers.Close()
	}
	shown := rows[:min(len(rows), pageLimit)]
	if images != "" {
		source, err := data.OpenSource(images)
		if err != nil {
			return err
		}
		for i := range shown {
			if shown[i].Image != "" && shown[i].Picture == "" {
				raw, err := source.Load(shown[i].Image)
				if err != nil {
					return err
				}
				shown[i].Picture = dataURL(raw)
			}
		}
	}
	va, _ := a.Get(b.Main)
	vb, _ := other.Get(b.Main)
	return atomicfile.Write(path, func(w io.Writer) error {
		return differencePage.Execute(
			w,
			map[string]any{
				"Title": b.Title,
				"A":     va,
				"B":     vb,
				"N":     len(a.Items),
				"Rows":  rows,
				"Shown": shown,
				"Cut":   len(shown) < len(rows),
			},
		)
	})
}

// dataURL is a picture as a URL that holds it.
func dataURL(b []byte) template.URL {
	kind := "image/jpeg"
	if strings.HasPrefix(string(b[:min(len(b), 4)]), "\x89PNG") {
		kind = "image/png"
	}
	return template.URL("data:" + kind + ";base64," + base64.StdEncoding.EncodeToString(b))
}
