package data_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data"
	"github.com/gollava/gollava/internal/jsonfile/mutate"
	"github.com/gollava/gollava/tensor"
)

// brokenFiles adds small files of the fault table as seeds.
func brokenFiles(f *testing.F, add func(b []byte), patterns ...string) {
	for _, p := range patterns {
		paths, err := filepath.Glob(filepath.Join("testdata/broken/broken", p))
		require.NoError(f, err)
		require.NotEmpty(f, paths)
		for _, path := range paths {
			if b, err := os.ReadFile(path); err == nil && len(b) < 4000 {
				add(b)
			}
		}
	}
}

// FuzzDataFile holds that a file which is accepted is what encoding/json accepts, record by record, and that what is
// wrong with any other has a place in it.
func FuzzDataFile(f *testing.F) {
	add := func(b []byte) { f.Add(b, false); f.Add(b, true) }
	brokenFiles(f, add, "*.json", "*.jsonl")
	add([]byte("[" + good + "]"))
	add([]byte(good + "\n" + good))
	f.Fuzz(func(t *testing.T, b []byte, lines bool) {
		name := map[bool]string{false: "a.json", true: "a.jsonl"}[lines]
		var samples []data.Sample
		var bad *data.Fault
		for s, err := range data.Records(bytes.NewReader(b), name, data.Options{}) {
			if err != nil {
				require.ErrorAs(t, err, &bad)
				require.GreaterOrEqual(t, bad.Offset, int64(0))
				require.LessOrEqual(t, bad.Offset, int64(len(b)))
				require.NotEmpty(t, bad.Kind)
				continue
			}
			samples = append(samples, s)
			_ = s.Faults()
			require.GreaterOrEqual(t, s.Words(), 0)
		}
		if bad != nil || lines {
			return
		}
		var records []json.RawMessage
		text := bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
		require.NoError(t, json.Unmarshal(text, &records), "accepted, but encoding/json refuses it: %q", b)
		require.Len(t, samples, len(records))
		for i, r := range records {
			var want struct{ Conversations []struct{ Value *string } }
			if json.Unmarshal(r, &want) != nil || len(want.Conversations) != len(samples[i].Turns) || strings.Contains(string(r), `\u`) || bytes.Count(r, []byte("onversations")) > 1 || bytes.Count(bytes.ToLower(r), []byte("value")) > len(samples[i].Turns) {
				continue
			}
			for k, turn := range want.Conversations {
				if turn.Value != nil {
					require.Equal(t, *turn.Value, samples[i].Turns[k].Value)
					require.True(t, utf8.ValidString(samples[i].Turns[k].Value))
				}
			}
		}
	})
}

// onDisk writes a file that a fuzz target opens.
func onDisk(t testing.TB, dir, name string, b []byte) string {
	path := filepath.Join(dir, name)
	require.NoError(t, os.WriteFile(path, b, 0o644))
	return path
}

// FuzzCheck holds that Check and Open see the same faults of a file, and that Check goes on to its end.
func FuzzCheck(f *testing.F) {
	var documents [][]byte
	brokenFiles(f, func(b []byte) {
		if json.Valid(b) {
			documents = append(documents, b)
		}
	}, "*.json")
	mutate.Fuzz(f, mutate.InFolder(f, "a.json", func(t *testing.T, dir string) error {
		path := filepath.Join(dir, "a.json")
		faults, err := data.Check(context.Background(), path, pictures{}, data.CheckOptions{})
		require.NoError(t, err)
		file, err := data.Open(path, data.Options{})
		if err != nil {
			require.NotEmpty(t, faults, "%v", err)
			return err
		}
		defer file.Close()
		for i := range file.Len() {
			if _, err := file.Sample(i); err != nil {
				require.NotEmpty(t, faults, "%v", err)
				return err
			}
		}
		return nil
	}), append(documents, []byte("["+good+","+good+"]"))...)
}

