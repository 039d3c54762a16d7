package verify

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/tensor"
)

// splice is a line of splice/cases.jsonl: what LLaVA's prepare_inputs_labels_for_multimodal makes of a batch. Its rows
// are compared with what VLM.Splice and the connector make of each sample. LLaVA's own conventions are kept here: a
// row without an image passes over one all the same, rows are cut through images, and padding without a mask is token
// 0.
type splice struct {
	Name     string
	IDs      [][]int32  `json:"input_ids"`
	Spans    [][][2]int `json:"label_spans"`
	Mask     []string
	Given    []string
	Views    json.RawMessage // how many images, or the views of each
	Side     int             `json:"patches_per_side"`
	Max      int             `json:"model_max_length"`
	Padding  string          `json:"padding_side"`
	Merge    string
	Sizes    [][2]int `json:"image_sizes"`
	Canvases [][2]int `json:"grid_pinpoints"`

	Error     string
	Unchanged bool
	Rows      [][][]json.RawMessage
	Length    int
	Labels    []string
	Attention []string
}

// row is a spliced sample, position by position.
type row struct {
	what   []string // "t5" a token, "i2:7" feature 7 of view 2 of the batch, "n" a newline, "p" padding
	labels []int32
}

// check ends with what is wrong, and the case's name.
func (s splice) check() {
	if err := catch(s.compareAll); err != nil {
		failf("%s: %w", s.Name, err)
	}
}

func (s splice) compareAll() {
	views := s.views()
	single := !slices.ContainsFunc(s.IDs, func(r []int32) bool { return len(r) != 1 })
	if s.Unchanged || single || len(views) == 0 {
		if s.Unchanged != (single || len(views) == 0) {
			failf("unchanged is %v", s.Unchanged)
		}
		return
	}
	m := s.model(views, 0)
	var samples []connector.Sample
	var rows []row
	next, first := 0, 0 // image and view
	for b := range s.IDs {
		x, n := s.sample(b), 0
		for _, id := range x.IDs {
			if id == chat.ImageIndex && next < len(views) {
				x.Images = append(x.Images, s.image(next, first, views[next]))
				next, first, n = next+1, first+views[next], n+1
			}
		}
		if n == 0 && next < len(views) {
			next, first = next+1, first+views[next]
		}
		r, err := splicedAs(m, x, s.Side*s.Side)
		if s.Error != "" && err != nil {
			return
		}
		if err != nil {
			failf("row %d: %w", b, err)
		}
		samples, rows = append(samples, x), append(rows, r)
	}
	if s.Error != "" {
		failf("no error, the reference raises %q", s.Error)
	}
	s.batch(views, samples, rows)
	s.compare(rows)
}

// mostFeatures and mostPositions bound what a case may ask for.
const (
	mostFeatures  = 1 << 16
	mostPositions = 1 << 16
)

// views are the numbers of views of the images.
func (s splice) views() (views []int) {
	if s.Side < 1 || s.Side > 64 || s.Max < 0 || s.Max > mostPositions {
		failf("patches_per_side %d or model_max_length %d is out of range", s.Side, s.Max)
	}
	most := mostFeatures / (s.Side * s.Side)
	var n int
	if json.Unmarshal(s.Views, &n) != nil {
		check(json.Unmarshal(s.Views, &views))
	} else if n >= 0 && n <= most {
		return slices.Repeat([]int{1}, n)
	} else {
		failf("%d images", n)
	}
	total := 0
	for _, v := range views {
		if total += v; v < 1 || v > most || total > most {
			failf("views %v", views)
		}
	}
	return views
}

// sample is row b of the batch without what its mask hides.
func (s splice) sample(b int) connector.Sample {
	var x connector.Sample
	masked := slices.Contains(s.Given, "mask")
	if b >= len(s.Spans) || masked && (b >= len(s.Mask) || len(s.Mask[b]) != len(s.IDs[b])) {
		failf("row %d: %d ids without their spans or a mask of as many", b, len(s.IDs[b]))
	}
	labels := Labels(s.IDs[b], s.Spans[b])
	if len(labels) != len(s.IDs[b]) {
		failf("row %d: spans %v do not fit %d ids", b, s.Spans[b], len(s.IDs[b]))
	}
	for i, id := range s.IDs[b] {
		if !masked || s.Mask[b][i] == '1' {
			x.IDs, x.Labels = append(x.IDs, id), append(x.Labels, labels[i])
		}
	}
	return x
}

// patch is the side of a patch in pixels, which changes nothing here.
const patch = 14

