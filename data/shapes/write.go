package shapes

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image/png"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/gollava/gollava/internal/atomicfile"
)

// Files says how much [World.Write] writes.
type Files struct {
	Captions int // pictures with a caption, for stage 1
	// samples for stage 2: conversations, descriptions and reasoning in LLaVA's proportion 58 : 23 : 77
	Instructions int
	Questions    int // of each family about each split but Train, for evaluation
}

// Write writes the world as LLaVA's files, byte for byte of their form:
//
//	pretrain/chat.json            a caption for each picture, asked for in LLaVA's eleven ways
//	pretrain/metadata.json        the captions alone
//	pretrain/images/*.png
//	instruct/conversation.json    questions and answers in turn
//	instruct/detail.json          descriptions
//	instruct/complex_reasoning.json
//	instruct/llava_instruct.json  the three together, shuffled
//	instruct/caps/*_caps.txt      what a language model would be told to write such texts from: see [Scene.Context]
//	instruct/images/*.png
//	eval/SPLIT/FAMILY.jsonl       POPE's form: question_id, image, text, label
//	eval/SPLIT/images/*.png
//
// The same world writes the same bytes. A json file is written after the pictures that it names, and whole or not at
// all; files of these names are replaced, others in dir are left alone.
func (w *World) Write(ctx context.Context, dir string, f Files) error {
	if f.Captions < 0 || f.Instructions < 0 || f.Questions < 0 {
		return fmt.Errorf("shapes: cannot write %+v: negative numbers", f)
	}
	if f.Instructions > 0 && w.MaxObjects < 2 {
		return fmt.Errorf("shapes: reasoning needs two objects in a picture, and max_objects is %d", w.MaxObjects)
	}
	if f.Captions > 0 {
		if err := w.writeCaptions(ctx, filepath.Join(dir, "pretrain"), f.Captions); err != nil {
			return err
		}
	}
	if f.Instructions > 0 {
		if err := w.writeInstructions(ctx, filepath.Join(dir, "instruct"), f.Captions, f.Instructions); err != nil {
			return err
		}
	}
	if f.Questions > 0 {
		return w.writeQuestions(ctx, filepath.Join(dir, "eval"), f.Questions)
	}
	return nil
}

// record is a sample in LLaVA's form.
type record struct {
	ID            string `json:"id"`
	Image         string `json:"image"`
	Conversations []said `json:"conversations"`
}

type said struct {
	From  string `json:"from"`
	Value string `json:"value"`
}

// newRecord lays questions and answers out, with the picture before or after the first question.
func newRecord(r *rand.Rand, id string, turns []Question) record {
	rec := record{ID: id, Image: id + ".png"}
	for i, q := range turns {
		text := q.Text
		if i == 0 && r.IntN(2) == 0 {
			text = "<image>\n" + text
		} else if i == 0 {
			text += "\n<image>"
		}
		rec.Conversations = append(rec.Conversations, said{"human", text}, said{"gpt", q.Answer})
	}
	return rec
}

// metadata is what LLaVA's metadata.json has for a picture.
type metadata struct {
	ID          string `json:"id"`
	Image       string `json:"image"`
	Caption     string `json:"caption"`
	BLIPCaption string `json:"blip_caption"` // a shorter one, by another writer
	URL         string `json:"url"`
}

func (w *World) writeCaptions(ctx context.Context, dir string, n int) error {
	records, about := make([]record, n), make([]metadata, n)
	err := w.each(ctx, filepath.Join(dir, "images"), n, func(i int) (string, Scene) {
		r := w.Rand("write/captions", i)
		s := w.Scene(Train, i, Options{})
		q, _ := s.Ask(r, Brief)
		records[i] = newRecord(r, id(i), []Question{q})
		about[i] = metadata{ID: id(i), Image: id(i) + ".png", Caption: q.Answer,
			BLIPCaption: s.caption(s.mentions(false, false))}
		return id(i), s
	})
	if err != nil {
		return err
	}
	if err := writeArray(filepath.Join(dir, "metadata.json"), about); err != nil {
		return err
	}
	return writeArray(filepath.Join(dir, "chat.json"), records)
}

// id names a training picture.
func id(index int) string { return fmt.Sprintf("shapes_train_%09d", index) }

