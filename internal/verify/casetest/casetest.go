// Package casetest tests cases of package verify: that they pass, that a changed case fails and says where, and that a
// damaged one is a failure or an error and never a panic.
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
func Passes(t *testing.T, dir string, least int) verify.Result {
	t.Helper()
	r := verify.Run(dir)
	if !r.Pass() {
		t.Fatalf("%s: %s", dir, r.Note)
	}
	if len(r.Rows) < least {
		t.Fatalf("%s: %d rows, want at least %d", dir, len(r.Rows), least)
	}
	return r
}

// Fails changes one of the files of a case's copy and fails the test unless that is noticed: see [Change] and
// [Notices].
func Fails(t *testing.T, dir, file, old, new, says string) {
	t.Helper()
	tmp := filepath.Join(t.TempDir(), "case")
	must(t, os.CopyFS(tmp, os.DirFS(dir)))
	if texts, err := os.ReadFile(filepath.Join(dir, "..", "texts.jsonl")); err == nil { // tokenizers share them
		must(t, os.WriteFile(filepath.Join(tmp, "..", "texts.jsonl"), texts, 0o600))
	}
	Change(t, filepath.Join(tmp, filepath.FromSlash(file)), old, new)
	Notices(t, tmp, says)
}

// Change puts new in place of the first old in a file; where old is empty, it changes bytes in the file's middle.
func Change(t *testing.T, path, old, new string) {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	if old == "" {
		for i := len(b) / 2; i < len(b)/2+64; i++ {
			b[i] ^= 0x10
		}
	} else if !bytes.Contains(b, []byte(old)) {
		t.Fatalf("%s has no %s", path, old)
	} else {
		b = bytes.Replace(b, []byte(old), []byte(new), 1)
	}
	must(t, os.Chmod(path, 0o600))
	must(t, os.WriteFile(path, b, 0o600))
}

// Notices fails the test unless a case fails without a panic, and its note or the rows that fail say so.
func Notices(t *testing.T, dir, says string) {
	t.Helper()
	r := verify.Run(dir)
	said := r.Note
	for _, row := range r.Rows {
		if !row.Pass {
			said += "\n" + row.What + ": " + row.Detail
		}
	}
	if r.Pass() || !strings.Contains(said, says) || strings.Contains(said, "panic") {
		t.Fatalf("%s: want %q in: %s", dir, says, said)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Damaged checks copies of a case in which one of the inputs, in.NAME, is missing, or has lost the last element of its
// last axis or of its first one, or its shape, or all its elements. None of them may end in a panic.
func Damaged(t *testing.T, dir string) {
	t.Helper()
	f, err := safetensors.Open(filepath.Join(dir, "expected.safetensors"))
	must(t, err)
	defer f.Close()
	tmp := t.TempDir()
	must(t, os.CopyFS(tmp, os.DirFS(dir)))
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
			must(t, write(f, filepath.Join(tmp, "expected.safetensors"), name, change))
			r := verify.Run(tmp)
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
