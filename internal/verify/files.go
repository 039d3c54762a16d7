package verify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// maxJSON is far above any case.json.
const maxJSON = 16 << 20

// readJSON reads a file of at most 16 MiB.
func readJSON(path string, to any) {
	f := must(os.Open(path))
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxJSON+1))
	switch {
	case err == nil && len(b) > maxJSON:
		err = fmt.Errorf("more than %d bytes", maxJSON)
	case err == nil:
		err = json.Unmarshal(b, to)
	}
	if err != nil {
		failf("%s: %w", path, err)
	}
}

// readLines reads a file of one JSON value a line; empty lines do not count. Errors name file and line.
func readLines[T any](path string) (out []T) {
	eachLine(path, func(v T) { out = append(out, v) })
	return out
}

// eachLine calls visit with every line of a file, read as a T. Where it ends early, the error names file and line.
func eachLine[T any](path string, visit func(T)) {
	n := 0
	for line := range bytes.Lines(must(os.ReadFile(path))) {
		if n++; len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		if err := catch(func() {
			var v T
			check(json.Unmarshal(line, &v))
			visit(v)
		}); err != nil {
			failf("%s:%d: %w", path, n, err)
		}
	}
}

// inside joins a folder and the name of something in it, which may not lead out of it.
func inside(dir, name string) string {
	if !filepath.IsLocal(name) {
		failf("%q leads out of the case's folder", name)
	}
	return filepath.Join(dir, filepath.FromSlash(name))
}

// temporary calls use with a new folder, which is removed afterwards.
func temporary(use func(dir string)) {
	dir := must(os.MkdirTemp("", "gollava-verify-"))
	defer os.RemoveAll(dir)
	use(dir)
}

// exists reports whether there is a file.
func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
