package casetest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gollava/gollava/internal/jsonfile/mutate"
	"github.com/gollava/gollava/internal/verify"
)

// Mutated checks copies of a case in which one value of one of its JSON or JSON Lines files is replaced or left out:
// one in every such variant, of the first lines of a file. None may end in a panic.
func Mutated(t *testing.T, dir string, every int, files ...string) {
	t.Helper()
	tmp := t.TempDir()
	must(t, os.CopyFS(tmp, os.DirFS(dir)))
	n := 0
	for _, file := range files {
		path := filepath.Join(tmp, file)
		was, err := os.ReadFile(path)
		must(t, err)
		documents := [][]byte{was}
		if filepath.Ext(file) == ".jsonl" {
			documents = bytes.Split(was, []byte("\n"))
			documents = documents[:min(len(documents), 40)]
		}
		for i, document := range documents {
			if !json.Valid(document) {
				continue
			}
			for what, b := range mutate.All(document) {
				if n++; n%every != 0 {
					continue
				}
				must(t, os.WriteFile(path, b, 0o600))
				r := verify.Run(tmp)
				if said := fmt.Sprint(r.Note, r.Rows); strings.Contains(said, "panic") {
					t.Errorf("%s: line %d: %s: %s", filepath.Join(dir, file), i+1, what, said)
				}
			}
		}
		must(t, os.WriteFile(path, was, 0o600))
	}
	if n < 20*every {
		t.Errorf("%s has %d variants, too few for one in %d", dir, n, every)
	}
}
