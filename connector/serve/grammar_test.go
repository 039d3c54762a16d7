package serve

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func accepts(start *grammar, s string) bool {
	g := start.Fresh()
	for i := range len(s) {
		if !g.Accepts([]byte{s[i]}) {
			return false
		}
		g.Advance([]byte{s[i]})
	}
	return g.Complete()
}

func TestSchemas(t *testing.T) {
	for _, c := range []struct {
		schema  string
		yes, no []string
	}{
		{`{}`, []string{`{}`, `{"a": [1, -2.5e3, "x\u00e9", null, true]}`, `3`, `"é"`}, []string{``, `{"a":}`, `[1,]`, `01`, `"`, "\"\n\""}},
		{`{"type": "object", "properties": {"b": {"type": "string"}, "a": {"type": "integer"}}, "required": ["b", "a"]}`,
			[]string{`{"b": "x", "a": 1}`, `{"b":"","a":-10}`, "{\n  \"b\": \"y\",\n  \"a\": 0\n}"}, []string{`{"a": 1, "b": "x"}`, `{"b": "x"}`, `{"b": "x", "a": 1.5}`, `{"b": "x", "a": 1, "c": 2}`, `{}`}},
		{`{"type": "object", "properties": {"a": {"type": "null"}, "b": {"type": "boolean"}, "c": {"type": "number"}}, "required": ["b"], "additionalProperties": false}`,
			[]string{`{"b": true}`, `{"a": null, "b": false, "c": 1.25}`, `{"b":true,"c":-1e9}`}, []string{`{}`, `{"c": 1, "b": true}`, `{"a": null}`, `{,"b": true}`}},
		{`{"type": "array", "items": {"enum": ["red", "blue", 7, null]}, "minItems": 1, "maxItems": 3}`,
			[]string{`["red"]`, `["blue", 7, null]`}, []string{`[]`, `["green"]`, `[7, 7, 7, 7]`}},
		{`{"type": "array", "items": {"type": "integer"}, "minItems": 2}`, []string{`[1, 2]`, `[1,2,3,4,5]`}, []string{`[1]`, `[]`}},
		{`{"type": "array", "maxItems": 0}`, []string{`[]`}, []string{`[1]`}},
		{`{"type": "string", "minLength": 2, "maxLength": 3}`, []string{`"ab"`, `"éé"`, `"a\nb"`}, []string{`"a"`, `"abcd"`, `"é"`}},
		{`{"type": ["string", "null"]}`, []string{`"x"`, `null`}, []string{`1`}},
		{`{"anyOf": [{"type": "integer"}, {"const": {"k": [1]}}]}`, []string{`12`, `{"k":[1]}`}, []string{`{"k":[2]}`, `1.5`}},
		{`{"$ref": "#/$defs/tree", "$defs": {"tree": {"type": "object", "properties": {"v": {"type": "integer"}, "kids": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}, "required": ["v"]}}}`,
			[]string{`{"v": 1}`, `{"v": 1, "kids": [{"v": 2, "kids": []}, {"v": 3}]}`}, []string{`{"v": 1, "kids": [1]}`}},
		{`{"type": "number", "minimum": 0, "exclusiveMaximum": 10}`, []string{`0`, `9`, `8.99`, `0.5`}, []string{`-1`, `10`, `-0.5`, `1e3`}},
		{`{"type": "number", "minimum": -2, "maximum": 1}`, []string{`-2`, `-1.9`, `-0.5`, `0.99`, `1`}, []string{`-2.5`, `1.01`, `2`}},
	} {
		g, p := schemaGrammar("schema", json.RawMessage(c.schema), new(budget))
		require.Nil(t, p, "%s", c.schema)
		for _, s := range c.yes {
			require.True(t, json.Valid([]byte(s)))
			require.True(t, accepts(g, s), "%s: %s", c.schema, s)
		}
		for _, s := range c.no {
			require.False(t, accepts(g, s), "%s: %s", c.schema, s)
		}
	}
}

