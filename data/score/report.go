package score

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// Report is what the answers to a benchmark are worth.
type Report struct {
	Benchmark string
	Main      string   // the name of the number that papers report
	Values    []Value  // what is right, in the order in which it is printed
	Official  []Value  // what the official program computes where it differs; names are those of Values
	Printed   []string // lines as the official program prints them
	Stopped   string   // the error that ends the official program on these files; empty where it finishes
	Why       []string // why Official differs from Values, a sentence each
	Items     []Item   // a score for each question, in the questions' order
	// OfficialScores are the official program's scores of the Items where its rule is another one; else nil.
	OfficialScores []float64
	Faults         *Faults // what was wrong with the answers
}

// Value is a number of a report.
type Value struct {
	Name   string // parts of it are separated by slashes: adversarial/f1
	Number float64
	N      int // questions behind it; 0: not said
}

// Item is what one question's answer is worth.
type Item struct {
	ID    string
	Score float64 // from 0 to 1
}

// Get returns the right number of that name.
func (r *Report) Get(name string) (float64, bool) { return get(r.Values, name) }

// GetOfficial returns the official program's number of that name.
func (r *Report) GetOfficial(name string) (float64, bool) {
	if v, ok := get(r.Official, name); ok {
		return v, true
	}
	return get(r.Values, name)
}

func get(values []Value, name string) (float64, bool) {
	for _, v := range values {
		if v.Name == name {
			return v.Number, true
		}
	}
	return 0, false
}

func (r *Report) add(name string, x float64, n int) {
	r.Values = append(r.Values, Value{name, x, n})
}

// official notes the official program's number.
func (r *Report) official(name string, x float64, n int) {
	r.Official = append(r.Official, Value{name, x, n})
}

// differ drops the official values that are those of Values, and gives the reasons if any is left.
func (r *Report) differ(why ...string) {
	r.Official = slices.DeleteFunc(r.Official, func(v Value) bool {
		x, ok := get(r.Values, v.Name)
		return ok && (x == v.Number || x != x && v.Number != v.Number)
	})
	if len(r.Official) > 0 || r.Stopped != "" {
		r.Why = append(r.Why, why...)
	}
}

// Write prints the report for people: the right numbers, the official ones beside those that differ, reasons and
// faults.
func (r *Report) Write(w io.Writer) error {
	var b strings.Builder
	for _, v := range r.Values {
		mark := "  "
		if v.Name == r.Main {
			mark = "* "
		}
		fmt.Fprintf(&b, "%s%-40s %12.6g", mark, v.Name, v.Number)
		if v.N > 0 {
			fmt.Fprintf(&b, "  %7d questions", v.N)
		}
		if o, ok := get(r.Official, v.Name); ok {
			fmt.Fprintf(&b, "  (official program: %.6g)", o)
		}
		b.WriteByte('\n')
	}
	if r.Stopped != "" {
		fmt.Fprintf(&b, "  the official program ends with: %s\n", r.Stopped)
	}
	for _, why := range r.Why {
		fmt.Fprintf(&b, "  why the official program differs: %s\n", why)
	}
	b.WriteString(r.Faults.String())
	_, err := io.WriteString(w, b.String())
	return err
}

// FaultKind says what is wrong with an answer.
type FaultKind string

// What can be wrong with answers.
const (
	Missing    FaultKind = "missing"    // a question without an answer: it counts as wrong
	Double     FaultKind = "double"     // two answers to one question: the last counts
	Foreign    FaultKind = "foreign"    // an answer to no question of the file: it is left out
	Empty      FaultKind = "empty"      // an answer without text
	Unreadable FaultKind = "unreadable" // a line that is no answer
	CutLine    FaultKind = "cut line"   // a last line without its end, as a killed run leaves it
	Models     FaultKind = "models"     // answers of several models in one set
	NoLetter   FaultKind = "no letter"  // an answer from which no option can be read
	NoReview   FaultKind = "no review"  // a judge's reply that cannot be read: it is left out of the mean
	Unread     FaultKind = "unread"     // a response whose short answer only a judge could extract: it is taken whole
)

// shown is how many faults of a kind are kept.
const shown = 5

// Faults counts what is wrong with answers, by kind, and keeps the first few of each. The zero value is ready to use.
type Faults struct {
	counts map[FaultKind]int
	first  map[FaultKind][]string
}

func (f *Faults) add(k FaultKind, id, note string) {
	if f.counts == nil {
		f.counts, f.first = map[FaultKind]int{}, map[FaultKind][]string{}
	}
	f.counts[k]++
	if len(f.first[k]) < shown && id != "" {
		if note != "" {
			id += " (" + note + ")"
		}
		f.first[k] = append(f.first[k], id)
	}
}

// forgive takes the last fault of a kind back.
func (f *Faults) forgive(k FaultKind) {
	if n := f.counts[k]; n == len(f.first[k]) && n > 0 {
		f.first[k] = f.first[k][:n-1]
	}
	f.counts[k]--
}

// Count is the number of faults of a kind.
func (f *Faults) Count(k FaultKind) int {
	if f == nil {
		return 0
	}
	return f.counts[k]
}

// String is a line for each kind.
func (f *Faults) String() string {
	if f == nil {
		return ""
	}
	remedy := map[FaultKind]string{
		Missing:    "questions without an answer count as wrong: answer them",
		Double:     "questions answered more than once: the last answer counts",
		Foreign:    "answers to questions that are not asked here: left out",
		Empty:      "answers without text",
		Unreadable: "lines that are no answers: passed over",
		CutLine:    "a last line that was cut: passed over",
		Models:     "models in one set of answers: score each model by itself",
		NoLetter:   "answers that name no option: wrong",
		NoReview:   "replies of the judge that cannot be read: left out of the means",
		Unread:     "responses whose short answer needs a judge (--judge-url): taken as they are",
	}
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(f.counts)) {
		first := slices.Sorted(slices.Values(f.first[k]))
		more := ""
		if f.counts[k] > len(first) {
			more = ", …"
		}
		fmt.Fprintf(&b, "  %d %s; %s%s\n", f.counts[k], remedy[k], strings.Join(first, ", "), more)
	}
	return b.String()
}
