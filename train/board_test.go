package train_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"flag"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/train"
)

var keep = flag.String("keep", "", "directory in which TestBoard leaves its run")

// TestBoard reads event files as TensorBoard does: of every stage, stopped and resumed, each point is there once. testdata/read_events.py asks TensorBoard itself;
// read_events.txt is what it said of this very run, kept with -keep.
func TestBoard(t *testing.T) {
	dir := *keep
	if dir == "" {
		dir = t.TempDir()
	}
	for _, stop := range []int{5, 7, 0} { // steps after which it stops, the second time in the second stage's fifth
		ctx, cancel := context.WithCancel(t.Context())
		stages, steps := two(), 0
		for i := range stages {
			stages[i].Evaluate = []train.Evaluation{{Name: "quality", Every: 2, Run: func(context.Context) (map[string]float64, error) {
				return map[string]float64{"half": 0.5}, nil
			}}}
		}
		_, err := train.Run(ctx, mixed(), train.Options{Dir: dir, Resume: true, Observe: func(e train.Event) error {
			if e.Kind == "step" {
				if steps++; steps == stop {
					cancel()
				}
			}
			return nil
		}}, stages...)
		cancel()
		if stop == 0 {
			require.NoError(t, err)
		} else {
			var stopped *train.Stopped
			require.ErrorAs(t, err, &stopped)
			if stopped.Stage == "tune" { // as after a kill: step 5 is taken again
				require.Equal(t, 5, stopped.Step)
				require.NoError(t, os.RemoveAll(stopped.Dir))
			}
		}
	}
	b, err := os.ReadFile(filepath.Join(dir, "metrics.jsonl"))
	require.NoError(t, err)
	want := map[string]map[int]float32{"align": {}, "tune": {}}
	for line := range strings.Lines(string(b)) {
		var e train.Event
		require.NoError(t, json.Unmarshal([]byte(line), &e))
		if e.Kind == "step" {
			want[e.Stage][e.Step] = float32(e.Loss)
		}
	}
	require.Len(t, want["align"], 7)
	require.Len(t, want["tune"], 9)
	for stage, losses := range want {
		files, err := filepath.Glob(filepath.Join(dir, "tensorboard", stage, "events.out.tfevents.*"))
		require.NoError(t, err)
		slices.Sort(files)
		require.Len(t, files, 2)
		got := map[int]float32{}
		evaluated := 0
		for _, f := range files {
			for _, m := range records(t, f) {
				e := message(t, m)
				step := 0
				if len(e[2]) > 0 {
					step = int(e[2][0].(uint64))
				}
				if len(e[7]) > 0 { // a START: what earlier files have from here on is void
					for s := range got {
						if s >= step {
							delete(got, s)
						}
					}
				}
				for _, s := range e[5] {
					for _, v := range message(t, s.([]byte))[1] {
						value := message(t, v.([]byte))
						x := math.Float32frombits(value[2][0].(uint32))
						switch string(value[1][0].([]byte)) {
						case "loss":
							got[step] = x
						case "quality/half":
							require.Equal(t, float32(0.5), x)
							evaluated++
						}
					}
				}
			}
		}
		require.Equal(t, losses, got, stage)
		require.GreaterOrEqual(t, evaluated, 4)
	}
}

// records are a TFRecord file's, their checksums tested.
func records(t *testing.T, path string) [][]byte {
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	check := func(data []byte, want []byte) {
		c := crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))
		require.Equal(t, (c>>15|c<<17)+0xa282ead8, binary.LittleEndian.Uint32(want))
	}
	var out [][]byte
	for len(b) > 0 {
		n := binary.LittleEndian.Uint64(b)
		check(b[:8], b[8:])
		check(b[12:12+n], b[12+n:])
		out, b = append(out, b[12:12+n]), b[16+n:]
	}
	return out
}

// message reads the fields of a protocol buffer: integers, 32- and 64-bit words, and bytes.
func message(t *testing.T, m []byte) map[int][]any {
	fields := map[int][]any{}
	for len(m) > 0 {
		key, n := binary.Uvarint(m)
		require.Positive(t, n)
		m = m[n:]
		var v any
		switch key & 7 {
		case 0:
			x, n := binary.Uvarint(m)
			v, m = x, m[n:]
		case 1:
			v, m = binary.LittleEndian.Uint64(m), m[8:]
		case 2:
			size, n := binary.Uvarint(m)
			v, m = m[n:n+int(size)], m[n+int(size):]
		case 5:
			v, m = binary.LittleEndian.Uint32(m), m[4:]
		default:
			t.Fatalf("wire type %d", key&7)
		}
		fields[int(key>>3)] = append(fields[int(key>>3)], v)
	}
	return fields
}
