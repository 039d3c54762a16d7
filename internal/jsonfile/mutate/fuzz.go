package mutate

import (
	"os"
	"path/filepath"
	"regexp"
	"runtime/metrics"
	"testing"
)

// AboutGo finds words that no message for the author of a file may have.
var AboutGo = regexp.MustCompile(
	`Go (struct|value)|cannot unmarshal|runtime error|interface conversion|nil pointer|strconv\.`)

// most is what reading one variant of a small document may allocate.
const most = 64 << 20

// Fuzz fuzzes read with a [Variant] of one of the documents at a time. read returns why it refuses a document; it must
// not panic, nor allocate more than 64 MiB, nor speak of Go's types.
func Fuzz(f *testing.F, read func(t *testing.T, document []byte) error, documents ...[]byte) {
	for i, d := range documents {
		if f.Add(byte(i), []byte{}, []byte{}); len(d) > 20_000 {
			continue
		}
		for what := range byte(len(Values) + 2) {
			f.Add(byte(i), []byte{0, 3 + 5*what, what, 0, 7 * what, what}, []byte(`[{"a": 1e99}, "`))
		}
	}
	var apart []*Document
	for _, d := range documents {
		apart = append(apart, Read(d))
	}
	f.Fuzz(func(t *testing.T, which byte, program, raw []byte) {
		b := apart[int(which)%len(apart)].Variant(program[:min(len(program), 24)], raw)
		before := Allocated()
		err := read(t, b)
		if grown := Allocated() - before; grown > most {
			t.Errorf("%d MiB are allocated: %v\n%s", grown>>20, err, b)
		}
		if err == nil {
			return
		}
		if words := AboutGo.FindString(err.Error()); words != "" {
			t.Errorf("%q in %v\n%s", words, err, b)
		}
	})
}

// Allocated is how many bytes were ever allocated, but for what each processor has not counted yet: that is little
// beside what a test of bounded memory allows. Unlike [runtime.ReadMemStats] it stops nobody, which would take most of
// a short target's time.
func Allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// Files reads documents for [Fuzz] that patterns of [filepath.Glob] name.
func Files(f *testing.F, patterns ...string) (documents [][]byte) {
	for _, p := range patterns {
		paths, err := filepath.Glob(p)
		if err != nil || len(paths) == 0 {
			f.Fatalf("%s: no such files: %v", p, err)
		}
		for _, path := range paths {
			b, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			documents = append(documents, b)
		}
	}
	return documents
}

// InFolder is a read for [Fuzz] that opens a folder in which a file has the document. The folder is one for all.
func InFolder(f *testing.F, name string, open func(t *testing.T, dir string) error) func(*testing.T, []byte) error {
	dir := f.TempDir()
	return func(t *testing.T, document []byte) error {
		if err := os.WriteFile(filepath.Join(dir, name), document, 0o600); err != nil {
			t.Fatal(err)
		}
		return open(t, dir)
	}
}