// FuzzMixtureValues puts other values into a mixture's file.
func FuzzMixtureValues(f *testing.F) {
	mutate.Fuzz(f, mutate.InFolder(f, "m.yaml", func(t *testing.T, dir string) error {
		onDisk(t, dir, "a.json", []byte("["+good+"]"))
		m, err := data.OpenMixture(filepath.Join(dir, "m.yaml"), data.MixtureOptions{})
		if err != nil {
			return err
		}
		return m.Close()
	}), []byte(`{"datasets": [{"json_path": "a.json", "sampling_strategy": "first:25%"},
		{"json_path": "{a,b}.json", "sampling_strategy": "random:3"}]}`))
}

func FuzzMixture(f *testing.F) {
	f.Add([]byte("datasets:\n  - json_path: a.json\n    sampling_strategy: \"first:25%\"\n  - {json_path: \"{a,b}.json\", sampling_strategy: random:3}\n"))
	f.Add([]byte("datasets: &x [{json_path: *x}]"))
	f.Add([]byte("datasets:\n- json_path: |\n    a\n<<: {a: b}"))
	f.Add([]byte("? - a\n: [}"))
	dir := f.TempDir()
	onDisk(f, dir, "a.json", []byte("["+good+"]"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if bytes.Contains(b, []byte("/")) || bytes.Contains(b, []byte("..")) {
			return // stays in its folder
		}
		m, err := data.OpenMixture(onDisk(t, dir, "m.yaml", b), data.MixtureOptions{})
		if err != nil {
			return
		}
		defer m.Close()
		for i := range m.Len() {
			_, err := m.Sample(i)
			require.NoError(t, err)
		}
	})
}

// FuzzArchive reads every member of a tar or zip file; none is larger than the file says it is.
func FuzzArchive(f *testing.F) {
	brokenFiles(f, func(b []byte) { f.Add(b, strings.HasPrefix(string(b), "PK")) }, "*.zip", "*.tar")
	f.Add(tarBytes(f, member{"a/b.png", "x"}, member{"a/b.txt", "a dog"}, member{"c.json", good}), false)
	f.Add(zipBytes(f, member{"a/b.png", "x"}, member{"../b.txt", "a dog"}), true)
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, b []byte, zip bool) {
		name := map[bool]string{false: "a.tar", true: "a.zip"}[zip]
		path := onDisk(t, dir, name, b)
		_, err := data.CheckArchive(path)
		require.NoError(t, err)
		if zip {
			if z, err := data.OpenZip(path); err == nil {
				_, _ = z.Load("a/b.png")
				require.NoError(t, z.Close())
			}
			return
		}
		shard, err := data.OpenTar(path)
		if shard == nil {
			return
		}
		defer shard.Close()
		if err != nil {
			var bad *data.Fault
			require.ErrorAs(t, err, &bad)
		}
		for i, g := range shard.Groups() {
			_, _ = shard.Sample(i)
			for _, m := range g.Members {
				x, err := shard.Read(m)
				require.NoError(t, err)
				require.LessOrEqual(t, len(x), len(b))
			}
		}
	})
}

func FuzzFeatures(f *testing.F) {
	dir := f.TempDir()
	c, err := data.OpenFeatures(dir, key)
	require.NoError(f, err)
	s := c.Shard(0)
	require.NoError(f, s.Add("a.png", tensor.From([]float32{1, 2, 3, 4, 5, 6}, 2, 3)))
	require.NoError(f, s.Commit())
	require.NoError(f, c.Close())
	paths, err := filepath.Glob(filepath.Join(dir, "*", "shard-*"))
	require.NoError(f, err)
	b, err := os.ReadFile(paths[0])
	require.NoError(f, err)
	f.Add(b)
	f.Add(b[:20])
	f.Add(bytes.Replace(b, []byte("[2,3]"), []byte("[-2,3]"), 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		require.NoError(t, os.WriteFile(paths[0], b, 0o644))
		c, err := data.OpenFeatures(dir, key)
		if err != nil {
			return
		}
		if x, err := c.Load("a.png"); err == nil {
			require.Len(t, x.Data(), x.Len())
		}
		require.NoError(t, c.Close())
	})
}
