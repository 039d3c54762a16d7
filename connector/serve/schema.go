package serve

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// responseFormat restricts an answer to text, JSON, or JSON of a schema.
type responseFormat struct {
	Type       string `json:"type"`
	JSONSchema *struct {
		Name   string          `json:"name"`
		Schema json.RawMessage `json:"schema"`
		Strict *bool           `json:"strict"`
	} `json:"json_schema"`
}

// constraint is what a response_format asks for; nil is any text.
func (f *responseFormat) constraint() (*grammar, *problem) {
	if f == nil {
		return nil, nil
	}
	switch f.Type {
	case "text":
		return nil, nil
	case "json_object":
		return newGrammar(jsonObject), nil
	case "json_schema":
		if f.JSONSchema == nil {
			return nil, invalid("response_format.json_schema", "is missing")
		}
		return schemaGrammar("response_format.json_schema.schema", f.JSONSchema.Schema, new(budget))
	}
	return nil, invalid("response_format.type", "%.50q is not text, json_object or json_schema", f.Type)
}

// budget is what the schemas of a request have used of what they may.
type budget struct {
	nodes   int
	counted int // sum of all minLength, maxLength, minItems and maxItems
}

// Of a budget there are so many: each node, and each unit of what is counted, becomes memory of a grammar.
const (
	maxNodes   = 4096
	maxCounted = 1 << 16
)

// schemaGrammar compiles a JSON schema within what is left of a budget.
func schemaGrammar(field string, schema json.RawMessage, used *budget) (*grammar, *problem) {
	if len(bytes.TrimSpace(schema)) == 0 {
		return newGrammar(jsonObject), nil
	}
	c := compiler{field: field, refs: map[string]*node{}, used: used}
	d := json.NewDecoder(bytes.NewReader(schema))
	d.UseNumber()
	var err error
	if c.root, err = readOrdered(d); err != nil {
		return nil, invalid(field, "not JSON: %v", err)
	}
	n, p := c.schema("", c.root, 0)
	if p != nil {
		return nil, p
	}
	g := newGrammar(n)
	if len(g.now) == 0 {
		return nil, invalid(field, "no text can satisfy it, or it has too many possibilities")
	}
	return g, nil
}

// compiler turns a schema into a grammar.
type compiler struct {
	field string
	root  any
	refs  map[string]*node
	used  *budget
}

func (c *compiler) fault(path, format string, args ...any) *problem {
	return invalid(c.field, "%s: %s", "#"+path, fmt.Sprintf(format, args...))
}

// ignored are keywords that restrict nothing; heeded are those that this compiler knows, by the types that they
// belong to.
var (
	ignored = []string{
		"title",
		"description",
		"default",
		"examples",
		"$schema",
		"$id",
		"$comment",
		"$defs",
		"definitions",
		"deprecated",
		"readOnly",
		"writeOnly",
		"strict",
		"format",
	}
	heeded = map[string][]string{
		"object":  {"properties", "required", "additionalProperties"},
		"array":   {"items", "minItems", "maxItems"},
		"string":  {"minLength", "maxLength"},
		"integer": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"},
		"number":  {}, "boolean": {}, "null": {},
	}
)

