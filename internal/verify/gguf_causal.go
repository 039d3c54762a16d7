package verify

import (
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// ggufCausalCase is case.json of task gguf_causal_lm.
type ggufCausalCase struct {
	Files []struct {
		File, Name string
		Types      map[string]int
		Positions  int
	}
	Described map[string]string // what files say, by name
	Tokens    string            // texts and their ids, of the first file
	HF        string            // the model that was converted
}

// ggufCausalLM checks decoders in GGUF files: what the files say, the tokenizer in the metadata, and logits with
// weights in blocks and widened.
func ggufCausalLM(r *Report, c ggufCausalCase) {
	ids := r.tensor("in.input_ids")
	for i, f := range c.Files {
		path := inside(r.Dir, f.File)
		if name, ok := c.Described[f.Name]; ok {
			r.add(ggufSaid(inside(r.Dir, name), path))
		}
		if i == 0 && c.HF != "" && f.Name == "f32" {
			r.try("exported tensors", func() { exported(r, inside(r.Dir, c.HF), path) })
		}
		for label, o := range map[string]nn.LoadOptions{"": {}, ", widened": {DType: nn.As(tensor.Float32)},
			", aliased": {Alias: true}} {
			r.try("logits, "+f.Name+label, func() {
				lastLogits(r, "logits, "+f.Name+label, "out."+f.Name+".logits", must(llm.Load(path, o)), ids)
			})
		}
		if i == 0 && c.Tokens != "" {
			r.try("tokens", func() { ggufTokens(r, inside(r.Dir, c.Tokens), path) })
		}
	}
}

// exported writes the model that was converted as float32, and compares its tensors with those of the recorded file.
func exported(r *Report, folder, path string) {
	t := tally{What: "exported tensors"}
	var got description
	temporary(func(dir string) {
		out := filepath.Join(dir, "model.gguf")
		m := must(llm.Load(folder, nn.LoadOptions{DType: nn.As(tensor.Float32)}))
		meta := must(must(tokenizer.Load(folder)).GGUF(m.Config().VocabSize))
		check(llm.SaveGGUF(out, m, llm.GGUFOptions{Type: "f32", Metadata: meta}))
		got = must(describe(out))
	})
	want := must(describe(path))
	have := map[string]tensorEntry{}
	for _, x := range got.Tensors {
		have[x.Name] = x
	}
	t.check(len(got.Tensors) == len(want.Tensors), "%d tensors instead of %d", len(got.Tensors), len(want.Tensors))
	for _, x := range want.Tensors {
		y := have[x.Name]
		same := x.Type == y.Type && slices.Equal(x.Shape, y.Shape) &&
			(x.SHA256 == y.SHA256 || strings.HasPrefix(x.Name, "rope_"))
		t.check(same, "%s is %s %v, want %s %v, or has other values", x.Name, y.Type, y.Shape, x.Type, x.Shape)
	}
	keys := map[string]pair{}
	for _, p := range got.Metadata {
		keys[p.Key] = p
	}
	for _, p := range want.Metadata { // a name, a licence and the like are the caller's
		if strings.HasPrefix(p.Key, "general.") && p.Key != "general.architecture" && p.Key != "general.file_type" {
			continue
		}
		t.check(reflect.DeepEqual(keys[p.Key], p), "%s is %.80v, want %.80v", p.Key, keys[p.Key], p)
	}
	r.add(t.row())
}

// ggufSaid compares what the file in GGUF at path says with a description.
func ggufSaid(description, path string) Row {
	what := "what " + filepath.Base(path) + " says"
	var want map[string]any
	err := catch(func() { readJSON(description, &want) })
	fault := ""
	if err == nil {
		fault, err = compareDescription(path, want)
	}
	if err != nil {
		return failed(what, err)
	}
	return holds(what, fault == "", "%s", fault)
}

// lastLogits compares those of the last positions.
func lastLogits(r *Report, what, name string, m llm.Model, ids *tensor.Tensor) {
	want := r.tensor(name)                                          // [positions, V]
	got := llm.Logits(m, m.Hidden(llm.Input{Embeds: m.Embed(ids)})) // [1, T, V]
	n, V := want.Dims2()
	if got.Dim(-1) != V || got.Dim(1) < n {
		failf("logits %v for %v", got.Shape(), want.Shape())
	}
	last := got.Slice(1, got.Dim(1)-n, got.Dim(1))
	r.add(absolute(what, widen(last.Data()), widen(want.Data()), r.Tolerance.Out))
}

// ggufTokens compares the tokenizer in a file's metadata with what llama.cpp made of texts.
func ggufTokens(r *Report, name, path string) {
	var texts []struct {
		Text string
		IDs  []int32
	}
	readJSON(name, &texts)
	tok := must(tokenizer.Load(path))
	t := tally{What: "tokens"}
	for _, x := range texts {
		got := tok.Wrap(tok.EncodeSpecial(x.Text))
		t.check(slices.Equal(got, x.IDs), "%q: ids %v instead of %v", x.Text, got, x.IDs)
	}
	r.add(t.row())
}
