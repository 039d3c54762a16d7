package repotest

import (
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// Snippets demands that every block of Go in a document is part of a Go file of the repository, which compiles. White
// space does not count.
func Snippets(repo fs.FS) ([]string, error) {
	documents, err := files(repo, func(name string) bool { return path.Ext(name) == ".md" })
	if err != nil {
		return nil, err
	}
	sources, err := files(repo, isGo)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, name := range sources {
		b, err := fs.ReadFile(repo, name)
		if err != nil {
			return nil, err
		}
		all = append(all, squeeze(string(b)))
	}
	var said []string
	for _, name := range documents {
		b, err := fs.ReadFile(repo, name)
		if err != nil {
			return nil, err
		}
		for i, block := range strings.Split(string(b), "```go\n") {
			code, _, closed := strings.Cut(block, "```")
			if i == 0 || !closed {
				continue
			}
			if known := func() bool {
				for _, s := range all {
					if strings.Contains(s, squeeze(code)) {
						return true
					}
				}
				return false
			}(); !known {
				first, _, _ := strings.Cut(code, "\n")
				said = append(said, fmt.Sprintf("%s: the block that begins with %q is in no Go file: write it as an example that "+
					"compiles, and copy that", name, first))
			}
		}
	}
	return said, nil
}

// squeeze joins the words of a text with single spaces.
func squeeze(s string) string { return " " + strings.Join(strings.Fields(s), " ") + " " }
