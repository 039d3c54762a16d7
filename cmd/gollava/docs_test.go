package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data/shapes"
)

// elsewhere are commands of README and docs that this test does not run, by how they begin, and why.
var elsewhere = map[string]string{
	"go run ./examples/quickstart":  "minutes; examples/quickstart's test runs it at toy size",
	"go test ./...":                 "this is it",
	"go install":                    "needs the network and a release",
	"bash .ci/run":                  "runs these tests",
	"go run ./internal/bench":       "internal/bench has its tests",
	"go run ./examples/dataset":     "its test runs it",
	"bash .ci/fuzz":                 "a quarter of an hour",
	"mpirun":                        "needs an MPI; train/llava's TestCommand runs it where there is one",
	"python ":                       "needs PyTorch",
	"gollava verify my-case":        "a case that python writes; TestVerify runs others",
	"pip download":                  "needs the network",
	"go run ./examples/pretrained":  "minutes, and weights of 94 MB; its test runs it on tiny parts",
	"gollava chat run/tune --base":  "asks what the line before has trained",
	"go run ./examples/smollm":      "needs weights of 94 MB; examples/smollm's test runs it on a tiny model",
	"go test ./examples/quickstart": "hours",
	"go test ./lora -run xxx -fuzz": "half a minute; go test runs the target's corpus",
	"curl ":                         "a server; TestServe and TestTwentyOfTwenty ask one",
	"-d '":                          "the rest of curl's line",
	"gollava embed":                 "needs a trained ImageBind; TestEmbed runs it on a tiny one",
	"gollava segment":               "needs a trained SEEM; TestSegment runs it on a tiny one",
	"go run ./examples/imagebind":   "a minute; its test runs it",
	"go run ./examples/seem":        "a minute; its test runs it",
	"go run ./examples/emoji":       "needs packages of 348 MB; its test runs it on tiny parts",
}

// pages are run in this order, in one folder.
var pages = []string{"README.md", "CONTRIBUTING.md", "docs/first-hour.md", "docs/fine-tune.md", "docs/continue.md", "docs/export.md",
	"docs/evaluate.md", "docs/quantised.md", "docs/serve.md", "docs/embed.md", "docs/embed-and-segment.md",
	"docs/draw.md",
	"docs/pretrained.md", "docs/your-own-pictures.md", "docs/cluster.md", "docs/fidelity.md", "docs/results.md"}

// TestDocs runs the commands of README and docs as they are printed, with tiny models under the names that they use.
// Commands of console blocks, after a $, must fail with the messages that are shown.
// docs/instruction-data.md is TestWalk's.
func TestDocs(t *testing.T) {
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	all, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	require.NoError(t, err)
	for _, path := range all {
		raw, err := os.ReadFile(path)
		require.NoError(t, err)
		name := "docs/" + filepath.Base(path)
		if name != "docs/instruction-data.md" && bytes.Contains(raw, []byte("```sh")) {
			require.Contains(t, pages, name)
		}
	}
	dir := t.TempDir()
	toyWorld(t, root, dir)
	blocks := regexp.MustCompile("(?s)```(sh|yaml|console)\n(.*?)```")
	for _, page := range pages {
		raw, err := os.ReadFile(filepath.Join(root, page))
		require.NoError(t, err)
		for _, b := range blocks.FindAllStringSubmatch(string(raw), -1) {
			if b[1] == "console" {
				failing(t, page, b[2])
				continue
			}
			if b[1] == "yaml" {
				if name := regexp.MustCompile(`^# (\S+\.yaml)\n`).FindStringSubmatch(b[2]); name != nil {
					require.NoError(t, os.WriteFile(name[1], []byte(b[2]+"dtype: float32\nlora: {r: 4}\n"), 0o666))
				}
				continue
			}
			for line := range strings.Lines(b[2]) {
				line = strings.TrimSpace(regexp.MustCompile(`\s+#\s.*`).ReplaceAllString(line, ""))
				if line != "" {
					runLine(t, page, line)
				}
			}
		}
	}
}

