package study

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"path/filepath"
	"strings"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/data/shapes/eval"
	"github.com/gollava/gollava/internal/atomicfile"
)

// chatHelp is what the user is told at the beginning.
const chatHelp = `Ask about the picture, e.g. "what color is the circle?", "where is the red star?", "describe the image concisely."
/next shows another picture, /quit ends.`

// Chat talks with the finished model about pictures that it never saw.
func (j *Study) Chat(ctx context.Context, in io.Reader, m *connector.VLM) error {
	s := j.Looking(m, nil)
	j.Printf("%s", chatHelp)
	lines := bufio.NewScanner(in)
	for n := 0; ; n++ {
		scene := j.World.Scene(shapes.Test, 2_000_000+n, shapes.Options{MinObjects: min(2, j.World.MaxObjects)})
		e := examOf(j.World, "", eval.Set{{Scene: scene}})
		e.Pool.Look(m.Vision, j.Selects)
		path := filepath.Join(j.Flags.Out, "chat.png")
		draw := func(w io.Writer) error { return png.Encode(w, enlarge(scene.Image(), 10*j.World.Side())) }
		if err := atomicfile.Write(path, draw); err != nil {
			return fmt.Errorf("chat: the picture could not be stored: %w", err)
		}
		j.Printf("\n%s(the picture, enlarged, is in %s)", blocks(scene.Image()), path)
		next, err := j.talk(ctx, lines, s, e)
		if err != nil || !next {
			return err
		}
	}
}

// talk answers questions about one picture. It is false at the end of the conversation.
func (j *Study) talk(ctx context.Context, lines *bufio.Scanner, s *Student, e *Exam) (next bool, err error) {
	for {
		fmt.Fprint(j.Out, "> ")
		if !lines.Scan() {
			return false, lines.Err()
		}
		question := normal(lines.Text())
		switch {
		case question == "":
			continue
		case question == "/next":
			return true, nil
		case question == "/quit":
			return false, nil
		case strings.HasPrefix(question, "/"):
			j.Printf("%s", chatHelp)
			continue
		}
		if unknown := j.Vocabulary.strange(question); len(unknown) > 0 {
			j.Printf("(I never learnt these words: %s)", strings.Join(unknown, ", "))
		}
		if len(strings.Fields(question)) > 64 {
			j.Printf("(that is too long for me)")
			continue
		}
		e.Set[0].Text = question
		ids, err := s.generate(ctx, e, 0, 1, 96)
		if errors.Is(err, context.Canceled) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		answer := j.Vocabulary.decode(ids[0])
		j.Printf("%s", answer)
		if truth, err := e.Pool.Scenes[0].Answer(question); err == nil && truth != answer {
			j.Printf("(in truth: %s)", truth)
		}
	}
}

// normal writes a question as the world's texts are written: in lower case, with spaces around punctuation.
func normal(text string) string {
	for _, mark := range []string{"?", ".", ",", ":", ";"} {
		text = strings.ReplaceAll(text, mark, " "+mark+" ")
	}
	words := strings.Fields(text)
	for i, w := range words {
		if len(w) > 1 || w == "A" || w == "I" {
			words[i] = strings.ToLower(w)
		}
	}
	return strings.Join(words, " ")
}

// blocks draws a picture on a terminal, two pixels a character.
func blocks(m *image.RGBA) string {
	var b strings.Builder
	for y := 0; y+1 < m.Bounds().Dy(); y += 2 {
		for x := range m.Bounds().Dx() {
			u, d := m.RGBAAt(x, y), m.RGBAAt(x, y+1)
			fmt.Fprintf(&b, "\x1b[38;2;%d;%d;%dm\x1b[48;2;%d;%d;%dm▀", u.R, u.G, u.B, d.R, d.G, d.B)
		}
		b.WriteString("\x1b[0m\n")
	}
	return b.String()
}
