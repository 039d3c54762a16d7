package data

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"github.com/gollava/gollava/data/chat"
	"hash/maphash"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/gollava/gollava/data/imaging"
)

// CheckOptions say how thoroughly Check looks.
type CheckOptions struct {
	Options
	Limits  imaging.Limits // for pictures; zero: DefaultLimits
	Headers bool           // read only the headers of pictures, not their pixels, and only the first frame of videos
	Frames  int            // of a video that are decoded, as many as training shows; 0: 8
	Most    int            // stop after so many faults; 0: 10,000
}

// Check reads a data file and lists what would spoil a training run with it, in the file's order: broken JSON, records
// that are not of LLaVA's form, and those that LLaVA would train on wrongly without a word. With images it looks at
// every picture and video too, those of many records at a time. An empty list means that all is well. The error is for
// what is no fault of the data: ctx, the disk.
func Check(ctx context.Context, path string, images Source, o CheckOptions) ([]Fault, error) {
	file, err := os.Open(path)
	if err != nil {
		return only(opening(err, path))
	}
	defer file.Close()
	c := &checker{path: path, images: images, o: o, ids: map[uint64]int32{}, seed: maphash.MakeSeed()}
	if c.o.Limits == (imaging.Limits{}) {
		c.o.Limits = DefaultLimits()
	}
	c.o.Most, c.o.Frames = cmp.Or(o.Most, 10_000), cmp.Or(o.Frames, 8)
	if c.o.Headers {
		c.o.Frames = 1
	}
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0) + 1)
	sc := newScanner(file, path, o.forPath(path))
	for ctx.Err() == nil && !c.full() {
		b, p, err := sc.next()
		if sc.bom && sc.n <= 1 {
			sc.bom = false
			c.add(&Fault{File: path, Kind: ByteOrderMark, Severity: Warning, Record: -1, Turn: -1, Line: 1, Column: 1,
				Note: notes[ByteOrderMark]})
		}
		if err == io.EOF {
			break
		}
		var f *Fault
		if errors.As(err, &f) {
			c.add(f)
			continue
		}
		if err != nil {
			_ = group.Wait()
			return nil, err
		}
		if sc.lone >= 0 {
			f := NewFault(LoneSurrogate,
				"half of a character, read as U+FFFD; Python fails when it writes it").warning()
			f.File, f.Record, f.Offset = path, sc.n-1, int64(sc.lone-(sc.pos-p.length))
			p.locate(f, b)
			c.add(f)
		}
		if shown := c.record(b, p, sc.n-1); len(shown) > 0 {
			group.Go(func() error { c.look(ctx, shown); return nil })
		}
	}
	_ = group.Wait() // the tasks return no errors
	if ctx.Err() != nil {
		return nil, fmt.Errorf("data: check of %s: %w", path, context.Cause(ctx))
	}
	return c.result(sc.n)
}

type checker struct {
	path   string
	images Source
	o      CheckOptions
	seed   maphash.Seed
	ids    map[uint64]int32 // hash of an id → the record that had it first

	mu     sync.Mutex
	faults []Fault
}

func (c *checker) add(f *Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = append(c.faults, *f)
}

func (c *checker) full() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.faults) >= c.o.Most
}

func (c *checker) result(records int) ([]Fault, error) {
	if records == 0 && len(c.faults) == 0 {
		f := NewFault(NoRecords, "an empty array").warning()
		f.File = c.path
		c.faults = append(c.faults, *f)
	}
	slices.SortStableFunc(c.faults, func(a, b Fault) int { return cmp.Compare(a.Offset, b.Offset) })
	return c.faults, nil
}

// seen is an image or a video of a record that is to be looked at, with the place to report it at.
type seen struct {
	Visual
	at Fault
}

// record looks at one record and returns what is to be looked at of it.
func (c *checker) record(b []byte, p place, i int) (list []seen) {
	s, at, faults := parse(b)
	if len(faults) == 0 || faults[0].Kind != RecordWrongType {
		faults = append(faults, s.judge(at, faults)...)
	}
	where := func(f *Fault) {
		f.File, f.Record, f.ID = c.path, i, s.ID
		p.locate(f, b)
	}
	for _, f := range faults {
		where(f)
		c.add(f)
	}
	if s.ID != "" {
		h := maphash.String(c.seed, s.ID)
		if first, seen := c.ids[h]; seen {
			f := NewFault(DuplicateID, "record %d has it too", first).warning()
			f.Offset = int64(at.id)
			where(f)
			c.add(f)
		} else {
			c.ids[h] = int32(i)
		}
	}
	if c.images == nil {
		return nil
	}
	for _, v := range s.Visuals() {
		f := Fault{Turn: -1, Offset: int64(at.image)}
		if v.Video {
			f.Offset = int64(at.video)
		}
		if where(&f); v.Name != "" { // else it has been judged
			list = append(list, seen{v, f})
		}
	}
	return list
}

// look looks at the images and videos of one record.
func (c *checker) look(ctx context.Context, shown []seen) {
	for _, v := range shown {
		if ctx.Err() != nil || c.full() {
			return
		}
		var f *Fault
		if v.Video {
			_, err := LoadVideo(ctx, c.images, v.Name, c.o.Frames, imaging.Options{Limits: c.o.Limits})
			if err != nil {
				f = AsFault(err, FileUnreadable)
			}
		} else {
			f = inspect(c.images, v.Name, c.o.Limits, !c.o.Headers)
		}
		if f == nil || ctx.Err() != nil {
			continue
		}
		at := &v.at
		f.File, f.Record, f.ID, f.Line, f.Column, f.Offset = at.File, at.Record, at.ID, at.Line, at.Column, at.Offset
		c.add(f)
	}
}

