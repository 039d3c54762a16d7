package main

import (
	"image"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestInputsAreNoOutputs: no command writes over a file that it reads, by whatever path.
func TestInputsAreNoOutputs(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "sub"), 0o777))
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666))
	}
	write("data.json", `[{"id": "a", "conversations": [{"from": "human", "value": "Hi"},
  {"from": "gpt", "value": "Ho"}]}]`)
	write("p.json", `{"0": {"question": "what ?", "choices": ["red", "is"], "answer": 0, "hint": "", "image": null}}`)
	write("s.json", `{"test": ["0"]}`)
	write("scienceqa.json", `[{"benchmark": "scienceqa", "annotations": "p.json", "splits": "s.json",
  "answers": ["s.json"]}]`)
	write("q.jsonl", `{"question_id": 0, "text": "Is it?", "label": "yes"}`+"\n")
	write("a.jsonl", `{"question_id": 0, "text": "yes"}`+"\n")
	write("suite.json", `[{"benchmark": "pope", "questions": "q.jsonl", "answers": ["a.jsonl"], "annotations": "."}]`)
	f, err := os.Create(filepath.Join(dir, "x.png"))
	require.NoError(t, err)
	require.NoError(t, png.Encode(f, image.NewRGBA(image.Rect(0, 0, 64, 64))))
	require.NoError(t, f.Close())
	require.NoError(t, os.Symlink("x.png", filepath.Join(dir, "link.png")))
	before := map[string]string{}
	names, err := filepath.Glob(filepath.Join(dir, "*.*"))
	require.NoError(t, err)
	for _, name := range names {
		b, err := os.ReadFile(name)
		require.NoError(t, err)
		before[name] = string(b)
	}
	seem := filepath.Join(t.TempDir(), "seem")
	tinySEEM(t, seem)
	draws := painter(t)
	for _, args := range []string{
		"data show DIR/data.json --out DIR/sub/../data.json",
		"data show DIR/data.json --out DIR/x.png",
		"segment SEEM DIR/x.png --text a --out DIR/link.png",
		"segment SEEM DIR/x.png --mask DIR/x.png --out DIR/sub/../x.png",
		"draw PAINTER hat --inpaint DIR/x.png --box hat=0,0,1,1 --out DIR/link.png --force",
		"score pope DIR/a.jsonl --questions DIR/q.jsonl --annotations DIR --json DIR/a.jsonl",
		"score pope DIR/a.jsonl --questions DIR/q.jsonl --annotations DIR --against DIR/a.jsonl --page DIR/q.jsonl",
		"eval MODEL --benchmark scienceqa --annotations DIR/p.json --splits DIR/s.json --answers DIR/sub/../p.json",
		"eval MODEL --suite DIR/scienceqa.json --answers DIR/sub",
		"eval MODEL --questions DIR/q.jsonl --answers DIR/s.json",
		"data annotate MODEL --images DIR --out DIR/s.json",
		"score --suite DIR/suite.json --table DIR/suite.json",
		"score --suite DIR/suite.json --picture DIR/a.jsonl",
	} {
		args = strings.NewReplacer("SEEM", seem, "PAINTER", draws).Replace(args)
		code, said := command(t, dir, args)
		require.Equal(t, 1, code, "%s: %s", args, said)
		require.Regexp(t, `is what is read: choose another|is there, and is no page|no (answer|record) of a run`, said,
			args)
	}
	for name, want := range before {
		b, err := os.ReadFile(name)
		require.NoError(t, err)
		require.Equal(t, want, string(b), name)
	}
}
