package data_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data"
)

// mixture writes files a.json and b.jsonl of 10 and 5 records, and a mixture of the given entries beside them.
func mixture(t *testing.T, text string) string {
	dir := t.TempDir()
	var lines []string
	for i := range 10 {
		lines = append(lines, strings.Replace(good, `"a"`, fmt.Sprintf(`"a%d"`, i), 1))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a.json"), []byte("["+strings.Join(lines, ",")+"]"), 0o644))
	lines = lines[:5]
	for i := range lines {
		lines[i] = strings.Replace(good, `"a"`, fmt.Sprintf(`"b%d"`, i), 1)
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "b.jsonl"), []byte(strings.Join(lines, "\n")), 0o644))
	path := filepath.Join(dir, "mix.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	return path
}

func names(t *testing.T, set data.Set) string {
	var out []string
	for i := range set.Len() {
		s, err := set.Sample(i)
		require.NoError(t, err)
		out = append(out, s.ID)
	}
	return strings.Join(out, " ")
}

func TestMixtureStrategies(t *testing.T) {
	for text, want := range map[string]string{
		`datasets: [{json_path: a.json, sampling_strategy: "first:2"}, {json_path: b.jsonl, sampling_strategy: "end:2"}]`:     "a0 a1 b3 b4",
		`datasets: [{json_path: a.json, sampling_strategy: "first:25%"}, {json_path: b.jsonl, sampling_strategy: "end: 1%"}]`: "a0 a1 a2 b4", // rounded up
		`datasets: [{json_path: b.jsonl}, {json_path: b.jsonl, sampling_strategy: all}]`:                                      "b0 b1 b2 b3 b4 b0 b1 b2 b3 b4",
		`datasets: [{json_path: b.jsonl, sampling_strategy: "first:99"}, {json_path: a.json, sampling_strategy: "end:0"}]`:    "b0 b1 b2 b3 b4",
		`datasets: [{json_path: "{a.json,b.jsonl}", sampling_strategy: "first:1"}]`:                                           "a0 b0",
	} {
		m, err := data.OpenMixture(mixture(t, text), data.MixtureOptions{})
		require.NoError(t, err, text)
		require.Equal(t, want, names(t, m), text)
		require.NoError(t, m.Close())
	}
	path := mixture(t, `datasets: [{json_path: a.json, sampling_strategy: "random:40%"}, {json_path: a.json, sampling_strategy: "random:4"}]`)
	taken := map[string]bool{}
	for _, seed := range []uint64{1, 1, 2} {
		m, err := data.OpenMixture(path, data.MixtureOptions{Seed: seed})
		require.NoError(t, err)
		for _, p := range m.Parts() {
			sorted := slices.Clone(p.Records)
			slices.Sort(sorted)
			require.Len(t, slices.Compact(sorted), 4)
		}
		taken[names(t, m)] = true
		require.NoError(t, m.Close())
	}
	require.Len(t, taken, 2, "the seed decides")
	paths, err := data.MixturePaths(mixture(t, `datasets: [{json_path: "x/{a,b}.json"}, {json_path: /c.json}]`))
	require.NoError(t, err)
	require.Equal(t, "b.json", filepath.Base(paths[1]))
	require.Equal(t, "/c.json", paths[2])
}

func TestMixtureErrors(t *testing.T) {
	for text, want := range map[string]string{
		`datasets: []`:                         "no datasets",
		`data: 1`:                              "looks like the file of a run",
		`{"recipe": "v1.5"}`:                   "a mixture is a list of json_path",
		`datasets: [`:                          "mix.yaml",
		`datasets: [{sampling_strategy: all}]`: "datasets[0]: no json_path",
		`datasets: [{json_path: none.json}]`:   "file_missing",
		`datasets: [{json_path: a.json, sampling_strategy: "some:3"}]`:          "unknown",
		`datasets: [{json_path: a.json, sampling_strategy: "first"}]`:           "needs a number",
		`datasets: [{json_path: a.json, sampling_strategy: "first:-1"}]`:        "needs a number",
		`datasets: [{json_path: a.json, sampling_strategy: "random:101%"}]`:     "more than 100%",
		`datasets: [{json_path: a.json, sampling_strategy: "all:3"}]`:           "takes no number",
		"datasets:\n" + strings.Repeat("  - {json_path: *a}\n", 101):            "aliases",
		"datasets: [{json_path: \"" + strings.Repeat("{,,,,,,,,,}", 9) + "\"}]": "file_missing",
	} {
		_, err := data.OpenMixture(mixture(t, text), data.MixtureOptions{})
		require.ErrorContains(t, err, want, text)
	}
	_, err := data.OpenMixture(filepath.Join(t.TempDir(), "none.yaml"), data.MixtureOptions{})
	require.ErrorIs(t, err, data.FileMissing)
}

func TestSplit(t *testing.T) {
	set := many(101)
	train, valid := data.Split(set, 0.1, 3)
	require.Equal(t, [2]int{91, 10}, [2]int{train.Len(), valid.Len()})
	require.True(t, slices.IsSorted(train.Records) && slices.IsSorted(valid.Records))
	all := slices.Concat(train.Records, valid.Records)
	slices.Sort(all)
	require.Equal(t, data.InOrder(101)(0), all)
	_, again := data.Split(set, 0.1, 3)
	require.Equal(t, valid.Records, again.Records)
	_, other := data.Split(set, 0.1, 4)
	require.NotEqual(t, valid.Records, other.Records)
	s, err := valid.Sample(0)
	require.NoError(t, err)
	require.Equal(t, fmt.Sprint("s", valid.Records[0]), s.ID)
	none, whole := data.Split(set, 1, 3)
	require.Equal(t, [2]int{0, 101}, [2]int{none.Len(), whole.Len()})
	require.Panics(t, func() { data.Split(set, 1.5, 0) })
}
