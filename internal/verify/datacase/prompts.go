package datacase

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/gollava/gollava/data"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/internal/verify"
	"github.com/gollava/gollava/tensor"
)

// splice is a line of splice/cases.jsonl.
type splice struct {
	Name     string
	IDs      [][]int32  `json:"input_ids"`
	Spans    [][][2]int `json:"label_spans"`
	Mask     []string
	Given    []string
	Views    json.RawMessage // how many pictures, or the views of each
	Side     int             `json:"patches_per_side"`
	Max      int             `json:"model_max_length"`
	Padding  string          `json:"padding_side"`
	Merge    string
	Sizes    [][2]int `json:"image_sizes"`
	Canvases [][2]int `json:"grid_pinpoints"`
	Tile     int      `json:"image_size"`

	Error     string
	Unchanged bool
	Rows      [][][]json.RawMessage
	Length    int
	Labels    []string
	Attention []string
}

func prompts(dir string, c caseFile) ([]Row, error) {
	var rows []Row
	if name := c.Files["splice"]; name != "" {
		cases, err := verify.Lines[splice](filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		t := verify.Tally{What: "splices"}
		for _, s := range cases {
			wrong := s.check()
			t.Check(wrong == "", "%s: %s", s.Name, wrong)
		}
		rows = append(rows, t.Row())
	}
	if name := c.Files["samplers"]; name != "" {
		cases, err := verify.Lines[sampler](filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		t := verify.Tally{What: "samplers"}
		for i, s := range cases {
			wrong := s.check()
			t.Check(wrong == "", "line %d: %s", i+1, wrong)
		}
		rows = append(rows, t.Row())
	}
	if name := c.Files["collate"]; name != "" {
		r, err := collations(filepath.Join(dir, name), filepath.Join(dir, c.Files["cases"]))
		if err != nil {
			return nil, err
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// spanLabels are ids inside of spans and Ignore outside.
func spanLabels(ids []int32, spans [][2]int) []int32 {
	out := slices.Repeat([]int32{tensor.IgnoreIndex}, len(ids))
	for _, s := range spans {
		copy(out[s[0]:s[1]], ids[s[0]:s[1]])
	}
	return out
}

func (s *splice) pictures() ([]Picture, error) {
	var views []int
	var n int
	if json.Unmarshal(s.Views, &n) == nil {
		views = slices.Repeat([]int{1}, n)
	} else if err := json.Unmarshal(s.Views, &views); err != nil {
		return nil, err
	}
	a := imaging.AnyRes{Tile: s.Tile, Side: s.Side}
	for _, c := range s.Canvases {
		a.Canvases = append(a.Canvases, imaging.Size{W: c[0], H: c[1]})
	}
	var out []Picture
	for i, v := range views {
		switch {
		case s.Merge == "" || s.Merge == "flat":
			out = append(out, Flat(v, s.Side*s.Side))
		case v == 1:
			out = append(out, Tiled(a, imaging.Layout{}, s.Merge == "spatial_unpad"))
		default:
			out = append(out, Tiled(a, a.Layout(s.Sizes[i][0], s.Sizes[i][1]), s.Merge == "spatial_unpad"))
		}
		if out[i].Views != v {
			return nil, fmt.Errorf("picture %d has %d views, want %d", i, out[i].Views, v)
		}
	}
	return out, nil
}

func (s *splice) check() string {
	pictures, err := s.pictures()
	if err != nil {
		return err.Error()
	}
	var labels [][]int32
	var mask [][]bool
	for b, ids := range s.IDs {
		if slices.Contains(s.Given, "labels") {
			labels = append(labels, spanLabels(ids, s.Spans[b]))
		}
		if slices.Contains(s.Given, "mask") {
			var m []bool
			for _, c := range s.Mask[b] {
				m = append(m, c == '1')
			}
			mask = append(mask, m)
		}
	}
	p, err := Splice(s.IDs, labels, mask, pictures, SpliceOptions{MaxLength: s.Max, Left: s.Padding == "left", Dummies: true})
	if s.Error != "" || err != nil {
		if (s.Error != "") != (err != nil) {
			return fmt.Sprintf("error %v, the reference raises %q", err, s.Error)
		}
		return ""
	}
	if s.Unchanged || p.Unchanged {
		if s.Unchanged != p.Unchanged {
			return fmt.Sprintf("unchanged is %v, want %v", p.Unchanged, s.Unchanged)
		}
		return ""
	}
	if p.B != len(s.IDs) || p.T != s.Length {
		return fmt.Sprintf("%d rows of %d, want %d of %d", p.B, p.T, len(s.IDs), s.Length)
	}
	for b := range p.B {
		if got, want := plan(p.Rows[b], mask == nil), wanted(s.Rows[b]); got != want {
			return fmt.Sprintf("row %d is %s, want %s", b, got, want)
		}
		if w, ok := sequence(s.Labels, b, " "); ok != (p.Labels != nil) || ok && !slices.Equal(p.Labels[b*p.T:(b+1)*p.T], w) {
			return fmt.Sprintf("row %d: labels %v, want %v", b, p.Labels, w)
		}
		if w, ok := sequence(s.Attention, b, ""); ok != (p.Mask != nil) || ok && !slices.Equal(p.Mask[b*p.T:(b+1)*p.T], w) {
			return fmt.Sprintf("row %d: mask %v, want %v", b, p.Mask, w)
		}
	}
	return ""
}

// sequence reads row b of labels or of a mask, if there are any.
func sequence(rows []string, b int, sep string) ([]int32, bool) {
	if rows == nil {
		return nil, false
	}
	var out []int32
	for _, f := range strings.Split(rows[b], sep) {
		v, err := strconv.ParseInt(f, 10, 32)
		if err != nil {
			return nil, true
		}
		out = append(out, int32(v))
	}
	return out, true
}

// plan writes a row position by position. Where no mask was given the reference embeds padding as token 0.
func plan(row []Piece, noMask bool) string {
	var s strings.Builder
	for _, x := range row {
		for i := range x.Count {
			switch x.Kind {
			case Text:
				fmt.Fprintf(&s, "t%d ", x.IDs[i])
			case Patches:
				fmt.Fprintf(&s, "i%d:%d ", x.View, x.First+i)
			case Newline:
				s.WriteString("n ")
			case Padding:
				if noMask {
					s.WriteString("t0 ")
				} else {
					s.WriteString("p ")
				}
			}
		}
	}
	return s.String()
}

func wanted(row [][]json.RawMessage) string {
	var s strings.Builder
	for _, x := range row {
		v := make([]int, len(x))
		for i := 1; i < len(x); i++ {
			v[i], _ = strconv.Atoi(string(x[i]))
		}
		switch kind := string(x[0]); kind {
		case `"t"`:
			for _, id := range v[1:] {
				fmt.Fprintf(&s, "t%d ", id)
			}
		case `"i"`:
			for i := range v[3] {
				fmt.Fprintf(&s, "i%d:%d ", v[1], v[2]+i)
			}
		default:
			s.WriteString(strings.Repeat(strings.Trim(kind, `"`)+" ", v[1]))
		}
	}
	return s.String()
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

func collations(file, cases string) (Row, error) {
	t := verify.Tally{What: "collated batches"}
	batches, err := verify.Lines[collation](file)
	if err != nil {
		return Row{}, err
	}
	samples, err := verify.Lines[struct {
		IDs   []int32
		Spans [][2]int
	}](cases)
	if err != nil {
		return Row{}, err
	}
	for i, c := range batches {
		var ids, labels [][]int32
		for _, k := range c.Cases {
			if k < 0 || k >= len(samples) {
				return Row{}, fmt.Errorf("%s: line %d: case %d of %d", file, i+1, k, len(samples))
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
