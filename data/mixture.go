package data

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/gollava/gollava/internal/misuse"
	"github.com/gollava/gollava/internal/yamlfile"
)

// MixtureOptions say how a mixture is read.
type MixtureOptions struct {
	Options
	Seed uint64 // of the strategy random
}

// Part is one file of a mixture.
type Part struct {
	File     *File
	Strategy string
	Records  []int // which of its records are taken, in this order
}

// Mixture is several data files, or parts of them, one after another.
// It is safe for concurrent use. Close ends it for all.
type Mixture struct {
	path  string
	parts []Part
	ends  []int // running totals
}

// OpenMixture reads a mixture as LLaVA-NeXT has it: a YAML file with
//
//	datasets:
//	  - json_path: chat.json          # relative to the YAML file
//	    sampling_strategy: "first:25%" # all, first:N, end:N, random:N; N a number or a percentage, which is rounded up
//
// A path that ends in .json or .jsonl instead is a mixture of that one file, and braces stand for several: {a,b}.json.
func OpenMixture(path string, o MixtureOptions) (*Mixture, error) {
	m := &Mixture{path: path}
	entries, dir, err := mixed(path)
	if err != nil {
		return nil, err
	}
	for i, e := range entries {
		for _, p := range braces(e.Path) {
			if err := m.add(p, dir, e.Strategy, o); err != nil {
				if p != path && dir+"/"+p != path {
					err = fmt.Errorf("data: %s: datasets[%d]: %w", path, i, err)
				}
				return nil, errors.Join(err, m.Close())
			}
		}
	}
	return m, nil
}

// MixturePaths lists the files of a mixture without opening them.
func MixturePaths(path string) ([]string, error) {
	entries, dir, err := mixed(path)
	if err != nil {
		return nil, err
	}
	var out []string
	for i, e := range entries {
		if e.Path == "" {
			return nil, fmt.Errorf("data: %s: datasets[%d]: no json_path", path, i)
		}
		for _, p := range braces(e.Path) {
			out = append(out, within(dir, p))
		}
	}
	return out, nil
}

// mixed reads the entries of a mixture, and the folder that their paths begin at.
func mixed(path string) ([]entry, string, error) {
	if ext := strings.ToLower(filepath.Ext(path)); ext != ".yaml" && ext != ".yml" {
		return []entry{{Path: path}}, "", nil
	}
	entries, err := readYAML(path)
	return entries, filepath.Dir(path), err
}

// within is a path as a mixture in dir means it.
func within(dir, path string) string {
	if path = filepath.FromSlash(path); filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

func (m *Mixture) add(path, dir, strategy string, o MixtureOptions) error {
	if path == "" {
		return errors.New("no json_path")
	}
	f, err := Open(within(dir, path), o.Options)
	if err != nil {
		return err
	}
	records, err := choose(strategy, f.Len(), rand.New(rand.NewPCG(o.Seed, uint64(len(m.parts)))))
	if err != nil {
		return errors.Join(fmt.Errorf("sampling_strategy %q: %w", strategy, err), f.Close())
	}
	m.ends = append(m.ends, m.Len()+len(records))
	m.parts = append(m.parts, Part{f, strategy, records})
	return nil
}

type entry struct{ Path, Strategy string }

// yamlLimit is how many bytes a mixture may have.
const yamlLimit = 1 << 20

func readYAML(path string) ([]entry, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, opening(err, path)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, yamlLimit+1))
	if err != nil {
		return nil, opening(err, path)
	}
	if len(b) > yamlLimit {
		return nil, fmt.Errorf("data: %s: more than %d bytes; a mixture is a short list", path, yamlLimit)
	}
	entries, err := parseYAML(b)
	if err != nil {
		return nil, fmt.Errorf("data: %s: %w", path, err)
	}
	return entries, nil
}

func parseYAML(b []byte) ([]entry, error) {
	if n := bytes.Count(b, []byte("*")); n > 100 {
		return nil, fmt.Errorf("%d aliases; a mixture is a plain list", n)
	}
	if err := yamlfile.Check(b); err != nil {
		return nil, err
	}
	var doc any
	if err := yaml.Unmarshal(b, &doc); err != nil {
		return nil, err
	}
	top, _ := doc.(map[string]any)
	list, ok := top["datasets"].([]any)
	switch {
	case len(list) > 0:
	case top["datasets"] != nil && !ok:
		return nil, errors.New("datasets is no list")
	case top["data"] != nil:
		return nil, errors.New("no datasets: this is not a mixture but looks like the file of a run: " +
			"give the file that its key data names")
	default:
		return nil,
			errors.New("no datasets: a mixture is a list of json_path and sampling_strategy under the key datasets")
	}
	entries := make([]entry, len(list))
	for i, x := range list {
		fields, ok := x.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("entry %d of datasets has no json_path and sampling_strategy", i+1)
		}
		for _, f := range []struct {
			key string
			to  *string
		}{{"json_path", &entries[i].Path}, {"sampling_strategy", &entries[i].Strategy}} {
			switch v := fields[f.key].(type) {
			case nil:
			case map[string]any, []any:
				return nil, fmt.Errorf("entry %d of datasets: %s is no text", i+1, f.key)
			default:
				*f.to = fmt.Sprint(v)
			}
		}
	}
	return entries, nil
}

