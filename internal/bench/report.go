package main

import (
	"encoding/json"
	"fmt"
	"io"
	"unicode/utf8"
)

// table prints rows as they come.
type table struct{ out io.Writer }

var columns = []struct {
	title string
	width int // negative: flush left
}{{"case", -44}, {"threads", 7}, {"products", -8}, {"unit", -8}, {"ours", 9}, {"rival", -16},
	{"theirs", 9}, {"ratio", 7}, {"of peak", 7}}

func newTable(out io.Writer) *table {
	t := &table{out}
	var titles []string
	for _, c := range columns {
		titles = append(titles, c.title)
	}
	t.line(titles)
	return t
}

func (t *table) row(r Row) {
	theirs, ratio, share := "absent", "–", "–"
	if r.Theirs != nil {
		theirs, ratio = number(*r.Theirs), fmt.Sprintf("%.2f", *r.Ratio)
	}
	if r.Share != nil {
		share = fmt.Sprintf("%.0f %%", 100**r.Share)
	}
	cells := []string{r.Case, fmt.Sprint(r.Threads), r.Of, r.Unit, number(r.Ours), r.Rival, theirs, ratio, share}
	if r.Theirs == nil && r.absent != "" {
		cells = append(cells, "("+r.absent+")")
	}
	if r.Busy >= idle {
		cells = append(cells, fmt.Sprintf("(other programs used %.1f processors)", r.Busy))
	}
	t.line(cells)
}

func (t *table) line(cells []string) {
	for i, c := range cells {
		if i >= len(columns) {
			fmt.Fprintf(t.out, "  %.60s", c)
			continue
		}
		w := columns[i].width
		pad := max(w, -w) - utf8.RuneCountInString(c)
		if i > 0 {
			fmt.Fprint(t.out, "  ")
		}
		if w > 0 {
			fmt.Fprintf(t.out, "%*s%s", max(pad, 0), "", c)
		} else {
			fmt.Fprintf(t.out, "%s%*s", c, max(pad, 0), "")
		}
	}
	fmt.Fprintln(t.out)
}

// number has three or more significant digits.
func number(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func writeJSON(out io.Writer, rows []Row) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	if rows == nil {
		rows = []Row{}
	}
	return e.Encode(rows)
}
