package study

import (
	"encoding/csv"
	"errors"
	"fmt"
	"image"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gollava/gollava/data/imaging"
)

// Columns are those of a CSV of named pictures.
var Columns = []string{"picture", "name", "tags", "category"}

// Thing is what one name of a CSV stands for.
type Thing struct {
	Name     string
	Tags     []string
	Category string
	Kind     string // what stands after the category and a colon; "": nothing

	Shown []*image.RGBA // to train on: side×side pixels, premultiplied; none of a name that is only asked about
	Held  *image.RGBA   // of the exam: the last row of the name
}

// Sort is the thing's kind, or its category where the CSV names no kind.
func (t Thing) Sort() string {
	if t.Kind == "" {
		return t.Category
	}
	return t.Kind
}

// Mirrors reports whether the thing keeps its name in a mirror.
func (t Thing) Mirrors() bool {
	return !strings.Contains(t.Name, "left") && !strings.Contains(t.Name, "right")
}

// ReadThings reads a CSV of square pictures, whose names are relative to its folder, at side×side pixels. The last
// picture of each name is the exam's, and so are all of the names in unseen, which training never hears of. An error
// names the file, the line, the column and what to do.
func ReadThings(file string, side int, unseen []string) ([]Thing, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.FieldsPerRecord = -1
	head, err := r.Read()
	if err == nil {
		head[0] = strings.TrimPrefix(head[0], "\ufeff")
	}
	if err != nil || !slices.Equal(head, Columns) {
		return nil, fmt.Errorf("%s: its first row is %q (%v); it must name the columns %s, in this order and no "+
			"others", file, strings.Join(head, ","), err, strings.Join(Columns, ","))
	}
	var things []*Thing
	index, spelt, rows := map[string]int{}, map[string]string{}, map[string]int{}
	size := 0
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		line, _ := r.FieldPos(0)
		fail := func(column, format string, args ...any) ([]Thing, error) {
			return nil, fmt.Errorf("%s: line %d, column %s: %s", file, line, column, fmt.Sprintf(format, args...))
		}
		for i := range row {
			row[i] = strings.TrimSpace(row[i])
		}
		if len(row) != len(Columns) {
			return fail("count", "there are %d; a text that contains a comma goes between double quotes", len(row))
		}
		name, tags, category := row[1], row[2], row[3]
		switch old, again := rows[row[0]]; {
		case name == "":
			return fail("name", "it is empty; say what the picture shows, such as red apple")
		case category == "":
			return fail("category", "it is empty; give one to every name, such as food")
		case again:
			return fail("picture", "%s is in line %d already; a picture has one name", row[0], old)
		case spelt[strings.ToLower(name)] != "" && spelt[strings.ToLower(name)] != name:
			return fail("name", "%q is also written %q; write a name in one way", name, spelt[strings.ToLower(name)])
		}
		rows[row[0]], spelt[strings.ToLower(name)] = line, name
		i, known := index[name]
		if !known {
			i, index[name] = len(things), len(things)
			t := &Thing{Name: name}
			t.Category, t.Kind, _ = strings.Cut(category, ": ")
			for tag := range strings.SplitSeq(tags, ",") {
				if tag = strings.TrimSpace(tag); tag != "" && !strings.Contains(name, tag) {
					t.Tags = append(t.Tags, tag)
				}
			}
			things = append(things, t)
		}
		t := things[i]
		if whole := strings.TrimSuffix(t.Category+": "+t.Kind, ": "); whole != category {
			return fail("category", "%q has the category %q before, and here %q; a name has one: give one of them another "+
				"name", name, whole, category)
		}
		m, err := OpenPicture(filepath.Join(filepath.Dir(file), row[0]))
		if err != nil {
			return fail("picture", "%v", err)
		}
		w, h := m.Rect.Dx(), m.Rect.Dy()
		if size == 0 {
			size = w
		}
		if w != h || w != size || w%side != 0 {
			return fail("picture", "%s has %d×%d pixels, and all must have as many: %[4]d×%[4]d or a multiple of it; "+
				"scale them, for example with: magick mogrify -resize '%[4]dx%[4]d!' *.png", row[0], w, h, side)
		}
		if t.Held != nil {
			t.Shown = append(t.Shown, t.Held)
		}
		t.Held = Reduce(m, side)
	}
	return split(file, things, unseen)
}

// split takes the names that are unseen out of what is trained on.
func split(file string, things []*Thing, unseen []string) ([]Thing, error) {
	var all []Thing
	for _, t := range things {
		if slices.Contains(unseen, t.Name) {
			t.Shown = nil
		} else if len(t.Shown) == 0 {
			return nil, fmt.Errorf("%s: column name: there is one picture of %q; the last of each name is held out for "+
				"the exam, so that at least two are needed: add another, or name it after -unseen", file, t.Name)
		}
		all = append(all, *t)
	}
	for _, name := range unseen {
		if !slices.ContainsFunc(all, func(t Thing) bool { return t.Name == name }) {
			return nil, fmt.Errorf("-unseen: %s has no %q in its column name", file, name)
		}
	}
	if n := len(Trained(all)); n < 2 {
		return nil, fmt.Errorf("%s: %d names to learn, and telling things apart needs two at least", file, n)
	}
	return all, nil
}

// Trained are the things that have pictures to train on.
func Trained(all []Thing) []Thing {
	return slices.DeleteFunc(slices.Clone(all), func(t Thing) bool { return len(t.Shown) == 0 })
}

// OpenPicture reads a picture that does not move.
func OpenPicture(name string) (*image.RGBA, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("%w; add the file, or take the row out", err)
	}
	m, err := imaging.DecodeAlpha(data, imaging.Limits{})
	if err != nil {
		return nil, fmt.Errorf("%s: %w; save it as a PNG that does not move, for example with: magick '%s[0]' still.png",
			name, err, name)
	}
	return m, nil
}

// OnWhite is a picture as a user would see it.
func OnWhite(m *image.RGBA) *image.RGBA {
	x := image.NewRGBA(m.Rect)
	for i, v := range m.Pix {
		x.Pix[i] = v + 255 - m.Pix[i|3]
	}
	return x
}

// Draw is a picture of the thing to train on: one of its pictures, or as often one between two of them, so that what
// they have in common counts. size and hard are those of Vary.
func (t Thing) Draw(dst []float32, size int, hard bool, r *rand.Rand) []float32 {
	m := t.Shown[r.IntN(len(t.Shown))]
	if r.IntN(2) == 0 {
		m = blend(m, t.Shown[r.IntN(len(t.Shown))], r.IntN(257))
	}
	return Vary(dst, m, t.Mirrors(), size, hard, r)
}

// blend is part/256 of a and the rest of b.
func blend(a, b *image.RGBA, part int) *image.RGBA {
	m := image.NewRGBA(a.Rect)
	for i := range m.Pix {
		m.Pix[i] = uint8((part*int(a.Pix[i]) + (256-part)*int(b.Pix[i])) / 256)
	}
	return m
}

// Reduce returns a picture at side×side pixels, a divisor of its own side: each the mean of the square that it stands
// for.
func Reduce(m *image.RGBA, side int) *image.RGBA {
	k := m.Rect.Dx() / side
	small := image.NewRGBA(image.Rect(0, 0, side, side))
	for at := range small.Pix {
		x, y, c, sum := at/4%side*k, at/4/side*k, at%4, 0
		for j := range k {
			for i := range k {
				sum += int(m.Pix[(y+j)*m.Stride+4*(x+i)+c])
			}
		}
		small.Pix[at] = uint8((sum + k*k/2) / (k * k))
	}
	return small
}
