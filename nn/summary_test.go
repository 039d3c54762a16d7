package nn

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/tensor"
)

type tower struct {
	Blocks []*pair        `param:"blocks"`
	Rest   []Layer        `param:"rest"`
	Empty  *tensor.Tensor `param:"empty,optional"`
}

func TestSummary(t *testing.T) {
	m := &tower{Blocks: []*pair{newPair(nil), newPair(nil), newPair(rng())}, Rest: []Layer{NewLinear(nil, 2000, 3000, true)}}
	m.Blocks[2].Norm.Weight.SetTrainable(false)
	m.Rest[0].(*Linear).Weight.SetTrainable(false)
	s := Summary(m)
	require.Equal(t, strings.TrimLeft(`
PARAMETER                                  SHAPE                       VALUES DTYPE     BYTES TRAINS
blocks                                                                    186           744 B partly
  0…1 (2 alike)                                                           124           496 B trains
    embed.weight                           [7 3]                           21 F32        84 B trains
    layers                                                                 35           140 B trains
      0                                                                    20            80 B trains
        weight                             [5 3]                           15 F32        60 B trains
        bias                               [5]                              5 F32        20 B trains
      1.weight                             [3 5]                           15 F32        60 B trains
    norm                                                                    6            24 B trains
      weight                               [3]                              3 F32        12 B trains
      bias                                 [3]                              3 F32        12 B trains
    head.weight                            [7 3]                         tied             0 B
      is blocks.0.embed.weight
`, "\n"), s[:strings.Index(s, "  2 ")])
	require.Contains(t, s, "\n6,003,186 values, 22.9 MiB; 3,183 of them train (0.053 %)\n")
	s = SummaryAs(m, func(name string) string {
		if name == "rest.0.weight" {
			return "BF16"
		}
		return ""
	})
	require.Regexp(t, `weight +\[3000 2000\] +6,000,000 BF16 +11.4 MiB\n`, s)
	require.NotContains(t, s, "train")
	for line := range strings.Lines(s) {
		require.LessOrEqual(t, utf8.RuneCountInString(line), 101, line)
	}
}

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1 KiB", 1 << 20: "1 MiB", 13476831232: "12.6 GiB", 1000 << 10: "0.977 MiB", 1 << 62: "4.1e+03 PiB"} {
		require.Equal(t, want, Bytes(n))
	}
}
