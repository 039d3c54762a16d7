package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCommand struct {
	Shell string   `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
	Words []string `arg:"" optional:"" passthrough:"" help:"Print what may stand for the last of these words of a command line instead, as the script does."`
}

func (completionCommand) Help() string {
	return `Prints a script for a shell, in which the Tab key then completes commands, flags and their values.

  source <(gollava completion bash)                     # in ~/.bashrc
  source <(gollava completion zsh)                      # in ~/.zshrc, after compinit
  gollava completion fish | source                      # in ~/.config/fish/config.fish`
}

// scripts ask this program for candidates, and the shell for files where it has none.
var scripts = map[string]string{
	"bash": `_gollava() {
    local IFS=$'\n'
    COMPREPLY=($("$1" completion bash -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _gollava gollava
`,
	"zsh": `_gollava() {
    local -a found
    found=(${(f)"$("${words[1]}" completion zsh -- "${(@)words[2,CURRENT]}" 2>/dev/null)"})
    if (( $#found )); then _describe gollava found; else _files; fi
}
compdef _gollava gollava
`,
	"fish": `function __gollava
    set -l words (commandline -opc) (commandline -ct)
    $words[1] completion fish -- $words[2..-1] 2>/dev/null
end
complete -c gollava -a '(__gollava)'
`,
}

func (v completionCommand) Run(k *kong.Context, c console) error {
	if len(v.Words) == 0 {
		fmt.Fprint(c.plain, scripts[v.Shell])
		return nil
	}
	if v.Words[0] != "--" || len(v.Words) == 1 {
		return errors.New("completion: want `completion SHELL`, or `completion SHELL -- WORD...`")
	}
	for _, found := range candidates(k.Model.Node, v.Words[1:]) {
		help, _, _ := strings.Cut(found.help, "\n")
		switch v.Shell {
		case "zsh":
			fmt.Fprintf(c.plain, "%s:%s\n", strings.ReplaceAll(found.word, ":", `\:`), help)
		case "fish":
			fmt.Fprintf(c.plain, "%s\t%s\n", found.word, help)
		default:
			fmt.Fprintln(c.plain, found.word)
		}
	}
	return nil
}

// candidate is a word that may stand in a command line, and what it means.
type candidate struct{ word, help string }

// candidates are what may stand for the last word of a command line, of which words are those behind the program's
// name: subcommands, flags, and values where they are a few known ones. None means a file, or a text.
func candidates(at *kong.Node, words []string) []candidate {
	last := words[len(words)-1]
	var flag *kong.Flag // whose value comes next
	position := 0
	for _, w := range words[:len(words)-1] {
		name, _, whole := strings.Cut(w, "=")
		i := slices.IndexFunc(at.Children, func(n *kong.Node) bool { return n.Name == w })
		switch {
		case w == "=" && flag != nil: // bash makes three words of --flag=value
		case flag != nil:
			flag = nil
		case strings.HasPrefix(w, "-"):
			if flag = flagOf(at, name); whole || flag != nil && flag.IsBool() {
				flag = nil
			}
		case i >= 0:
			at, position = at.Children[i], 0
		default:
			position++
		}
	}
	var all []candidate
	name, _, whole := strings.Cut(last, "=")
	switch {
	case flag != nil:
		all = valuesOf(flag.Value, "")
		last = strings.TrimPrefix(last, "=")
	case strings.HasPrefix(last, "-") && whole:
		if flag = flagOf(at, name); flag != nil {
			all = valuesOf(flag.Value, name+"=")
		}
	case strings.HasPrefix(last, "-"):
		dashes := "--"
		if !strings.HasPrefix(last, "--") && len(last) > 1 {
			dashes = "-" // as Go's flags are written
		}
		for n := at; n != nil; n = n.Parent {
			for _, f := range n.Flags {
				if !f.Hidden {
					all = append(all, candidate{dashes + f.Name, f.Help})
				}
			}
		}
	case len(at.Children) > 0:
		for _, n := range at.Children {
			if !n.Hidden {
				all = append(all, candidate{n.Name, n.Help})
			}
		}
	case position < len(at.Positional):
		all = valuesOf(at.Positional[position], "")
	}
	return slices.DeleteFunc(all, func(c candidate) bool { return !strings.HasPrefix(c.word, last) })
}

// flagOf is the flag of a command, or of those above it, that is written so; nil if there is none.
func flagOf(at *kong.Node, word string) *kong.Flag {
	name := strings.TrimLeft(word, "-")
	for ; at != nil; at = at.Parent {
		for _, f := range at.Flags {
			if f.Name == name || len(name) == 1 && string(f.Short) == name {
				return f
			}
		}
	}
	return nil
}

// valuesOf are the values that a flag or argument may have, if these are listed, behind a prefix.
func valuesOf(v *kong.Value, prefix string) (all []candidate) {
	for _, s := range v.EnumSlice() {
		if s != "" {
			all = append(all, candidate{word: prefix + s})
		}
	}
	return all
}
