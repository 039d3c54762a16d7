package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/alecthomas/kong"
)

// exit is what the parser panics with to end the program after it has printed help.
type exit int

// run runs one command and returns the exit status: 0, 1 for failure, 2 for arguments that make no sense.
func run(ctx context.Context, args []string, out, err io.Writer) (status int) {
	defer func() {
		if p := recover(); p != nil {
			code, ok := p.(exit)
			if !ok {
				panic(p)
			}
			status = int(code)
		}
	}()
	var p program
	parser := kong.Must(&p, kong.Name("gollava"), kong.Vars{"dtype": "bfloat16", "version": version()},
		kong.Writers(out, err), kong.Exit(func(code int) { panic(exit(code)) }),
		kong.Description("Trains, runs and checks LLaVA-style vision-language models."),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(console{in: os.Stdin, out: cleaner{out}, err: cleaner{err}, plain: out, progress: err}))
	command, failed := parser.Parse(spelled(args))
	if failed != nil {
		fmt.Fprintf(cleaner{err}, "gollava: %v\nhint: gollava --help lists the commands, gollava COMMAND --help "+
			"shows an example\n", failed)
		return 2
	}
	if failed := command.Run(); failed != nil {
		fmt.Fprintf(err, "gollava: %s\n", printable(brief(inWords(failed.Error()))))
		var coded interface{ ExitCode() int }
		if errors.As(failed, &coded) {
			return coded.ExitCode()
		}
		return 1
	}
	return 0
}

var goStyle = regexp.MustCompile(`^-[a-zA-Z][a-zA-Z-]+(=|$)`)

// spelled lets flags be written as Go's are, with one dash, and "help" be a command.
func spelled(args []string) []string {
	out := []string{}
	for i, a := range args {
		switch {
		case a == "--":
			return append(out, args[i:]...)
		case goStyle.MatchString(a):
			a = "-" + a
		}
		out = append(out, a)
	}
	if len(out) == 0 || out[0] == "help" {
		return append(out[min(1, len(out)):], "--help")
	}
	return out
}

var (
	notThere = regexp.MustCompile(`\b(?:open|stat|lstat|statat|openat|read) ([^:\n]+): (?:no such file or directory|file does not exist)`)
	refused  = regexp.MustCompile(`\b(?:open|stat|mkdir|openat|mkdirat) ([^:\n]+): (permission denied|not a directory|is a directory)`)
	opened0  = regexp.MustCompile(`\bopen weights: `)
)

// inWords puts what the operating system says about a file into words: "open a: no such file or directory".
func inWords(message string) string {
	message = notThere.ReplaceAllString(message, "$1 does not exist")
	message = refused.ReplaceAllString(message, "$1: $2")
	message = opened0.ReplaceAllString(message, "")
	return strings.ReplaceAll(message, "model.safetensors.index.json: file does not exist",
		"model.safetensors.index.json")
}

// next prints a command that goes on from here, as a shell takes it in any folder: paths among the arguments are made
// absolute with [place]. Nothing else is on its line.
func (c console) next(args ...string) {
	line := "next: gollava"
	for _, a := range args {
		line += " " + quoted(a)
	}
	fmt.Fprintln(c.err, line)
}

// hint tells what to do that is no command.
func (c console) hint(format string, args ...any) {
	fmt.Fprintf(c.err, "hint: "+format+"\n", args...)
}

// place is a path that means the same in any folder.
func place(path string) string {
	if abs, err := filepath.Abs(path); err == nil && path != "" {
		return abs
	}
	return path
}

// quoted is an argument as a shell takes it.
func quoted(arg string) string {
	if plainArgument.MatchString(arg) {
		return arg
	}
	return "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
}

var plainArgument = regexp.MustCompile(`^[A-Za-z0-9_./=:,@%+-]+$`)
