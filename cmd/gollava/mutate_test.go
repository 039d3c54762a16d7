package main

import (
	"bytes"
	"flag"
	"fmt"
	"image"
	"image/png"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector/blip2"
	"github.com/gollava/gollava/connector/flamingo"
	"github.com/gollava/gollava/connector/git"
	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/internal/jsonfile/mutate"
)

var everyMutation = flag.Bool("mutations", false, "make every variant of each file in TestMutatedFiles, not a few")

// mutated is a folder of which one file is broken at a time, and what then opens it.
type mutated struct {
	dir   string
	open  func(dir string) error
	every int // one variant in so many is made
}

// tokenizing are files with more places than all others together; they are broken in one folder.
var tokenizing = regexp.MustCompile(`^tokenizer.*\.json$`)

// TestMutatedFiles: whatever stands in place of any value in any JSON or YAML file, every command ends in an error or a
// result, without a panic, within memory, and with no word about Go's types.
func TestMutatedFiles(t *testing.T) {
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	parent := t.TempDir()
	world := filepath.Join(parent, "world")
	require.NoError(t, os.Mkdir(world, 0o777))
	picture := filepath.Join(parent, "x.png")
	f, err := os.Create(picture)
	require.NoError(t, err)
	require.NoError(t, png.Encode(f, image.NewRGBA(image.Rect(0, 0, 20, 13))))
	require.NoError(t, f.Close())
	cases := map[string]mutated{}
	add := func(name, dir string, every int, args string) {
		cases[name] = mutated{dir, func(dir string) error {
			var out, said bytes.Buffer
			paths := strings.NewReplacer("DIR", dir, "PNG", picture, "OUT", t.TempDir(), "WORLD", world)
			words := strings.Fields(args)
			for i, w := range words {
				words[i] = paths.Replace(w)
			}
			if code := run(t.Context(), words, &out, &said); code != 0 {
				return fmt.Errorf("exit %d: %s", code, &said)
			}
			return nil
		}, every}
	}
	loaded := func(name, dir string, load func(dir string) error) {
		cases[name] = mutated{filepath.Join(root, dir), load, 41}
	}

	twenty(t, world)
	t.Chdir(world)
	must := func(args string) {
		code, said := command(t, world, args)
		require.Zero(t, code, said)
	}
	must("train -config run.yaml --set steps=2 --set out=run/model --set max_length=512")
	must("train -config run.yaml --set stage=task_lora --set vision= --set llm= --set model=run/model --set steps=1 " +
		"--set lora.r=2 --set out=run/lora")
	require.NoError(t, os.RemoveAll("run/lora/checkpoints"))
	a, err := llava.Open("run/model", llava.LoadOptions{})
	require.NoError(t, err)
	require.NoError(t, llava.Save("shards", a.Model,
		llava.SaveOptions{MaxShard: 100_000, Processor: a.Processor, Tokenizer: a.Tokenizer}))
	require.NoError(t, os.WriteFile("shards/generation_config.json", []byte(`{"eos_token_id": [1], "do_sample": false,
		"repetition_penalty": 1.1, "min_new_tokens": 1, "bad_words_ids": [[5]], "suppress_tokens": [3],
		"no_repeat_ngram_size": 2, "begin_suppress_tokens": [4], "forced_eos_token_id": 2, "min_length": 3}`), 0o666))
	must("export run/model --layout original --out original")

	add("chat", "shards", 71, "chat DIR --image PNG --ask what --max-tokens 3")
	add("original", "original", 71, "chat DIR --image PNG --ask what --max-tokens 3")
	add("inspect", "shards", 97, "inspect DIR")
	add("adapter", "run/lora", 23, "chat DIR --base WORLD/run/model --ask what --max-tokens 3")
	add("merge", "run/lora", 131, "merge DIR --base WORLD/run/model --out OUT")
	add("text", "llm", 97, "chat DIR --ask what --max-tokens 3 --template v1")
	add("quantise", "llm", 131, "quantise DIR --out OUT/x.gguf")
	require.NoError(t, os.Mkdir("config", 0o777))
	for _, name := range []string{"run.yaml", "twenty.json", "questions.jsonl"} {
		raw, err := os.ReadFile(name)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile("config/"+name, raw, 0o666))
	}
	add("plan", "config", 23, "train -config DIR/run.yaml --set data=DIR/twenty.json --set out=OUT -plan")
	add("check", "config", 97, "data check DIR/twenty.json --images WORLD/images")
	add("show", "config", 97, "data show DIR/twenty.json --images WORLD/images --out OUT/x.html")
	add("eval", "config", 97, "eval WORLD/run/model --questions DIR/questions.jsonl --images WORLD/images "+
		"--answers OUT/a.jsonl --max-tokens 2")
	add("draw", painter(t), 331, "draw DIR hat --out OUT/x.png --steps 2")
	seem := filepath.Join(parent, "seem")
	tinySEEM(t, seem)
	add("segment", seem, 97, "segment DIR PNG --text circle --out OUT/x.png")
	add("embed", embedder(t), 97, "embed DIR text:circle PNG")
	w, err := shapes.New(shapes.Smoke(1))
	require.NoError(t, err)
	require.NoError(t, os.Mkdir("coco", 0o777))
	require.NoError(t, w.WriteCOCO(t.Context(), "coco", 0, 2))
	add("generate", "coco", 97,
		"generate --captions DIR/captions.json --instances DIR/instances.json --images DIR/images --out OUT")

	loaded("blip2", "connector/blip2/testdata/blip2-t5", func(dir string) error {
		_, err := blip2.Load(dir, blip2.LoadOptions{})
		return err
	})
	loaded("instructblip", "connector/blip2/testdata/instructblip", func(dir string) error {
		_, err := blip2.Load(dir, blip2.LoadOptions{})
		return err
	})
	loaded("flamingo", "connector/flamingo/testdata/flamingo", func(dir string) error {
		_, err := flamingo.Load(dir, flamingo.LoadOptions{})
		return err
	})
	loaded("idefics", "internal/verify/testdata/idefics", func(dir string) error {
		_, err := flamingo.Load(dir, flamingo.LoadOptions{})
		return err
	})
	loaded("git", "connector/git/testdata/git-video", func(dir string) error {
		_, err := git.Load(dir, git.LoadOptions{})
		return err
	})
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		t.Run(name, func(t *testing.T) { cases[name].test(t) })
	}
}

