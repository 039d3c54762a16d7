package datacase

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/gollava/gollava/data"
	"github.com/gollava/gollava/internal/verify"
	"github.com/gollava/gollava/tensor"
)

func prompts(report *verify.Report, c caseFile) error {
	if err := checked[splice](report, "splices", c.Files["splice"]); err != nil {
		return err
	}
	if err := checked[sampler](report, "samplers", c.Files["samplers"]); err != nil {
		return err
	}
	if name := c.Files["collate"]; name != "" {
		row, err := collations(filepath.Join(report.Dir, name), filepath.Join(report.Dir, c.Files["cases"]))
		if err != nil {
			return err
		}
		report.Add(row)
	}
	return nil
}

// checked adds a row for a file of cases that check themselves, if there is one.
func checked[T any, P interface {
	*T
	check() string
}](report *verify.Report, what, name string) error {
	if name == "" {
		return nil
	}
	t, n := verify.Tally{What: what}, 0
	err := verify.EachLine(report.Dir, name, func(x T) error {
		n++
		wrong := P(&x).check()
		t.Check(wrong == "", "case %d: %s", n, wrong)
		return nil
	})
	report.Add(t.Row())
	return err
}

// spanLabels are ids inside of spans and Ignore outside.
func spanLabels(ids []int32, spans [][2]int) []int32 {
	out := slices.Repeat([]int32{tensor.IgnoreIndex}, len(ids))
	for _, s := range spans {
		copy(out[s[0]:s[1]], ids[s[0]:s[1]])
	}
	return out
}

// sampler is a line of samplers/cases.jsonl.
type sampler struct {
	Kind    string
	Lengths []int
	Batch   int  `json:"batch_size"`
	World   int  `json:"world_size"`
	Pure    *int `json:"pure_megabatches"`
	Tail    int
	Indices []int
	Chunks  [][]int
}

func (s *sampler) check() string {
	var order data.Order
	switch s.Kind {
	case "chunks":
		got, _ := json.Marshal(data.EvenChunks(s.Indices, s.Lengths, s.World))
		want, _ := json.Marshal(s.Chunks)
		if !bytes.Equal(got, want) {
			return fmt.Sprintf("chunks %s, want %s", got, want)
		}
		return ""
	case "length":
		order = data.LengthGrouped(s.Lengths, s.Batch, s.World, 1)
	case "modality":
		order = data.ModalityGrouped(s.Lengths, s.Batch, s.World, 1)
	default:
		return fmt.Sprintf("kind %q", s.Kind)
	}
	for epoch := range 2 {
		got := order(epoch)
		if !distinct(got, len(s.Lengths)) || len(got) != len(s.Lengths) {
			return fmt.Sprintf("epoch %d takes %v of %d records", epoch, got, len(s.Lengths))
		}
		if s.Pure == nil {
			continue
		}
		mega := s.Batch * s.World
		for k := range *s.Pure {
			for _, i := range got[k*mega : (k+1)*mega] {
				if (s.Lengths[i] > 0) != (s.Lengths[got[k*mega]] > 0) {
					return fmt.Sprintf("epoch %d: mega-batch %d of %d mixes modalities", epoch, k, *s.Pure)
				}
			}
		}
		if tail := got[*s.Pure*mega:]; len(tail) != s.Tail || !slices.IsSorted(tail) {
			return fmt.Sprintf("epoch %d ends with %v, want the last %d in order", epoch, tail, s.Tail)
		}
	}
	return ""
}

// collation is a line of collate.jsonl.
type collation struct {
	Cases     []int
	Max       int        `json:"model_max_length"`
	Pad       int32      `json:"pad_id"`
	IDs       [][]int32  `json:"input_ids"`
	Spans     [][][2]int `json:"label_spans"`
	Attention []string
}

func collations(file, cases string) (verify.Row, error) {
	t := verify.Tally{What: "collated batches"}
	batches, err := verify.Lines[collation](file)
	if err != nil {
		return verify.Row{}, err
	}
	samples, err := verify.Lines[struct {
		IDs   []int32
		Spans [][2]int
	}](cases)
	if err != nil {
		return verify.Row{}, err
	}
	for i, c := range batches {
		var ids, labels [][]int32
		for _, k := range c.Cases {
			if k < 0 || k >= len(samples) {
				return verify.Row{}, fmt.Errorf("%s: line %d: case %d of %d", file, i+1, k, len(samples))
			}
			ids = append(ids, samples[k].IDs)
			labels = append(labels, spanLabels(samples[k].IDs, samples[k].Spans))
		}
		b := collate(ids, labels, c.Pad, c.Max)
		for r := range c.Cases {
			at, end := r*b.T, (r+1)*b.T
			mask, _ := sequence(c.Attention, r, "")
			ok := slices.Equal(b.IDs[at:end], c.IDs[r]) && slices.Equal(b.Labels[at:end], spanLabels(c.IDs[r], c.Spans[r])) && slices.Equal(b.Mask[at:end], mask)
			t.Check(ok, "line %d, row %d: ids %v, labels %v, mask %v", i+1, r, b.IDs[at:end], b.Labels[at:end], b.Mask[at:end])
		}
	}
	return t.Row(), nil
}

// collated is a batch of text, flat and row-major.
type collated struct {
	T                 int
	IDs, Labels, Mask []int32
}

// collate pads rows at the right, as LLaVA's collator does: it masks every token equal to pad, wherever it is.
func collate(ids, labels [][]int32, pad int32, most int) collated {
	var b collated
	for _, row := range ids {
		b.T = max(b.T, len(row))
	}
	if most > 0 {
		b.T = min(b.T, most)
	}
	for i, row := range ids {
		for t := range b.T {
			id, label := pad, int32(tensor.IgnoreIndex)
			if t < len(row) {
				id, label = row[t], labels[i][t]
			}
			attended := int32(1)
			if id == pad {
				attended = 0
			}
			b.IDs, b.Labels, b.Mask = append(b.IDs, id), append(b.Labels, label), append(b.Mask, attended)
		}
	}
	return b
}
