package main

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/term"
)

// lines returns a function that asks for a line: on a terminal with a history (the arrow keys) and completion of
// commands and file names (the tabulator).
func (c console) lines() func() (string, error) {
	in, ok := c.in.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) || !term.IsTerminal(int(os.Stderr.Fd())) {
		lines := bufio.NewReader(c.in)
		return func() (string, error) {
			if _, err := io.WriteString(c.err, "> "); err != nil {
				return "", err
			}
			return readLine(lines)
		}
	}
	t := term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{in, os.Stderr}, "> ")
	t.AutoCompleteCallback = func(line string, pos int, key rune) (string, int, bool) {
		if key != '\t' || pos != len(line) {
			return "", 0, false
		}
		line = complete(line)
		return line, len(line), true
	}
	return func() (string, error) {
		before, err := term.MakeRaw(int(in.Fd())) // while a line is read only: Ctrl-C is a signal to answers
		if err != nil {
			return "", err
		}
		defer func() { _ = term.Restore(int(in.Fd()), before) }()
		if w, h, err := term.GetSize(int(in.Fd())); err == nil {
			_ = t.SetSize(w, h)
		}
		return t.ReadLine()
	}
}

// complete goes on with a command, or the name of a file after one, as far as there is one way to.
func complete(line string) string {
	command, name, named := strings.Cut(line, " ")
	if !named {
		return line + common(line, chatCommands, func(string) string { return " " })
	}
	if command != "/image" && command != "/video" && command != "/save" {
		return line
	}
	dir, stem := filepath.Split(name)
	list, err := os.ReadDir(filepath.Clean("./" + dir))
	if filepath.IsAbs(dir) {
		list, err = os.ReadDir(dir)
	}
	if err != nil {
		return line
	}
	folders := map[string]bool{}
	var names []string
	for _, e := range list {
		if !strings.HasPrefix(e.Name(), ".") || strings.HasPrefix(stem, ".") {
			names = append(names, e.Name())
			folders[e.Name()] = e.IsDir()
		}
	}
	return line + common(stem, names, func(whole string) string {
		if folders[whole] {
			return string(filepath.Separator)
		}
		return ""
	})
}

// common is what all words that begin with a stem have after it; where that is one word, with its end.
func common(stem string, words []string, end func(whole string) string) string {
	var rest string
	n := 0
	for _, w := range words {
		more, ok := strings.CutPrefix(w, stem)
		if !ok {
			continue
		}
		if n++; n == 1 {
			rest = more
			continue
		}
		for !strings.HasPrefix(more, rest) {
			rest = rest[:len(rest)-1]
		}
	}
	if n == 1 {
		rest += end(stem + rest)
	}
	return rest
}