// toyWorld makes a folder the working one, and fills it with what the pages name.
func toyWorld(t *testing.T, root, dir string) {
	twenty(t, dir)
	t.Chdir(dir)
	code, said := command(t, dir, "train -config run.yaml --set steps=2 --set out=run/model --set max_length=512")
	require.Zero(t, code, said)
	code, said = command(t, dir, "train -config run.yaml --set stage=task_lora --set vision= --set llm= "+
		"--set model=run/model --set steps=1 --set lora.r=2 --set out=adapters/pirate")
	require.Zero(t, code, said)
	code, said = command(t, dir, "export run/model --layout gguf --out other.gguf")
	require.Zero(t, code, said)
	program := "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt " +
		"%}assistant:{% endif %}"
	require.NoError(t, os.WriteFile("llm/chat_template.jinja", []byte(program), 0o666))
	require.NoError(t, os.CopyFS("clip-vit-base-patch32", os.DirFS(filepath.Join(root, "vit", "testdata", "clip"))))
	code, said = command(t, dir, "quantise llm --out SmolLM2-135M-Instruct.Q4_1.gguf --type q8_0")
	require.Zero(t, code, said)
	require.NoError(t, os.Mkdir("llava", 0o777))
	tokens, err := filepath.Glob("llm/tok*")
	require.NoError(t, err)
	for _, name := range append(tokens, filepath.Join("tower", "preprocessor_config.json")) {
		raw, err := os.ReadFile(name)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join("clip-vit-base-patch32", filepath.Base(name)), raw, 0o666))
	}
	require.NoError(t, os.Symlink(painter(t), "gligen-1-4-generation-text-box"))
	require.NoError(t, os.Mkdir("flags", 0o777))
	for name, to := range map[string]string{"llava-1.5-7b-hf": "run/model", "picture.png": "images/00.png",
		"flags/flags.json": "../twenty.json", "flags/images": "../images",
		"cat.jpg":              "images/01.png",
		"mmproj-of-other.gguf": "mmproj-other.gguf"} {
		require.NoError(t, os.Symlink(to, name))
	}
	w, err := shapes.New(shapes.Smoke(1))
	require.NoError(t, err)
	require.NoError(t, w.WriteCOCO(t.Context(), "shapes", 0, 4))
	require.NoError(t, os.Symlink("shapes/images", "val2014"))
	pope(t, w)
}

// failing runs the commands of a console block, each of which must fail and print the lines that follow it.
func failing(t *testing.T, page, block string) {
	for _, part := range strings.Split(block, "$ ")[1:] {
		line, lines, _ := strings.Cut(part, "\n")
		args := arguments(line)
		require.Equal(t, "gollava", args[0], "%s: %s", page, line)
		var out, said transcript
		require.NotZero(t, run(t.Context(), args[1:], &out, &said), "%s: %s", page, line)
		require.NotEmpty(t, lines, "%s: %s", page, line)
		require.Contains(t, said.String(), lines, "%s: %s", page, line)
	}
}

// runLine runs one command; a server only until it listens.
func runLine(t *testing.T, page, line string) {
	for begins, why := range elsewhere {
		if strings.HasPrefix(line, begins) {
			t.Logf("%s: not run: %s: %s", page, line, why)
			return
		}
	}
	args := arguments(line)
	require.Equal(t, "gollava", args[0], "%s: %s is neither run nor listed with a reason", page, line)
	args = args[1:]
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out, said transcript
	switch args[0] {
	case "serve":
		args = append(args, "--listen", "127.0.0.1:0")
		go func() {
			for ctx.Err() == nil && !strings.Contains(said.String(), "http://") {
				time.Sleep(5 * time.Millisecond)
			}
			cancel()
		}()
	case "eval":
		args = append(args, "--max-tokens", "3")
	}
	code := run(ctx, args, &out, &said)
	require.Zero(t, code, "%s: %s: %s", page, line, &said)
}

// arguments takes a command apart as a shell does.
func arguments(line string) (args []string) {
	for _, m := range regexp.MustCompile(`"([^"]*)"|'([^']*)'|(\S+)`).FindAllStringSubmatch(line, -1) {
		args = append(args, m[1]+m[2]+m[3])
	}
	return args
}
