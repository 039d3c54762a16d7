package cpu

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
)

// level is a set of instructions that kernels are written for. A kernel that lacks a variant of the active level uses
// the next lower one; every kernel has a generic one, in plain Go.
type level int

const (
	generic level = iota
	avx2          // AVX2 and FMA
	avx512        // AVX-512 F, BW, DQ and VL, besides avx2
	amx           // the matrix unit for bfloat16, in large products, besides avx512

	neon = generic + 1 // on arm64, every one of which has it
)

// levelNames are the levels of this architecture, the lowest first.
var levelNames = namesOf(runtime.GOARCH)

func namesOf(architecture string) []string {
	if architecture == "arm64" {
		return []string{"generic", "neon"}
	}
	return []string{"generic", "avx2", "avx512", "amx"}
}

func (l level) String() string { return levelNames[l] }

// levelVariable names the environment variable that forces a level below the highest one that the processor has, for
// tests and comparisons.
const levelVariable = "GOLLAVA_CPU"

// active is the level in use. It does not change while kernels run; [Use] lowers it, tests use [useLevel].
var active = mustChoose(os.Getenv(levelVariable), supported())

func mustChoose(want string, have level) level {
	l, err := choose(want, have)
	if err != nil {
		// Not a panic: whoever sets a variable reads a message, not a stack.
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	return l
}

// choose returns the level called want, or have if want is empty.
func choose(want string, have level) (level, error) {
	if want == "" {
		return have, nil
	}
	switch l := level(slices.Index(levelNames, want)); {
	case l < generic:
		last := len(levelNames) - 1
		return 0, fmt.Errorf("cpu: %s=%s: want %s or %s, or nothing for the best", levelVariable, want,
			strings.Join(levelNames[:last], ", "), levelNames[last])
	case l > have:
		return 0, fmt.Errorf("cpu: %s=%s: this processor or build has no more than %v", levelVariable, want, have)
	default:
		return l, nil
	}
}

// vectorLevel is the active level as far as vector instructions go.
func vectorLevel() level { return min(active, avx512) }

// useLevel makes l active and returns a function that restores the level before.
func useLevel(l level) (restore func()) {
	before := active
	active = l
	return func() { active = before }
}
