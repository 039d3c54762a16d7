package main

import "github.com/gollava/gollava/tensor"

// Case is one thing to measure. A new one is a line in its family's list; a rival joins by answering to its Op.
type Case struct {
	Name   string         // family/what/size
	Op     string         // what rivals know it by
	Args   map[string]any // sizes, for rivals
	Rivals []string       // whom to ask

	Unit  string  // of the value: "ms" and "µs" count time; a rate such as "GFLOP/s" divides Work by it
	Work  float64 // what one run does, in units of Unit·s: 1e9 FLOPs for GFLOP/s
	Share bound   // which peak the share is of
	// what the share counts of one run, in GFLOP or GB; 0: Work, or for times the products that the library counted
	Load float64
	RSS  bool // measure the peak resident memory too, of processes that run nothing else
	Half bool // products are of bfloat16, and the share is of their peak

	// Setup prepares our side and returns what one run does. What it needs it keeps alive by itself.
	Setup func() (run func())
}

// bound names what limits a case on an ideal machine.
type bound int

const (
	unbounded    bound = iota
	byArithmetic       // multiply-adds
	byMemory           // reading
)

// cases are all families.
func cases() []Case {
	var all []Case
	for _, family := range [][]Case{gemmCases(), convCases(), attentionCases(), elementwiseCases(), mlpCases(),
		blockCases(), modelCases(), systemCases(4), denseCases(4), recipeCases(), decoderCases(), dataCases(),
		growthCases()} {
		all = append(all, family...)
	}
	return all
}

// inBoth is a case in float32, and the same with products in bfloat16.
func inBoth(c Case, setup func(half bool) func()) []Case {
	full, half := c, c
	full.Setup = func() func() { return setup(false) }
	half.Name, half.Half, half.Setup = c.Name+"/bf16", true, func() func() { return setup(true) }
	return []Case{full, half}
}

// counted is how many FLOPs the scopes of all cases have done so far.
var counted uint64

// scope is [tensor.Scope], counted.
func scope(fn func(s *tensor.Arena)) {
	tensor.Scope(func(s *tensor.Arena) {
		fn(s)
		counted += s.FLOPs()
	})
}

// size is a short way to write Args.
type size = map[string]any
