package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gollava/gollava/train/study"
	"github.com/stretchr/testify/require"
)

var (
	seeds      = flag.String("seeds", "", "seeds on which TestGate trains and examines -preset, such as 1,2,3")
	gatePreset = flag.String("preset", "default", "preset of TestGate and of the benchmarks")
	autocast   = flag.Bool("autocast", false, "TestGate trains with products in bfloat16")
	gateRuns   = flag.String("runs", "", "where TestGate keeps its runs, one directory a seed; what is there already "+
		"goes on (default: they are thrown away)")
)

// TestGate trains a preset on several seeds and fails unless each keeps the preset's promises:
//
//	go test ./examples/quickstart -run Gate -v -timeout 2h -seeds 1,2,3
//	go test ./examples/quickstart -run Gate -v -seeds 1,2,3 -preset smoke
func TestGate(t *testing.T) {
	if *seeds == "" {
		t.Skip("takes minutes a seed: give -seeds 1,2,3, and -preset smoke for the small one")
	}
	var reports []study.Report
	for seed := range strings.SplitSeq(*seeds, ",") {
		runs := *gateRuns
		if runs == "" {
			runs = t.TempDir()
		}
		report := filepath.Join(runs, seed, "report.json")
		if _, err := os.Stat(report); err != nil { // else it is finished
			args := []string{"-preset", *gatePreset, "-seed", seed, "-out", filepath.Dir(report), "-resume"}
			if *autocast {
				args = append(args, "-autocast")
			}
			require.NoError(t, run(context.Background(), args, strings.NewReader(""), os.Stderr, nil))
		}
		b, err := os.ReadFile(report)
		require.NoError(t, err)
		var r study.Report
		require.NoError(t, json.Unmarshal(b, &r))
		reports = append(reports, r)
		t.Logf("preset %s on %s, %d processors\n%s", r.Preset, r.Machine.CPU, r.Machine.Used, study.Scoreboard(reports))
	}
	for i := range reports {
		if err := reports[i].Gate(); err != nil {
			t.Error(err)
		}
	}
}

func TestHelp(t *testing.T) {
	var out bytes.Buffer
	args := []string{"-preset", "smoke", "-gate", "-out", filepath.Join(t.TempDir(), "x"), "-help"}
	err := run(context.Background(), args, strings.NewReader(""), &out, nil)
	require.ErrorIs(t, err, flag.ErrHelp)
	require.Contains(t, out.String(), "-gate")
}
