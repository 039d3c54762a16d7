// Package pixelcase checks this module's pictures against folders of reference pictures: the tasks "pixels" (decoding, resizing,
// preprocessing, tiling) and "anyres" (the geometry of tiles).
//
// A folder holds case.json, whose task says what the rest is. For pixels that is an index with one picture a line and, for each,
// operations with the SHA-256 of their results, of which expected.safetensors keeps those bytes that are few or compared within a
// tolerance. For anyres it is a list of picture sizes with everything that follows from them.
package pixelcase

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/gollava/gollava/internal/verify"
)

// Row is what became of one kind of operation: "decode PNG", "clip", "geometry tokens", …; those in levels of Pillow's own rounding end in "(lossy)".
// MaxAbs is the largest difference of any number, MaxRel the same over the largest number expected of that result.
type Row = verify.Row

// Run checks a folder, and returns a row for each kind of operation in it, in order of appearance. Differences are no errors; a
// folder that cannot be read is.
func Run(dir string) ([]Row, error) {
	path := filepath.Join(dir, "case.json")
	var c caseFile
	data, err := readAll(path, 1<<20)
	if err == nil {
		if err = json.Unmarshal(data, &c); err != nil {
			err = fmt.Errorf("%s: %w", path, err)
		}
	}
	switch {
	case err != nil:
	case c.Format != 1:
		err = fmt.Errorf("%s: format %d is not known: 1 is", path, c.Format)
	case c.Task == "pixels":
		return c.pixels(dir)
	case c.Task == "anyres":
		return c.geometry(dir)
	default:
		err = fmt.Errorf("%s: task %q is not known: pixels and anyres are", path, c.Task)
	}
	return nil, fmt.Errorf("pixelcase: %w", err)
}

// caseFile is case.json.
type caseFile struct {
	Format    int
	Task      string
	Index     string // pixels: file with the pictures
	Tensors   string // pixels: file with results
	Mean, Std [3]float64
	Cases     string // anyres: file with the sizes
}

// tally collects the results of one kind of operation.
type tally struct {
	Row
	compared int
	failed   int
	first    string // failure
	skipped  []string
}

// table is all tallies, in order of appearance.
type table struct{ kinds []*tally }

func (t *table) kind(what string) *tally {
	for _, k := range t.kinds {
		if k.What == what {
			return k
		}
	}
	k := &tally{Row: Row{What: what}}
	t.kinds = append(t.kinds, k)
	return k
}

// add counts one result of the operation named by where.
func (k *tally) add(where string, d difference, tol tolerance) {
	k.compared++
	k.MaxAbs, k.MaxRel, k.Tolerance = max(k.MaxAbs, d.max), max(k.MaxRel, d.rel), max(k.Tolerance, tol.Max)
	if d.max > tol.Max || d.mean > tol.Mean {
		k.fail("%s: off by up to %.4g, %.3g on average, where %.4g and %.3g are allowed", where, d.max, d.mean, tol.Max, tol.Mean)
	}
}

// fail counts a result that could not be compared number by number, or was too far off.
func (k *tally) fail(format string, args ...any) {
	if k.failed++; k.first == "" {
		k.first = fmt.Sprintf(format, args...)
	}
}

func (k *tally) skip(format string, args ...any) {
	k.skipped = append(k.skipped, fmt.Sprintf(format, args...))
}

func (t *table) rows() []Row {
	var out []Row
	for _, k := range t.kinds {
		k.Pass = k.failed == 0
		k.Detail = fmt.Sprintf("%d compared", k.compared)
		if k.failed > 0 {
			k.Detail += fmt.Sprintf("; %d failed, the first: %s", k.failed, k.first)
		}
		if n := len(k.skipped); n > 0 {
			k.Detail += fmt.Sprintf("; %d skipped, the first: %s", n, k.skipped[0])
		}
		out = append(out, k.Row)
	}
	return slices.Clip(out)
}

// readAll reads a file of at most limit bytes.
func readAll(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("more than %d bytes", limit)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return data, nil
}

// eachLine calls visit with every line of a JSON Lines file in dir, read into a new T.
func eachLine[T any](dir, name string, visit func(T) error) error {
	path, err := inside(dir, name)
	if err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 4<<20)
	n := 0
	for lines.Scan() {
		n++
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		var v T
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			return fmt.Errorf("%s:%d: %w", path, n, err)
		}
		if err := visit(v); err != nil {
			return fmt.Errorf("%s:%d: %w", path, n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s:%d: %w", path, n+1, err)
	}
	return nil
}

// inside joins a name out of a file to the folder, which it may not leave.
func inside(dir, name string) (string, error) {
	if name == "" {
		return "", errors.New("a file name is missing")
	}
	if !filepath.IsLocal(name) {
		return "", fmt.Errorf("the file name %q leads out of the folder", name)
	}
	return filepath.Join(dir, filepath.FromSlash(name)), nil
}