func (w *World) writeInstructions(ctx context.Context, dir string, first, n int) error {
	records := make([]record, n)
	conversations, details := n*58/158, n*23/158
	caps := filepath.Join(dir, "caps")
	if err := os.MkdirAll(caps, 0o777); err != nil {
		return fmt.Errorf("shapes: %w", err)
	}
	var failed error
	var mu sync.Mutex
	err := w.each(ctx, filepath.Join(dir, "images"), n, func(i int) (string, Scene) {
		r, id := w.Rand("write/instructions", i), id(first+i)
		var s Scene
		var turns []Question
		switch {
		case i < conversations:
			s = w.Scene(Train, first+i, Options{})
			for len(turns) == 0 {
				turns = s.Converse(r, Conversation(), 2+r.IntN(3))
			}
		case i < conversations+details:
			s = w.Scene(Train, first+i, Options{})
			q, _ := s.Ask(r, Detail)
			turns = []Question{q}
		default:
			s = w.Scene(Train, first+i, Options{MinObjects: max(2, w.MinObjects)})
			q, _ := s.Ask(r, Walk)
			turns = []Question{q}
		}
		records[i] = newRecord(r, id, turns)
		if err := os.WriteFile(filepath.Join(caps, id+"_caps.txt"), []byte(s.Context()), 0o666); err != nil {
			mu.Lock()
			failed = err
			mu.Unlock()
		}
		return id, s
	})
	if err == nil && failed != nil {
		err = fmt.Errorf("shapes: %w", failed)
	}
	if err != nil {
		return err
	}
	for _, part := range []struct {
		name     string
		from, to int
	}{{"conversation", 0, conversations}, {"detail", conversations, conversations + details},
		{"complex_reasoning", conversations + details, n}} {
		if err := writeArray(filepath.Join(dir, part.name+".json"), records[part.from:part.to]); err != nil {
			return err
		}
	}
	shuffle(w.Rand("write/shuffle", 0), records)
	return writeArray(filepath.Join(dir, "llava_instruct.json"), records)
}

// asked is a question in POPE's form.
type asked struct {
	ID    int    `json:"question_id"`
	Image string `json:"image"`
	Text  string `json:"text"`
	Label string `json:"label"`
}

func (w *World) writeQuestions(ctx context.Context, dir string, n int) error {
	for _, split := range Splits() {
		if split == Train {
			continue
		}
		for _, f := range w.Families(split) {
			questions := make([]asked, n)
			err := w.each(ctx, filepath.Join(dir, string(split), "images"), n, func(i int) (string, Scene) {
				s, q := w.Ask(split, f, i)
				name := fmt.Sprintf("%s_%06d", f, i)
				questions[i] = asked{i + 1, name + ".png", q.Text, q.Answer}
				return name, s
			})
			if err != nil {
				return err
			}
			if err := writeLines(filepath.Join(dir, string(split), string(f)+".jsonl"), questions); err != nil {
				return err
			}
		}
	}
	return nil
}

// each draws n scenes on all processors and writes their pictures into a folder.
func (w *World) each(ctx context.Context, dir string, n int, scene func(i int) (name string, s Scene)) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("shapes: %w", err)
	}
	group, ctx := errgroup.WithContext(ctx)
	workers := runtime.GOMAXPROCS(0)
	for k := range workers {
		group.Go(func() error {
			var b bytes.Buffer
			e := png.Encoder{CompressionLevel: png.BestSpeed, BufferPool: &buffers{}}
			for i := k; i < n; i += workers {
				if ctx.Err() != nil {
					return fmt.Errorf("shapes: write %s: %w", dir, context.Cause(ctx))
				}
				name, s := scene(i)
				b.Reset()
				if err := e.Encode(&b, s.Image()); err != nil {
					return fmt.Errorf("shapes: picture %s: %w", name, err)
				}
				if err := os.WriteFile(filepath.Join(dir, name+".png"), b.Bytes(), 0o666); err != nil {
					return fmt.Errorf("shapes: %w", err)
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// buffers keeps one encoder's memory for the next picture.
type buffers struct{ b *png.EncoderBuffer }

func (p *buffers) Get() *png.EncoderBuffer  { return p.b }
func (p *buffers) Put(b *png.EncoderBuffer) { p.b = b }

// writeArray writes a JSON array, a record on a line.
func writeArray[T any](path string, records []T) error {
	return writeRecords(path, records, "[\n", ",\n", "\n]\n")
}

// writeLines writes a JSON record on each line.
func writeLines[T any](path string, records []T) error {
	return writeRecords(path, records, "", "\n", "\n")
}

func writeRecords[T any](path string, records []T, before, between, after string) error {
	err := atomicfile.Write(path, func(out io.Writer) error {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false) // <image> stays as it is
		for i, rec := range records {
			b.Reset()
			if err := e.Encode(rec); err != nil {
				return err
			}
			head := between
			if i == 0 {
				head = before
			}
			if _, err := io.WriteString(out, head+string(bytes.TrimSpace(b.Bytes()))); err != nil {
				return err
			}
		}
		if len(records) == 0 {
			after = "[]\n"
		}
		_, err := io.WriteString(out, after)
		return err
	})
	if err != nil {
		return fmt.Errorf("shapes: %w", err)
	}
	return nil
}
