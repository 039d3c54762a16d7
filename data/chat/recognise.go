package chat

import (
	"slices"
	"strings"
)

// preferred are the names that are tried first: those that say no more than the marks.
var preferred = []string{
	"chatml",
	"chatml_direct",
	"vicuna_v1",
	"llava_llama_3",
	"mistral_instruct",
	"llama_2",
	"gemma_instruct",
	"phi3",
	"zephyr",
}

// probes are conversations which a program must render as a known template does.
var probes = [][]Turn{
	{{From: Human, Value: "Why?"}, {From: GPT, Open: true}},
	{{From: Human, Value: "<image>\nWhy?"}, {From: GPT, Open: true}},
	{{From: Human, Value: "Why?"}, {From: GPT, Value: "So."}},
	{
		{From: Human, Value: "Why?"},
		{From: GPT, Value: "So."},
		{From: Human, Value: "And\n\nnow?"},
		{From: GPT, Open: true},
	},
	{
		{From: Human, Value: " Why?\n"},
		{From: GPT, Value: "\nSo. "},
		{From: Human, Value: " Now? "},
		{From: GPT, Open: true},
	},
}

// recognise returns the known template that writes what the program writes.
func (t Template) recognise() (Template, bool) {
	for _, name := range append(slices.Clone(preferred), Names()...) {
		known, err := Lookup(name)
		if err != nil || known.Style == Plain {
			continue
		}
		if known, ok := t.systemOf(known); ok && t.writesAs(known, probes) && t.sameSystem(known) {
			return known, true
		}
	}
	vicuna := VicunaV1()
	bare, _ := vicuna.WithSystem("")
	if out, err := t.program(probe(probes[1][0].Value), true); err == nil {
		if text, err := bare.Render(probes[1]); err == nil &&
			strings.TrimLeft(text, " ") == strings.TrimPrefix(out.S, t.Program.bos) {
			return vicuna, true
		}
	}
	return t, false
}

// systemOf returns known with the system text that the program writes where a conversation has none.
func (t Template) systemOf(known Template) (Template, bool) {
	out, err := t.program(probe("Why?"), true)
	if err != nil {
		return known, false
	}
	bare, ok := known.WithSystem("")
	if !ok {
		return known, true
	}
	text, err := bare.Render(probes[0])
	got := t.Program.beginning(out.S, text)
	if err == nil && text == got {
		return bare, true
	}
	with, _ := known.WithSystem(probeSystem)
	text, err = with.Render(probes[0])
	before, after, found := strings.Cut(text, probeSystem)
	if err != nil || !found || len(got) < len(before)+len(after) || !strings.HasPrefix(got, before) ||
		!strings.HasSuffix(got, after) {
		return known, false
	}
	return known.WithSystem(got[len(before) : len(got)-len(after)])
}

// beginning takes off the begin-of-text token, which the tokenizer writes where the known template does not.
func (p *Program) beginning(text, known string) string {
	if strings.HasPrefix(known, p.bos) {
		return text
	}
	return strings.TrimPrefix(text, p.bos)
}

// writesAs reports whether the program renders conversations as a known template does.
func (t Template) writesAs(known Template, conversations [][]Turn) bool {
	for _, turns := range conversations {
		want, err := known.Render(turns)
		if err != nil {
			return false
		}
		spans, err := t.programSpans(turns, false)
		if err != nil || t.Program.beginning(Text(spans), want) != want {
			return false
		}
	}
	return true
}

// sameSystem reports whether a system message comes out as in the known template; where it has no place for one, the
// program must refuse or ignore it too.
func (t Template) sameSystem(known Template) bool {
	with, ok := known.WithSystem(probeSystem)
	if !ok || !t.Program.system {
		return !ok && !t.Program.system
	}
	return t.withSystem(probeSystem).writesAs(with, probes[:1])
}
