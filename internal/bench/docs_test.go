package main

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestGrowths: times that grow as the square are found to, whatever their order, each number of threads by itself.
func TestGrowths(t *testing.T) {
	var rows []Row
	for _, n := range []int{400, 100, 200} {
		for threads := 1; threads <= 2; threads++ {
			v := 3 * math.Pow(float64(n), float64(threads))
			rows = append(rows, Row{Case: "growth/a/T=" + []string{"100", "200", "", "400"}[n/100-1], Threads: threads, Ours: v})
		}
	}
	rows = append(rows, Row{Case: "growth/b/T=1", Threads: 1, Ours: 1}, Row{Case: "other/T=2", Threads: 1, Ours: 1})
	gs := growths(rows)
	require.Len(t, gs, 2)
	require.InDelta(t, 1, gs[0].Exponent, 1e-9)
	require.InDelta(t, 2, gs[1].Exponent, 1e-9)
	require.InDelta(t, 2, gs[1].Last, 1e-9)
	require.Equal(t, "growth/a/T, threads 2, 100 to 400: time as T^2.00, at the end ^2.00", gs[1].String())
}

// TestDocs: the table replaces the one on the page, with a line for each case and the rivals that it is slowest against
// first; a page without a place for it stays as it is.
func TestDocs(t *testing.T) {
	dir := t.TempDir()
	page, result := filepath.Join(dir, "page.md"), filepath.Join(dir, "a.json")
	v, low, high, share := 2.0, 0.5, 1.25, 0.75
	rows := []Row{
		{Case: "model/x", Threads: 1, Unit: "ms", Ours: 10, Rival: "torch", Theirs: &v, Ratio: &high, Share: &share,
			Level: "amd64/avx512", Of: "float32"},
		{Case: "model/x", Threads: 1, Unit: "ms", Ours: 10, Rival: "openvino", Theirs: &v, Ratio: &low, Share: &share,
			Level: "amd64/avx512", Of: "float32"},
		{Case: "model/x", Threads: 1, Unit: "ms", Ours: 10, Rival: "c", Level: "amd64/avx512", Of: "float32"},
		{Case: "growth/a/T=1", Threads: 1, Unit: "ms", Ours: 1, Rival: "–"},
		{Case: "growth/a/T=2", Threads: 1, Unit: "ms", Ours: 4, Rival: "–"},
	}
	b, err := json.Marshal(rows)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(result, b, 0o666))
	require.NoError(t, os.WriteFile(page, []byte("head\n"+docsBegin+"\nold\n"+docsEnd+"\ntail\n"), 0o666))
	for range 2 {
		require.NoError(t, run([]string{"-docs", page, result}, nil, nil))
	}
	got, err := os.ReadFile(page)
	require.NoError(t, err)
	require.Equal(t, "head\n"+docsBegin+`

| case | threads | products | ours | of peak | times as fast as | others used |
|---|---|---|---|---|---|---|
| model/x | 1 | float32 on avx512 | 10.0 ms | 75 % | openvino 0.50, torch 1.25 | 0.0 |

- growth/a/T, threads 1, 1 to 2: time as T^2.00, at the end ^2.00

`+docsEnd+"\ntail\n", string(got))

	require.NoError(t, os.WriteFile(page, []byte("none\n"), 0o666))
	require.ErrorContains(t, run([]string{"-docs", page, result}, nil, nil), "between which the table belongs")
	require.ErrorContains(t, run([]string{"-docs", page, page}, nil, nil), "is not what -json writes")
	require.ErrorContains(t, run([]string{"-docs", page}, nil, nil), "no rows")
}
