package repotest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"io/fs"
	"path"
	"slices"
	"strings"
	"unicode/utf8"
)

// columns are what a line of a document, a script or a program may have.
const columns = 120

// goWidth looks for wide lines in a Go file that is neither a test nor generated. Struct tags and raw strings, which
// cannot be broken, may be wide.
func goWidth(name string, src []byte, file *ast.File) []string {
	if ast.IsGenerated(file) {
		return nil
	}
	var said []string
	raw := false
	for i, line := range strings.Split(string(src), "\n") {
		ticks := strings.Count(line, "`")
		if n := utf8.RuneCountInString(line); n > columns && !raw && ticks == 0 {
			said = append(said, fmt.Sprintf("%s:%d has %d columns: break it at %d", name, i+1, n, columns))
		}
		raw = raw != (ticks%2 == 1)
	}
	return said
}

// Width forbids wider lines in Go files, in documents, outside tables and blocks of code, and in scripts and YAML
// files.
func Width(repo fs.FS) ([]string, error) {
	names, err := files(repo, func(name string) bool {
		return slices.Contains([]string{".md", ".sh", ".yaml", ".yml"}, path.Ext(name))
	})
	if err != nil {
		return nil, err
	}
	said, err := each(repo, parser.PackageClauseOnly|parser.ParseComments, code, goWidth)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		src, err := fs.ReadFile(repo, name)
		if err != nil {
			return nil, err
		}
		document, code := path.Ext(name) == ".md", false
		for i, line := range strings.Split(string(src), "\n") {
			if document && strings.HasPrefix(strings.TrimSpace(line), "```") {
				code = !code
			}
			link := strings.HasSuffix(line, ")") && !strings.Contains(line, " ")
			if document && (code || strings.HasPrefix(line, "|") || link) {
				continue
			}
			if n := utf8.RuneCountInString(line); n > columns {
				said = append(said, fmt.Sprintf("%s:%d has %d columns: break it at %d", name, i+1, n, columns))
			}
		}
	}
	return said, nil
}
