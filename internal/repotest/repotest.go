// Package repotest holds the rules of the repository's layout as functions that its tests run: who may import whom,
// no cgo, package documentation, file length, names, generated assembly, and no paths of anybody's machine.
//
// A rule gets the repository as an fs.FS and returns one sentence for each offence, which says what to do.
package repotest

import (
	"bufio"
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Rules are all rules by name.
var Rules = map[string]func(fs.FS) ([]string, error){
	"Imports":   Imports,
	"Modules":   Modules,
	"Clocks":    Clocks,
	"NoCgo":     NoCgo,
	"Panics":    Panics,
	"Storage":   Storage,
	"Docs":      Docs,
	"Length":    Length,
	"Names":     Names,
	"Assembly":  Assembly,
	"Machine":   Machine,
	"Examples":  Examples,
	"Doors":     Doors,
	"TopLevel":  TopLevel,
	"NoReplace": NoReplace,
	"Snippets":  Snippets,
	"Width":     Width,
}

const module = "github.com/gollava/gollava"

// files lists the repository's files, without .git, other folders that Go ignores, modules of their own, and testdata.
func files(repo fs.FS, accept func(name string) bool) ([]string, error) {
	var out []string
	err := fs.WalkDir(repo, ".", func(name string, d fs.DirEntry, err error) error {
		switch base := path.Base(name); {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (base == "testdata" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_")):
			return fs.SkipDir
		case d.IsDir() && name != "." && exists(repo, path.Join(name, "go.mod")):
			return fs.SkipDir
		case !d.IsDir() && accept(name):
			out = append(out, name)
		}
		return nil
	})
	return out, err
}

func exists(repo fs.FS, name string) bool {
	_, err := fs.Stat(repo, name)
	return err == nil
}

func isGo(name string) bool   { return strings.HasSuffix(name, ".go") }
func isTest(name string) bool { return strings.HasSuffix(name, "_test.go") }

// each parses the Go files that accept takes, tests included, and collects what f says about them.
func each(repo fs.FS, mode parser.Mode, accept func(name string) bool,
	f func(name string, src []byte, file *ast.File) []string) ([]string, error) {
	names, err := files(repo, func(name string) bool { return isGo(name) && accept(name) })
	if err != nil {
		return nil, err
	}
	var said []string
	for _, name := range names {
		src, err := fs.ReadFile(repo, name)
		if err != nil {
			return nil, err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, src, mode)
		if err != nil {
			return nil, err
		}
		said = append(said, f(name, src, file)...)
	}
	return said, nil
}

func imports(file *ast.File) []string {
	var out []string
	for _, i := range file.Imports {
		p, _ := strconv.Unquote(i.Path.Value)
		out = append(out, p)
	}
	return out
}

func every(string) bool     { return true }
func code(name string) bool { return !isTest(name) }

// Length forbids files of more than 500 lines, except tests and generated code.
func Length(repo fs.FS) ([]string, error) {
	return each(repo, parser.PackageClauseOnly|parser.ParseComments, code,
		func(name string, src []byte, file *ast.File) []string {
			if n := bytes.Count(src, []byte("\n")); n > 500 && !ast.IsGenerated(file) {
				return []string{fmt.Sprintf("%s has %d lines: split it by idea; 300 is the aim and 500 the limit", name, n)}
			}
			return nil
		})
}

// NoCgo forbids import "C", C sources, and //export.
func NoCgo(repo fs.FS) ([]string, error) {
	said, err := each(repo, parser.ImportsOnly, every, func(name string, _ []byte, file *ast.File) []string {
		if slices.Contains(imports(file), "C") {
			return []string{name + ` imports "C": everything must build with CGO_ENABLED=0; write it in Go or assembly`}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	sources, err := files(repo, func(name string) bool {
		return slices.Contains([]string{".c", ".cc", ".cpp", ".h", ".m", ".syso", ".a", ".o"}, path.Ext(name))
	})
	for _, name := range sources {
		said = append(said, name+" is for a C compiler or linker: everything must build with Go alone")
	}
	return said, err
}

// Docs demands that every package, and every command, opens with a sentence about itself.
func Docs(repo fs.FS) ([]string, error) {
	type pkg struct{ name, doc string }
	dirs := map[string]pkg{}
	_, err := each(repo, parser.PackageClauseOnly|parser.ParseComments, code,
		func(name string, _ []byte, file *ast.File) []string {
			p := dirs[path.Dir(name)]
			if p.name = file.Name.Name; file.Doc != nil && p.doc == "" {
				p.doc = file.Doc.Text()
			}
			dirs[path.Dir(name)] = p
			return nil
		})
	var said []string
	for dir, p := range dirs {
		want := "Package " + p.name + " "
		if p.name == "main" {
			want = "Command " + path.Base(dir) + " "
		}
		if !strings.HasPrefix(p.doc, want) {
			said = append(said, fmt.Sprintf("%s has no package comment that begins with %q: say in one sentence what it is for",
				dir, want))
		}
	}
	slices.Sort(said)
	return said, err
}

var vague = regexp.MustCompile(`^(utils?|common|types|helpers?|misc|shared|base|lib)$`)

// Names forbids packages and files whose names say nothing.
func Names(repo fs.FS) ([]string, error) {
	return each(repo, parser.PackageClauseOnly, every, func(name string, _ []byte, file *ast.File) []string {
		stem := strings.TrimSuffix(strings.TrimSuffix(path.Base(name), ".go"), "_test")
		for _, n := range []string{stem, path.Base(path.Dir(name)), strings.TrimSuffix(file.Name.Name, "_test")} {
			if vague.MatchString(n) {
				return []string{fmt.Sprintf("%s: %q says nothing: name the file or package after the idea that it holds", name, n)}
			}
		}
		return nil
	})
}

// Assembly demands that amd64 assembly is generated, that every generated file's folder has its generator in _asm, a
// module of its own, and that assembly can be left out with -tags purego.
func Assembly(repo fs.FS) ([]string, error) {
	names, err := files(repo, func(name string) bool { return path.Ext(name) == ".s" })
	if err != nil {
		return nil, err
	}
	var said []string
	for _, name := range names {
		src, err := fs.ReadFile(repo, name)
		if err != nil {
			return nil, err
		}
		generated := bytes.HasPrefix(src, []byte("// Code generated "))
		if strings.HasSuffix(name, "_amd64.s") && !generated {
			said = append(said, name+" is written by hand: write the generator in _asm and let it write this file")
		}
		if _, err := fs.Stat(repo, path.Join(path.Dir(name), "_asm", "go.mod")); generated && err != nil {
			said = append(said, name+" is generated, but there is no generator: "+
				path.Join(path.Dir(name), "_asm")+" must hold it, as a module of its own")
		}
		if constraint := buildLine(src); !strings.Contains(constraint, "!purego") {
			said = append(said, name+` lacks !purego in its //go:build line: "-tags purego" must leave all assembly out`)
		}
	}
	return said, nil
}

func buildLine(src []byte) string {
	for s := bufio.NewScanner(bytes.NewReader(src)); s.Scan(); {
		if strings.HasPrefix(s.Text(), "//go:build ") {
			return s.Text()
		}
	}
	return ""
}

// places are the beginnings of absolute paths that exist on one machine only. (The expression must not match itself.)
var places = regexp.MustCompile(`(^|[\s"'` + "`" + `(=:])(/(root|home|Users|work|mnt|tmp/w)/\w|[A-Z]:\\Users\\)`)

// Machine forbids absolute paths of somebody's machine in sources, scripts and documents.
func Machine(repo fs.FS) ([]string, error) {
	names, err := files(repo, func(name string) bool {
		return slices.Contains([]string{".go", ".s", ".md", ".py", ".sh", ".mod", ".yaml", ".yml", ""}, path.Ext(name))
	})
	if err != nil {
		return nil, err
	}
	var said []string
	for _, name := range names {
		src, err := fs.ReadFile(repo, name)
		if err != nil {
			return nil, err
		}
		for i, line := range strings.Split(string(src), "\n") {
			if m := places.FindString(line); m != "" && !strings.HasPrefix(name, "internal/repotest/") {
				said = append(said, fmt.Sprintf("%s:%d: %q begins a path of one machine: make it relative, a flag or an environment variable", name, i+1, m))
			}
		}
	}
	return said, nil
}

// Examples demands that every folder of examples has a main.go and a test that runs it, and imports nothing internal, so
// that it can be copied out.
func Examples(repo fs.FS) ([]string, error) {
	said, err := each(repo, parser.ImportsOnly, every, func(name string, _ []byte, file *ast.File) []string {
		for _, i := range imports(file) {
			if strings.HasPrefix(name, "examples/") && strings.HasPrefix(i, module+"/internal/") {
				return []string{name + " imports " + i + ": an example shows what a user's program can do"}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	dirs, err := fs.Glob(repo, "examples/*")
	for _, dir := range dirs {
		if info, err := fs.Stat(repo, dir); err != nil || !info.IsDir() {
			continue
		}
		if _, err := fs.Stat(repo, dir+"/main.go"); err != nil {
			said = append(said, dir+" has no main.go: an example is one program")
		}
		if tests, _ := fs.Glob(repo, dir+"/*_test.go"); len(tests) == 0 {
			said = append(said, dir+" has no test: add one that runs it at toy size")
		}
	}
	return said, err
}

// Doors demands that every package that programs import has an example that `go doc` shows and `go test` runs.
func Doors(repo fs.FS) ([]string, error) {
	shown := map[string]bool{} // by folder
	_, err := each(repo, parser.SkipObjectResolution, every, func(name string, _ []byte, file *ast.File) []string {
		dir := path.Dir(name)
		if library(name) && file.Name.Name != "main" {
			if _, known := shown[dir]; !known {
				shown[dir] = false
			}
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if ok && isTest(name) && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Example") {
				shown[dir] = true
			}
		}
		return nil
	})
	var said []string
	for dir, ok := range shown {
		if !ok {
			said = append(said, dir+" has no Example function: write one, with its output, in a _test.go of the package")
		}
	}
	slices.Sort(said)
	return said, err
}

// NoReplace forbids replace directives, which `go install` from outside refuses.
func NoReplace(repo fs.FS) ([]string, error) {
	src, err := fs.ReadFile(repo, "go.mod")
	if regexp.MustCompile(`(?m)^\s*replace\b`).Match(src) {
		return []string{"go.mod has a replace directive: require a published version instead"}, err
	}
	return nil, err
}
