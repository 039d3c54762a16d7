package repotest

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"io/fs"
	"strings"
)

// Storage forbids layers, models and training to read a tensor's memory where it may be on another device than the
// host: Data, IntData and BFloat16Data are for what Host returned, or what the same function made of the program's own
// numbers.
func Storage(repo fs.FS) ([]string, error) {
	accept := func(name string) bool {
		top, _, _ := strings.Cut(name, "/")
		return library(name) && strings.Contains(" nn llm vit connector lora train ", " "+top+" ")
	}
	return each(repo, parser.SkipObjectResolution, accept, func(name string, src []byte, file *ast.File) []string {
		var said []string
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Body == nil {
				continue
			}
			made := hostMade(f.Body)
			ast.Inspect(f.Body, func(n ast.Node) bool {
				x, method := methodCall(n)
				if method != "Data" && method != "IntData" && method != "BFloat16Data" || onHost(x, made) {
					return true
				}
				said = append(said, fmt.Sprintf("%s reads %s of a tensor that may be on another device in line %d: "+
					"call Host() first", name, method, 1+bytes.Count(src[:n.Pos()-file.FileStart], []byte("\n"))))
				return true
			})
		}
		return said
	})
}

// methodCall takes a call x.method() without arguments apart.
func methodCall(n ast.Node) (x ast.Expr, method string) {
	call, ok := n.(*ast.CallExpr)
	if !ok || len(call.Args) > 0 {
		return nil, ""
	}
	s, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return nil, ""
	}
	return s.X, s.Sel.Name
}

// onHost reports whether x is, as far as its form says, a tensor on the host: what Host returned, a leaf of package
// tensor, or a variable in made; or computed from one of these.
func onHost(x ast.Expr, made map[string]bool) bool {
	switch x := x.(type) {
	case *ast.Ident:
		return made[x.Name]
	case *ast.CallExpr:
		s, ok := x.Fun.(*ast.SelectorExpr)
		if !ok {
			return false
		}
		if p, ok := s.X.(*ast.Ident); ok && p.Name == "tensor" {
			return leaves[s.Sel.Name]
		}
		return s.Sel.Name == "Host" || onHost(s.X, made)
	}
	return false
}

// leaves are the functions of package tensor that make tensors on the host.
var leaves = map[string]bool{"New": true, "NewOf": true, "From": true, "Ints": true, "Wrap": true, "WrapInts": true,
	"WrapBFloat16": true, "WrapBlocks": true, "Full": true, "Randn": true, "Uniform": true}

// hostMade are the variables of a function that only ever hold tensors on the host.
func hostMade(body ast.Node) map[string]bool {
	made, other := map[string]bool{}, map[string]bool{}
	ast.Inspect(body, func(n ast.Node) bool {
		a, ok := n.(*ast.AssignStmt)
		if !ok || len(a.Lhs) != len(a.Rhs) {
			return true
		}
		for i, l := range a.Lhs {
			if v, ok := l.(*ast.Ident); ok && onHost(a.Rhs[i], made) {
				made[v.Name] = true
			} else if ok {
				other[v.Name] = true
			}
		}
		return true
	})
	for v := range other {
		delete(made, v)
	}
	return made
}
