package verify

import "fmt"

// tally counts cases of one kind that must hold exactly.
type tally struct {
	What        string
	good, total int
	first       string
}

// check counts a case; format says what is wrong with one that fails.
func (t *tally) check(ok bool, format string, args ...any) {
	t.total++
	if ok {
		t.good++
	} else if t.first == "" {
		t.first = fmt.Sprintf(format, args...)
	}
}

// add counts the cases of another tally too.
func (t *tally) add(o tally) {
	t.good, t.total = t.good+o.good, t.total+o.total
	if t.first == "" {
		t.first = o.first
	}
}

// row sums up: MaxAbs is 0 where every case holds, else 1. It fails where there were none.
func (t *tally) row() Row {
	r := Row{What: t.What, Pass: t.good == t.total && t.total > 0, Detail: fmt.Sprintf("%d of %d", t.good, t.total)}
	if !r.Pass {
		r.MaxAbs, r.MaxRel = 1, 1
		r.Detail += ": " + t.first
	}
	if t.total == 0 {
		r.Detail = "no cases"
	}
	return r
}

// tallied sums up those that have counted anything.
func tallied(tallies ...*tally) []Row {
	var rows []Row
	for _, t := range tallies {
		if t.total > 0 {
			rows = append(rows, t.row())
		}
	}
	return rows
}

// holds is a row for one thing that must hold exactly; format says what is wrong where it does not.
func holds(what string, ok bool, format string, args ...any) Row {
	t := tally{What: what}
	t.check(ok, format, args...)
	return t.row()
}
