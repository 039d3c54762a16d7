package verify

import (
	"bytes"
	"encoding/json"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gollava/gollava/data"
)

// record is a line of expect.jsonl.
type record struct {
	Set            string
	I              int
	ID             string
	Offset         int64
	Length, Line   int
	Images         []string
	Turns, Words   int
	ModalityLength int `json:"modality_length"`
	ImageTokens    int `json:"image_tokens"`
}

// dataRecords compares what the records of data files hold.
func dataRecords(r *Report, c dataCase) {
	var err error
	t := tally{What: "records of data files"}
	files := map[string]*data.File{}
	count := map[string]int{}
	for _, w := range readLines[record](inside(r.Dir, c.Records)) {
		f := files[w.Set]
		if f == nil {
			if f, err = data.Open(inside(r.Dir, w.Set), data.Options{}); err != nil {
				t.check(false, "%v", err)
				continue
			}
			defer f.Close()
			files[w.Set] = f
		}
		count[w.Set]++
		if w.I >= f.Len() {
			t.check(false, "%s has %d records, want record %d", w.Set, f.Len(), w.I)
			continue
		}
		s, err := f.Sample(w.I)
		if err != nil {
			t.check(false, "%v", err)
			continue
		}
		g := record{Set: w.Set, I: w.I, ID: s.ID, Images: append(s.Images, s.Videos...), Turns: len(s.Turns),
			Words: s.Words(), ModalityLength: s.ModalityLength(), ImageTokens: s.ImageTokens()}
		g.Offset, g.Length, g.Line = f.Place(w.I)
		if len(g.Images) == 0 {
			g.Images = w.Images[:0]
		}
		got, _ := json.Marshal(g)
		exp, _ := json.Marshal(w)
		t.check(bytes.Equal(got, exp), "got %s, want %s", got, exp)
	}
	for set, f := range files {
		t.check(f.Len() == count[set], "%s has %d records, want %d", set, f.Len(), count[set])
		n := 0
		file := must(os.Open(f.Path()))
		for s, err := range data.Records(file, f.Path(), data.Options{}) {
			again, _ := f.Sample(n)
			same := err == nil && again.ID == s.ID && slices.Equal(again.Turns, s.Turns)
			t.check(same, "%s: record %d differs when streamed", set, n)
			n++
		}
		file.Close()
	}
	r.add(t.row())
}

// shard is a line of webdataset/expect.jsonl.
type shard struct {
	Shard, Key string
	Members    [][3]any // extension, bytes, crc32
}

// shards compares the groups of files in tar files.
func shards(r *Report, c dataCase) {
	var err error
	t := tally{What: "samples of shards"}
	tars := map[string]*data.Tar{}
	next := map[string]int{}
	for _, w := range readLines[shard](inside(r.Dir, c.WebDataset)) {
		a := tars[w.Shard]
		if a == nil {
			if a, err = data.OpenTar(inside(r.Dir, w.Shard)); err != nil {
				t.check(false, "%v", err)
				continue
			}
			defer a.Close()
			tars[w.Shard] = a
		}
		i := next[w.Shard]
		next[w.Shard]++
		if i >= len(a.Groups()) {
			t.check(false, "%s has %d samples, want another: %s", w.Shard, i, w.Key)
			continue
		}
		g := a.Groups()[i]
		ok := g.Key == w.Key && len(g.Members) == len(w.Members)
		for k := 0; ok && k < len(g.Members); k++ {
			b, err := a.Read(g.Members[k])
			m := w.Members[k]
			ok = err == nil && g.Members[k].Ext == m[0] && float64(len(b)) == m[1] && float64(crc32.ChecksumIEEE(b)) == m[2]
		}
		t.check(ok, "%s: sample %d is %q with %v, want %q with %v", w.Shard, i, g.Key, g.Members, w.Key, w.Members)
	}
	for name, a := range tars {
		t.check(len(a.Groups()) == next[name], "%s has %d samples, want %d", name, len(a.Groups()), next[name])
	}
	r.add(t.row())
}

// zipped compares the members of a zip file with the files of a folder.
func zipped(r *Report, c dataCase) {
	z := tally{What: "pictures in a zip file"}
	defer func() { r.add(z.row()) }()
	zip, err := data.OpenZip(inside(r.Dir, c.Zip.File))
	if err != nil {
		z.check(false, "%v", err)
		return
	}
	defer zip.Close()
	same := inside(r.Dir, c.Zip.SameAs)
	folder := must(data.OpenFolder(same))
	defer folder.Close()
	entries := must(os.ReadDir(same))
	for _, e := range entries {
		a, err := zip.Load(e.Name())
		b, err2 := folder.Load(e.Name())
		z.check(err == nil && err2 == nil && bytes.Equal(a, b), "%s: %v %v", e.Name(), err, err2)
	}
	z.check(zip.Len() == len(entries), "%d members, want %d", zip.Len(), len(entries))
}

// mix checks which records of which file a mixture takes.
func mix(t *tally, file string, from map[string]any) {
	m, err := data.OpenMixture(file, data.MixtureOptions{Seed: 1})
	if err != nil {
		t.check(false, "%v", err)
		return
	}
	defer m.Close()
	for _, p := range m.Parts() {
		want, ok := from[filepath.Base(p.File.Path())]
		ok = ok && distinct(p.Records, p.File.Len())
		switch w := want.(type) {
		case []any:
			ok = ok && len(w) == len(p.Records)
			for i := 0; ok && i < len(w); i++ {
				ok = float64(p.Records[i]) == w[i]
			}
		case string:
			n := 0
			if w == "all" {
				n = p.File.Len()
			} else if head, _, found := strings.Cut(w, " "); found {
				ok = ok && json.Unmarshal([]byte(head), &n) == nil
			}
			ok = ok && len(p.Records) == n
		}
		t.check(ok, "%s: records %v of %s, want %v", file, p.Records, p.File.Path(), want)
	}
	t.check(len(m.Parts()) == len(from), "%s: %d parts, want %d", file, len(m.Parts()), len(from))
}

func distinct(records []int, n int) bool {
	seen := map[int]bool{}
	for _, r := range records {
		if r < 0 || r >= n || seen[r] {
			return false
		}
		seen[r] = true
	}
	return true
}
