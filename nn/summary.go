package nn

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/gollava/gollava/tensor"
)

// Summary prints a model as a tree of at most 100 columns: every parameter's shape, number of values, dtype, bytes and
// whether it trains, sums for every part, and blocks that are alike once. Tied parameters count once. It reads no
// weights, which need not be there yet.
func Summary(m any) string { return SummaryAs(m, nil) }

// SummaryAs is Summary of a checkpoint that has not been loaded: with the dtypes that parameters are stored as, in
// safetensors' spelling ("": as in memory), and without saying what trains.
func SummaryAs(m any, stored func(name string) string) string {
	root := &branch{}
	seen := map[*tensor.Tensor]string{}
	walk(reflect.ValueOf(m), "", func(f field) bool {
		t, ok := f.value.Interface().(*tensor.Tensor)
		if !ok || t == nil {
			return true
		}
		l := leaf{shape: t.Shape(), tied: seen[t]}
		if l.tied == "" {
			seen[t] = f.name
			l.dtype = dtypeName(t, f.name, stored)
			l.sum = sum{values: t.Len(), bytes: int64(t.Len()) * int64(width[l.dtype])}
			if t.Trainable() {
				l.trains = l.values
			}
		}
		root.add(strings.SplitN(f.name, ".", deepest), l)
		return true
	})
	p := &printer{file: stored != nil}
	trains := "TRAINS"
	if p.file {
		trains = ""
	}
	p.row("", "PARAMETER", "SHAPE", "VALUES", "DTYPE", "BYTES", trains)
	total := root.total()
	p.children(root, 0)
	fmt.Fprintf(&p.b, "%s values, %s", thousands(total.values), Bytes(total.bytes))
	if total.trains > 0 && !p.file {
		fmt.Fprintf(&p.b, "; %s of them train (%.3g %%)", thousands(total.trains),
			100*float64(total.trains)/float64(total.values))
	}
	p.b.WriteByte('\n')
	return p.b.String()
}

func dtypeName(t *tensor.Tensor, name string, stored func(string) string) string {
	if stored != nil {
		if s := stored(name); s != "" {
			return s
		}
	}
	switch t.DType() {
	case tensor.BFloat16:
		return "BF16"
	case tensor.Int32:
		return "I32"
	}
	return "F32"
}

// sum adds up parameters.
type sum struct {
	values, trains int
	bytes          int64
}

// leaf is a parameter.
type leaf struct {
	sum
	shape []int
	dtype string
	tied  string // the parameter that it is, if it came before
}

// branch is a part of a model.
type branch struct {
	name  string
	leaf  *leaf
	parts []*branch
	at    map[string]*branch // parts by name
}

// deepest is how many levels a tree has; what names are deeper than that is one name.
const deepest = 24

func (b *branch) add(path []string, l leaf) {
	if len(path) == 0 {
		b.leaf = &l
		return
	}
	p := b.at[path[0]]
	if p == nil {
		p = &branch{name: path[0]}
		if b.at == nil {
			b.at = map[string]*branch{}
		}
		b.parts, b.at[path[0]] = append(b.parts, p), p
	}
	p.add(path[1:], l)
}

func (b *branch) total() (s sum) {
	if b.leaf != nil {
		s = b.leaf.sum
	}
	for _, p := range b.parts {
		t := p.total()
		s.values, s.trains, s.bytes = s.values+t.values, s.trains+t.trains, s.bytes+t.bytes
	}
	return s
}

// form is equal for branches that differ in their own name alone.
func (b *branch) form() string {
	var s strings.Builder
	if b.leaf != nil {
		fmt.Fprint(&s, b.leaf.shape, b.leaf.dtype, b.leaf.trains, b.leaf.tied != "")
	}
	for _, p := range b.parts {
		fmt.Fprint(&s, "(", p.name, p.form(), ")")
	}
	return s.String()
}

// printer writes the lines of a tree.
type printer struct {
	b    strings.Builder
	file bool // of tensors of which nobody says whether they train
}

// columns are the widths of the name, shape, values, dtype, bytes and trains; with the spaces between they make 100.
const columns = "%-42s %-18s %15s %-5s %9s %-6s"

func (p *printer) row(indent, name, shape, values, dtype, bytes, trains string) {
	line := fmt.Sprintf(columns, cut(indent+name, 42), cut(shape, 18), values, dtype, bytes, trains)
	p.b.WriteString(strings.TrimRight(line, " ") + "\n")
}

// children prints the parts of b, runs of numbered ones that are alike as one.
func (p *printer) children(b *branch, depth int) {
	for i := 0; i < len(b.parts); i++ {
		part := b.parts[i]
		n := 1
		if _, err := strconv.Atoi(part.name); err == nil {
			for form := part.form(); i+n < len(b.parts) && b.parts[i+n].form() == form; n++ {
			}
		}
		p.branch(part, depth, n, b.parts[i+n-1].name)
		i += n - 1
	}
}

// branch prints a part, which stands for n that end with the one called last.
func (p *printer) branch(b *branch, depth, n int, last string) {
	name := b.name
	if n > 1 {
		name = fmt.Sprintf("%s…%s (%d alike)", b.name, last, n)
	}
	for len(b.parts) == 1 && b.leaf == nil && n == 1 { // a.b.c on one line
		b = b.parts[0]
		name += "." + b.name
	}
	indent := strings.Repeat("  ", depth)
	if l := b.leaf; l != nil {
		values, trains := thousands(l.values), p.state(l.sum)
		if l.tied != "" {
			values, trains = "tied", ""
		}
		p.row(indent, name, fmt.Sprint(l.shape), values, l.dtype, Bytes(l.bytes), trains)
		if l.tied != "" {
			p.row(indent+"  ", "is "+l.tied, "", "", "", "", "")
		}
	} else {
		t := b.total()
		t.values, t.trains, t.bytes = t.values*n, t.trains*n, t.bytes*int64(n)
		p.row(indent, name, "", thousands(t.values), "", Bytes(t.bytes), p.state(t))
	}
	p.children(b, depth+1)
}

// state says whether a part trains.
func (p *printer) state(s sum) string {
	switch {
	case s.values == 0 || p.file:
		return ""
	case s.trains == 0:
		return "frozen"
	case s.trains == s.values:
		return "trains"
	}
	return "partly"
}

func cut(s string, n int) string {
	if len(s) > 8*n { // not all of a name of any length
		s = s[:8*n]
	}
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}

// thousands writes 1234567 as 1,234,567.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Bytes writes a size for people: 1.50 GiB.
func Bytes(n int64) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	f, i := float64(n), -1
	for f >= 999.5 && i < 4 {
		f, i = f/1024, i+1
	}
	return fmt.Sprintf("%.3g %ciB", f, "KMGTP"[i])
}