// model is a model that places images, without weights. Where the reference shows images as LLaVA-NeXT does, that is
// LLaVA's connector; other layouts, which its code has and no published model, are [placed].
func (s splice) model(views []int, most int) *connector.VLM {
	c := llava.Config{}
	tower := fmt.Sprintf(`{"model_type": "clip_vision_model", "hidden_size": 2, "intermediate_size": 2,
		"num_hidden_layers": 1, "num_attention_heads": 1, "image_size": %d, "patch_size": %d}`, s.Side*patch, patch)
	tiles := s.Merge == "spatial_unpad" && !slices.Contains(views, 1)
	layout := ""
	if tiles {
		layout = fmt.Sprintf(`"image_aspect_ratio": "anyres", "mm_patch_merge_type": %q, "image_grid_pinpoints": %s,`,
			s.Merge, must(json.Marshal(s.Canvases)))
	}
	check(json.Unmarshal(fmt.Appendf(nil, `{"model_type": "llava_llama", "vocab_size": 1024, "hidden_size": 2,
		"intermediate_size": 2, "num_hidden_layers": 1, "num_attention_heads": 1, "max_position_embeddings": 4096,
		"rms_norm_eps": 1e-5, "mm_projector_type": "identity", "mm_vision_select_layer": -1, "mm_vision_tower": "tower",
		"tokenizer_model_max_length": %d, %s "vision_config": %s}`, most, layout, tower), &c))
	m := must(llava.New(nil, c))
	if tiles {
		m.Connector.(*llava.Connector).Newline.SetStorage(tensor.Full(-1, 2))
		return m
	}
	p := placed{side: s.Side}
	for i, v := range views {
		p.images = append(p.images, s.layout(i, v))
	}
	return must(connector.New(m.Vision, p, m.Language, m.Config()))
}

// layout lists which features of an image with v views the language model gets, in order: view·P + feature, or −1 for
// a newline.
func (s splice) layout(i, v int) (list []int32) {
	P := s.Side * s.Side
	if flat := s.Merge == "" || s.Merge == "flat"; flat || v == 1 {
		for k := range v * P {
			list = append(list, int32(k))
		}
		if !flat && s.Merge == "spatial_unpad" {
			list = append(list, -1)
		}
		return list
	}
	if i >= len(s.Sizes) {
		failf("image %d has no size", i)
	}
	a := imaging.AnyRes{Tile: s.Side * patch, Side: s.Side, Canvases: canvases(s.Canvases)}
	check(a.Validate())
	l := a.Layout(s.Sizes[i][0], s.Sizes[i][1])
	if 1+l.Rows*l.Cols != v {
		failf("image %d has %d views, want %d", i, 1+l.Rows*l.Cols, v)
	}
	for k := range P {
		list = append(list, int32(k))
	}
	kept := l.Kept
	if s.Merge != "spatial_unpad" {
		kept.Min.X, kept.Min.Y, kept.Max.X, kept.Max.Y = 0, 0, l.Cols*s.Side, l.Rows*s.Side
	}
	for y := kept.Min.Y; y < kept.Max.Y; y++ {
		for x := kept.Min.X; x < kept.Max.X; x++ {
			list = append(list, int32((1+y/s.Side*l.Cols+x/s.Side)*P+y%s.Side*s.Side+x%s.Side))
		}
		if s.Merge == "spatial_unpad" {
			list = append(list, -1)
		}
	}
	return list
}

// placed is a connector whose images, told apart by their width, have fixed layouts.
type placed struct {
	side   int
	images [][]int32
}

func (p placed) Layout(size imaging.Size) connector.Layout {
	list := p.images[size.W-1]
	return connector.Layout{Views: int(slices.Max(list))/(p.side*p.side) + 1, Tokens: len(list)}
}

func (p placed) Forward(features *tensor.Tensor, sizes []imaging.Size) *tensor.Tensor {
	_, P, C := features.Dims3()
	from, at := features.Data(), 0
	var out []float32
	for _, size := range sizes {
		for _, k := range p.images[size.W-1] {
			if k < 0 {
				out = append(out, slices.Repeat([]float32{-1}, C)...)
				continue
			}
			out = append(out, from[(at+int(k))*C:][:C]...)
		}
		at += p.Layout(size).Views * P
	}
	return tensor.Wrap(out, len(out)/C, C)
}

// image is image i, whose features are their own places in the batch.
func (s splice) image(i, first, views int) connector.Image {
	P := s.Side * s.Side
	x := tensor.New(views, P, 2)
	for k := range views * P {
		x.Data()[2*k] = float32(first*P + k)
	}
	size := imaging.Size{W: i + 1, H: 1}
	if s.Merge == "spatial_unpad" && views > 1 {
		if i >= len(s.Sizes) {
			failf("image %d has no size", i)
		}
		size = imaging.Size{W: s.Sizes[i][0], H: s.Sizes[i][1]}
	}
	return connector.Image{Size: size, Features: x}
}

// splicedAs is what the model makes of one sample.
func splicedAs(m *connector.VLM, x connector.Sample, P int) (row, error) {
	b, err := m.Splice([]connector.Sample{x}, false)
	if err != nil {
		return row{}, err
	}
	var features []float32
	if len(x.Images) > 0 {
		features = m.Tokens(b).Data()
	}
	r := row{labels: b.Labels.IntData()}
	for _, id := range b.IDs.IntData() {
		if id >= 0 {
			r.what = append(r.what, fmt.Sprintf("t%d", id))
			continue
		}
		k := int(features[0])
		if features = features[2:]; k < 0 {
			r.what = append(r.what, "n")
		} else {
			r.what = append(r.what, fmt.Sprintf("i%d:%d", k/P, k%P))
		}
	}
	return r, nil
}