// choose returns the numbers of the records that a strategy takes of n.
func choose(strategy string, n int, r *rand.Rand) ([]int, error) {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	how, number, has := strings.Cut(strategy, ":")
	switch how {
	case "", "all":
		if has {
			return nil, errors.New("all takes no number")
		}
		return all, nil
	case "first", "end", "random":
	default:
		return nil, errors.New("unknown; known are all, first:N, end:N, random:N")
	}
	k, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(number), "%"))
	if err != nil || k < 0 {
		return nil, fmt.Errorf("needs a number or a percentage, as in %s:1000 or %s:25%%", how, how)
	}
	if strings.HasSuffix(strings.TrimSpace(number), "%") {
		if k > 100 {
			return nil, errors.New("more than 100%")
		}
		k = (k*n + 99) / 100
	}
	k = min(k, n)
	switch how {
	case "first":
		return all[:k], nil
	case "end":
		return all[n-k:], nil
	}
	r.Shuffle(n, func(i, j int) { all[i], all[j] = all[j], all[i] })
	return slices.Clip(all[:k]), nil
}

// mostPaths is what braces may stand for; a path that asks for more is taken as it is written.
const mostPaths = 1000

// braces expands the first pair of braces of a path, and those after it: {a,b}.json is a.json and b.json.
func braces(p string) []string {
	from := strings.IndexByte(p, '{')
	to := strings.IndexByte(p, '}')
	if from < 0 || to < from || len(p) > 4096 {
		return []string{p}
	}
	var out []string
	tails, middles := braces(p[to+1:]), strings.Split(p[from+1:to], ",")
	if len(tails)*len(middles) > mostPaths {
		return []string{p}
	}
	for _, rest := range tails {
		for _, mid := range middles {
			out = append(out, p[:from]+mid+rest)
		}
	}
	return out
}

// Len is the number of records.
func (m *Mixture) Len() int {
	if len(m.ends) == 0 {
		return 0
	}
	return m.ends[len(m.ends)-1]
}

// Parts lists the files of the mixture.
func (m *Mixture) Parts() []Part { return m.parts }

// Sample reads record i.
func (m *Mixture) Sample(i int) (Sample, error) {
	if i < 0 || i >= m.Len() {
		panic(misuse.Errorf("data", "record %d of %s, which has %d", i, m.path, m.Len()))
	}
	k := sort.SearchInts(m.ends, i+1)
	if k > 0 {
		i -= m.ends[k-1]
	}
	return m.parts[k].File.Sample(m.parts[k].Records[i])
}

// Close closes all files.
func (m *Mixture) Close() error {
	var err error
	for _, p := range m.parts {
		err = errors.Join(err, p.File.Close())
	}
	return err
}

// Subset is some records of a set, in the given order.
// It is as safe for concurrent use as its set.
type Subset struct {
	Set     Set
	Records []int
}

// Len is the number of records.
func (s Subset) Len() int { return len(s.Records) }

// Sample reads record i of the subset.
func (s Subset) Sample(i int) (Sample, error) {
	if i < 0 || i >= len(s.Records) {
		panic(misuse.Errorf("data", "record %d of a subset, which has %d", i, len(s.Records)))
	}
	return s.Set.Sample(s.Records[i])
}

// Split divides a set at random into training and validation, which gets the given fraction, rounded to whole records.
// The same seed divides it the same way, and each part keeps the set's order.
func Split(set Set, validation float64, seed uint64) (train, valid Subset) {
	if !(validation >= 0 && validation <= 1) {
		panic(misuse.Errorf("data", "a fraction of %g for validation", validation))
	}
	n := set.Len()
	perm := rand.New(rand.NewPCG(seed, 0x5b1175)).Perm(n)
	k := int(validation*float64(n) + 0.5)
	slices.Sort(perm[:k])
	slices.Sort(perm[k:])
	return Subset{set, perm[k:]}, Subset{set, perm[:k]}
}
