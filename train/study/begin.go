package study

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// Begin makes the folder of a run, or finds that the run which was begun there is the same: by values, and by the
// contents of files, both by the flags that name them. An error names the flags that are other.
func Begin(dir string, resume bool, values, files map[string]string) error {
	now := maps.Clone(values)
	for name, file := range files {
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		h := sha256.New()
		_, err = io.Copy(h, f)
		f.Close()
		if err != nil {
			return err
		}
		now[name] = fmt.Sprintf("%x", h.Sum(nil))
	}
	name := filepath.Join(dir, "run.json")
	b, err := os.ReadFile(name)
	if os.IsNotExist(err) {
		if b, err = json.MarshalIndent(now, "", "  "); err != nil {
			return err
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		return os.WriteFile(name, b, 0o644)
	}
	if err != nil {
		return err
	}
	if !resume {
		return fmt.Errorf("%s holds a run already: go on with -resume, or give another folder with -out", dir)
	}
	var begun map[string]string
	if err := json.Unmarshal(b, &begun); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	var other []string
	for key, v := range now {
		if begun[key] != v {
			other = append(other, key)
		}
	}
	if slices.Sort(other); other != nil {
		return fmt.Errorf("%s was begun with another %v, by content: give that again, or another folder with -out",
			dir, other)
	}
	return nil
}
