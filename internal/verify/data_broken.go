package verify

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/gollava/gollava/data"
)

// fault is a line of expected.json.
type fault struct {
	File, Kind, Fault, Severity string
	Record, Turn                *int
	ID                          *string
	At                          *struct {
		Line, Column int
		Offset       int64
	}
	Path  string
	Note  string
	Key   string
	Whole []string `json:"complete_keys"`
}

// broken compares what is found wrong with broken data files, pictures and archives.
func broken(r *Report, c dataCase) {
	var table struct {
		ImageRoot string `json:"image_root"`
		Cases     []fault
	}
	readJSON(inside(r.Dir, c.Broken), &table)
	tallies := map[string]*tally{"": {What: "broken data files"}, "image": {What: "broken pictures"},
		"archive": {What: "broken archives"}}
	temporary(func(stage string) {
		part := path.Dir(c.Broken)
		check(restore(filepath.Join(r.Dir, part), filepath.Join(stage, part)))
		images := must(data.OpenFolder(inside(stage, table.ImageRoot)))
		defer images.Close()
		for _, want := range table.Cases {
			t := tallies[want.Kind]
			if t == nil {
				failf("%s: %s: kind %q", c.Broken, want.File, want.Kind)
			}
			file := inside(stage, want.File)
			var got []data.Fault
			switch want.Kind {
			case "":
				got = must(data.Check(context.Background(), file, images, data.CheckOptions{}))
			case "image":
				name := strings.TrimPrefix(want.File, table.ImageRoot+"/")
				if f := data.CheckImage(images, name, data.DefaultLimits()); f != nil {
					got = []data.Fault{*f}
				}
			case "archive":
				got = must(data.CheckArchive(file))
			}
			wrong := differs(want, got)
			if wrong == "" && want.Kind == "" {
				wrong = reads(want, file)
			}
			if wrong == "" && want.Whole != nil {
				wrong = complete(want, file)
			}
			t.check(wrong == "", "%s: %s", want.File, wrong)
		}
	})
	r.add(tallies[""].row(), tallies["image"].row(), tallies["archive"].row())
}

// differs says how the faults that were found differ from the one expected, which must come first and be of the only
// kind.
func differs(want fault, got []data.Fault) string {
	if want.Fault == "none" {
		if len(got) > 0 {
			return "found " + got[0].Error()
		}
		return ""
	}
	if len(got) == 0 {
		return "found nothing, want " + want.Fault
	}
	f := got[0]
	at := want.At
	switch {
	case string(f.Kind) != want.Fault || string(f.Severity) != want.Severity:
	case want.Record != nil && f.Record != *want.Record, want.ID != nil && f.ID != *want.ID,
		want.Turn != nil && f.Turn != *want.Turn:
	case at != nil && (f.Line != at.Line || f.Column != at.Column || f.Offset != at.Offset):
	case want.Path != "" && f.Image != want.Path:
	case want.Key != "" && f.ID != want.Key:
	default:
		for _, g := range got[1:] {
			if g.Kind != f.Kind {
				return "found also " + g.Error()
			}
		}
		return ""
	}
	b, _ := json.Marshal(want)
	return fmt.Sprintf("found %s %v (offset %d), want %s", f.Severity, f.Error(), f.Offset, b)
}

// reads holds the reader against the table: it opens what is not broken as JSON, and gives the record's id.
func reads(want fault, file string) string {
	f, err := data.Open(file, data.Options{})
	bad := strings.HasPrefix(want.Fault, "json_") && want.Severity == "error"
	if err != nil {
		if bad {
			return ""
		}
		return "Open: " + err.Error()
	}
	defer f.Close()
	if bad {
		return "Open finds nothing wrong"
	}
	if want.Record == nil || want.ID == nil {
		return ""
	}
	s, _ := f.Sample(*want.Record) // the record may be the broken one; its id is there
	if s.ID != *want.ID {
		return fmt.Sprintf("record %d has the id %q, want %q", *want.Record, s.ID, *want.ID)
	}
	return ""
}

// complete checks which groups of a cut shard are complete.
func complete(want fault, file string) string {
	t, err := data.OpenTar(file)
	if t == nil {
		return err.Error()
	}
	defer t.Close()
	var keys []string
	for _, g := range t.Groups() {
		keys = append(keys, g.Key)
	}
	if strings.Join(keys, " ") != strings.Join(want.Whole, " ") {
		return fmt.Sprintf("complete groups %q, want %q", keys, want.Whole)
	}
	return ""
}

// restore copies a folder; small files that hold nothing but the name of another file in their folder become the
// symbolic links that they were before something stored them as plain files.
func restore(from, to string) error {
	return filepath.WalkDir(from, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, p)
		if err != nil {
			return err
		}
		dst := filepath.Join(to, rel)
		if e.IsDir() {
			return os.MkdirAll(dst, 0o755)
		}
		if e.Type()&fs.ModeSymlink != 0 {
			target, err := os.Readlink(p)
			if err != nil {
				return err
			}
			return os.Symlink(target, dst)
		}
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		s := string(b)
		if s != "" && len(s) < 256 && !strings.ContainsAny(s, " \n\x00") && fs.ValidPath(path.Join("x", s, "y")) {
			if _, err := os.Lstat(filepath.Join(filepath.Dir(p), s)); err == nil {
				return os.Symlink(s, dst)
			}
		}
		return os.WriteFile(dst, b, 0o644)
	})
}
