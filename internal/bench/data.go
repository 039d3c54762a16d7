package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/gollava/gollava/data"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/data/tokenizer"
)

// dataCases are what a data loader does: tokenizing, decoding and resizing a picture, finding the records of a data
// file.
func dataCases() []Case {
	return []Case{
		tokenizeCase("bytes", tokenizer.TrainConfig{}),
		tokenizeCase("byte-fallback", tokenizer.TrainConfig{ByteFallback: true}),
		{Name: "data/jpeg-640×480/decode+clip-336", Op: "jpeg",
			Args:   size{"jpeg": lazy(func() string { return base64.StdEncoding.EncodeToString(photo()) })},
			Rivals: []string{"python"}, Unit: "ms", Setup: decodeAndClip},
		{Name: "data/index/600000-records", Op: "index", Args: size{"path": lazy(records)}, Rivals: []string{"python"},
			Unit: "MB/s",
			Work: 600_000 * recordBytes / 1e6, RSS: true, Setup: openRecords},
	}
}

// lazy is an argument that is made when a rival is asked.
type lazy func() string

// MarshalJSON makes it.
func (l lazy) MarshalJSON() ([]byte, error) { return json.Marshal(l()) }

// prose is a megabyte of sentences of made-up words, as frequent as words are (Zipf), in lines of about 400 bytes.
var prose = sync.OnceValue(func() []string {
	r := rand.New(rand.NewPCG(1, 1))
	syllables := strings.Fields("ka lo mi ter ing pra ston el vor ash ud ne quin ba tol er is an re con ment")
	words := make([]string, 8000)
	for i := range words {
		for range 1 + r.IntN(4) {
			words[i] += syllables[r.IntN(len(syllables))]
		}
	}
	var lines []string
	for range 2500 {
		var b strings.Builder
		for b.Len() < 400 {
			w := words[int(math.Pow(float64(len(words)), r.Float64()))-1]
			switch r.IntN(12) {
			case 0:
				b.WriteString(w + ", ")
			case 1:
				fmt.Fprintf(&b, "%s %d. ", w, r.IntN(2000))
			default:
				b.WriteString(w + " ")
			}
		}
		lines = append(lines, b.String())
	}
	return lines
})

// trained is a vocabulary of 16,000 of the prose, and its file.
func trained(c tokenizer.TrainConfig) (*tokenizer.Tokenizer, []byte) {
	c.Size, c.Specials, c.BOS = 16000, []string{"<s>", "</s>"}, "<s>"
	t, err := tokenizer.Train(slices.Values(prose()), c)
	if err != nil {
		panic(err)
	}
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	if err := t.Save(dir); err != nil {
		panic(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "tokenizer.json"))
	if err != nil {
		panic(err)
	}
	return t, b
}

func tokenizeCase(name string, c tokenizer.TrainConfig) Case {
	file := sync.OnceValues(func() (*tokenizer.Tokenizer, []byte) { return trained(c) })
	text := func() string { return strings.Join(prose()[:250], "\n") }
	return Case{
		Name: "data/tokenize/" + name + "/100-KB", Op: "tokenize", Rivals: []string{"python"}, Unit: "MB/s", Work: 0.1,
		Args: size{"tokenizer": lazy(func() string { _, b := file(); return string(b) }), "text": lazy(text)},
		Setup: func() func() {
			t, _ := file()
			lines := strings.Split(text(), "\n")
			return func() {
				for _, l := range lines {
					t.Encode(l)
				}
			}
		},
	}
}

// photo is a JPEG of 640×480 pixels with as much detail as a photograph's.
var photo = sync.OnceValue(func() []byte {
	r := rand.New(rand.NewPCG(2, 2))
	m := image.NewRGBA(image.Rect(0, 0, 640, 480))
	for y := range 480 {
		for x := range 640 {
			f := math.Sin(float64(x)/9+math.Cos(float64(y)/13)*3) + math.Sin(float64(x*y)/4000)
			v := 128 + 50*f + 14*r.NormFloat64()
			m.Set(x, y, color.RGBA{clip(v), clip(v*0.7 + float64(y)/8), clip(255 - v), 255})
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 85}); err != nil {
		panic(err)
	}
	return b.Bytes()
})

func clip(v float64) uint8 { return uint8(min(max(v, 0), 255)) }

func decodeAndClip() func() {
	b, p := photo(), imaging.CLIP(336)
	return func() {
		m, err := imaging.Decode(b, imaging.Options{})
		if err == nil {
			_, err = p.Views(m)
		}
		if err != nil {
			panic(err)
		}
	}
}

// recordBytes is the length of a record of the file, with the comma and the line end after it.
const recordBytes = 308

// records writes a data file like CC3M-595K's, once, and returns its path.
var records = sync.OnceValue(func() string {
	path := filepath.Join(os.TempDir(), "gollava-bench-records.json")
	if st, err := os.Stat(path); err == nil && st.Size() == 600_000*recordBytes+2 {
		return path
	}
	f, err := os.Create(path)
	if err != nil {
		panic(err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	w.WriteString("[\n")
	for i := range 600_000 {
		end := ",\n"
		if i == 599_999 {
			end = "\n]"
		}
		head := fmt.Sprintf(`{"id": "GCC_train_%09d", "image": "GCC_train_%09d.jpg", "conversations": [{"from": "human", "value": "Provide a brief description of the given image.\n<image>"}, {"from": "gpt", "value": "`, i, i)
		tail := `"}]}` + end
		fmt.Fprintf(w, "%s%-*s%s", head, recordBytes-len(head)-len(tail),
			"olive oil is a healthy ingredient used liberally by a person in the kitchen", tail)
	}
	if err := w.Flush(); err != nil {
		panic(err)
	}
	if err := f.Close(); err != nil {
		panic(err)
	}
	return path
})

func openRecords() func() {
	path := records()
	return func() {
		f, err := data.Open(path, data.Options{})
		if err != nil {
			panic(err)
		}
		if f.Len() != 600_000 {
			panic(fmt.Sprintf("%d records", f.Len()))
		}
		f.Close()
	}
}
