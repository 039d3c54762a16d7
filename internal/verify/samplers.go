package verify

import (
	"slices"

	"github.com/gollava/gollava/data"
	"github.com/gollava/gollava/tensor"
)

// selfChecked adds a row for a file of cases that check themselves, if there is one.
func selfChecked[T interface{ check() }](r *Report, what, name string) {
	if name == "" {
		return
	}
	t, n := tally{What: what}, 0
	eachLine(inside(r.Dir, name), func(x T) {
		n++
		err := catch(x.check)
		t.check(err == nil, "case %d: %v", n, err)
	})
	r.add(t.row())
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

func (s sampler) check() {
	var order data.Order
	for _, i := range s.Indices {
		if i < 0 || i >= len(s.Lengths) {
			failf("index %d of %d lengths", i, len(s.Lengths))
		}
	}
	if s.Batch < 0 || s.Batch > 1<<16 || s.World < 1 || s.World > 1<<16 {
		failf("batch_size %d or world_size %d is out of range", s.Batch, s.World)
	}
	switch s.Kind {
	case "chunks":
		if got := data.EvenChunks(s.Indices, s.Lengths, s.World); !slices.EqualFunc(got, s.Chunks, slices.Equal) {
			failf("chunks %v, want %v", got, s.Chunks)
		}
		return
	case "length":
		order = data.LengthGrouped(s.Lengths, s.Batch, s.World, 1)
	case "modality":
		order = data.ModalityGrouped(s.Lengths, s.Batch, s.World, 1)
	default:
		failf("kind %q", s.Kind)
	}
	for epoch := range 2 {
		got := order(epoch)
		if !distinct(got, len(s.Lengths)) || len(got) != len(s.Lengths) {
			failf("epoch %d takes %v of %d records", epoch, got, len(s.Lengths))
		}
		if s.Pure == nil {
			continue
		}
		mega := s.Batch * s.World
		if *s.Pure < 0 || *s.Pure > len(got)/mega {
			failf("pure_megabatches %d of %d records", *s.Pure, len(got))
		}
		for k := range *s.Pure {
			for _, i := range got[k*mega : (k+1)*mega] {
				if (s.Lengths[i] > 0) != (s.Lengths[got[k*mega]] > 0) {
					failf("epoch %d: mega-batch %d of %d mixes modalities", epoch, k, *s.Pure)
				}
			}
		}
		if tail := got[*s.Pure*mega:]; len(tail) != s.Tail || !slices.IsSorted(tail) {
			failf("epoch %d ends with %v, want the last %d in order", epoch, tail, s.Tail)
		}
	}
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

// collations compares padded batches of the samples in another file.
func collations(r *Report, file, cases string) {
	t := tally{What: "collated batches"}
	samples := readLines[struct {
		IDs   []int32
		Spans [][2]int
	}](inside(r.Dir, cases))
	for i, c := range readLines[collation](inside(r.Dir, file)) {
		if n := len(c.Cases); len(c.IDs) != n || len(c.Spans) != n || c.Max < 0 {
			failf("%s: line %d: %d cases, %d rows of ids and %d of spans, cut to %d", file, i+1, n, len(c.IDs),
				len(c.Spans), c.Max)
		}
		var ids, labels [][]int32
		for _, k := range c.Cases {
			if k < 0 || k >= len(samples) {
				failf("%s: line %d: case %d of %d", file, i+1, k, len(samples))
			}
			ids = append(ids, samples[k].IDs)
			labels = append(labels, Labels(samples[k].IDs, samples[k].Spans))
			if len(labels[len(labels)-1]) != len(samples[k].IDs) {
				failf("%s: line %d: spans %v do not fit %d ids", cases, k+1, samples[k].Spans, len(samples[k].IDs))
			}
		}
		b := collate(ids, labels, c.Pad, c.Max)
		for row := range c.Cases {
			at, end := row*b.T, (row+1)*b.T
			mask, _ := sequence(c.Attention, row, "")
			got, attended := b.Labels[at:end], b.Mask[at:end]
			ok := slices.Equal(b.IDs[at:end], c.IDs[row]) && slices.Equal(attended, mask) &&
				slices.Equal(got, Labels(c.IDs[row], c.Spans[row]))
			t.check(ok, "line %d, row %d: ids %v, labels %v, mask %v", i+1, row, b.IDs[at:end], got, attended)
		}
	}
	r.add(t.row())
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
