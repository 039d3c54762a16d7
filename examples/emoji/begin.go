package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// begin makes the folder of a run, or finds that its begun run has the same data, language model, preset and seed.
func (o options) begin() error {
	now := map[string]string{"-preset": fmt.Sprint(o.preset), "-seed": fmt.Sprint(o.seed), "-unseen": fmt.Sprint(o.unseen)}
	for name, file := range map[string]string{"-data": o.data, "-llm": o.llm} {
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
	name := filepath.Join(o.out, "run.json")
	b, err := os.ReadFile(name)
	if os.IsNotExist(err) {
		if b, err = json.MarshalIndent(now, "", "  "); err != nil {
			return err
		}
		if err := os.MkdirAll(o.out, 0o755); err != nil {
			return err
		}
		return os.WriteFile(name, b, 0o644)
	}
	if err != nil {
		return err
	}
	if !o.resume {
		return fmt.Errorf("%s holds a run already: go on with -resume, or give another folder with -out", o.out)
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
			o.out, other)
	}
	return nil
}
