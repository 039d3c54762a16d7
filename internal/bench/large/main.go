// Command large writes a language model of 7 billion random weights in Q4_0 as a GGUF file, of 3.8 GB, unless it is
// there, and measures how long loading takes, what it allocates, and how fast the model decodes.
//
//	go run ./internal/bench/large -model model.gguf
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/gollava/gollava/internal/gguf"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
)

func main() {
	path := flag.String("model", "", "the `file`")
	n := flag.Int("tokens", 4, "tokens to write; 0: only load")
	flag.Parse()
	llama7B := shape{width: 4096, mlp: 11008, heads: 32, layers: 32, vocabulary: 32000}
	if err := run(*path, llama7B, *n, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// shape is that of a Llama.
type shape struct{ width, mlp, heads, layers, vocabulary int }

func run(path string, s shape, n int, out io.Writer) error {
	if _, err := os.Stat(path); err != nil {
		if err := write(path, s); err != nil {
			return err
		}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	m, err := llm.Load(path, nn.LoadOptions{Alias: true, Rounding: true})
	if err != nil {
		return err
	}
	took := time.Since(start)
	runtime.ReadMemStats(&after)
	weights := 0
	for _, p := range nn.Params(m) {
		weights += len(p.Bytes())
	}
	fmt.Fprintf(out, "loaded %.1f MB in %.3f s; %.1f MB were allocated\n", float64(weights)/1e6, took.Seconds(),
		float64(after.TotalAlloc-before.TotalAlloc)/1e6)
	if n < 1 {
		return nil
	}
	var times []time.Time
	_, err = llm.Generate(context.Background(), m, llm.Prompts{IDs: [][]int32{{1}}},
		llm.Options{MaxNewTokens: n + 1, PAD: -1, EOS: []int{},
			OnToken: func(int, int32) error {
				times = append(times, time.Now())
				return nil
			}})
	if err != nil {
		return err
	}
	var each []float64
	for i := range n {
		each = append(each, times[i+1].Sub(times[i]).Seconds())
	}
	best := slices.Min(each)
	fmt.Fprintf(out, "decodes %.2f tokens/s at best of %d, reading %.1f GB/s of weights\n", 1/best, n,
		float64(weights)/1e9/best)
	return nil
}

// write writes the file; a run of random blocks is repeated, so that it takes seconds.
func write(path string, s shape) error {
	width, mlp, heads, layers, vocabulary := s.width, s.mlp, s.heads, s.layers, s.vocabulary
	meta := map[string]any{"general.architecture": "llama", "general.file_type": uint32(2),
		"tokenizer.ggml.model":                   "none",
		"llama.attention.layer_norm_rms_epsilon": float32(1e-5), "llama.rope.freq_base": float32(10000)}
	for key, v := range map[string]int{"block_count": layers, "context_length": 4096, "embedding_length": width,
		"feed_forward_length":  mlp,
		"attention.head_count": heads, "rope.dimension_count": width / heads, "vocab_size": vocabulary} {
		meta["llama."+key] = uint32(v)
	}
	kind, _ := gguf.ParseType("Q4_0")
	r := rand.NewChaCha8([32]byte{1})
	run := make([]byte, 18<<16)
	r.Read(run)
	for b := range slices.Chunk(run, 18) {
		b[1] = 0x18 | b[1]&0x83 // a scale of about 2⁻⁹, of either sign
	}
	var tensors []gguf.NewTensor
	matrix := func(name string, rows, cols int) {
		tensors = append(tensors, gguf.NewTensor{Name: name, Type: kind, Shape: []int{rows, cols},
			Write: func(w io.Writer) error {
				for left := rows * cols / 32 * 18; left > 0; {
					k, err := w.Write(run[:min(left, len(run))])
					if err != nil {
						return err
					}
					left -= k
				}
				return nil
			}})
	}
	norm := func(name string) {
		tensors = append(tensors, gguf.NewTensor{Name: name, Type: gguf.F32, Shape: []int{width},
			Write: func(w io.Writer) error {
				_, _, err := gguf.F32.Encode(w, slices.Repeat([]float32{1}, width), width, nil)
				return err
			}})
	}
	matrix("token_embd.weight", vocabulary, width)
	matrix("output.weight", vocabulary, width)
	norm("output_norm.weight")
	for i := range layers {
		blk := fmt.Sprintf("blk.%d.", i)
		norm(blk + "attn_norm.weight")
		norm(blk + "ffn_norm.weight")
		for _, part := range []string{"attn_q", "attn_k", "attn_v", "attn_output"} {
			matrix(blk+part+".weight", width, width)
		}
		matrix(blk+"ffn_gate.weight", mlp, width)
		matrix(blk+"ffn_up.weight", mlp, width)
		matrix(blk+"ffn_down.weight", width, mlp)
	}
	return gguf.Write(path, meta, tensors)
}
