// Command load asks `gollava serve` from many clients at once, beside llama.cpp's server where python3 can import
// xllamacpp, in turns on one machine:
//
//	go run ./internal/bench/load -model SmolLM2-135M-Instruct.Q4_1.gguf [-clients 1,4,16,64] [-python PYTHON]
//
// Every client asks one question after another, of -prompts different ones, and reads the answer as a stream. Each
// answer of ours is compared with the one that the same request got when nothing else ran; a difference, a lost answer
// or an error is a failure of the run. A row has
//
//	tokens/s   of answers in the measured time; ratio: ours to the rival's
//	first      ms until the first token, median and 95th percentile
//	MB         resident in the server's process, the most in the row
//	answers    finished, and of those: others than alone; beside them: failed
//
// The rival answers other than alone where a batch changes its rounding, which is no fault of it.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

func main() {
	var o options
	clients := flag.String("clients", "1,4,16,64", "`numbers` of clients")
	flag.StringVar(&o.model, "model", "", "folder or GGUF `file` of the model")
	flag.StringVar(&o.program, "gollava", "", "`program` that serves (default: build it)")
	flag.StringVar(&o.python, "python", "python3", "`program` that can import xllamacpp; - for no rival")
	flag.IntVar(&o.prompts, "prompts", 16, "`number` of different requests")
	flag.IntVar(&o.tokens, "tokens", 64, "`tokens` of an answer, at most")
	flag.BoolVar(&o.images, "images", false, "ask about an image in every second request")
	flag.IntVar(&o.turns, "turns", 1, "`times` that each row is measured; the best counts")
	flag.DurationVar(&o.time, "time", 10*time.Second, "measure each row and server so `long`")
	flag.StringVar(&o.args, "args", "", "more `arguments` of gollava serve")
	flag.Parse()
	err := errors.New("-model is missing")
	if o.model != "" {
		if o.clients, err = numbers(*clients); err == nil {
			err = run(context.Background(), o, os.Stdout)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-load:", err)
		os.Exit(1)
	}
}

type options struct {
	model, program, python, args string
	clients                      []int
	prompts, tokens, turns       int
	images                       bool
	time                         time.Duration
}

func numbers(list string) (out []int, err error) {
	for _, s := range strings.Split(list, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(s))
		if err != nil || n < 1 {
			return nil, fmt.Errorf("-clients %q: want numbers above 0, with commas between them", list)
		}
		out = append(out, n)
	}
	return out, nil
}

func run(ctx context.Context, o options, out io.Writer) error {
	ours, err := startOurs(ctx, o)
	if err != nil {
		return err
	}
	defer ours.stop()
	servers := []*server{ours}
	if o.python != "-" {
		rival, err := startLlama(ctx, o)
		if err != nil {
			fmt.Fprintf(out, "llama.cpp: absent: %v\n", err)
		} else {
			defer rival.stop()
			servers = append(servers, rival)
		}
	}
	requests := questions(o)
	for _, s := range servers {
		if err := s.learn(ctx, requests); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	fmt.Fprintf(out, "%d processors, %d requests of up to %d tokens, %v a row\n", runtime.GOMAXPROCS(0), o.prompts,
		o.tokens, o.time)
	fmt.Fprintf(out, "%7s  %-10s %9s %6s %9s %9s %6s %8s %6s %6s\n", "clients", "server", "tokens/s", "ratio",
		"first p50", "p95", "MB", "answers", "others", "failed")
	var failed error
	for _, n := range o.clients {
		best := make([]row, len(servers))
		for range max(1, o.turns) {
			for i, s := range servers {
				best[i] = better(best[i], s.load(ctx, requests, n, o.time))
			}
		}
		for i, r := range best {
			ratio := "–"
			if i == 0 && len(best) > 1 {
				ratio = fmt.Sprintf("%.2f", r.rate/best[1].rate)
			}
			fmt.Fprintf(out, "%7d  %-10s %9.1f %6s %9.0f %9.0f %6.0f %8d %6d %6d\n", n, servers[i].name, r.rate,
				ratio, percentile(r.first, 50), percentile(r.first, 95), float64(r.resident)/1e6, r.answers, r.others,
				r.failed)
		}
		if r := best[0]; r.others+r.failed > 0 {
			failed = cmp.Or(failed, fmt.Errorf("with %d clients %d answers of ours were others than alone, "+
				"and %d failed: %w", n, r.others, r.failed, cmp.Or(r.err, errors.New("the texts differ"))))
		}
	}
	return failed
}

// better is the faster of two rows, with the faults of both.
func better(a, b row) row {
	best := b
	if a.rate > b.rate {
		best = a
	}
	best.others, best.failed, best.err = a.others+b.others, a.failed+b.failed, cmp.Or(a.err, b.err)
	best.resident = max(a.resident, b.resident)
	return best
}
