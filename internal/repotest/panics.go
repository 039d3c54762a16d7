package repotest

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"io/fs"
	"strings"
)

// Panics forbids panics with a string, also a formatted one, in public packages: tensor.Catch could not tell them
// from a fault of the program.
func Panics(repo fs.FS) ([]string, error) {
	return each(repo, parser.SkipObjectResolution, library, func(name string, src []byte, file *ast.File) []string {
		var said []string
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) != 1 {
				return true
			}
			if f, ok := call.Fun.(*ast.Ident); ok && f.Name == "panic" && bare(call.Args[0]) {
				said = append(said, fmt.Sprintf("%s panics with a string in line %d: return an error about what comes from "+
					"outside; misuse panics with tensor.Fail, or misuse.Errorf where no tensor is known", name,
					1+bytes.Count(src[:call.Pos()-file.FileStart], []byte("\n"))))
			}
			return true
		})
		return said
	})
}

// library reports whether a file is code of a package that programs import.
func library(name string) bool {
	return code(name) && !strings.HasPrefix(name, "cmd/") && !strings.HasPrefix(name, "examples/") &&
		!strings.HasPrefix(name, "internal/")
}

// bare reports whether an expression is a string, as far as its form says.
func bare(x ast.Expr) bool {
	switch x := x.(type) {
	case *ast.BasicLit, *ast.BinaryExpr:
		return true
	case *ast.CallExpr:
		s, ok := x.Fun.(*ast.SelectorExpr)
		if !ok {
			return false
		}
		p, ok := s.X.(*ast.Ident)
		return ok && p.Name == "fmt" && strings.HasPrefix(s.Sel.Name, "Sprint")
	}
	return false
}
