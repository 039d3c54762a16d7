package repotest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// table says for each part of the module which other parts its code (tests aside) may import. A pattern ending in
// /... stands for a folder and everything below. The first line that matches a package counts; every package may
// import from its own folder downwards, and the format packages of internal, which import nothing above them.
var table = []struct {
	from string
	may  []string
}{
	{"tensor", []string{"internal/backend", "internal/cpu"}},
	{"tensor/tensortest", []string{"tensor"}},
	{"tensor/interop", []string{"tensor", "internal/backend", "internal/cpu"}},
	{"nn", []string{"tensor"}},
	{"nn/nntest", []string{"nn", "tensor", "tensor/tensortest"}},
	{"vit/...", []string{"nn", "tensor"}},
	{"llm/...", []string{"nn", "tensor"}},
	{"lora/...", []string{"nn", "tensor"}},
	{"train/llava", []string{"train", "connector/...", "vit", "llm", "lora", "nn", "tensor", "data/..."}},
	{"train/study", []string{"train", "connector/...", "vit", "llm", "lora", "nn", "tensor", "data/..."}},
	{"train/...", []string{"train", "nn", "tensor"}},
	{"data/...", []string{"tensor", "data/..."}},
	{"connector/...", []string{"connector", "vit/...", "llm", "nn", "tensor", "data/..."}},
	{"examples/...", []string{"..."}},
	{"cmd/...", []string{"..."}},
	{"internal/verify/...", []string{"..."}},
	{"internal/bench/...", []string{"..."}},
	{"internal/backend", nil},
	{"internal/backend/...", []string{"internal/backend"}},
	{"internal/cpu/...", []string{"internal/backend", "internal/backend/reference"}},
	{"internal/gpu/...", []string{"internal/backend", "internal/backend/reference"}},
	{"internal/...", nil},
}

func matches(pattern, pkg string) bool {
	if pattern == "..." || pattern == pkg {
		return true
	}
	dir, all := strings.CutSuffix(pattern, "/...")
	return all && (pkg == dir || strings.HasPrefix(pkg, dir+"/"))
}

// format reports whether pkg is one of internal's packages that know bytes only, which anyone may use.
func format(pkg string) bool {
	return strings.HasPrefix(pkg, "internal/") && line(pkg) == len(table)-1
}

func line(pkg string) int {
	return slices.IndexFunc(table, func(l struct {
		from string
		may  []string
	}) bool {
		return matches(l.from, pkg)
	})
}

// Imports checks the module's own imports against the table: they point downwards only.
func Imports(repo fs.FS) ([]string, error) {
	return each(repo, parser.ImportsOnly, code, func(name string, _ []byte, file *ast.File) []string {
		var said []string
		from := path.Dir(name)
		l := line(from)
		for _, i := range imports(file) {
			to, ours := strings.CutPrefix(i, module+"/")
			switch {
			case !ours, strings.HasPrefix(to, from+"/"), format(to):
			case l < 0:
				said = append(said, fmt.Sprintf("%s: package %s has no line in the table of internal/repotest/imports.go: add "+
					"one, or move it", name, from))
			case !slices.ContainsFunc(table[l].may, func(p string) bool { return matches(p, to) }):
				said = append(said, fmt.Sprintf("%s imports %s, but %s may import only %v: imports point downwards; move the "+
					"code, or pass what is needed as an argument",
					name, to, table[l].from, table[l].may))
			}
		}
		return said
	})
}

