package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestCompletion: each command line is completed with what kong's own model of the commands has there.
func TestCompletion(t *testing.T) {
	for line, want := range map[string]string{
		"ch":                       "chat",
		"data|ch":                  "check",
		"data":                     "data",
		"train|--pl":               "--plan",
		"train|-pl":                "-plan",
		"chat|m|--dtype|f":         "float32",
		"chat|m|--dtype=f":         "--dtype=float32",
		"chat|m|--dtype|=|f":       "float32",
		"chat|m|--dtype|=":         "float32 bfloat16 stored",
		"export|--layout|":         "hub original gollava peft gguf",
		"export|--layout|hub|--ou": "--out",
		"completion|":              "bash zsh fish",
		"chat|":                    "",
		"chat|m|--image|":          "",
		"nonsense|--vers":          "--version",
	} {
		args := append([]string{"completion", "bash", "--"}, strings.Split(line, "|")...)
		var out, err bytes.Buffer
		require.Zero(t, run(t.Context(), args, &out, &err), "%s: %s", line, err.String())
		require.Equal(t, want, strings.Join(strings.Fields(out.String()), " "), line)
	}
	var out, err bytes.Buffer
	require.Zero(t, run(t.Context(), []string{"completion", "fish", "--", "cha"}, &out, &err))
	require.Equal(t, "chat\tTalk with a model about pictures.\n", out.String())
	out.Reset()
	require.Zero(t, run(t.Context(), []string{"completion", "zsh", "--", "train", "--res"}, &out, &err))
	require.Equal(t, "--resume:Go on from the newest checkpoint of the run.\n", out.String())
	require.Equal(t, 2, run(t.Context(), []string{"completion", "tcsh"}, &out, &err))
	require.Equal(t, 1, run(t.Context(), []string{"completion", "bash", "chat"}, &out, &err))
}

var asProgram = flag.Bool("program", false, "be the program that TestCompletionScripts starts")

// TestCompletionChild is the program for the shells of TestCompletionScripts.
func TestCompletionChild(t *testing.T) {
	if *asProgram {
		os.Exit(run(t.Context(), flag.Args(), os.Stdout, os.Stderr))
	}
}

// TestCompletionScripts runs each shell's script where that shell is installed.
func TestCompletionScripts(t *testing.T) {
	dir := t.TempDir()
	self, err := os.Executable()
	require.NoError(t, err)
	program := fmt.Sprintf("#!/bin/sh\nexec '%s' -test.run='^TestCompletionChild$' -program -- \"$@\"\n", self)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "gollava"), []byte(program), 0o777))
	for shell, ask := range map[string]string{
		"bash": `COMP_WORDS=(gollava train --pl); COMP_CWORD=2; _gollava gollava; echo "${COMPREPLY[@]}"`,
		"fish": `complete -C "gollava train --pl"`,
		"zsh": `zmodload zsh/zpty && zpty z zsh -f -i
zpty -w z 'autoload -U compinit; compinit -u -D; source <(gollava completion zsh); echo REA''DY'
zpty -r z out '*READY*'
zpty -n -w z $'gollava train --pl\t'
zpty -r z out '*--plan*' && print -r -- "$out"`,
	} {
		path, err := exec.LookPath(shell)
		if err != nil {
			t.Logf("%s is not installed: its script is not run", shell)
			continue
		}
		script := scripts[shell] + ask + "\n"
		if shell == "zsh" {
			script = ask + "\n"
		}
		require.NoError(t, os.WriteFile(filepath.Join(dir, "ask"), []byte(script), 0o666))
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		c := exec.CommandContext(ctx, path, filepath.Join(dir, "ask"))
		c.Env = append(os.Environ(), "PATH="+dir+string(os.PathListSeparator)+os.Getenv("PATH"))
		out, err := c.CombinedOutput()
		require.NoError(t, err, string(out))
		require.Contains(t, string(out), "--plan")
	}
}
