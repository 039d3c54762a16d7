package data_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data"
	"github.com/gollava/gollava/data/chat"
)

// conversation makes a record of the mix's kind; i of them differ in length, some beyond ASCII, every seventh without
// picture.
func conversation(r *rand.Rand, i int) string {
	words := []string{"the", "red", "bicycle", "leans", "against", "a wall\\n", "\\\"quoted\\\"", "façade", "三只猫", "\\u00e9\\ud83d\\ude00", "[0.12, 0.5]"}
	text := func(n int) string {
		var b strings.Builder
		for range n {
			b.WriteString(words[r.IntN(len(words))] + " ")
		}
		return b.String()
	}
	image := fmt.Sprintf(`"image": "coco/train2017/%012d.jpg", `, i)
	token := `<image>\n`
	if i%7 == 6 {
		image, token = "", ""
	}
	var turns []string
	for k := range 1 + r.IntN(4) {
		turns = append(turns, `{"from": "human", "value": "`+token+text(5+r.IntN(10))+`"}`, `{"from": "gpt", "value": "`+text(1+r.IntN(80))+`"}`)
		if k == 0 {
			token = ""
		}
	}
	return fmt.Sprintf(`{"id": "%012d", %s"conversations": [%s]}`, i, image, strings.Join(turns, ", "))
}

// Records of all sizes, at every position relative to the scanner's buffer, are found where encoding/json finds them.
func TestIndexAgreesWithEncodingJSON(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var text bytes.Buffer
	var want []json.RawMessage
	text.WriteString(" [")
	for i := 0; text.Len() < 5<<20; i++ {
		rec := conversation(r, i)
		if i%1000 == 7 {
			rec = strings.Replace(rec, `"gpt", "value": "`, `"gpt", "value": "`+strings.Repeat("long ", r.IntN(500_000)), 1)
		}
		if i > 0 {
			text.WriteString(",")
		}
		text.WriteString(strings.Repeat("\n", r.IntN(3)) + strings.Repeat(" ", r.IntN(4)) + rec)
		want = append(want, json.RawMessage(rec))
	}
	text.WriteString("\n]\n")
	require.True(t, json.Valid(text.Bytes()))
	whole := text.String()
	path := write(t, "a.json", whole)
	f, err := data.Open(path, data.Options{})
	require.NoError(t, err)
	defer f.Close()
	require.Equal(t, len(want), f.Len())
	lines, last := 1, int64(0)
	for i, w := range want {
		offset, length, line := f.Place(i)
		require.Equal(t, string(w), whole[offset:offset+int64(length)])
		lines += strings.Count(whole[last:offset], "\n")
		require.Equal(t, lines, line)
		last = offset
		if i%50 != 0 {
			continue
		}
		var rec struct {
			ID, Image     string
			Conversations []struct{ From, Value string }
		}
		require.NoError(t, json.Unmarshal(w, &rec))
		s, err := f.Sample(i)
		require.NoError(t, err)
		require.Equal(t, rec.ID, s.ID)
		require.Equal(t, rec.Image, strings.Join(s.Images, ""))
		require.Len(t, s.Turns, len(rec.Conversations))
		for k, turn := range rec.Conversations {
			require.Equal(t, chat.Turn{From: turn.From, Value: turn.Value}, s.Turns[k])
		}
	}
	lengths, err := data.Lengths(context.Background(), f)
	require.NoError(t, err)
	n := 0
	for s, err := range data.Records(iotest.HalfReader(&text), "a.json", data.Options{}) {
		require.NoError(t, err)
		require.Equal(t, lengths[n], s.ModalityLength())
		n++
	}
	require.Equal(t, f.Len(), n)
}

func TestRecordsStopsAtFaults(t *testing.T) {
	read := func(text, name string, o data.Options) (n int, errs []error) {
		for _, err := range data.Records(iotest.OneByteReader(strings.NewReader(text)), name, o) {
			if n++; err != nil {
				errs = append(errs, err)
			}
		}
		return n, errs
	}
	n, errs := read("["+good+", 7, "+good+"]", "x.json", data.Options{})
	require.Equal(t, 3, n)
	require.Len(t, errs, 1)
	require.ErrorIs(t, errs[0], data.RecordWrongType)
	n, errs = read(good+"\n"+good, "x.jsonl", data.Options{})
	require.Equal(t, 2, n)
	require.Empty(t, errs)
	_, errs = read("["+good+"]", "x.json", data.Options{Record: 50})
	require.ErrorIs(t, errs[0], data.RecordTooLong)
	_, errs = read(`["`+strings.Repeat("x", 3<<20), "x.json", data.Options{Record: 1 << 20})
	require.ErrorIs(t, errs[0], data.RecordTooLong)
	broken := io.MultiReader(strings.NewReader("["+good+","), iotest.ErrReader(io.ErrClosedPipe))
	for _, err := range data.Records(broken, "x.json", data.Options{}) {
		require.ErrorIs(t, err, io.ErrClosedPipe)
	}
	for range data.Records(strings.NewReader("["+good+","+good+"]"), "x.json", data.Options{}) {
		break // must not panic
	}
}

