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
		return schemaGrammar("response_format.json_schema.schema", f.JSONSchema.Schema)
	}
	return nil, invalid("response_format.type", "%.50q is not text, json_object or json_schema", f.Type)
}

// schemaGrammar compiles a JSON schema.
func schemaGrammar(field string, schema json.RawMessage) (*grammar, *problem) {
	if len(bytes.TrimSpace(schema)) == 0 {
		return newGrammar(jsonObject), nil
	}
	c := compiler{field: field, refs: map[string]*node{}}
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

// The grammar of JSON (RFC 8259). White space is what models write between tokens, and not without end.
var (
	digit      = between('0', '9')
	hexDigit   = either(digit, between('a', 'f'), between('A', 'F'))
	space      = maybe(either(text(" "), then(text("\n"), upTo(text(" "), 24))))
	jsonChar   = either(between(0x20, '!'), between('#', '['), between(']', 0x7f), between(0x80, 0xff), then(text(`\`), either(bytesOf(`"\/bfnrt`), then(text("u"), hexDigit, hexDigit, hexDigit, hexDigit))))
	jsonString = then(text(`"`), any0(jsonChar), text(`"`))
	jsonInt    = then(maybe(text("-")), either(text("0"), then(between('1', '9'), upTo(digit, 18))))
	jsonNumber = then(jsonInt, maybe(then(text("."), digit, upTo(digit, 17))), maybe(then(bytesOf("eE"), maybe(bytesOf("+-")), digit, maybe(digit))))
	jsonValue  = &node{kind: reference}
	jsonObject = object(jsonString, jsonValue)
)

func init() { // the one recursive rule
	jsonValue.body = either(jsonObject, listOf(jsonValue, 0, -1), jsonString, jsonNumber, text("true"), text("false"), text("null"))
}

// upTo is n at most most times.
func upTo(n *node, most int) *node {
	out := then()
	for range most {
		out = maybe(then(n, out))
	}
	return out
}

// object has any keys, each with a value.
func object(key, value *node) *node {
	member := then(key, space, text(":"), space, value)
	return then(text("{"), space, maybe(then(member, any0(then(space, text(","), space, member)), space)), text("}"))
}

// listOf has least to most items; −1: any number.
func listOf(item *node, least, most int) *node {
	more := then(space, text(","), space, item)
	var rest *node
	if most < 0 {
		rest = any0(more)
	} else {
		rest = upTo(more, most-max(least, 1))
	}
	items := then()
	if most != 0 {
		items = then(item)
		for range least - 1 {
			items.list = append(items.list, more)
		}
		items.list = append(items.list, rest, space)
		if least == 0 {
			items = maybe(items)
		}
	}
	return then(text("["), space, items, text("]"))
}

// ordered is a JSON object that remembers the order of its keys: answers have their properties in the order of the schema.
type ordered struct {
	keys []string
	get  map[string]any
}

// readOrdered reads a value, of which objects are *ordered, lists []any and numbers json.Number.
func readOrdered(d *json.Decoder) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t {
	case json.Delim('['):
		list := []any{}
		for d.More() {
			v, err := readOrdered(d)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err := d.Token()
		return list, err
	case json.Delim('{'):
		o := &ordered{get: map[string]any{}}
		for d.More() {
			key, err := d.Token()
			if err != nil {
				return nil, err
			}
			v, err := readOrdered(d)
			if err != nil {
				return nil, err
			}
			name, _ := key.(string)
			if _, twice := o.get[name]; !twice {
				o.keys = append(o.keys, name)
			}
			o.get[name] = v
		}
		_, err := d.Token()
		return o, err
	}
	return t, nil
}

// MarshalJSON writes the keys in their order.
func (o *ordered) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, key := range o.keys {
		k, err := json.Marshal(key)
		if err != nil {
			return nil, err
		}
		v, err := json.Marshal(o.get[key])
		if err != nil {
			return nil, err
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, k...), ':'), v...)
	}
	return append(b, '}'), nil
}

// compiler turns a schema into a grammar.
type compiler struct {
	field string
	root  any
	refs  map[string]*node
	nodes int
}

func (c *compiler) fault(path, format string, args ...any) *problem {
	return invalid(c.field, "%s: %s", "#"+path, fmt.Sprintf(format, args...))
}

// ignored are keywords that restrict nothing; heeded are those that this compiler knows, by the types that they belong to.
var (
	ignored = []string{"title", "description", "default", "examples", "$schema", "$id", "$comment", "$defs", "definitions", "deprecated", "readOnly", "writeOnly", "strict", "format"}
	heeded  = map[string][]string{
		"object":  {"properties", "required", "additionalProperties"},
		"array":   {"items", "minItems", "maxItems"},
		"string":  {"minLength", "maxLength"},
		"integer": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"},
		"number":  {}, "boolean": {}, "null": {},
	}
)

func (c *compiler) schema(path string, v any, depth int) (*node, *problem) {
	if c.nodes++; depth > 64 || c.nodes > 4096 {
		return nil, c.fault(path, "the schema is too large or too deep")
	}
	o, ok := v.(*ordered)
	if b, is := v.(bool); is && b || ok && len(o.keys) == 0 {
		return jsonValue, nil
	} else if !ok {
		return nil, c.fault(path, "a schema must be an object")
	}
	m := o.get
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

// jsonRune is one whole character of a string, whose length a schema counts.
var jsonRune = func() *node {
	more := between(0x80, 0xbf)
	return either(between(0x20, '!'), between('#', '['), between(']', 0x7f), then(between(0xc2, 0xdf), more), then(between(0xe0, 0xef), more, more),
		then(between(0xf0, 0xf4), more, more, more), then(text(`\`), bytesOf(`"\/bfnrt`)))
}()

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

// object has its properties in the order of the schema; those that are not required may be left out. Keys that the schema does not name come only
// where additionalProperties allows them and there are no others.
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
