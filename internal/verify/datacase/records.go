package datacase

import (
	"bytes"
	"encoding/json"
	"hash/crc32"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gollava/gollava/data"
	"github.com/gollava/gollava/internal/verify"
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

func records(report *verify.Report, c caseFile) error {
	dir := report.Dir
	want, err := verify.Lines[record](filepath.Join(dir, c.Records))
	if err != nil {
		return err
	}
	t := verify.Tally{What: "records of data files"}
	files := map[string]*data.File{}
	count := map[string]int{}
	for _, w := range want {
		f := files[w.Set]
		if f == nil {
			if f, err = data.Open(filepath.Join(dir, w.Set), data.Options{}); err != nil {
				t.Check(false, "%v", err)
				continue
			}
			defer f.Close()
			files[w.Set] = f
		}
		count[w.Set]++
		if w.I >= f.Len() {
			t.Check(false, "%s has %d records, want record %d", w.Set, f.Len(), w.I)
			continue
		}
		s, err := f.Sample(w.I)
		if err != nil {
			t.Check(false, "%v", err)
			continue
		}
		g := record{Set: w.Set, I: w.I, ID: s.ID, Images: append(s.Images, s.Videos...), Turns: len(s.Turns), Words: s.Words(), ModalityLength: s.ModalityLength(), ImageTokens: s.ImageTokens()}
		g.Offset, g.Length, g.Line = f.Place(w.I)
		if len(g.Images) == 0 {
			g.Images = w.Images[:0]
		}
		got, _ := json.Marshal(g)
		exp, _ := json.Marshal(w)
		t.Check(bytes.Equal(got, exp), "got %s, want %s", got, exp)
	}
	for set, f := range files {
		t.Check(f.Len() == count[set], "%s has %d records, want %d", set, f.Len(), count[set])
		n := 0
		file, err := os.Open(f.Path())
		if err != nil {
			return err
		}
		for s, err := range data.Records(file, f.Path(), data.Options{}) {
			again, _ := f.Sample(n)
			t.Check(err == nil && again.ID == s.ID && slices.Equal(again.Turns, s.Turns), "%s: record %d differs when streamed", set, n)
			n++
		}
		file.Close()
	}
	report.Add(t.Row())
	return nil
}

// shard is a line of webdataset/expect.jsonl.
type shard struct {
	Shard, Key string
	Members    [][3]any // extension, bytes, crc32
}

func shards(report *verify.Report, c caseFile) error {
	dir := report.Dir
	want, err := verify.Lines[shard](filepath.Join(dir, c.WebDataset))
	if err != nil {
		return err
	}
	t := verify.Tally{What: "samples of shards"}
	tars := map[string]*data.Tar{}
	next := map[string]int{}
	for _, w := range want {
		a := tars[w.Shard]
		if a == nil {
			if a, err = data.OpenTar(filepath.Join(dir, w.Shard)); err != nil {
				t.Check(false, "%v", err)
				continue
			}
			defer a.Close()
			tars[w.Shard] = a
		}
		i := next[w.Shard]
		next[w.Shard]++
		if i >= len(a.Groups()) {
			t.Check(false, "%s has %d samples, want another: %s", w.Shard, i, w.Key)
			continue
		}
		g := a.Groups()[i]
		ok := g.Key == w.Key && len(g.Members) == len(w.Members)
		for k := 0; ok && k < len(g.Members); k++ {
			b, err := a.Read(g.Members[k])
			m := w.Members[k]
			ok = err == nil && g.Members[k].Ext == m[0] && float64(len(b)) == m[1] && float64(crc32.ChecksumIEEE(b)) == m[2]
		}
		t.Check(ok, "%s: sample %d is %q with %v, want %q with %v", w.Shard, i, g.Key, g.Members, w.Key, w.Members)
	}
	for name, a := range tars {
		t.Check(len(a.Groups()) == next[name], "%s has %d samples, want %d", name, len(a.Groups()), next[name])
	}
	report.Add(t.Row())
	return nil
}

// zipped compares the members of a zip file with the files of a folder.
func zipped(report *verify.Report, c caseFile) error {
	dir := report.Dir
	z := verify.Tally{What: "pictures in a zip file"}
	zip, err := data.OpenZip(filepath.Join(dir, c.Zip.File))
	if err != nil {
		z.Check(false, "%v", err)
		report.Add(z.Row())
		return nil
	}
	defer zip.Close()
	folder, err := data.OpenFolder(filepath.Join(dir, c.Zip.SameAs))
	if err != nil {
		return err
	}
	defer folder.Close()
	entries, err := os.ReadDir(filepath.Join(dir, c.Zip.SameAs))
	if err != nil {
		return err
	}
	for _, e := range entries {
		a, err := zip.Load(e.Name())
		b, err2 := folder.Load(e.Name())
		z.Check(err == nil && err2 == nil && bytes.Equal(a, b), "%s: %v %v", path.Base(e.Name()), err, err2)
	}
	z.Check(zip.Len() == len(entries), "%d members, want %d", zip.Len(), len(entries))
	report.Add(z.Row())
	return nil
}

// mixtures checks the mixtures that case.json lists: which records of which file are taken.
func mixtures(report *verify.Report, c caseFile) error {
	t := verify.Tally{What: "mixtures"}
	for _, s := range c.Sets {
		if s.From == nil {
			continue
		}
		mix(&t, filepath.Join(report.Dir, s.File), s.From)
	}
	report.Add(t.Row())
	return nil
}

func mix(t *verify.Tally, file string, from map[string]any) {
	m, err := data.OpenMixture(file, data.MixtureOptions{Seed: 1})
	if err != nil {
		t.Check(false, "%v", err)
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
		t.Check(ok, "%s: records %v of %s, want %v", file, p.Records, p.File.Path(), want)
	}
	t.Check(len(m.Parts()) == len(from), "%s: %d parts, want %d", file, len(m.Parts()), len(from))
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