func (c *compiler) schema(path string, v any, depth int) (*node, *problem) {
	if c.used.nodes++; depth > 64 || c.used.nodes > maxNodes {
		return nil, c.fault(path, "the schema is too large or too deep")
	}
	o, ok := v.(*ordered)
	if b, is := v.(bool); is && b || ok && len(o.keys) == 0 {
		return jsonValue, nil
	} else if !ok {
		return nil, c.fault(path, "a schema must be an object")
	}
	m := o.get
	for _, alone := range []string{"$ref", "const", "enum", "anyOf", "oneOf"} {
		if _, ok := m[alone]; !ok {
			continue
		}
		for _, key := range o.keys {
			if key != alone && key != "type" && !slices.Contains(ignored, key) {
				return nil, c.fault(path, "the keyword %.50q beside %s is not supported", key, alone)
			}
		}
		break
	}
	if r, ok := m["$ref"].(string); ok {
		return c.ref(path, r, depth)
	}
	if e, ok := m["const"]; ok {
		return c.literals(path, []any{e})
	}
	if e, ok := m["enum"].([]any); ok {
		return c.literals(path, e)
	}
	for _, key := range []string{"anyOf", "oneOf"} {
		if list, ok := m[key].([]any); ok {
			return c.union(path+"/"+key, list, depth)
		}
	}
	switch t := m["type"].(type) {
	case string:
		return c.typed(path, t, m, depth)
	case []any:
		out := &node{kind: choice}
		for _, one := range t {
			name, _ := one.(string)
			n, p := c.typed(path, name, m, depth+1)
			if p != nil {
				return nil, p
			}
			out.list = append(out.list, n)
		}
		if len(out.list) > 0 {
			return out, nil
		}
	case nil:
		if m["properties"] != nil {
			return c.typed(path, "object", m, depth)
		}
		if m["items"] != nil {
			return c.typed(path, "array", m, depth)
		}
	}
	return nil, c.fault(path, "it has no type that is known")
}

func (c *compiler) union(path string, list []any, depth int) (*node, *problem) {
	out := &node{kind: choice}
	for i, one := range list {
		n, p := c.schema(fmt.Sprintf("%s/%d", path, i), one, depth+1)
		if p != nil {
			return nil, p
		}
		out.list = append(out.list, n)
	}
	if len(out.list) == 0 {
		return nil, c.fault(path, "is empty")
	}
	return out, nil
}

// typed is the grammar of one type. A keyword that it does not know is an error: it would not be kept.
func (c *compiler) typed(path, t string, m map[string]any, depth int) (*node, *problem) {
	if _, ok := heeded[t]; !ok {
		return nil, c.fault(path+"/type", "%.50q is no type", t)
	}
	for key := range m {
		known := key == "type" || slices.Contains(ignored, key)
		for _, keys := range heeded {
			known = known || slices.Contains(keys, key)
		}
		if !known {
			return nil, c.fault(path, "the keyword %.50q is not supported", key)
		}
	}
	switch t {
	case "object":
		return c.object(path, m, depth)
	case "array":
		return c.array(path, m, depth)
	case "string":
		return c.stringOf(path, m)
	case "integer", "number":
		return c.numeric(path, t, m)
	case "boolean":
		return either(text("true"), text("false")), nil
	}
	return text("null"), nil
}

func (c *compiler) count(path string, m map[string]any, key string, none int) (int, *problem) {
	v, ok := m[key]
	if !ok {
		return none, nil
	}
	number, _ := v.(json.Number)
	n, err := number.Int64()
	if err != nil || n < 0 || n > 1000 {
		return 0, c.fault(path+"/"+key, "must be a whole number from 0 to 1000")
	}
	if c.used.counted += int(n); c.used.counted > maxCounted {
		return 0, c.fault(path+"/"+key, "the lengths of the schema add up to more than %d", maxCounted)
	}
	return int(n), nil
}

func (c *compiler) stringOf(path string, m map[string]any) (*node, *problem) {
	least, p := c.count(path, m, "minLength", 0)
	if p != nil {
		return nil, p
	}
	most, p := c.count(path, m, "maxLength", -1)
	if p != nil || least == 0 && most < 0 {
		return jsonString, p
	}
	if most >= 0 && most < least {
		return nil, c.fault(path, "maxLength is below minLength")
	}
	body := then(slices.Repeat([]*node{jsonRune}, least)...)
	if most < 0 {
		body.list = append(body.list, any0(jsonChar))
	} else {
		body.list = append(body.list, upTo(jsonRune, most-least))
	}
	return then(text(`"`), body, text(`"`)), nil
}

