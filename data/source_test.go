package data_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data"
	"github.com/gollava/gollava/data/chat"
)

// member is a file of an archive.
type member struct{ name, text string }

func tarBytes(t testing.TB, members ...member) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range members {
		require.NoError(t, w.WriteHeader(&tar.Header{Name: m.name, Size: int64(len(m.text)), Mode: 0o644}))
		_, err := w.Write([]byte(m.text))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return b.Bytes()
}

func zipBytes(t testing.TB, members ...member) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, m := range members {
		f, err := w.Create(m.name)
		require.NoError(t, err)
		_, err = f.Write([]byte(m.text))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return b.Bytes()
}

// TestSourcesAgree reads the same pictures from a folder, a zip and a tar file.
func TestSourcesAgree(t *testing.T) {
	dir := t.TempDir()
	var list []member
	for _, name := range []string{"3x2", "x/5x4"} {
		b, err := pictures{}.Load(filepath.Base(name))
		require.NoError(t, err)
		list = append(list, member{name + ".png", string(b)})
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o777))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name+".png"), b, 0o644))
	}
	paths := []string{dir, filepath.Join(t.TempDir(), "a.zip"), filepath.Join(t.TempDir(), "a.tar")}
	require.NoError(t, os.WriteFile(paths[1], zipBytes(t, list...), 0o644))
	require.NoError(t, os.WriteFile(paths[2], tarBytes(t, list...), 0o644))
	for _, path := range paths {
		src, err := data.OpenSource(path)
		require.NoError(t, err)
		for _, m := range list {
			got, err := src.Load(m.name)
			require.NoError(t, err)
			require.Equal(t, m.text, string(got))
		}
		for name, want := range map[string]data.Kind{"none.png": data.FileMissing, "../3x2.png": data.PathEscape, "/3x2.png": data.PathEscape, "a\x00b": data.PathInvalid, "": data.FileMissing} {
			_, err := src.Load(name)
			require.ErrorIs(t, err, want, "%s in %s", name, path)
		}
		b2, err := src.Load("x/../3x2.png")
		require.NoError(t, err)
		require.Equal(t, list[0].text, string(b2))
		require.NoError(t, src.Close())
	}
	_, err := data.OpenSource(filepath.Join(dir, "none"))
	require.ErrorIs(t, err, data.FileMissing)
	_, err = data.OpenSource("a.tar.gz")
	require.ErrorContains(t, err, "unpack it")
}

// TestShardsAreSets makes samples of WebDataset groups: captions, records, and groups that are neither.
func TestShardsAreSets(t *testing.T) {
	path := write(t, "shard.tar", string(tarBytes(t,
		member{"a/0001.png", "P"}, member{"a/0001.txt", "a dog"},
		member{"0002.json", good}, member{"0002.jpg", "P"},
		member{"0003.json", `{"width":3}`}, member{"0003.webp", "P"}, member{"0003.txt", "a cat"},
		member{"0004.png", "P"}, member{"0005.json", `{"id":`})))
	shard, err := data.OpenTar(path)
	require.NoError(t, err)
	defer shard.Close()
	require.Equal(t, 5, shard.Len())
	s, err := shard.Sample(0)
	require.NoError(t, err)
	require.Equal(t, data.Sample{ID: "a/0001", Images: []string{"a/0001.png"}, Turns: []chat.Turn{{From: "human", Value: "<image>"}, {From: "gpt", Value: "a dog"}}}, s)
	s, err = shard.Sample(1)
	require.NoError(t, err)
	require.Equal(t, []string{"a.png"}, s.Images)
	s, err = shard.Sample(2)
	require.NoError(t, err)
	require.Equal(t, "a cat", s.Turns[1].Value)
	require.Equal(t, []string{"0003.webp"}, s.Images)
	for i, want := range map[int]data.Kind{3: data.NoAnswer, 4: data.Cut} {
		_, err = shard.Sample(i)
		require.ErrorIs(t, err, want)
		require.ErrorContains(t, err, path)
	}
	b, err := shard.Read(shard.Groups()[0].Members[1])
	require.NoError(t, err)
	require.Equal(t, "a dog", string(b))
}