// Faults lists what is wrong with a sample by itself, as Check would, without places.
func (s *Sample) Faults() []Fault {
	var out []Fault
	if len(s.Turns) == 0 {
		out = append(out, *NewFault(ConversationsMissing, "no turns"))
	}
	for _, f := range s.judge(spots{turns: make([]int, len(s.Turns))}, nil) {
		f.ID = s.ID
		out = append(out, *f)
	}
	return out
}

// judge finds what a record of the right form does wrong. known are the faults of its form.
func (s *Sample) judge(at spots, known []*Fault) []*Fault {
	has := func(kinds ...Kind) bool {
		return slices.ContainsFunc(known, func(f *Fault) bool { return slices.Contains(kinds, f.Kind) })
	}
	if has(ConversationsMissing, ConversationsWrongType) || len(s.Turns) == 0 {
		return nil
	}
	var out []*Fault
	add := func(f *Fault, turn int) {
		f.Turn = turn
		out = append(out, f)
	}
	if !has(ConversationsWrongType, ValueMissing, ValueWrongType) {
		s.judgeTurns(add)
	}
	if !has(ImageWrongType, VideoWrongType, ValueMissing, ValueWrongType) {
		s.judgeImages(add)
	}
	for _, f := range out {
		if f.Turn >= 0 {
			f.Offset = int64(at.turns[f.Turn])
		} else {
			f.Offset = int64(cmp.Or(at.image, at.video, at.conversations))
		}
	}
	return out
}

func (s *Sample) judgeTurns(add func(*Fault, int)) {
	answered, last := false, ""
	for i, t := range s.Turns {
		switch {
		case t.From == "system" && i == 0:
			continue
		case t.From != "human" && t.From != "gpt":
			add(NewFault(RoleUnknown, "from is %q; LLaVA knows human and gpt", t.From), i)
			return
		case t.From == last:
			add(NewFault(RolesNotAlternating, "two turns of %s in a row", t.From), i)
			return
		case last == "" && t.From == "gpt":
			add(NewFault(StartsWithGPT, "LLaVA skips this turn").warning(), i)
		case t.From == "gpt":
			answered = true
		}
		last = t.From
		if blank(t.Value) {
			if t.From == "gpt" {
				add(NewFault(BlankAnswer, "there is nothing to learn from it"), i)
			} else {
				add(NewFault(BlankQuestion, "the turn is empty").warning(), i)
			}
		}
	}
	switch {
	case !answered:
		add(NewFault(NoAnswer, "no turn of gpt after a question: nothing to learn"), -1)
	case last == "human":
		add(NewFault(NoAnswer, "the last question has no answer").warning(), len(s.Turns)-1)
	}
}

func (s *Sample) judgeImages(add func(*Fault, int)) {
	tokens, answers := 0, 0
	for i, t := range s.Turns {
		n := s.places(t.Value)
		tokens += n
		if t.From == "gpt" && n > 0 {
			if answers == 0 {
				add(NewFault(ImageTokenInAnswer, "%s belongs into a question; here the model would learn to write it",
					chat.ImageToken), i)
			}
			answers += n
		}
	}
	named := len(s.Images) + len(s.Videos)
	empty := slices.Contains(s.Images, "") || slices.Contains(s.Videos, "")
	clips := 0 // places that can only be a video's
	for _, t := range s.Turns {
		clips += strings.Count(t.Value, chat.VideoToken)
	}
	switch {
	case answers > 0:
	case empty:
		add(NewFault(ImageMissing, "an empty name; leave the key out where there is no picture"), -1)
	case tokens > 0 && named == 0:
		add(NewFault(ImageMissing, "%d %s in the text, but no picture is named", tokens, chat.ImageToken), -1)
	case tokens == 0 && len(s.Videos) > 0:
		add(NewFault(ImageTokenMissing, "the video has no %s and no %s in the text: the model would never see it",
			chat.VideoToken, chat.ImageToken), -1)
	case tokens == 0 && named > 0:
		add(NewFault(ImageTokenMissing, "the picture has no %s in the text: the model would never see it",
			chat.ImageToken), -1)
	case len(s.Images) > 0 && len(s.Videos) > 0 && (clips != len(s.Videos) || tokens != named):
		add(NewFault(ImageTokenCount, "%d pictures and %d videos, %d %s and %d %s: a record with both needs an %s for "+
			"each picture and a %s for each video", len(s.Images), len(s.Videos), tokens-clips, chat.ImageToken, clips,
			chat.VideoToken, chat.ImageToken, chat.VideoToken), -1)
	case tokens != named && len(s.Videos) > 0:
		add(NewFault(ImageTokenCount, "%d videos, %d places (%s or %s)", named, tokens, chat.VideoToken,
			chat.ImageToken), -1)
	case tokens != named:
		add(NewFault(ImageTokenCount, "%d pictures, %d %s", named, tokens, chat.ImageToken), -1)
	}
}

// Summary counts faults by kind, most frequent first: "12 blank_answer, 3 file_missing".
func Summary(faults []Fault) string {
	count := map[Kind]int{}
	for _, f := range faults {
		count[f.Kind]++
	}
	kinds := make([]Kind, 0, len(count))
	for k := range count {
		kinds = append(kinds, k)
	}
	slices.SortFunc(kinds, func(a, b Kind) int { return cmp.Or(count[b]-count[a], cmp.Compare(a, b)) })
	s := ""
	for i, k := range kinds {
		if i > 0 {
			s += ", "
		}
		s += fmt.Sprintf("%d %s", count[k], k)
	}
	return s
}
