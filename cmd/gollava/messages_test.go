package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite testdata/messages.golden")

// mishap is something that a user does wrong: files that are written first, by name, and the arguments. A file whose
// content begins with + is appended to.
type mishap struct {
	done  string
	files map[string]string
	args  string
}

// TestMessages keeps the exact message of each mishap. They name the place (file, line, record, key or flag) and what
// to do, in the words of files and flags. To change one on purpose: -update, then read the difference.
func TestMessages(t *testing.T) {
	dir := t.TempDir()
	twenty(t, dir)
	t.Chdir(dir)
	t.Setenv("TMPDIR", dir)
	code, said := command(t, dir, "train -config run.yaml --set steps=2 --set out=run/model")
	require.Zero(t, code, said)
	code, said = command(t, dir, "train -config run.yaml --set stage=task_lora --set vision= --set llm= "+
		"--set model=run/model --set steps=1 --set lora.r=2 --set out=run/lora")
	require.Zero(t, code, said)
	var got strings.Builder
	seen := map[string]bool{}
	for _, f := range mishaps(t) {
		require.False(t, seen[f.done], f.done)
		seen[f.done] = true
		undo := f.write(t)
		var out, err bytes.Buffer
		code := run(t.Context(), arguments(f.args), &out, &err)
		undo()
		if strings.HasPrefix(f.done, "data check") {
			out.WriteTo(&err)
		}
		text := strings.ReplaceAll(err.String(), dir, "DIR")
		if _, after, ok := strings.Cut("\n"+text, "\ngollava: "); ok {
			text = after
		}
		text = machine.ReplaceAllString(text, "$1")
		if code == 0 && !strings.HasPrefix(f.done, "data check") { // which warns of some
			t.Errorf("%s: succeeds: %s%s", f.done, &out, text)
		}
		require.Less(t, len(text), 2500, f.done)
		fmt.Fprintf(&got, "# %s\n%s\n\n", f.done, strings.TrimSpace(text))
	}
	require.GreaterOrEqual(t, len(seen), 120)
	path := filepath.Join(source0, "testdata", "messages.golden")
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(got.String()), 0o666))
		return
	}
	for word := range strings.FieldsSeq("unmarshal statat Config.LR LoaderConfig Options. Limits. goroutine strconv. " +
		"*fs. interface{}") {
		if at := strings.Index(got.String(), word); at >= 0 {
			t.Errorf("a word of Go: %s", got.String()[max(0, at-100):min(at+100, got.Len())])
		}
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), got.String(), "go test ./cmd/gollava -run Messages -update rewrites the file")
}

// source0 is the folder of this package.
var source0, _ = os.Getwd()

// machine matches what depends on it.
var machine = regexp.MustCompile(`(amd64|arm64)/[a-z0-9+-]+`)

// write puts the files in place and returns what takes them away again.
func (f mishap) write(t *testing.T) func() {
	before := map[string][]byte{}
	for name, text := range f.files {
		old, err := os.ReadFile(name)
		if err == nil {
			before[name] = old
		}
		if rest, ok := strings.CutPrefix(text, "+"); ok {
			text = string(old) + rest
		}
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o777))
		require.NoError(t, os.WriteFile(name, []byte(text), 0o666))
	}
	return func() {
		for name := range f.files {
			if old, ok := before[name]; ok {
				require.NoError(t, os.WriteFile(name, old, 0o666))
				continue
			}
			require.NoError(t, os.Remove(name))
		}
	}
}

