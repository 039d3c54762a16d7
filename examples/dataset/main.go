// Command dataset writes a small data set to try training with: twenty images, each of one color above another, and
// LLaVA's JSON with a question about each.
//
//	go run ./examples/dataset -out flags
//	gollava data check flags/flags.json --images flags/images
//
// The words are those of the quickstart's model, so that it can be taught them: docs/first-hour.md does.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"log"
	"os"
	"path/filepath"
)

// record is one sample in LLaVA's JSON.
type record struct {
	ID            string `json:"id"`
	Image         string `json:"image"` // relative to the folder of images
	Conversations []turn `json:"conversations"`
}

// turn is what one side says. <image> stands where the image belongs.
type turn struct {
	From  string `json:"from"` // human or gpt
	Value string `json:"value"`
}

var colors = []struct {
	name string
	rgb  color.RGBA
}{{"red", color.RGBA{200, 40, 40, 255}}, {"green", color.RGBA{40, 160, 60, 255}},
	{"blue", color.RGBA{50, 70, 200, 255}}, {"yellow", color.RGBA{230, 200, 40, 255}},
	{"orange", color.RGBA{240, 130, 30, 255}}}

func main() {
	out := flag.String("out", "flags", "folder for the data set")
	flag.Parse()
	if err := run(*out, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// run writes out/flags.json and out/images.
func run(out string, w io.Writer) error {
	if err := os.MkdirAll(filepath.Join(out, "images"), 0o777); err != nil {
		return err
	}
	var records []record
	for _, above := range colors {
		for _, below := range colors {
			if above == below {
				continue
			}
			id := fmt.Sprintf("%02d", len(records))
			if err := draw(filepath.Join(out, "images", id+".png"), above.rgb, below.rgb); err != nil {
				return err
			}
			records = append(records, record{id, id + ".png", []turn{
				{"human", "<image>\nwhat is it ?"}, {"gpt", above.name + " above " + below.name}}})
		}
	}
	text, err := json.MarshalIndent(records, "", " ")
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%d images and flags.json are in %s\n", len(records), out)
	return os.WriteFile(filepath.Join(out, "flags.json"), text, 0o666)
}

// draw writes a PNG of 48 × 48 pixels, of one color above another.
func draw(path string, above, below color.RGBA) error {
	m := image.NewRGBA(image.Rect(0, 0, 48, 48))
	for y := range 48 {
		for x := range 48 {
			c := above
			if y >= 24 {
				c = below
			}
			m.Set(x, y, c)
		}
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := png.Encode(f, m); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
