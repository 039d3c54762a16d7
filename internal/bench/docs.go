package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/gollava/gollava/internal/atomicfile"
)

// What stands between these lines of a page is written by [writeDocs].
const (
	docsBegin = "<!-- go run ./internal/bench -docs writes what follows -->"
	docsEnd   = "<!-- end -->"
)

// writeDocs puts a table of the rows in some files that -json wrote into a page, in the place of the table there.
func writeDocs(page string, files []string) error {
	var rows []Row
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		var some []Row
		if err := json.Unmarshal(b, &some); err != nil {
			return fmt.Errorf("%s is not what -json writes: %w", name, err)
		}
		rows = append(rows, some...)
	}
	if len(rows) == 0 {
		return fmt.Errorf("-docs: no rows: name files that -json wrote")
	}
	b, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(b), docsBegin+"\n")
	_, after, ended := strings.Cut(rest, docsEnd+"\n")
	if !ok || !ended {
		return fmt.Errorf("%s has no lines %q and %q, between which the table belongs", page, docsBegin, docsEnd)
	}
	return atomicfile.Write(page, func(w io.Writer) error {
		_, err := io.WriteString(w, before+docsBegin+"\n"+markdown(rows)+docsEnd+"\n"+after)
		return err
	})
}

// markdown is a table with a line for each case and number of threads, and a list of how times grow.
func markdown(rows []Row) string {
	type key struct {
		name, level string
		threads     int
	}
	same := map[key][]Row{}
	var order []key
	for _, r := range rows {
		k := key{r.Case, r.Level, r.Threads}
		if strings.HasPrefix(r.Case, "growth/") {
			continue
		}
		if same[k] == nil {
			order = append(order, k)
		}
		same[k] = append(same[k], r)
	}
	var b strings.Builder
	if len(order) > 0 {
		b.WriteString("\n| case | threads | products | ours | of peak | times as fast as | others used |\n" +
			"|---|---|---|---|---|---|---|\n")
	}
	for _, k := range order {
		rs := same[k]
		slices.SortStableFunc(rs, func(a, b Row) int { return cmp.Compare(ratio(a), ratio(b)) })
		first, share, products := rs[0], "", rs[0].Of
		if first.Share != nil {
			share = fmt.Sprintf("%.0f %%", 100**first.Share)
		}
		if first.Level != "" {
			products += " on " + first.Level[strings.IndexByte(first.Level, '/')+1:]
		}
		var against []string
		for _, r := range rs {
			if r.Ratio != nil {
				against = append(against, fmt.Sprintf("%s %.2f", r.Rival, *r.Ratio))
			}
		}
		fmt.Fprintf(&b, "| %s | %d | %s | %s %s | %s | %s | %.1f |\n", k.name, k.threads, products, number(first.Ours),
			first.Unit, share, strings.Join(against, ", "), first.Busy)
	}
	if gs := growths(rows); len(gs) > 0 {
		b.WriteString("\n")
		for _, g := range gs {
			fmt.Fprintf(&b, "- %v\n", g)
		}
	}
	return b.String() + "\n"
}

// ratio is that of a row, or more than any where there is none.
func ratio(r Row) float64 {
	if r.Ratio == nil {
		return 1e300
	}
	return *r.Ratio
}