// batch compares the whole batch, cut and padded, with its rows. Where the reference cuts through an image, there must
// be an error.
func (s splice) batch(views []int, samples []connector.Sample, rows []row) {
	b, err := s.model(views, s.Max).Splice(samples, s.Padding == "left")
	through := slices.ContainsFunc(rows, func(r row) bool {
		isImage := func(w string) bool { return w[0] != 't' }
		return s.Max > 0 && len(r.what) > s.Max && slices.ContainsFunc(r.what[s.Max:], isImage)
	})
	if through != (err != nil) {
		failf("an image is cut off: %v, but the error is %v", through, err)
	}
	if err != nil {
		return
	}
	T := b.IDs.Dim(1)
	ids, labels := rowsOf(b.IDs), rowsOf(b.Labels)
	for i, r := range rows {
		want := r.padded(s, T)
		if !slices.Equal(labels[i], want.labels) || len(want.what) != T {
			failf("row %d of the batch: labels %v, want %v", i, labels[i], want.labels)
		}
		for t, w := range want.what {
			hidden := b.Mask[i*T+t] == 0
			padding := w == "p" || w == "t0" && hidden
			if hidden != padding || (ids[i][t] < 0) != (w[0] == 'i' || w[0] == 'n') {
				failf("row %d of the batch, position %d: id %d, hidden %v, want %s", i, t, ids[i][t], hidden, w)
			}
		}
	}
}

// padded is a row cut to the model's length and filled up to T positions.
func (r row) padded(s splice, T int) row {
	if s.Max > 0 && len(r.what) > s.Max {
		r = row{r.what[:s.Max], r.labels[:s.Max]}
	}
	fill := "p"
	if !slices.Contains(s.Given, "mask") {
		fill = "t0" // as the reference embeds it
	}
	missing := max(T-len(r.what), 0)
	what, labels := slices.Repeat([]string{fill}, missing), slices.Repeat([]int32{tensor.IgnoreIndex}, missing)
	if s.Padding == "left" {
		return row{append(what, r.what...), append(labels, r.labels...)}
	}
	return row{append(slices.Clone(r.what), what...), append(slices.Clone(r.labels), labels...)}
}

// compare holds the rows against the recorded ones.
func (s splice) compare(rows []row) {
	T := 0
	for _, r := range rows {
		T = max(T, len(r.what))
	}
	if s.Max > 0 {
		T = min(T, s.Max)
	}
	if T != s.Length {
		failf("rows of %d, want %d", T, s.Length)
	}
	if len(s.Rows) != len(rows) {
		failf("%d rows, want %d", len(rows), len(s.Rows))
	}
	for b, r := range rows {
		p := r.padded(s, T)
		if got, want := strings.Join(p.what, " "), wanted(s.Rows[b]); got != want {
			failf("row %d is %s, want %s", b, got, want)
		}
		w, ok := sequence(s.Labels, b, " ")
		if ok != slices.Contains(s.Given, "labels") || ok && !slices.Equal(p.labels, w) {
			failf("row %d: labels %v, want %v", b, p.labels, w)
		}
		attention := make([]int32, T)
		for t, what := range p.what {
			if what != "p" {
				attention[t] = 1
			}
		}
		w, ok = sequence(s.Attention, b, "")
		if ok != slices.Contains(s.Given, "mask") || ok && !slices.Equal(attention, w) {
			failf("row %d: mask %v, want %v", b, attention, w)
		}
	}
}

// sequence reads row b of labels or of a mask, if there are any.
func sequence(rows []string, b int, sep string) ([]int32, bool) {
	if rows == nil {
		return nil, false
	}
	if b >= len(rows) {
		failf("%d rows, and row %d is looked for", len(rows), b)
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

// wanted writes a recorded row position by position: ["t", id, …], ["i", view, first feature, count], or how often
// another mark is repeated, as in ["n", 1].
func wanted(recorded [][]json.RawMessage) string {
	var out []string
	for _, x := range recorded {
		if len(x) < 2 {
			failf("row part %s has no kind or no numbers", x)
		}
		v := make([]int, len(x))
		for i := 1; i < len(x); i++ {
			check(json.Unmarshal(x[i], &v[i]))
		}
		kind, count := string(x[0]), v[1]
		switch {
		case kind == `"t"`:
			for _, id := range v[1:] {
				out = append(out, fmt.Sprintf("t%d", id))
			}
			continue
		case kind == `"i"` && len(v) != 4:
			failf("row part %s has not four elements", x)
		case kind == `"i"`:
			count = v[3]
		}
		if count < 0 || count > mostPositions {
			failf("row part %s is of %d positions", x, count)
		}
		for i := range count {
			if kind == `"i"` {
				out = append(out, fmt.Sprintf("i%d:%d", v[1], v[2]+i))
			} else {
				out = append(out, strings.Trim(kind, `"`))
			}
		}
	}
	return strings.Join(out, " ")
}
