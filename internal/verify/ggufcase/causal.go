package ggufcase

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/internal/verify"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// causalCase is case.json of task gguf_causal_lm.
type causalCase struct {
	Files []struct {
		File, Name string
		Types      map[string]int
		Positions  int
	}
	Described map[string]string // what files say, by name
	Tokens    string            // texts and their ids, of the first file
	HF        string            // the model that was converted
	Tolerance verify.Tolerance
}

// CausalLM checks decoders in GGUF files: what the files say, the tokenizer in the metadata, and logits with weights in blocks and widened.
func CausalLM(dir string) (rows []verify.Row, err error) {
	var c causalCase
	if err := verify.ReadJSON(filepath.Join(dir, "case.json"), &c); err != nil {
		return nil, err
	}
	e, err := verify.Open(dir, "expected.safetensors")
	if err != nil {
		return nil, err
	}
	defer e.Close()
	ids := e.Tensor("in.input_ids")
	if e.Err != nil {
		return nil, e.Err
	}
	for i, f := range c.Files {
		path, err := verify.Inside(dir, f.File)
		if err != nil {
			return rows, err
		}
		if name, ok := c.Described[f.Name]; ok {
			rows = append(rows, Said(dir, name, path))
		}
		if i == 0 && c.HF != "" && f.Name == "f32" {
			rows = append(rows, exported(dir, c.HF, path))
		}
		for _, way := range []struct {
			label string
			o     nn.LoadOptions
		}{{"", nn.LoadOptions{}}, {", widened", nn.LoadOptions{DType: nn.As(tensor.Float32)}}, {", aliased", nn.LoadOptions{Alias: true}}} {
			label, o := way.label, way.o
			row := verify.Row{}
			if err := tensor.Catch(func() {
				var m llm.Model
				if m, err = llm.Load(path, o); err == nil {
					row = logits(e, m, ids, f.Name, label, c.Tolerance.Out)
				}
			}); err != nil {
				row = verify.Failed("logits, "+f.Name+label, err)
			}
			if err != nil {
				row = verify.Failed("logits, "+f.Name+label, err)
			}
			rows = append(rows, row)
		}
		if i == 0 && c.Tokens != "" {
			row, err := tokens(dir, c.Tokens, path)
			if err != nil {
				return rows, err
			}
			rows = append(rows, row)
		}
	}
	return rows, e.Err
}

// exported writes the model that was converted as float32, and compares its tensors with those of the recorded file.
func exported(dir, hf, path string) verify.Row {
	t := verify.Tally{What: "exported tensors"}
	folder, err := verify.Inside(dir, hf)
	if err != nil {
		return verify.Failed(t.What, err)
	}
	tmp, err := os.MkdirTemp("", "gollava-verify-")
	if err != nil {
		return verify.Failed(t.What, err)
	}
	defer os.RemoveAll(tmp)
	out := filepath.Join(tmp, "model.gguf")
	m, err := llm.Load(folder, nn.LoadOptions{DType: nn.As(tensor.Float32)})
	var tok *tokenizer.Tokenizer
	if err == nil {
		tok, err = tokenizer.Load(folder)
	}
	var meta map[string]any
	if err == nil {
		meta, err = tok.GGUF(m.Config().VocabSize)
	}
	if err == nil {
		err = llm.SaveGGUF(out, m, llm.GGUFOptions{Type: "f32", Metadata: meta})
	}
	var got, want description
	if err == nil {
		got, err = describe(out)
	}
	if err == nil {
		want, err = describe(path)
	}
	if err != nil {
		return verify.Failed(t.What, err)
	}
	have := map[string]tensorEntry{}
	for _, x := range got.Tensors {
		have[x.Name] = x
	}
	t.Check(len(got.Tensors) == len(want.Tensors), "%d tensors instead of %d", len(got.Tensors), len(want.Tensors))
	for _, x := range want.Tensors {
		y := have[x.Name]
		same := x.Type == y.Type && slices.Equal(x.Shape, y.Shape) && (x.SHA256 == y.SHA256 || strings.HasPrefix(x.Name, "rope_"))
		t.Check(same, "%s is %s %v, want %s %v, or has other values", x.Name, y.Type, y.Shape, x.Type, x.Shape)
	}
	keys := map[string]pair{}
	for _, p := range got.Metadata {
		keys[p.Key] = p
	}
	for _, p := range want.Metadata { // a name, a licence and the like are the caller's
		if strings.HasPrefix(p.Key, "general.") && p.Key != "general.architecture" && p.Key != "general.file_type" {
			continue
		}
		t.Check(reflect.DeepEqual(keys[p.Key], p), "%s is %.80v, want %.80v", p.Key, keys[p.Key], p)
	}
	return t.Row()
}

// Said compares what the file in GGUF at path says with the description in dir/name.
func Said(dir, name, path string) verify.Row {
	t := verify.Tally{What: "what " + filepath.Base(path) + " says"}
	var want map[string]any
	from, err := verify.Inside(dir, name)
	if err == nil {
		err = verify.ReadJSON(from, &want)
	}
	var got description
	if err == nil {
		got, err = describe(path)
	}
	if err != nil {
		return verify.Failed(t.What, err)
	}
	fault := compareDescription(got, want)
	t.Check(fault == "", "%s", fault)
	return t.Row()
}

// logits compares those of the last positions.
func logits(e *verify.Expected, m llm.Model, ids *tensor.Tensor, name, label string, tol float64) verify.Row {
	what := "logits, " + name + label
	want := e.Tensor("out." + name + ".logits") // [positions, V]
	if want == nil {
		return verify.Failed(what, e.Err)
	}
	got := llm.Logits(m, m.Hidden(llm.Input{Embeds: m.Embed(ids)})) // [1, T, V]
	n, V := want.Dims2()
	if got.Dim(-1) != V || got.Dim(1) < n {
		return verify.Failed(what, fmt.Errorf("logits %v for %v", got.Shape(), want.Shape()))
	}
	last := got.Slice(1, got.Dim(1)-n, got.Dim(1))
	return verify.Absolute(what, verify.Widen(last.Data()), verify.Widen(want.Data()), tol)
}

// tokens compares the tokenizer in a file's metadata with what llama.cpp made of texts.
func tokens(dir, name, path string) (verify.Row, error) {
	var texts []struct {
		Text string
		IDs  []int32
	}
	from, err := verify.Inside(dir, name)
	if err != nil {
		return verify.Row{}, err
	}
	if err := verify.ReadJSON(from, &texts); err != nil {
		return verify.Row{}, err
	}
	t, err := tokenizer.Load(path)
	if err != nil {
		return verify.Failed("tokens", err), nil
	}
	tally := verify.Tally{What: "tokens"}
	for _, x := range texts {
		got := t.Wrap(t.EncodeSpecial(x.Text))
		tally.Check(slices.Equal(got, x.IDs), "%q: ids %v instead of %v", x.Text, got, x.IDs)
	}
	return tally.Row(), nil
}
