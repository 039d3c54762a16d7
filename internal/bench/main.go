// Command bench measures this library and its rivals, interleaved in one run: the source of every speed claim.
//
//	go run ./internal/bench [-run REGEXP] [-rival NAME,…] [-threads 1|2|both] [-json]
//	go run ./internal/bench -docs docs/speed.md RESULT.json…
//
// The second writes the table of a page from what -json printed.
//
// A rival runs in a process of its own and is asked case by case, in turns with ours, so that both meet the same
// machine. OpenBLAS (through NumPy), PyTorch, llama.cpp (through llama-cpp-python or xllamacpp) and, for what loads
// data, tokenizers and Pillow need a python3 that can import them, C needs a compiler called cc, and Gorgonia is always
// there. One that is not installed is reported as absent. PyTorch is asked for blocks and large models in five modes,
// OpenVINO for the vision tower in float32 and bfloat16. Cases of the family growth differ in one size, and the
// exponents with which their times grow follow the rows. A case's value is its fastest run, and while other programs
// use the machine it is measured up to three times, and its row says so. A ratio above 1 means that ours is better;
// the share of the peak is ours, of the fused multiply-adds of float32 or of the bytes read per second that the same
// run measured.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
)

func main() {
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
		os.Exit(1)
	}
}

func run(args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	pattern := flags.String("run", "", "measure only the cases whose name matches this `regexp`")
	which := flags.String("rival", "", "ask only these `rivals`, of "+strings.Join(rivalNames(), ", ")+"; none asks nobody (default all)")
	threads := flags.String("threads", "both", "`1`, 2 or both")
	asJSON := flags.Bool("json", false, "print one JSON array instead of a table")
	budget := flags.Duration("time", time.Second, "measure each case and rival for about this `long`, or as long as four runs take")
	list := flags.Bool("list", false, "print the names of the cases and stop")
	serve := flags.String("serve", "", "answer requests as this `rival` (how bench runs Gorgonia)")
	resident := flags.String("resident", "", "run this `case` alone and print the bytes resident at most (how bench measures memory)")
	docs := flags.String("docs", "", "write the table of this `page` from the files named, which -json wrote, and stop")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *docs != "" {
		return writeDocs(*docs, flags.Args())
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if *serve != "" {
		return serveRival(*serve, os.Stdin, stdout)
	}
	if *resident != "" {
		return runResident(*resident, stdout)
	}
	re, err := regexp.Compile(*pattern)
	if err != nil {
		return fmt.Errorf("-run: %w", err)
	}
	var counts []int
	switch *threads {
	case "1":
		counts = []int{1}
	case "2":
		counts = []int{2}
	case "both":
		counts = []int{1, 2}
	default:
		return fmt.Errorf("-threads %q: want 1, 2 or both", *threads)
	}
	asked := rivalNames()
	switch *which {
	case "":
	case "none":
		asked = nil
	default:
		asked = strings.Split(*which, ",")
		for _, name := range asked {
			if !slices.Contains(rivalNames(), name) {
				return fmt.Errorf("-rival %q: want one of %s, or none", name, strings.Join(rivalNames(), ", "))
			}
		}
	}
	chosen := slices.DeleteFunc(cases(), func(c Case) bool { return !re.MatchString(c.Name) })
	if len(chosen) == 0 {
		return fmt.Errorf("-run %q matches no case; -list prints them", *pattern)
	}
	if *list {
		for _, c := range chosen {
			fmt.Fprintln(stdout, c.Name)
		}
		return nil
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	m := &meter{budget: *budget, asked: asked, log: stderr}
	if *asJSON {
		rows, err := m.all(chosen, counts, func(Row) {})
		if err != nil {
			return err
		}
		return writeJSON(stdout, rows)
	}
	t := newTable(stdout)
	rows, err := m.all(chosen, counts, t.row)
	for _, g := range growths(rows) {
		fmt.Fprintln(stdout, g)
	}
	return err
}
