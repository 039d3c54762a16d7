package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gollava/gollava/internal/verify"
)

type verifyCommand struct {
	JSON     bool     `help:"Print one JSON object a case, with every single result."`
	Autocast bool     `help:"Multiply with weights in bfloat16, and allow what that rounds; cases that say nothing about it are left out."`
	Verbose  bool     `short:"v" help:"Print every single result of a case, not only the sum."`
	Dirs     []string `arg:"" name:"dir" help:"Folders to search for case.json."`
}

func (verifyCommand) Help() string {
	return `A case is a folder with a case.json, with inputs, and with what a reference program made of them. Every folder below those
given is searched. Each case is computed anew and compared; the exit status is 0 only if all of them agree.

Example: what transformers computes with a model, and whether gollava computes the same:

  python cmd/gollava/testdata/make_case.py --model ./vicuna-7b --task causal_lm --out cases/vicuna
  gollava verify cases`
}

func (v verifyCommand) Run(c console) error {
	var dirs []string
	for _, root := range v.Dirs {
		found, err := verify.Find(root)
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return fmt.Errorf("verify: no case.json in or below %s", root)
		}
		dirs = append(dirs, found...)
	}
	if !v.JSON {
		fmt.Fprintf(c.out, line, "CASE", "TASK", "COMPARED", "MAX ABS", "MAX REL", "TOLERANCE", "VERDICT")
	}
	encoder := json.NewEncoder(c.out)
	check, compared := verify.Run, 0
	if v.Autocast {
		check = verify.RunAutocast
	}
	failed := 0
	for _, dir := range dirs {
		r := check(dir)
		if r.LeftOut() {
			continue
		}
		if compared++; !r.Pass() {
			failed++
		}
		if v.JSON {
			if err := encoder.Encode(r); err != nil {
				return err
			}
			continue
		}
		v.print(c, r)
	}
	if failed > 0 {
		c.hint("-v shows every result of a case, -json all digits")
		return fmt.Errorf("verify: %d of %d cases failed", failed, compared)
	}
	if compared == 0 {
		return fmt.Errorf("verify: no case says anything about bfloat16")
	}
	if v.Autocast {
		c.hint("%d of %d cases agree, the others say nothing about bfloat16", compared, len(dirs))
		return nil
	}
	c.hint("all agree: train or chat with the checkpoint, or see gollava --help")
	return nil
}

// line is a line of the table.
const line = "%-32s %-15s %-40s %9s %9s  %-22s %s\n"

// print shows a case, and below it what failed, or everything if asked.
func (v verifyCommand) print(c console, r verify.Result) {
	name := short(filepath.Base(filepath.Clean(r.Case)), 32)
	abs := slices.ContainsFunc(r.Rows, func(row verify.Row) bool { return !row.Relative })
	rel := slices.ContainsFunc(r.Rows, func(row verify.Row) bool { return row.Relative })
	fmt.Fprintf(c.out, line, name, r.Task, short(r.What, 40), size(r.MaxAbs, abs), size(r.MaxRel, rel),
		limits(r, abs, rel), r.Verdict)
	if r.Note != "" && !r.Pass() {
		fmt.Fprintf(c.out, "  %s\n", strings.ReplaceAll(r.Note, "\n", "\n  "))
	}
	if !v.Verbose {
		return
	}
	for _, row := range r.Rows {
		verdict, limit := "pass", fmt.Sprintf("%.3g abs", row.Tolerance)
		if !row.Pass {
			verdict = "FAIL"
		}
		if row.Relative {
			limit = fmt.Sprintf("%.3g rel", row.Tolerance)
		}
		fmt.Fprintf(c.out, "  %-87s %9.2g %9.2g  %-22s %s\n", row.What, row.MaxAbs, row.MaxRel, limit, verdict)
	}
}

// size is an error, or a dash if nothing of its kind was compared.
func size(v float64, compared bool) string {
	if !compared {
		return "–"
	}
	return fmt.Sprintf("%.2g", v)
}

func limits(r verify.Result, abs, rel bool) string {
	var s []string
	if abs && r.Abs > 0 {
		s = append(s, fmt.Sprintf("%.1g abs", r.Abs))
	}
	if rel && r.Rel > 0 {
		s = append(s, fmt.Sprintf("%.1g rel", r.Rel))
	}
	if s == nil {
		return "exact"
	}
	return strings.Join(s, ", ")
}

// short cuts a text to at most n characters.
func short(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}
