package tokenizer

import "testing"

// Replacements that make a text much longer are refused when the tokenizer is read; those of published tokenizers are
// not.
func TestGrowthIsBounded(t *testing.T) {
	double := node{Type: "Replace", Pattern: &nodePattern{String: pointerTo("a")}, Content: "aa"}
	var list []node
	for range 40 {
		list = append(list, double)
	}
	bomb := &node{Type: "Sequence", Normalizers: list}
	if g := bomb.growth(); g <= maxGrowth {
		t.Fatalf("40 doublings make %v", g)
	}
	empty := &node{Type: "Replace", Pattern: &nodePattern{Regex: pointerTo("x*")}, Content: "0123456789"}
	if g := empty.growth(); g != 11 {
		t.Fatalf("ten bytes at every place make %v", g)
	}
	if g := (&node{Type: "Replace", Pattern: &nodePattern{String: pointerTo(" ")}, Content: "▁"}).growth(); g != 3 {
		t.Fatalf("a replaced space makes %v", g)
	}
}

func pointerTo(s string) *string { return &s }