// modules says which parts of the module may import other people's code, tests aside.
var modules = map[string][]string{
	"golang.org/x/sys":             {"..."},
	"golang.org/x/sync":            {"..."},
	"golang.org/x/text":            {"data/...", "internal/..."},
	"golang.org/x/image":           {"data/imaging", "internal/bench/..."},
	"golang.org/x/term":            {"train", "cmd/...", "internal/..."},
	"github.com/go-audio":          {"data/audio"},
	"gonum.org/v1/gonum":           {"tensor/interop", "data/audio", "cmd/...", "examples/...", "internal/bench/..."},
	"gonum.org/v1/plot":            {"train/study", "cmd/...", "examples/...", "internal/bench/..."},
	"gorgonia.org":                 {"tensor/interop", "internal/bench/..."},
	"github.com/chewxy/hm":         {"tensor/interop"},
	"github.com/alecthomas/kong":   {"cmd/...", "examples/..."},
	"github.com/klauspost/cpuid":   {"internal/cpu"},
	"github.com/goccy/go-yaml":     {"data", "train/...", "cmd/...", "internal/..."},
	"github.com/ebitengine/purego": {"internal/gpu/...", "train/mpi"},
	"github.com/stretchr/testify":  nil,
	"github.com/google/go-cmp":     nil,
	"pgregory.net/rapid":           nil,
	"go.uber.org/goleak":           nil,
}

// Modules checks the imports of other people's packages.
func Modules(repo fs.FS) ([]string, error) {
	return each(repo, parser.ImportsOnly, every, func(name string, _ []byte, file *ast.File) []string {
		var said []string
		for _, i := range imports(file) {
			first, _, _ := strings.Cut(i, "/")
			if !strings.Contains(first, ".") || i == module || strings.HasPrefix(i, module+"/") {
				continue
			}
			known := false
			for m, where := range modules {
				if i != m && !strings.HasPrefix(i, m+"/") {
					continue
				}
				known = true
				if !isTest(name) && !slices.ContainsFunc(where, func(p string) bool { return matches(p, path.Dir(name)) }) {
					said = append(said, fmt.Sprintf("%s imports %s, which code may use only in %v (tests: anywhere): use the "+
						"standard library, or argue for it in the commit and extend internal/repotest/imports.go",
						name, i, where))
				}
			}
			if !known {
				said = append(said, fmt.Sprintf("%s imports %s, which is no dependency of this module: use what there is, or "+
					"argue for it in the commit and extend internal/repotest/imports.go", name, i))
			}
		}
		return said
	})
}

// timeless are the parts whose results must not depend on a clock, and clocked their files that may look at one, for
// what changes no bit.
var (
	timeless = []string{"tensor/...", "nn/...", "vit/...", "llm/...", "lora/...", "connector/...", "internal/cpu/...",
		"internal/backend/..."}
	// files, and folders
	clocked = map[string]string{"internal/cpu/pool.go": "how long to spin", "connector/serve": "a server's deadlines"}
)

// Clocks keeps package time away from everything that computes: a choice made by a measurement gives other bits in
// another process.
func Clocks(repo fs.FS) ([]string, error) {
	return each(repo, parser.ImportsOnly, code, func(name string, _ []byte, file *ast.File) []string {
		in := func(p string) bool { return matches(p, path.Dir(name)) }
		if clocked[name] != "" || clocked[path.Dir(name)] != "" || !slices.Contains(imports(file), "time") ||
			!slices.ContainsFunc(timeless, in) {
			return nil
		}
		return []string{name + ` imports "time": choose by CPU identity, size and configuration, never by a clock; what cannot change a bit goes into clocked in internal/repotest/imports.go`}
	})
}

// top are the folders of the repository, fixed so that import paths stay.
var top = []string{"tensor", "nn", "vit", "llm", "connector", "lora", "train", "data", "examples", "cmd", "internal"}

// TopLevel forbids other folders with Go files, and Go files at the root.
func TopLevel(repo fs.FS) ([]string, error) {
	names, err := files(repo, isGo)
	var said []string
	seen := map[string]bool{}
	for _, name := range names {
		dir, _, below := strings.Cut(name, "/")
		switch {
		case !below:
			said = append(said, name+" lies at the root: put it into one of the packages")
		case !slices.Contains(top, dir) && !seen[dir]:
			said = append(said, fmt.Sprintf("%s is a new top-level folder: the layout has %v; put it below one of them", dir,
				top))
		}
		seen[dir] = true
	}
	return said, err
}