func (m mutated) test(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "folder")
	require.NoError(t, os.CopyFS(dir, os.DirFS(m.dir)))
	require.NoError(t, m.open(dir), "as it is")
	n, made, accepted := 0, 0, 0
	require.NoError(t, fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		base := filepath.Base(name)
		if err != nil || d.IsDir() || base == "case.json" ||
			tokenizing.MatchString(base) && !strings.HasSuffix(t.Name(), "/text") ||
			!regexp.MustCompile(`\.(json|jsonl|yaml)$`).MatchString(base) {
			return err
		}
		path := filepath.Join(dir, name)
		raw, err := os.ReadFile(path)
		require.NoError(t, err)
		document, rest := raw, []byte(nil)
		switch filepath.Ext(name) {
		case ".jsonl":
			line, others, _ := bytes.Cut(raw, []byte("\n"))
			document, rest = line, append([]byte("\n"), others...)
		case ".yaml":
			document = asJSON(raw)
		}
		for what, b := range mutate.All(document) {
			if n++; !*everyMutation && n%m.every != 0 {
				continue
			}
			made++
			require.NoError(t, os.WriteFile(path, append(b, rest...), 0o666))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			stack, failed := caught(func() error { return m.open(dir) })
			runtime.ReadMemStats(&after)
			if stack != "" {
				t.Errorf("%s: %s: panic: %v\n%s", name, what, failed, stack)
			}
			if grown := after.TotalAlloc - before.TotalAlloc; grown > 256<<20 {
				t.Errorf("%s: %s: %d MiB are allocated: %v", name, what, grown>>20, failed)
			}
			if failed == nil {
				accepted++
			} else if words := mutate.AboutGo.FindString(failed.Error()); words != "" {
				t.Errorf("%s: %s: %q in %v", name, what, words, failed)
			}
		}
		return os.WriteFile(path, raw, 0o666)
	}))
	require.Positive(t, made)
	t.Logf("%d of %d variants, %d accepted", made, n, accepted)
}

// asJSON is a flat YAML file as the JSON that means the same.
func asJSON(raw []byte) []byte {
	var pairs []string
	for _, p := range regexp.MustCompile(`(?m)^(\w+): (.*)$`).FindAllSubmatch(raw, -1) {
		value := string(p[2])
		if !regexp.MustCompile(`^[0-9.e+-]+$`).MatchString(value) {
			value = fmt.Sprintf("%q", value)
		} else if strings.Contains(value, "e") {
			value = strings.Replace(value, "e-2", "E-2", 1)
		}
		pairs = append(pairs, fmt.Sprintf("%q: %s", p[1], value))
	}
	return []byte("{" + strings.Join(pairs, ", ") + "}")
}

// caught is f's error, or what it panicked with and where.
func caught(f func() error) (stack string, err error) {
	defer func() {
		if p := recover(); p != nil {
			b := make([]byte, 4000)
			err, stack = fmt.Errorf("%v", p), string(b[:runtime.Stack(b, false)])
		}
	}()
	return "", f()
}
