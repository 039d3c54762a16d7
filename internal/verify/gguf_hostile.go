package verify

import (
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/internal/gguf"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// hostileCase is case.json of task gguf_hostile.
type hostileCase struct {
	Expected string
	Accept   []string
	Limits   struct {
		Memory  uint64  `json:"memory_bytes"`
		Seconds float64 `json:"seconds"`
	}
}

// ggufHostile checks that every malformed file ends in an error that names it, within bounds of time and memory, and
// that the sound ones load.
func ggufHostile(r *Report, c hostileCase) {
	var files []struct {
		File    string
		Stage   string
		Fault   string
		MayLoad bool `json:"may_load"`
	}
	readJSON(inside(r.Dir, c.Expected), &files)
	opened, built := tally{What: "refused when opened"}, tally{What: "refused when a model is built"}
	bounds, accepted := tally{What: "bounds of time and memory"}, tally{What: "accepted"}
	for _, f := range files {
		path := inside(r.Dir, f.File)
		err := c.bounded(&bounds, path, func() error {
			if f.Stage != "model" {
				return container(path)
			}
			if err := container(path); err != nil {
				return nil // a model's fault must be found by what builds models
			}
			return build(path)
		})
		t := &opened
		if f.Stage == "model" {
			t = &built
		}
		switch {
		case err == nil:
			t.check(f.MayLoad, "%s loads: %s", f.File, f.Fault)
		default:
			t.check(strings.Contains(err.Error(), f.File) && !strings.Contains(err.Error(), "panic"), "%s: %v", f.File, err)
		}
	}
	for _, name := range c.Accept {
		path := inside(r.Dir, name)
		err := container(path)
		if err == nil && !strings.Contains(name, "container") {
			err = build(path)
		}
		accepted.check(err == nil, "%s: %v", name, err)
	}
	r.add(tallied(&opened, &built, &bounds, &accepted)...)
}

// bounded runs fn, a panic of which becomes an error, and counts what it allocated and how long it took.
func (c *hostileCase) bounded(t *tally, path string, fn func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	err = fn()
	took := time.Since(start).Seconds()
	runtime.ReadMemStats(&after)
	used := after.TotalAlloc - before.TotalAlloc
	t.check(used <= c.Limits.Memory && took <= c.Limits.Seconds, "%s: %d bytes, %.2f s", filepath.Base(path), used, took)
	return err
}

// container opens a file and looks at all that it says.
func container(path string) error {
	_, err := describe(path)
	return err
}

// build loads the model in a file, and its tokenizer; or the isVision part of one (mmproj).
func build(path string) error {
	if isVision(path) {
		_, _, err := llava.LoadMMProj(path, nn.LoadOptions{})
		return err
	}
	m, err := llm.Load(path, nn.LoadOptions{})
	if err != nil {
		return err
	}
	if _, err := tokenizer.Load(path); err != nil {
		return err
	}
	return tensor.Catch(func() { m.Embed(tensor.Ints([]int{0}, 1, 1)) })
}

// isVision reports whether a file calls itself the isVision part of a model.
func isVision(path string) bool {
	f, err := gguf.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	k := &gguf.Keys{File: f}
	return k.Text("general.architecture") == "clip"
}