func TestSchemaFaults(t *testing.T) {
	for schema, want := range map[string]string{
		`{"type": "string", "pattern": "a+"}`:             `schema: #: the keyword "pattern" is not supported`,
		`{"type": "wizard"}`:                              `schema: #/type: "wizard" is no type`,
		`{"properties": {"a": {"$ref": "#/$defs/no"}}}`:   `schema: #/properties/a/$ref: "#/$defs/no" is not there`,
		`{"type": "object", "required": ["a"]}`:           `schema: #/required: "a" is not among the properties`,
		`{"type": "integer", "minimum": 3, "maximum": 2}`: `schema: #: no whole number lies between its bounds`,
		`{"anyOf": [{"type": "null"}], "minItems": 2}`:    `schema: #: the keyword "minItems" beside anyOf is not supported`,
		`{"enum": []}`: `schema: #: 0 values: there must be 1 to 1000`,
		`[]`:           `schema: #: a schema must be an object`,
		`{"a`:          `schema: not JSON: unexpected EOF`,
	} {
		_, p := schemaGrammar("schema", json.RawMessage(schema), new(budget))
		if schema == `{"type": "object", "required": ["a"]}` && p == nil {
			continue // without properties any key is allowed, a too
		}
		require.NotNil(t, p, schema)
		require.Equal(t, want, p.message)
	}
}

// TestIntegerBounds tries every number around random bounds.
func TestIntegerBounds(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		low := r.Int64N(2400) - 1200
		high := low + r.Int64N(1300)
		g, p := schemaGrammar(
			"schema",
			json.RawMessage(fmt.Sprintf(`{"type": "integer", "minimum": %d, "maximum": %d}`, low, high)), new(budget),
		)
		require.Nil(t, p)
		for n := low - 120; n <= high+120; n++ {
			require.Equal(
				t,
				low <= n && n <= high,
				accepts(g, strconv.FormatInt(n, 10)),
				"%d in [%d, %d]",
				n,
				low,
				high,
			)
		}
	}
}

// TestCharacters: text that a grammar accepts is UTF-8, also where tokens end within a character.
func TestCharacters(t *testing.T) {
	g := newGrammar(jsonObject)
	for _, s := range []string{`{"`, "\xc3", "\xa9", "\xe2\x82", "\xac", `": 1}`} {
		require.True(t, g.Accepts([]byte(s)), "%q", s)
		require.False(t, g.Accepts([]byte("\xff")))
		g.Advance([]byte(s))
	}
	require.True(t, g.Complete())
}

func FuzzSchema(f *testing.F) {
	f.Add(`{"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}}`, `{"a": 1}`)
	f.Add(`{"$ref": "#"}`, `{}`)
	f.Add(`{"anyOf": [{"$ref": "#"}, {"type": "array", "items": {"$ref": "#"}}]}`, `[[]]`)
	f.Fuzz(func(t *testing.T, schema, text string) {
		g, p := schemaGrammar("schema", json.RawMessage(schema), new(budget))
		if p != nil {
			return
		}
		if len(text) < 100 && accepts(g, text) {
			require.True(t, json.Valid([]byte(text)), "%s accepts %q, which is not JSON", schema, text)
		}
	})
}

// A small request cannot ask for a grammar of gigabytes.
func TestSchemaLengths(t *testing.T) {
	schema := func(n int) []byte {
		one := strings.Repeat(`{"type": "string", "maxLength": 1000}, `, n)
		return []byte(`{"anyOf": [` + one + `{"type": "null"}]}`)
	}
	_, p := schemaGrammar("format", schema(60), new(budget))
	require.Nil(t, p)
	_, p = schemaGrammar("format", schema(70), new(budget))
	require.NotNil(t, p)
	require.Contains(t, p.message, "add up to more than 65536")
}

// What the schemas of all tools together ask for is bounded, as that of one is.
func TestToolsShareABudget(t *testing.T) {
	tools := func(n int) (list []tool) {
		for i := range n {
			schema := json.RawMessage(`{"type": "object", "properties": {"s": {"type": "string", "maxLength": 1000}}}`)
			list = append(list, tool{Type: "function",
				Function: &function{Name: fmt.Sprint("f", i), Parameters: schema}})
		}
		return list
	}
	choice := &toolChoice{mode: "required"}
	_, p := offer(tools(65), choice, nil)
	require.Nil(t, p)
	_, p = offer(tools(66), choice, nil)
	require.NotNil(t, p)
	require.Equal(t, "tools[65].function.parameters", p.param)
	_, p = offer(tools(66), nil, nil)
	require.Nil(t, p, "they are text for the model")
}
