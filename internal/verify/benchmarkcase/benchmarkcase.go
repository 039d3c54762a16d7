// Package benchmarkcase holds package score against cases of task "benchmark": question and answer files, and the
// numbers that the official programs made of them.
package benchmarkcase

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gollava/gollava/data/score"
	"github.com/gollava/gollava/internal/verify"
)

// Row is one line of a report.
type Row = verify.Row

// benchCase is a case.json with its folder.
type benchCase struct {
	Format    int
	Task      string
	Benchmark string
	Files     map[string]string
	Expected  map[string]json.RawMessage
	Optional  []string

	Template  string            // POPE's construction
	SampleNum int               `json:"sample_num"`
	Double    map[string]string `json:"double_words"` // CHAIR
	Irregular map[string]string

	dir string
	err error // the first file that leads out of the folder
}

// ulp is how far numbers may be off that are sums in another order, or powers.
const ulp = 1e-12

// Run checks a case folder of task "benchmark".
func Run(dir string) ([]Row, error) {
	c := benchCase{dir: dir}
	if err := verify.ReadJSON(filepath.Join(dir, "case.json"), &c); err != nil {
		return nil, err
	}
	if c.Format != 1 || c.Task != "benchmark" {
		return nil, fmt.Errorf("%s: task %q of format %d, want benchmark of format 1", dir, c.Task, c.Format)
	}
	check, ok := map[string]func(*benchCase) ([]Row, error){
		"pope": pope, "scienceqa": scienceQA, "mme": mme, "textvqa": textVQA, "vqav2": vqa, "gqa": gqa, "vizwiz": vizWiz, "mmbench": mmBench,
		"mmvet": mmVet, "mmmu": mmmu, "mathvista": mathVista, "llavabench": llavaBench, "seedbench": seedBench, "captions": captions, "chair": chair,
	}[c.Benchmark]
	if !ok {
		return nil, fmt.Errorf("%s: benchmark %q is not supported", dir, c.Benchmark)
	}
	rows, err := check(&c)
	return rows, errors.Join(err, c.err)
}

// path joins the folder and a file in it.
func (c *benchCase) path(name string) string {
	p, err := verify.Inside(c.dir, name)
	if err != nil && c.err == nil {
		c.err = err
	}
	return p
}

// file is a file that the case names; empty if it names none.
func (c *benchCase) file(key string) string {
	if c.Files[key] == "" {
		return ""
	}
	return c.path(c.Files[key])
}

// expected reads a part of the expectation, by its keys.
func (c *benchCase) expected(to any, keys ...string) error {
	raw, ok := c.Expected[keys[0]], true
	for _, k := range keys[1:] {
		var m map[string]json.RawMessage
		if err := json.Unmarshal(raw, &m); err != nil {
			return fmt.Errorf("%s: expected: %w", c.dir, err)
		}
		raw, ok = m[k]
	}
	if !ok || raw == nil {
		return fmt.Errorf("%s: expected has no %s", c.dir, strings.Join(keys, "."))
	}
	if err := json.Unmarshal(raw, to); err != nil {
		return fmt.Errorf("%s: expected %s: %w", c.dir, strings.Join(keys, "."), err)
	}
	return nil
}

// each checks every row of a file of rows, if the folder has it.
func each[T any](c *benchCase, name string, check func(T) error) ([]Row, error) {
	rows, err := verify.Lines[T](c.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	t := verify.Tally{What: strings.TrimSuffix(name, ".jsonl")}
	for i, r := range rows {
		err := check(r)
		t.Check(err == nil, "row %d: %v", i+1, err)
	}
	return verify.Rows(&t), nil
}

// want returns an error unless got is what is wanted.
func want[T comparable](got, want T) error {
	if got != want {
		return fmt.Errorf("got %v, want %v", got, want)
	}
	return nil
}

// numbers collects numbers to compare exactly, or within tol.
type numbers struct {
	what      string
	tol       float64
	got, want []float64
	missing   string
}

func (n *numbers) add(get func(string) (float64, bool), name string, want float64) {
	got, ok := get(name)
	if !ok && n.missing == "" {
		n.missing = name
	}
	n.got, n.want = append(n.got, got), append(n.want, want)
}

func (n *numbers) row() Row {
	if n.missing != "" {
		return verify.Failed(n.what, fmt.Errorf("the report has no %s", n.missing))
	}
	return verify.Absolute(n.what, n.got, n.want, n.tol)
}

// lines compares printed lines.
func lines(what string, got, want []string) Row {
	t := verify.Tally{What: what}
	for i := range max(len(got), len(want)) {
		g, w := "(nothing)", "(nothing)"
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		t.Check(g == w, "line %d: got %q, want %q", i+1, g, w)
	}
	return t.Row()
}

// upload writes answers in the official format and compares them with the file that the official program wrote.
func upload(c *benchCase, b string, f score.Files, want string) (Row, error) {
	bench, err := score.Find(b)
	if err != nil {
		return Row{}, err
	}
	dir, err := os.MkdirTemp("", "gollava-verify-")
	if err != nil {
		return Row{}, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "upload")
	if err := bench.Upload(f, path); err != nil {
		return verify.Failed("upload", err), nil
	}
	got, err := values(path)
	if err != nil {
		return Row{}, err
	}
	right, err := values(c.path(want))
	if err != nil {
		return Row{}, err
	}
	t := verify.Tally{What: "upload"}
	for i := range max(len(got), len(right)) {
		t.Check(i < len(got) && i < len(right) && got[i] == right[i], "record %d differs", i+1)
	}
	return t.Row(), nil
}

// values reads the records of a JSON array or of JSON lines, each written in one way.
func values(path string) ([]string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var raw []any
	if bytes.HasPrefix(bytes.TrimSpace(b), []byte("[")) {
		d := json.NewDecoder(bytes.NewReader(b))
		d.UseNumber()
		err = d.Decode(&raw)
	} else {
		raw, err = verify.Lines[any](path)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var out []string
	for _, v := range raw {
		b, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		out = append(out, string(b))
	}
	return out, nil
}

// scored scores the benchmark's answers.
func scored(name string, f score.Files) (*score.Report, error) {
	b, err := score.Find(name)
	if err != nil {
		return nil, err
	}
	return b.Score(f)
}

// sorted are a map's keys in order.
func sorted[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
