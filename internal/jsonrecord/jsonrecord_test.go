package jsonrecord

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// file writes a file of the test's own.
func file(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "f.json")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o666))
	return path
}

// TestReader reads values that lie across the ends of its buffer.
func TestReader(t *testing.T) {
	long := strings.Repeat(`x\"\\`, 60_000)
	path := file(
		t,
		`{"other": {"rows": [1]}, "rows": [`+"\n"+`{"s": "`+long+`"}, 12 ,`+"\n"+`"t", [], {}], "after": 1}`,
	)
	var got []string
	var lines []int
	require.NoError(t, Each(path, "rows", func(r Record) error {
		got, lines = append(got, string(r.Raw)), append(lines, r.Line)
		b, err := os.ReadFile(r.Path)
		require.NoError(t, err)
		require.Equal(t, string(r.Raw), string(b[r.Offset:r.Offset+int64(len(r.Raw))]))
		return nil
	}))
	require.Equal(t, []string{`{"s": "` + long + `"}`, "12", `"t"`, "[]", "{}"}, got)
	require.Equal(t, []int{2, 2, 3, 3, 3}, lines)
	for text, says := range map[string]string{`[1, 2`: "ends early", `[1 2]`: `'2' where ','`, `{"a" 1}`: "where ':'", `[,]`: "where a value belongs", `{1: 2}`: "no string", "": "is empty", `[1]]`: "something follows", `{"a": "x`: "ends early"} {
		path := file(t, text)
		require.ErrorContains(t, Each(path, "", func(Record) error { return nil }), says, text)
	}
}

func FuzzEach(f *testing.F) {
	for _, s := range []string{`[{"a": 1}]`, `{"a": [1, "b\""]}`, "{}\n{}", "[", `"`, "1,2"} {
		f.Add(s)
	}
	path := filepath.Join(f.TempDir(), "f")
	f.Fuzz(func(t *testing.T, s string) {
		require.NoError(t, os.WriteFile(path, []byte(s), 0o600))
		_ = Each(path, "", func(Record) error { return nil })
		_ = Each(path, "a", func(Record) error { return nil })
		_ = EachRow(path, func(Record) error { return nil })
		_, _, _, err := Head(path)
		require.NoError(t, err)
	})
}

// A line that a killed program began is told from the last line of another file.
func TestBegins(t *testing.T) {
	for line, want := range map[string]bool{`{`: true, `{"i`: true, `{"id"`: true, `{"id":4,"x":`: true,
		`{"ids":`: false, `[{"id":4}]`: false, `{ "id":4}`: false, `{"0":{"id":4}}`: false} {
		require.Equal(t, want, Record{Raw: []byte(line)}.Begins("id"), line)
	}
}
