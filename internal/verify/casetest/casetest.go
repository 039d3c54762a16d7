// Package casetest tests tasks of package verify: that they pass the module's own cases, and that a damaged case is a
// failure or an error and never a panic.
package casetest

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gollava/gollava/internal/safetensors"
	"github.com/gollava/gollava/internal/verify"
)

// Passes fails the test unless a case passes with at least that many rows.
func Passes(t *testing.T, task verify.Task, dir string, least int) {
	t.Helper()
	rows, err := task(dir)
	if err != nil {
		t.Fatal(dir, err)
	}
	for _, r := range rows {
		if !r.Pass {
			t.Fatalf("%s: %s: %s", dir, r.What, r.Detail)
		}
	}
	if len(rows) < least {
		t.Fatalf("%s: %d rows, want at least %d", dir, len(rows), least)
	}
}

// Damaged runs the task on copies of a case in which one of the inputs, in.NAME, is missing, or has lost the last
// element of its last axis or of its first one, or its shape, or all its elements. None of them may end in a panic.
func Damaged(t *testing.T, task verify.Task, dir string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(dir, err)
		}
	}
	f, err := safetensors.Open(filepath.Join(dir, "expected.safetensors"))
	must(err)
	defer f.Close()
	var head struct{ Task string }
	must(verify.ReadJSON(filepath.Join(dir, "case.json"), &head))
	tmp := t.TempDir()
	must(os.CopyFS(tmp, os.DirFS(dir)))
	for _, name := range f.Names() {
		if !strings.HasPrefix(name, "in.") {
			continue
		}
		for what, change := range map[string]func(*safetensors.Tensor, []byte) bool{
			"missing":           func(*safetensors.Tensor, []byte) bool { return false },
			"a shorter row":     func(x *safetensors.Tensor, b []byte) bool { return cut(x, b, len(x.Shape)-1) },
			"a row less":        func(x *safetensors.Tensor, b []byte) bool { return cut(x, b, 0) },
			"a flat vector":     flatten,
			"no element at all": empty,
		} {
			must(write(f, filepath.Join(tmp, "expected.safetensors"), name, change))
			r := verify.Run(tmp, map[string]verify.Task{head.Task: task})
			if strings.Contains(r.Note, "panic") {
				t.Fatalf("%s: %s: %s: %s", dir, name, what, r.Note)
			}
		}
	}
}

// write writes the tensors of f, of which change changes one, or leaves it out by returning false.
func write(f *safetensors.File, path, name string, change func(*safetensors.Tensor, []byte) bool) error {
	var list []safetensors.Tensor
	for _, n := range f.Names() {
		i, _ := f.Info(n)
		b, err := f.Bytes(n)
		if err != nil {
			return err
		}
		x := safetensors.Tensor{Name: n, DType: i.DType, Shape: slices.Clone(i.Shape), Write: safetensors.Bytes(b)}
		if n != name || change(&x, b) {
			list = append(list, x)
		}
	}
	return safetensors.Write(path, list, f.Metadata())
}

// cut takes the last element off an axis.
func cut(x *safetensors.Tensor, b []byte, axis int) bool {
	if axis < 0 || axis >= len(x.Shape) || x.Shape[axis] == 0 || len(b) == 0 {
		return true
	}
	outer, n := 1, x.Shape[axis]
	for _, d := range x.Shape[:axis] {
		outer *= d
	}
	size := len(b) / outer
	var out bytes.Buffer
	for i := range outer {
		out.Write(b[i*size:][:size/n*(n-1)])
	}
	x.Shape[axis], x.Write = n-1, safetensors.Bytes(out.Bytes())
	return true
}

func flatten(x *safetensors.Tensor, _ []byte) bool {
	n := 1
	for _, d := range x.Shape {
		n *= d
	}
	x.Shape = []int{n}
	return true
}

func empty(x *safetensors.Tensor, _ []byte) bool {
	if len(x.Shape) > 0 {
		x.Shape[0], x.Write = 0, safetensors.Bytes(nil)
	}
	return true
}
