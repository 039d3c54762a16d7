package jinja_test

import (
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/internal/jinja"
)

// value reads JSON into values, objects in the order of their keys in the file.
func value(d *json.Decoder) jinja.Value {
	t, err := d.Token()
	if err != nil {
		panic(err)
	}
	switch t := t.(type) {
	case json.Delim:
		if t == '[' {
			l := &jinja.List{}
			for d.More() {
				l.Items = append(l.Items, value(d))
			}
			_, _ = d.Token()
			return l
		}
		var pairs []any
		for d.More() {
			k, _ := d.Token()
			pairs = append(pairs, k, value(d))
		}
		_, _ = d.Token()
		return jinja.NewDict(pairs...)
	case string:
		return jinja.Written(t, 5)
	case float64:
		if t == math.Trunc(t) {
			return int(t)
		}
		return t
	case bool:
		return t
	}
	return nil
}

// TestRender holds small programs against transformers' rendering: testdata/make.py.
func TestRender(t *testing.T) {
	raw, err := os.ReadFile("testdata/cases.json")
	require.NoError(t, err)
	var file struct {
		Vars  map[string]json.RawMessage
		Cases []struct {
			Program, Out, Raised string
			Error                bool
		}
	}
	require.NoError(t, json.Unmarshal(raw, &file))
	vars := map[string]jinja.Value{}
	for name, raw := range file.Vars {
		vars[name] = value(json.NewDecoder(strings.NewReader(string(raw))))
	}
	for _, c := range file.Cases {
		p, err := jinja.Parse(c.Program)
		var out jinja.Text
		if err == nil {
			out, err = p.Render(vars)
		}
		if c.Error {
			require.Error(t, err, c.Program)
			if c.Raised != "" {
				require.EqualError(t, err, c.Raised)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s\n%v", c.Program, err)
		} else if out.S != c.Out {
			t.Errorf("%s\n got %q\nwant %q", c.Program, out.S, c.Out)
		}
	}
	require.Greater(t, len(file.Cases), 70)
}

// TestOrigins follows the bytes of two inputs through a program.
func TestOrigins(t *testing.T) {
	for program, want := range map[string]string{
		"<{{ a }}|{{ b }}>":                                 "<[1: ab ]|[2:cd]>",
		"{{ a | trim }}{{ a.strip() + b }}":                 "[1:abab][2:cd]",
		"{{ ('x' ~ a ~ b)[2:5] }}":                          "[1:ab ]",
		"{{ a.upper() }}{{ (a + 'q').split('b')[1] }}":      "[1: AB  ]q",
		"{{ b.replace('c', 'x') }}{{ [a, b] | join('|')}}":  "x[2:d][1: ab ]|[2:cd]",
		"{{ {'k': b} | tojson }}{{ b | e }}":                `[2:{"k": "cd"}cd]`,
		"{% set t %}<{{ b }}{% endset %}{{ t }}":            "<[2:cd]",
		"{% macro f(x) %}({{ x }}){% endmacro %}{{ f(b) }}": "([2:cd])",
		"{% for c in b %}{{ c }},{% endfor %}{{ b[::-1] }}": "[2:c],[2:d],[2:dc]",
	} {
		p, err := jinja.Parse(program)
		require.NoError(t, err)
		out, err := p.Render(map[string]jinja.Value{"a": jinja.Written(" ab ", 1), "b": jinja.Written("cd", 2)})
		require.NoError(t, err)
		var b strings.Builder
		at := 0
		for _, o := range out.From {
			b.WriteString(out.S[at:o.Start] + "[" + string(rune('0'+o.ID)) + ":" + out.S[o.Start:o.End] + "]")
			at = o.End
		}
		require.Equal(t, want, b.String()+out.S[at:], program)
	}
}

// TestBounds ends programs that would take forever, or all memory, or the stack.
func TestBounds(t *testing.T) {
	for _, program := range []string{
		strings.Repeat("{% for i in range(1000) %}", 4) + strings.Repeat("{% endfor %}", 4),
		"{% for i in range(100000000000) %}{% endfor %}",
		"{{ 'aaaaaaaa' * 10000000000 }}",
		"{% set ns = namespace(s='aaaaaaaaaa') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
		"{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
		"{{ " + strings.Repeat("(", 8000) + " }}", "{{ " + strings.Repeat("not ", 8000) + "x }}",
		"{{ " + strings.Repeat("-", 8000) + "1 }}", strings.Repeat("{% if 1 %}", 10000),
		"{{ 1" + strings.Repeat("+1", 80000) + " }}",
		"{{ 'a' | indent(10000000000) }}", "{{ [[[1]]] | tojson(indent=1000000000) }}", "{{ 2 ** 10000 }}",
		strings.Repeat("x", 2<<20),
		"{% set l = namespace(l=[0]) %}{% for i in range(60) %}{% set l.l = l.l + l.l %}{% endfor %}",
		"{% set n = namespace() %}{% set n.n = n %}{{ n }}", "{{ 'a'.replace('', 'b') }}", "{{ x.y.z }}",
		"{{ 1 % 0 }}{{ 1 is divisibleby 0 }}",
	} {
		began := time.Now()
		p, err := jinja.Parse(program)
		if err == nil {
			_, err = p.Render(nil)
		}
		require.Error(t, err, "%.80s", program)
		t.Logf("%.60s %v %v", program, err, time.Since(began))
		require.Less(t, time.Since(began), 20*time.Second, "%.80s", program)
	}
}

// FuzzRender looks for programs that end other than by a text or an error.
func FuzzRender(f *testing.F) {
	raw, err := os.ReadFile("testdata/cases.json")
	require.NoError(f, err)
	var file struct{ Cases []struct{ Program string } }
	require.NoError(f, json.Unmarshal(raw, &file))
	for _, c := range file.Cases {
		f.Add(c.Program)
	}
	f.Add("{{ 'a\x84c' | list }}")
	f.Fuzz(func(t *testing.T, program string) {
		p, err := jinja.Parse(program)
		if err != nil {
			return
		}
		out, err := p.Render(map[string]jinja.Value{"messages": &jinja.List{Items: []jinja.Value{
			jinja.NewDict(
				"role",
				jinja.Written("user", -1),
				"content",
				jinja.Written(" Why? ", 0),
			)}}, "n": 3, "words": nil})
		at := 0
		for _, o := range out.From {
			require.True(t, err == nil && at <= o.Start && o.Start < o.End && o.End <= len(out.S))
			at = o.End
		}
	})
}

// Lists that share their parts are compared within the limit of steps, however many leaves they seem to have.
func TestSharedParts(t *testing.T) {
	for _, question := range []string{"n.a == n.b", "n.a < n.b", "n.a in [n.b]", "[n.a].index(n.b)"} {
		p, err := jinja.Parse("{% set n = namespace(a=[1], b=[1]) %}{% for i in range(60) %}{% set n.a = [n.a, n.a] %}" +
			"{% set n.b = [n.b, n.b] %}{% endfor %}{{ " + question + " }}")
		require.NoError(t, err)
		_, err = p.Render(nil)
		require.ErrorContains(t, err, "steps", question)
	}
}