func TestSampleKeepsWhatItDoesNotKnow(t *testing.T) {
	path := write(t, "a.jsonl", `{"id":3.50,"image":["a.png","b.png"],"video":"c.mp4","boxes":[[0,0.5,1,1]],"model":"","conversations":[{"from":"human","value":"a\/b"}],"model":"GPT-4"}`)
	f, err := data.Open(path, data.Options{})
	require.NoError(t, err)
	defer f.Close()
	s, err := f.Sample(0)
	require.NoError(t, err)
	require.Equal(t, data.Sample{ID: "3.50", Images: []string{"a.png", "b.png"}, Videos: []string{"c.mp4"}, Turns: []chat.Turn{{From: "human", Value: "a/b"}},
		Extra: map[string]json.RawMessage{"boxes": json.RawMessage("[[0,0.5,1,1]]"), "model": json.RawMessage(`"GPT-4"`)}}, s)
	require.PanicsWithError(t, "data: record 1 of "+path+", which has 1", func() { _, _ = f.Sample(1) })
}

func TestOpenErrors(t *testing.T) {
	_, err := data.Open(filepath.Join(t.TempDir(), "none.json"), data.Options{})
	require.ErrorIs(t, err, data.FileMissing)
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = data.Open(t.TempDir(), data.Options{})
	require.Error(t, err)
	path := write(t, "a.json", "["+good+"]")
	f, err := data.Open(path, data.Options{})
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, os.WriteFile(path, []byte("["+strings.Replace(good, "}]}", "}] ", 1)+"]"), 0o644))
	_, err = f.Sample(0)
	require.ErrorContains(t, err, "changed since it was opened")
	require.NoError(t, os.Truncate(path, 9))
	_, err = f.Sample(0)
	require.ErrorIs(t, err, io.EOF)
	require.ErrorIs(t, err, data.FileUnreadable)
	_, err = data.Lengths(context.Background(), f)
	require.ErrorIs(t, err, data.FileUnreadable)
}

// Parts of a file are read side by side; the fault that is named is still the first one.
func TestLengthsFirstFault(t *testing.T) {
	lines := slices.Repeat([]string{good}, 101)
	path := write(t, "a.jsonl", strings.Join(lines, "\n"))
	f, err := data.Open(path, data.Options{})
	require.NoError(t, err)
	defer f.Close()
	for _, i := range []int{97, 64, 33} {
		lines[i] = strings.Replace(good, "}]}", "}] ", 1)
		require.NoError(t, os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o600))
		_, err = data.Lengths(context.Background(), f)
		var fault *data.Fault
		require.ErrorAs(t, err, &fault)
		require.Equal(t, i, fault.Record)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = data.Lengths(ctx, f)
	require.ErrorIs(t, err, context.Canceled)
}

func TestFileIsSafeForManyReaders(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var lines []string
	for i := range 200 {
		lines = append(lines, conversation(r, i))
	}
	f, err := data.Open(write(t, "a.jsonl", strings.Join(lines, "\n")), data.Options{})
	require.NoError(t, err)
	defer f.Close()
	var all sync.WaitGroup
	for w := range 4 {
		all.Go(func() {
			for i := range f.Len() {
				s, err := f.Sample((i*7 + w) % f.Len())
				if err != nil || s.ID != fmt.Sprintf("%012d", (i*7+w)%f.Len()) {
					t.Errorf("record %d: %v %v", i, s.ID, err)
				}
			}
		})
	}
	all.Wait()
}

// BenchmarkOpen indexes a file of LLaVA's mix; MB/s are of the file.
func BenchmarkOpen(b *testing.B) {
	path, size := benchmarkFile(b)
	b.SetBytes(size)
	for b.Loop() {
		f, err := data.Open(path, data.Options{})
		require.NoError(b, err)
		require.NoError(b, f.Close())
	}
}

// BenchmarkEncodingJSON reads the same file with the standard library, record by record: the rival of BenchmarkOpen.
func BenchmarkEncodingJSON(b *testing.B) {
	path, size := benchmarkFile(b)
	b.SetBytes(size)
	for b.Loop() {
		f, err := os.Open(path)
		require.NoError(b, err)
		d := json.NewDecoder(f)
		_, err = d.Token()
		require.NoError(b, err)
		for d.More() {
			var r json.RawMessage
			require.NoError(b, d.Decode(&r))
		}
		require.NoError(b, f.Close())
	}
}

func BenchmarkLengths(b *testing.B) {
	path, size := benchmarkFile(b)
	b.SetBytes(size)
	f, err := data.Open(path, data.Options{})
	require.NoError(b, err)
	defer f.Close()
	for b.Loop() {
		_, err := data.Lengths(context.Background(), f)
		require.NoError(b, err)
	}
}

func BenchmarkSample(b *testing.B) {
	path, _ := benchmarkFile(b)
	f, err := data.Open(path, data.Options{})
	require.NoError(b, err)
	defer f.Close()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		_, err := f.Sample(i * 7919 % f.Len())
		require.NoError(b, err)
	}
}

func benchmarkFile(b *testing.B) (string, int64) {
	r := rand.New(rand.NewPCG(5, 6))
	var text bytes.Buffer
	text.WriteString("[\n")
	for i := range 30_000 {
		if i > 0 {
			text.WriteString(",\n")
		}
		text.WriteString("  " + conversation(r, i))
	}
	text.WriteString("\n]\n")
	return write(b, "mix.json", text.String()), int64(text.Len())
}

// The index of 600,000 records, here of 40 bytes each, takes few bytes for each of them.
func TestIndexIsSmall(t *testing.T) {
	const n = 600_000
	path := write(t, "a.jsonl", strings.Repeat(`{"id":"0","conversations":[]}`+"\n", n))
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	f, err := data.Open(path, data.Options{})
	require.NoError(t, err)
	runtime.GC()
	runtime.ReadMemStats(&after)
	require.Equal(t, n, f.Len())
	require.Less(t, int64(after.HeapAlloc)-int64(before.HeapAlloc), int64(24*n))
	require.NoError(t, f.Close())
}
