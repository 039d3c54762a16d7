package repotest

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"unicode/utf8"
)

// columns are what a line of a document or a script may have.
const columns = 120

// Width forbids wider lines in documents, outside tables and blocks of code, and in scripts and YAML files.
func Width(repo fs.FS) ([]string, error) {
	names, err := files(repo, func(name string) bool {
		return slices.Contains([]string{".md", ".sh", ".yaml", ".yml"}, path.Ext(name))
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
