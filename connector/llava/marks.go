package llava

import (
	"fmt"
	"slices"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// A model with mm_use_im_start_end has two tokens more than its base, <im_start> and <im_end>, the last rows of its
// vocabulary. Source: LLaVA's initialize_vision_tokenizer.

const marks = 2

// tokenEmbeddings are the names of the table that looks tokens up, by family.
var tokenEmbeddings = []string{"language_model.model.embed_tokens.weight", "language_model.transformer.wte.weight"}

// readMarks takes the embeddings of the marks from a projector's file, if it holds any, and drops their table from w:
// it has all rows or just these two, and the others are the base's.
func readMarks(m *connector.VLM, w *nn.Weights) error {
	for _, name := range w.Names() {
		c, _ := Canonical(name)
		if !ConfigOf(m).Marks || !slices.Contains(tokenEmbeddings, c) {
			continue
		}
		var table *tensor.Tensor
		for n, p := range nn.Params(m.Language) {
			if "language_model."+n == c {
				table = p
			}
		}
		if table == nil {
			return fmt.Errorf("%s: %s: the language model has no such table", w.Path(), name)
		}
		rows, width := table.Dims2()
		s := w.Shape(name)
		if len(s) != 2 || s[1] != width || s[0] != rows && s[0] != marks {
			return fmt.Errorf("%s: %s %v: [%d %d], or the %d rows of <im_start> and <im_end>, are needed", w.Path(),
				name, s, rows, width, marks)
		}
		trained, err := w.Read(name, table.DType())
		if err != nil {
			return err
		}
		whole := table.Detach().Host().Clone() // the old one may be a file's memory
		stride := len(whole.Bytes()) / rows
		copy(whole.Bytes()[(rows-marks)*stride:], trained.Bytes()[(s[0]-marks)*stride:])
		table.SetStorage(whole.To(table.Device()))
		return w.Rename(func(n string) string {
			if n == name {
				return ""
			}
			return n
		})
	}
	return nil
}

// grown reads a base whose vocabulary lacks the marks: their rows, in the table and in the head, start as the mean of
// the others. why is what was wrong without that, and what it returns if nothing else is.
func (o LoadOptions) grown(m *connector.VLM, w *nn.Weights, why error) error {
	c := m.Language.Config()
	rows := c.VocabSize
	for _, name := range w.Names() {
		if canonical, _ := Canonical(name); slices.Contains(tokenEmbeddings, canonical) && len(w.Shape(name)) == 2 {
			c.VocabSize = w.Shape(name)[0]
		}
	}
	if c.VocabSize >= rows {
		return why
	}
	base, err := llm.New(nil, c)
	if err != nil {
		return err
	}
	o.Alias = false
	if err := o.language(base, w); err != nil {
		return err
	}
	from := map[string]*tensor.Tensor{}
	for name, p := range nn.Params(base) {
		from[name] = p
	}
	for name, p := range nn.Params(m.Language) {
		if b := from[name]; slices.Equal(b.Shape(), p.Shape()) {
			p.SetStorage(b)
		} else {
			p.SetStorage(withMeans(b, p.Dim(0)))
		}
	}
	return nil
}

// withMeans is t [n, C] with rows added up to the given number, each the mean of t's.
func withMeans(t *tensor.Tensor, rows int) *tensor.Tensor {
	n, C := t.Dims2()
	mean := make([]float64, C)
	wide := t.Detach().Cast(tensor.Float32).Host()
	for i, v := range wide.Data() {
		mean[i%C] += float64(v) / float64(n)
	}
	out := tensor.New(rows, C)
	copy(out.Data(), wide.Data())
	for i := n * C; i < rows*C; i++ {
		out.Data()[i] = float32(mean[i%C])
	}
	return out.Cast(t.DType()).To(t.Device()).Keep()
}
