// Command mpi measures what several ranks cost, beside a C program that calls MPI_Allreduce on buffers of the same
// size, in turns.
//
//	go build -o bench-mpi ./internal/bench/mpi
//	./bench-mpi [-launcher "mpirun.openmpi --bind-to none"] [-n 2] [-mib 64] [-turns 3]
//
// The C program needs mpicc.openmpi or mpicc.mpich, like the launcher. Values are the least of all turns. Rows:
//
//	reduce    sum of the buffer over ranks, in rank order, at every rank: exchange, own addition, all-gather, in buckets
//	          of 1 MiB
//	library   MPI_Allreduce of the same buckets, called by us
//	C         MPI_Allreduce of the C program, whole and in buckets of 1 MiB
//	step      a training step of a model with as many parameters: computation alone, transfers alone, both; with ZeRO-1
//	          and without
package main

import (
	_ "embed"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/gollava/gollava/train/mpi"
)

//go:embed allreduce.c.txt
var allreduce string

func main() {
	launcher := flag.String("launcher", "mpirun.openmpi --bind-to none",
		"`command` that starts ranks, without their number")
	n := flag.Int("n", 2, "`ranks`")
	mib := flag.Int("mib", 64, "`MiB` to reduce")
	turns := flag.Int("turns", 3, "`times` that everything is measured")
	role := flag.Bool("rank", false, "be a rank (how this program starts itself)")
	flag.Parse()
	var err error
	if *role {
		err = rank(*mib)
	} else {
		err = compare(strings.Fields(*launcher), *n, *mib, *turns)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-mpi:", err)
		os.Exit(1)
	}
	mpi.Exit(0)
}

// compare runs ranks of ours and of the C program in turns and prints the best of each.
func compare(launcher []string, n, mib, turns int) error {
	dir, err := os.MkdirTemp("", "bench-mpi-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	self, err := os.Executable()
	if err != nil {
		return err
	}
	source, program := filepath.Join(dir, "allreduce.c"), filepath.Join(dir, "allreduce")
	if err := os.WriteFile(source, []byte(allreduce), 0o666); err != nil {
		return err
	}
	cc := strings.Replace(strings.Replace(filepath.Base(launcher[0]), "mpirun", "mpicc", 1), "mpiexec", "mpicc", 1)
	if said, err := exec.Command(cc, "-O2", "-o", program, source).CombinedOutput(); err != nil {
		fmt.Printf("C: absent: %s: %v %.200s\n", cc, err, said)
		program = ""
	}
	best := map[string]float64{}
	var order []string
	keep := func(name string, seconds float64) {
		if old, ok := best[name]; !ok {
			order = append(order, name)
		} else if old < seconds {
			return
		}
		best[name] = seconds
	}
	start := func(args ...string) (string, error) {
		c := exec.Command(launcher[0], append(append(launcher[1:len(launcher):len(launcher)], "-n", fmt.Sprint(n)),
			args...)...)
		c.Env = append(os.Environ(), "OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1")
		c.Stderr = os.Stderr
		out, err := c.Output()
		return string(out), err
	}
	for range turns {
		if program != "" {
			out, err := start(program, fmt.Sprint(mib), "5")
			if err != nil {
				return fmt.Errorf("the C program: %w", err)
			}
			var whole, pieces float64
			if _, err := fmt.Sscan(out, &whole, &pieces); err != nil {
				return fmt.Errorf("the C program said %q: %w", out, err)
			}
			keep("C, whole", whole)
			keep("C, 1 MiB", pieces)
		}
		out, err := start(self, "-rank", "-mib", fmt.Sprint(mib))
		if err != nil {
			return fmt.Errorf("ours: %w", err)
		}
		for line := range strings.Lines(out) {
			name, value, ok := strings.Cut(strings.TrimSpace(line), "\t")
			var seconds float64
			if _, err := fmt.Sscan(value, &seconds); ok && err == nil {
				keep(name, seconds)
			}
		}
	}
	fmt.Printf("%d ranks, %s, %d MiB; the least of %d turns\n", n, launcher[0], mib, turns)
	for _, name := range order {
		fmt.Printf("%-34s %8.1f ms  %6.2f GB/s\n", name, 1e3*best[name], float64(mib)*(1<<20)/best[name]/1e9)
	}
	if c := min(best["C, whole"], best["C, 1 MiB"]); c > 0 {
		fmt.Printf("C's better / ours: exact sum %.2f, library's sum %.2f\n", c/best["reduce, exact"],
			c/best["reduce, library"])
	}
	for _, zero := range []string{"", ", ZeRO-1"} {
		longer := max(best["step, computation"], best["step, transfers"+zero])
		fmt.Printf("overlap%s: both / longer of both: %.2f\n", zero, best["step, both"+zero]/longer)
	}
	return nil
}
