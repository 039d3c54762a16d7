package verify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/gollava/gollava/data/score"
)

// benchCase is a case of task benchmark: question and answer files, and the numbers that the official program made of
// them.
type benchCase struct {
	*Report   `json:"-"`
	Benchmark string
	Files     map[string]string
	Expected  map[string]json.RawMessage
	Optional  []string

	Template  string            // POPE's construction
	SampleNum int               `json:"sample_num"`
	Double    map[string]string `json:"double_words"` // CHAIR
	Irregular map[string]string
}

// ulp is how far numbers may be off that are sums in another order, or powers.
const ulp = 1e-12

// benchmarks says what compares each benchmark.
var benchmarks = map[string]func(*benchCase){
	"pope": pope, "mme": mme, "scienceqa": scienceQA, "mmbench": mmBench, "seedbench": seedBench, "mmmu": mmmu,
	"mathvista": mathVista, "textvqa": textVQA, "vqav2": vqa, "vizwiz": vizWiz, "gqa": gqa, "captions": captions,
	"chair": chair, "mmvet": mmVet, "llavabench": llavaBench,
}

func benchmark(r *Report, c benchCase) {
	compare, ok := benchmarks[c.Benchmark]
	if !ok {
		failf("%s: benchmark %q is not supported", r.Dir, c.Benchmark)
	}
	c.Report = r
	compare(&c)
}

// path joins the folder and a file in it.
func (c *benchCase) path(name string) string { return inside(c.Dir, name) }

// file is a file that the case names; empty if it names none.
func (c *benchCase) file(key string) string {
	if c.Files[key] == "" {
		return ""
	}
	return c.path(c.Files[key])
}

// expect reads a part of the expectation, by its keys.
func expect[T any](c *benchCase, keys ...string) (v T) {
	raw := c.Expected[keys[0]]
	for _, k := range keys[1:] {
		var m map[string]json.RawMessage
		if err := json.Unmarshal(raw, &m); err != nil {
			failf("%s: expected: %w", c.Dir, err)
		}
		raw = m[k]
	}
	if raw == nil {
		failf("%s: expected has no %s", c.Dir, strings.Join(keys, "."))
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		failf("%s: expected %s: %w", c.Dir, strings.Join(keys, "."), err)
	}
	return v
}

// want returns an error unless got is what is wanted.
func want[T comparable](got, want T) error {
	if got != want {
		return fmt.Errorf("got %v, want %v", got, want)
	}
	return nil
}

// values collects numbers to compare exactly, or within tol.
type values struct {
	what      string
	tol       float64
	got, want []float64
	missing   string
}

func (n *values) add(get func(string) (float64, bool), name string, want float64) {
	got, ok := get(name)
	if !ok && n.missing == "" {
		n.missing = name
	}
	n.got, n.want = append(n.got, got), append(n.want, want)
}

func (n *values) row() Row {
	if n.missing != "" {
		return failed(n.what, fmt.Errorf("the report has no %s", n.missing))
	}
	return absolute(n.what, n.got, n.want, n.tol)
}

// same compares two lists element by element.
func (r *Report) same(what string, got, want []string) {
	t := tally{What: what}
	for i := range max(len(got), len(want)) {
		g, w := "(nothing)", "(nothing)"
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		t.check(g == w, "line %d: got %q, want %q", i+1, g, w)
	}
	r.add(t.row())
}

// upload writes answers in the official format and compares them with the file that the official program wrote.
func (c *benchCase) upload(name string, f score.Files, want string) {
	bench := must(score.Find(name))
	temporary(func(dir string) {
		path := filepath.Join(dir, "upload")
		if err := bench.Upload(f, path); err != nil {
			c.add(failed("upload", err))
			return
		}
		c.same("upload", records(path), records(c.path(want)))
	})
}

// records reads the records of a JSON array or of JSON lines, each written in one way.
func records(path string) []string {
	b := must(os.ReadFile(path))
	var raw []any
	if bytes.HasPrefix(bytes.TrimSpace(b), []byte("[")) {
		d := json.NewDecoder(bytes.NewReader(b))
		d.UseNumber()
		check(d.Decode(&raw))
	} else {
		raw = readLines[any](path)
	}
	var out []string
	for _, v := range raw {
		out = append(out, string(must(json.Marshal(v))))
	}
	return out
}

// scoredBy scores the benchmark's answers.
func scoredBy(name string, f score.Files) *score.Report { return must(must(score.Find(name)).Score(f)) }

// scores are those of a report's items, by their question.
func scores(items []score.Item) map[string]float64 {
	by := map[string]float64{}
	for _, i := range items {
		by[i.ID] = i.Score
	}
	return by
}
