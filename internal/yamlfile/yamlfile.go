// Package yamlfile reads YAML files that hold settings: mappings of names to scalars, nested a few levels deep. What is
// read is bounded before it is parsed, as YAML's parsers are not linear in what somebody else wrote.
package yamlfile

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/gollava/gollava/internal/jsonfile"
)

// Limits of a file.
const (
	Max      = 1 << 20 // bytes
	maxDepth = 32      // of brackets, of dashes in a line, of indentation in steps of two
	maxAlias = 100     // anchors and aliases
	maxOpen  = 1000    // opening brackets
)

// Entry is a setting.
type Entry struct {
	Key  string
	Line int // from 1 on

	Text string  // of a scalar, without quotes
	Null bool    // no value, or null
	Map  []Entry // of a nested mapping
	Nest bool    // whether the value is a mapping
}

// Read reads the settings in a file. Errors name the file and the line.
func Read(path string) ([]Entry, error) {
	raw, err := jsonfile.Bytes(path, Max)
	if err != nil {
		return nil, err
	}
	entries, err := Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("%s:%w", path, err)
	}
	return entries, nil
}

// Check returns an error for a text that is nested too deeply, or repeats itself too often, to be given to a parser.
func Check(raw []byte) error {
	if len(raw) > Max {
		return fmt.Errorf(" larger than %d bytes", Max)
	}
	// quotes or not, which only a parser knows for sure
	if n := bytes.Count(raw, []byte{'['}) + bytes.Count(raw, []byte{'{'}); n > maxOpen {
		return fmt.Errorf(" %d opening brackets, more than the %d that settings may have", n, maxOpen)
	}
	open, marks := 0, 0
	for n, line := range bytes.Split(raw, []byte{'\n'}) {
		text := bytes.TrimLeft(line, " ")
		depth := (len(line) - len(text)) / 2
		for rest := text; len(rest) > 1 && strings.IndexByte("-?:", rest[0]) >= 0 &&
			(rest[1] == ' ' || rest[1] == '\t'); depth++ {
			rest = bytes.TrimLeft(rest[1:], " \t")
		}
		quote := byte(0)
		for i, c := range line {
			switch {
			case quote != 0:
				if c == quote {
					quote = 0
				}
			case c == '#' && (i == 0 || line[i-1] == ' '):
				line = line[:i]
			case c == '"' || c == '\'':
				quote = c
			case c == '[' || c == '{':
				open++
			case c == ']' || c == '}':
				open = max(open-1, 0)
			case c == '*' || c == '&':
				marks++
			}
			if i >= len(line) {
				break
			}
		}
		switch {
		case depth > maxDepth || open > maxDepth:
			return fmt.Errorf("%d: nested more than %d levels deep", n+1, maxDepth)
		case marks > maxAlias:
			return fmt.Errorf("%d: more than %d anchors and aliases", n+1, maxAlias)
		}
	}
	return nil
}

// Parse reads settings. Its errors begin with the line.
func Parse(raw []byte) ([]Entry, error) {
	if err := Check(raw); err != nil {
		return nil, err
	}
	f, err := parser.ParseBytes(raw, 0)
	if err != nil {
		return nil, broken(err)
	}
	var body ast.Node
	for _, d := range f.Docs {
		switch {
		case d.Body == nil:
		case body != nil:
			return nil, fmt.Errorf("%d: a second document: settings are one", d.Body.GetToken().Position.Line)
		default:
			body = d.Body
		}
	}
	if body == nil {
		return nil, nil
	}
	return mapping(body)
}

// broken makes the parser's error one line: "6:8: text".
func broken(err error) error {
	text, _, _ := strings.Cut(strings.TrimSpace(err.Error()), "\n")
	if place, rest, ok := strings.Cut(strings.TrimPrefix(text, "["), "] "); ok {
		if strings.HasPrefix(rest, "mapping value is not allowed") {
			rest = "a second \"key: value\" here: are the lines indented alike, and is there a space behind the colon?"
		}
		if strings.HasPrefix(rest, "found character '\t'") {
			rest = "a tab: YAML is indented with spaces"
		}
		if key, at, ok := strings.Cut(strings.TrimPrefix(rest, "mapping key "), " already defined at "); ok {
			line, _, _ := strings.Cut(strings.Trim(at, "[]"), ":")
			rest = fmt.Sprintf("%s is given twice, first in line %s", strings.Trim(key, `"`), line)
		}
		return fmt.Errorf("%s: %s", place, rest)
	}
	return errors.New(" " + text)
}

// mapping reads the entries of a node.
func mapping(n ast.Node) ([]Entry, error) {
	m, ok := n.(*ast.MappingNode)
	if !ok {
		return nil, fmt.Errorf("%d: %s, where lines of \"key: value\" belong", n.GetToken().Position.Line, kind(n))
	}
	var out []Entry
	for _, v := range m.Values {
		key := v.Key.GetToken()
		e := Entry{Key: key.Value, Line: key.Position.Line}
		if v.Key.IsMergeKey() {
			return nil, fmt.Errorf("%d: merge keys (<<) are not supported", e.Line)
		}
		switch x := v.Value.(type) {
		case *ast.NullNode:
			e.Null = true
		case *ast.MappingNode:
			var err error
			if e.Nest, e.Map, err = true, nil, nil; len(x.Values) > 0 {
				if e.Map, err = mapping(x); err != nil {
					return nil, err
				}
			}
		case *ast.LiteralNode:
			e.Text = x.Value.Value
		case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
			e.Text = x.GetToken().Value
		default:
			return nil, fmt.Errorf("%d: %s: %s, where one value belongs", e.Line, e.Key, kind(x))
		}
		out = append(out, e)
	}
	return out, nil
}

func kind(n ast.Node) string {
	switch n.(type) {
	case *ast.SequenceNode:
		return "a list"
	case *ast.AnchorNode, *ast.AliasNode:
		return "an anchor or alias"
	case *ast.TagNode:
		return "a tag"
	}
	return "text"
}