// mishaps are those of the list, and a run's file with each of these lines.
func mishaps(t *testing.T) []mishap {
	raw, err := os.ReadFile("run.yaml")
	require.NoError(t, err)
	var list []mishap
	yaml := func(done, text string) {
		list = append(list, mishap{"run.yaml: " + done, map[string]string{"bad.yaml": text}, "train -config bad.yaml"})
	}
	for line := range strings.Lines(`
lr: fast
lr: -1
lr: 1e400
lr: nan
batch: -4
batch: 0
batch: 1.5
batch: many
batch: 99999999999
micro: 3
micro: -1
steps: -1
steps: 1.5
epochs: -2
epochs: 1e20
seed: 1.5
seed: -1
warmup: 2
clip: -1
weight_decay: heavy
schedule: cosin
validation: 1.5
template: vicuna_v2
template: chatml3
aspect: padd
layout: hubb
recipe: v2
stage: tun
dtype: float64
bits: 8
memory: lots
keep: 0
every: -5
workers: 0
max_length: -1
select_layer: 9999
select_feature: cls
projector_type: mlp9x_relu
projector: nowhere
vision: nowhere
llm: nowhere
model: nowhere
model: run/model
data: nowhere.json
images: nowhere
features: run.yaml
out:
lora: {r: 4}
lora: {rr: 4}
lora_r: 4
stagee: tune
learning_rate: 1
image_folder: x
recompute: perhaps
zero1: 3
group_by_length: often
token_weighted: [1]
skip: 7
evaluate: -1
`) {
		line = strings.TrimSpace(line)
		key, _, _ := strings.Cut(line, ":")
		if line == "" {
			continue
		}
		text := regexp.MustCompile(`(?m)^`+key+`:.*\n`).ReplaceAllString(string(raw), "")
		yaml(line, text+line+"\n")
	}
	yaml("indented by a tab", string(raw)+"\tlr: 1\n")
	yaml("indented key", string(raw)+"  lr: 1\n")
	yaml("a key twice", string(raw)+"steps: 2\n")
	yaml("a list", "- stage\n- tune\n")
	yaml("empty", "")
	yaml("no data", strings.Replace(string(raw), "data: twenty.json\n", "", 1))
	yaml("no images", strings.Replace(string(raw), "images: images\n", "", 1))
	yaml("steps and epochs", string(raw)+"epochs: 2\n")
	yaml("out is the language model", strings.Replace(string(raw), "out: run/tune", "out: llm", 1))
	yaml("out is the folder of another model", strings.Replace(string(raw), "out: run/tune", "out: run/model", 1))
	yaml("stage lora with negative rank", strings.Replace(string(raw), "stage: tune", "stage: lora\nlora: {r: -1}", 1))
	yaml("stage lora with alpha 0", strings.Replace(string(raw), "stage: tune", "stage: lora\nlora: {alpha: 0}", 1))
	yaml("stage lora with dropout 2", strings.Replace(string(raw), "stage: tune", "stage: lora\nlora: {dropout: 2}", 1))

	records := func(done, text string) {
		list = append(list, mishap{"data: " + done, map[string]string{"bad.json": text},
			"train -config run.yaml --set data=bad.json"},
			mishap{"data check: " + done, map[string]string{"bad.json": text}, "data check bad.json --images images"})
	}
	good := `{"id": "a", "image": "00.png", "conversations": [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "It."}]}`
	for done, change := range map[string][2]string{} {
		records(done, "["+strings.Replace(good, change[0], change[1], 1)+"]")
	}
	for _, c := range [][3]string{
		{"the image is not there", "00.png", "zz.png"},
		{"the image is an address", "00.png", "https://example.org/a.png"},
		{"an unknown sender", `"gpt"`, `"robot"`},
		{"conversations is text",
			`[{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "It."}]`, `"x"`},
		{"a value is a number", `"It."`, `5`}, {"image is a number", `"00.png"`, `5`}, {"no <image>", `<image>\n`, ``},
		{"an empty answer", `"It."`, `""`}, {"two images in the text", `<image>\n`, `<image>\n<image>\n`},
		{"conversations misspelt", `conversations`, `conversation`},
		{"from misspelt", `"from": "gpt"`, `"form": "gpt"`},
	} {
		records(c[0], "["+strings.Replace(good, c[1], c[2], 1)+"]")
	}
	records("an empty list", "[]")
	records("an empty file", "")
	records("cut off", "["+good+", {\"id\"")
	records("no comma", "["+good+good+"]")

	add := func(done, args string, files ...string) {
		m := map[string]string{}
		for i := 0; i < len(files); i += 2 {
			m[files[i]] = files[i+1]
		}
		list = append(list, mishap{done, m, args})
	}
	add("no command of that name", "trian")
	add("no flag of that name", "chat run/model --imag x")
	add("train without a file", "train")
	add("train with no such file", "train -config nowhere.yaml")
	add("train: a key set without value", "train -config run.yaml --set lr")
	add("train: an unknown key set", "train -config run.yaml --set rl=1")
	add("train: an unknown example", "train --example tunee")
	add("chat: no folder", "chat")
	add("chat: no such folder", "chat nowhere")
	add("chat: a run's folder above the model", "chat run")
	add("chat: no such image", "chat run/model --image none.png --ask hi")
	add("chat: not an image", "chat run/model --image run.yaml --ask hi")
	add("chat: an empty question", `chat run/model --ask ""`)
	add("chat: unknown template", "chat run/model --template vicuna --ask hi")
	add("chat: no tokens", "chat run/model --max-tokens 0 --ask hi")
	add("chat: cold", "chat run/model --temperature -1 --ask hi")
	add("chat: top-p 2", "chat run/model --top-p 2 --ask hi")
	add("chat: unknown dtype", "chat run/model --dtype int8 --ask hi")
	add("chat: an adapter without base", "chat run/lora --ask hi")
	add("chat: an adapter on no folder", "chat run/lora --base nowhere --ask hi")
	add("chat: a tower's folder", "chat tower --ask hi")
	add("chat: broken config.json", "chat run/model --ask hi", "run/model/config.json",
		"{\"model_type\": \"llava\",\n \"text_config\": }")
	add("chat: config.json is a list", "chat run/model --ask hi", "run/model/config.json", "[]")
	add("chat: text_config is null", "chat run/model --ask hi", "run/model/config.json",
		`{"model_type": "llava", "text_config": null}`)
	add("chat: unknown model_type", "chat run/model --ask hi", "run/model/config.json", `{"model_type": "whisper"}`)
	add("chat: broken tokenizer.json", "chat run/model --ask hi", "run/model/tokenizer.json", "{")
	add("chat: broken generation_config.json", "chat run/model --ask hi", "run/model/generation_config.json",
		`{"temperature": "hot"}`)
	add("chat: weights cut off", "chat run/model --ask hi", "run/model/model.safetensors", "1234")
	add("chat: weights are a pointer of Git LFS", "chat run/model --ask hi", "run/model/model.safetensors",
		"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n")
	add("eval: no questions", "eval run/model --answers a.jsonl")
	add("eval: no such file of questions", "eval run/model --questions none.jsonl --answers a.jsonl")
	add("eval: a question without text", "eval run/model --questions bad.jsonl --answers a.jsonl", "bad.jsonl",
		`{"question_id": 1}`)
	add("eval: no JSON", "eval run/model --questions bad.jsonl --answers a.jsonl", "bad.jsonl", "what?")
	add("eval: the image is not there", "eval run/model --questions bad.jsonl --answers a.jsonl", "bad.jsonl",
		`{"question_id": 1, "text": "a", "image": "z.png"}`)
	add("eval: unknown benchmark", "eval run/model --benchmark poppe --answers a.jsonl")
	add("score: unknown benchmark", "score poppe a.jsonl")
	add("score: no such answers", "score pope none.jsonl --questions questions.jsonl --annotations images")
	add("merge: no adapter", "merge run/model --out m")
	add("merge: no base", "merge run/lora --out m")
	add("merge: out is not empty", "merge run/lora --base run/model --out images")
	add("merge: out is the adapter", "merge run/lora --base run/model --out run/lora")
	add("merge: broken adapter_config.json", "merge run/lora --base run/model --out m", "run/lora/adapter_config.json",
		"{")
	add("merge: another kind of adapter", "merge run/lora --base run/model --out m", "run/lora/adapter_config.json",
		`{"peft_type": "PREFIX_TUNING"}`)
	add("export: no model", "export images --out m")
	add("export: unknown layout", "export run/model --layout onnx --out m")
	add("export: peft of a whole model", "export run/model --layout peft --out m")
	add("export: gguf without ending", "export run/model --layout gguf --out m")
	add("export: unknown type", "export run/model --layout gguf --type q3_x --out m.gguf")
	add("quantise: no folder", "quantise nowhere --out m.gguf")
	add("inspect: no folder", "inspect nowhere")
	add("inspect: nothing in it", "inspect images")
	add("verify: no case", "verify images")
	add("serve: address without a port", "serve run/model --listen 8080")
	add("serve: no model", "serve nowhere --listen 127.0.0.1:0")
	add("data show: no tokenizer", "data show twenty.json --tokenizer images")
	add("data show: unknown template", "data show twenty.json --template vicuna")
	add("data check: no such file", "data check nowhere.json")
	add("generate: no out", "generate --captions none.json")
	return list
}
