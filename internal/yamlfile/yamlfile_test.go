package yamlfile

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	got, err := Parse([]byte("# a run\na: 1\nb: \"x: #y\" # why\nc:\nd: null\nlora: {r: -1}\ne:\n  f: .nan\ng: ''\nh: |\n  text\n"))
	require.NoError(t, err)
	require.Equal(t, []Entry{{Key: "a", Line: 2, Text: "1"}, {Key: "b", Line: 3, Text: "x: #y"}, {Key: "c", Line: 4, Null: true}, {Key: "d", Line: 5, Null: true},
		{Key: "lora", Line: 6, Nest: true, Map: []Entry{{Key: "r", Line: 6, Text: "-1"}}}, {Key: "e", Line: 7, Nest: true, Map: []Entry{{Key: "f", Line: 8, Text: ".nan"}}},
		{Key: "g", Line: 9}, {Key: "h", Line: 10, Text: "text\n"}}, got)
	for text, says := range map[string]string{"- a\n": "1: a list, where lines", "x": "1: text, where lines", "a: b\n  c: d\n": "1:4: a second \"key: value\" here",
		"a: 1\na: 2\n": "2:1: a is given twice, first in line 1", "a: [1]\n": "1: a: a list", "a: &x 1\nb: *x\n": "1: a: an anchor", "a: 1\n---\nb: 2\n": "3: a second document",
		"a: !!str 5\n": "1: a: a tag", "lora: {\n": "1:7: could not find"} {
		_, err := Parse([]byte(text))
		require.ErrorContains(t, err, says, text)
	}
	for _, text := range []string{"", "\n", "# nothing\n"} {
		got, err := Parse([]byte(text))
		require.NoError(t, err)
		require.Empty(t, got)
	}
}

// What is nested as deep as it is long is refused at once, however it is nested.
func TestParseDeep(t *testing.T) {
	var stairs strings.Builder
	for i := range 300 {
		stairs.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	for name, text := range map[string]string{"brackets": strings.Repeat("[", 60000), "braces": "a: " + strings.Repeat("{a: ", 15000), "dashes": strings.Repeat("- ", 30000) + "a",
		"questions": strings.Repeat("? ", 30000) + "a", "stairs": stairs.String(), "apostrophe": "a: [don't, " + strings.Repeat("[", 60000), "lines": strings.Repeat("[\n", 30000), "aliases": strings.Repeat("a: *b\n", 10000),
		"long": strings.Repeat("a", 2<<20)} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		_, err := Parse([]byte(text))
		runtime.ReadMemStats(&after)
		require.Error(t, err, name)
		require.Less(t, len(err.Error()), 200, name)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(64<<20), name)
		require.Less(t, time.Since(start), 20*time.Second, name)
	}
}
