package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/gollava/gollava/data"
)

type checkCommand struct {
	Images  string   `short:"i" placeholder:"PATH" help:"Look at the pictures and videos too: a folder, a .zip or a .tar file."`
	Headers bool     `help:"Read only the headers of pictures, and one frame of videos: much faster, but misses truncated ones."`
	Frames  int      `default:"8" help:"Frames of a video that are looked at: as many as training shows."`
	JSON    bool     `help:"Print one JSON object a fault."`
	Most    int      `default:"1000" help:"Stop after so many faults in a file."`
	Files   []string `arg:"" name:"file" help:"Data files: .json, .jsonl, a .yaml mixture, .tar shards, .zip archives."`
}

func (checkCommand) Help() string {
	return `Each line says which record of which file is faulty, where it stands, what is wrong and what to do. The exit status is 1 if there are errors,
which a training run cannot use; warnings are records that LLaVA trains on in another way than one would think.

Example: a stage-1 data set with its pictures still in the archive

  gollava data check LLaVA-CC3M-Pretrain-595K/chat.json -images LLaVA-CC3M-Pretrain-595K/images.zip`
}

// fault is a data.Fault as JSON has it.
type fault struct {
	File     string        `json:"file"`
	Kind     data.Kind     `json:"fault"`
	Severity data.Severity `json:"severity"`
	Record   *int          `json:"record"`
	ID       string        `json:"id,omitempty"`
	Turn     *int          `json:"turn"`
	Line     int           `json:"line,omitempty"`
	Column   int           `json:"column,omitempty"`
	Offset   int64         `json:"offset"`
	Image    string        `json:"image,omitempty"`
	Note     string        `json:"note"`
}

func (v checkCommand) Run(ctx context.Context, c console) error {
	var images data.Source
	if v.Images != "" {
		src, err := data.OpenSource(v.Images)
		if err != nil {
			return fmt.Errorf("data check: --images: %w", err)
		}
		defer src.Close()
		images = src
	}
	if v.Frames < 1 {
		return fmt.Errorf("data check: --frames %d: at least one", v.Frames)
	}
	files, err := v.files()
	if err != nil {
		return err
	}
	errors, faults := 0, 0
	for _, path := range files {
		found, err := v.check(ctx, path, images)
		if err != nil {
			return fmt.Errorf("data check: %w", err)
		}
		for _, f := range found {
			if f.Severity == data.Error {
				errors++
			}
			v.print(c, f)
		}
		faults += len(found)
		if v.JSON {
			continue
		}
		switch {
		case len(found) == 0:
			fmt.Fprintf(c.out, "%s: nothing wrong\n", path)
		case len(found) >= v.Most:
			fmt.Fprintf(c.out, "%s: stopped after %d faults (-most): %s\n", path, len(found), data.Summary(found))
		default:
			fmt.Fprintf(c.out, "%s: %s\n", path, data.Summary(found))
		}
	}
	switch {
	case errors > 0:
		c.hint("mend or remove these records, or train with skip: true, which leaves them out and counts them")
		return fmt.Errorf("data check: %s, %s", counted(errors, "error"), counted(faults-errors, "warning"))
	case images == nil:
		c.hint("--images FOLDER looks at the pictures too")
	default:
		c.next("data", "show", place(v.Files[0]), "--images", place(v.Images))
	}
	return nil
}

// files puts the parts of a mixture in its place.
func (v checkCommand) files() ([]string, error) {
	var out []string
	for _, path := range v.Files {
		if e := ext(path); e != ".yaml" && e != ".yml" {
			out = append(out, path)
			continue
		}
		paths, err := data.MixturePaths(path)
		if err != nil {
			return nil, err
		}
		out = append(out, paths...)
	}
	return out, nil
}

func (v checkCommand) check(ctx context.Context, path string, images data.Source) ([]data.Fault, error) {
	if e := ext(path); e == ".tar" || e == ".zip" {
		return data.CheckArchive(path)
	}
	return data.Check(ctx, path, images, data.CheckOptions{Headers: v.Headers, Frames: v.Frames, Most: v.Most})
}

func (v checkCommand) print(c console, f data.Fault) {
	if !v.JSON {
		fmt.Fprintf(c.out, "%s: %s\n", f.Severity, f.Error()[len("data: "):])
		return
	}
	known := func(n int) *int {
		if n < 0 {
			return nil
		}
		return &n
	}
	line, _ := json.Marshal(fault{f.File, f.Kind, f.Severity, known(f.Record), f.ID, known(f.Turn), f.Line, f.Column,
		f.Offset, f.Image, f.Note})
	fmt.Fprintf(c.out, "%s\n", line)
}

// counted is a number of things: "1 error", "2 errors".
func counted(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}
