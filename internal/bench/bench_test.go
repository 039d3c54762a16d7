package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/tensor"
)

// Nothing here asserts a speed.

func TestRunPrintsOneArray(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run([]string{"-run", "^gemm/x·Wᵀ/577×64×577$", "-rival", "none", "-threads", "1", "-time", "1ms", "-json"}, &out, io.Discard))
	var rows []map[string]any
	require.NoError(t, json.Unmarshal(out.Bytes(), &rows), out.String())
	require.Len(t, rows, 1)
	for _, key := range []string{"case", "threads", "unit", "ours", "rival", "theirs", "ratio", "peak_share", "processor", "busy"} {
		require.Contains(t, rows[0], key)
	}
	require.Positive(t, rows[0]["ours"])
	require.Nil(t, rows[0]["theirs"])
}

func TestFlags(t *testing.T) {
	for args, want := range map[string]string{
		"-run nothing/such": "matches no case", "-run (": "-run", "-rival numpy": "want one of openblas, torch", "-threads 3": "want 1, 2 or both", "more": "unexpected",
	} {
		err := run(strings.Fields(args), io.Discard, io.Discard)
		require.ErrorContains(t, err, want, args)
	}
}

// A rival that is not there is reported as absent, and has no ratio.
func TestAbsent(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	f := newField([]string{"torch", "c"}, 1)
	defer f.close()
	m := &meter{budget: time.Millisecond, asked: f.asked, log: io.Discard}
	c := Case{Name: "nothing", Op: "nothing", Rivals: []string{"torch", "c", "llama"}, Unit: "µs", Setup: func() func() { return func() {} }}
	rows, err := m.one(c, 1, peaks{}, f)
	require.NoError(t, err)
	require.Len(t, rows, 2, "llama was not asked")
	var table bytes.Buffer
	out := newTable(&table)
	for _, r := range rows {
		require.Nil(t, r.Theirs)
		require.Nil(t, r.Ratio)
		out.row(r)
	}
	require.Equal(t, 2, strings.Count(table.String(), "absent"))
}

// An answer is taken from the protocol, a refusal spoils one case only, and a process that ends is not asked again.
func TestProtocol(t *testing.T) {
	in, requests := io.Pipe()
	answers, out := io.Pipe()
	ops := map[string]operation{"nap": func(args map[string]any) func() {
		return func() { time.Sleep(time.Duration(args["ms"].(float64)) * time.Millisecond) }
	}}
	go func() {
		err := answerAll("nobody", ops, in, out)
		out.CloseWithError(errors.Join(err, io.EOF))
	}()
	p := &process{in: requests, out: bufio.NewReader(answers)}
	_, err := p.read()
	require.NoError(t, err)
	a, err := p.ask(request{Op: "nap", Args: size{"ms": 2}})
	require.NoError(t, err)
	require.GreaterOrEqual(t, a.Seconds, 0.002)
	_, err = p.ask(request{Op: "dance"})
	require.EqualError(t, err, "nobody has no dance")
	require.NoError(t, requests.Close())
	_, err = p.ask(request{Op: "nap"})
	require.ErrorContains(t, err, "ended")
}

// Memory that was resident before is not counted, and what f touched is, even if it is gone afterwards.
func TestResidentDuring(t *testing.T) {
	const size = 96 << 20
	debug.FreeOSMemory() // what earlier tests left would be used again, and no more become resident
	before := bytes.Repeat([]byte{1}, size)
	if _, err := resident("VmRSS"); err != nil {
		t.Skip(err)
	}
	little, err := residentDuring(func() {})
	require.NoError(t, err)
	much, err := residentDuring(func() { require.Len(t, bytes.Repeat([]byte{1}, size), size) })
	require.NoError(t, err)
	require.Less(t, little, int64(size/2))
	require.Greater(t, much, int64(size/2))
	require.Len(t, before, size)
}

func TestCasesAreWellFormed(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range cases() {
		require.Regexp(t, regexp.MustCompile(`^[a-z]+(/[^/ ]+)+$`), c.Name)
		require.False(t, seen[c.Name], "%s is there twice", c.Name)
		seen[c.Name] = true
		for _, r := range c.Rivals {
			require.Contains(t, rivalNames(), r, c.Name)
		}
		require.NotNil(t, c.Setup, c.Name)
		if c.Unit != "ms" && c.Unit != "µs" {
			require.Positive(t, c.Work, c.Name)
		}
	}
}

// What others use is measured, and ours while asleep is nothing.
func TestOthersBusy(t *testing.T) {
	ticks, ok := busyTicks()
	if !ok {
		t.Skip("there is no /proc/stat")
	}
	require.Positive(t, ticks)
	require.GreaterOrEqual(t, othersBusy(), 0.0)
	var table bytes.Buffer
	newTable(&table).row(Row{Case: "a", Busy: 1.26})
	require.Contains(t, table.String(), "(other programs used 1.3 processors)")
}

func TestPeaks(t *testing.T) {
	p := measurePeaks(1)
	require.Positive(t, p.flops)
	require.Positive(t, p.half)
	require.Positive(t, p.bytes)
}

// Every kind of step runs, at toy size.
func TestSteps(t *testing.T) {
	small := llamaConfig(2, 32, 2, 48, 64)
	for name, setup := range map[string]func() func(){
		"mlp":         func() func() { return mlpStep(4, 8, 16, 8, true) },
		"llama block": func() func() { return llamaBlock(small, 8, false) },
		"llama loss":  func() func() { return llamaStep(small, 2, 8, true) },
		"llava":       func() func() { return llavaStep(false)(small, 1, 400, true) },
		"f32":         func() func() { return generate(small, tensor.Float32, 4, 3) },
		"bf16":        func() func() { return generate(small, tensor.BFloat16, 4, 3) },
		"attention":   attentionCase("causal", 1, 9, 2, 8, true).Setup,
		"decode":      decodeCase(1, 40, 4, 2, 8).Setup,
	} {
		before := counted
		run := setup()
		run()
		run()
		t.Log(name, counted-before)
	}
	run := gorgoniaMLP(size{"m": 4.0, "in_": 8.0, "hidden": 16.0, "out": 8.0})
	run()
	run()
}

// A step of each system around LLaVA trains all that it names.
func TestSystems(t *testing.T) {
	for _, c := range append(systemCases(2), denseCases(1)...) {
		before := counted
		c.Setup()()
		require.Greater(t, counted, before, c.Name)
	}
}