func (c *compiler) array(path string, m map[string]any, depth int) (*node, *problem) {
	item := jsonValue
	if v, ok := m["items"]; ok {
		var p *problem
		if item, p = c.schema(path+"/items", v, depth+1); p != nil {
			return nil, p
		}
	}
	least, p := c.count(path, m, "minItems", 0)
	if p != nil {
		return nil, p
	}
	most, p := c.count(path, m, "maxItems", -1)
	if p != nil {
		return nil, p
	}
	if most >= 0 && most < least {
		return nil, c.fault(path, "maxItems is below minItems")
	}
	return listOf(item, least, most), nil
}

// object has its properties in the order of the schema; those that are not required may be left out. Keys that the
// schema does not name come only where additionalProperties allows them and there are no others.
func (c *compiler) object(path string, m map[string]any, depth int) (*node, *problem) {
	properties, _ := m["properties"].(*ordered)
	if properties == nil {
		properties = &ordered{}
	}
	extra := jsonValue
	switch a := m["additionalProperties"].(type) {
	case bool:
		if !a {
			extra = nil
		}
	case nil:
		if len(properties.keys) > 0 {
			extra = nil // keys that the schema does not name are never made up
		}
	default:
		var p *problem
		if extra, p = c.schema(path+"/additionalProperties", a, depth+1); p != nil {
			return nil, p
		}
	}
	if len(properties.keys) == 0 && extra != nil {
		return object(jsonString, extra), nil
	}
	required := map[string]bool{}
	list, _ := m["required"].([]any)
	for _, r := range list {
		name, _ := r.(string)
		if _, ok := properties.get[name]; !ok {
			return nil, c.fault(path+"/required", "%.50q is not among the properties", name)
		}
		required[name] = true
	}
	names := properties.keys
	members := make([]*node, len(names))
	for i, name := range names {
		n, p := c.schema(path+"/properties/"+name, properties.get[name], depth+1)
		if p != nil {
			return nil, p
		}
		members[i] = then(quoted(name), space, text(":"), space, n)
	}
	// first[i] is what may follow where no member was written yet, next[i] where one was, from member i on
	comma := then(space, text(","), space)
	first, next := then(), then()
	for i := len(names) - 1; i >= 0; i-- {
		f, n := then(members[i], next), then(comma, members[i], next)
		if !required[names[i]] {
			f, n = either(f, first), either(n, next)
		}
		first, next = f, n
	}
	return then(text("{"), space, first, space, text("}")), nil
}

// quoted is a string of JSON.
func quoted(s string) *node {
	b, _ := json.Marshal(s)
	return text(string(b))
}

func (c *compiler) literals(path string, list []any) (*node, *problem) {
	out := &node{kind: choice}
	for _, v := range list {
		b, err := json.Marshal(v)
		if err != nil {
			return nil, c.fault(path, "%v", err)
		}
		out.list = append(out.list, text(string(b)))
	}
	if len(out.list) == 0 || len(out.list) > 1000 {
		return nil, c.fault(path, "%d values: there must be 1 to 1000", len(out.list))
	}
	return out, nil
}

// ref resolves "#/$defs/name", which may be recursive.
func (c *compiler) ref(path, ref string, depth int) (*node, *problem) {
	if n := c.refs[ref]; n != nil {
		return n, nil
	}
	rest, ok := strings.CutPrefix(ref, "#")
	if !ok {
		return nil, c.fault(path+"/$ref", "%.100q is not within the schema", ref)
	}
	v := c.root
	for key := range strings.SplitSeq(strings.TrimPrefix(rest, "/"), "/") {
		if rest == "" {
			break
		}
		key = strings.NewReplacer("~1", "/", "~0", "~").Replace(key)
		o, _ := v.(*ordered)
		if o == nil {
			o = &ordered{}
		}
		if v, ok = o.get[key]; !ok {
			return nil, c.fault(path+"/$ref", "%.100q is not there", ref)
		}
	}
	n := &node{kind: reference}
	c.refs[ref] = n
	body, p := c.schema(path, v, depth+1)
	n.body = body
	return n, p
}
