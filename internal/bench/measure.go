package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/gollava/gollava/tensor"
)

// Row is one line of the result. Values are in Unit.
type Row struct {
	Case    string   `json:"case"`
	Threads int      `json:"threads"`
	Unit    string   `json:"unit"`
	Ours    float64  `json:"ours"`
	Rival   string   `json:"rival"`
	Theirs  *float64 `json:"theirs"`     // nil: absent
	Ratio   *float64 `json:"ratio"`      // above 1: ours is better
	Share   *float64 `json:"peak_share"` // of ours, 0 to 1; nil where no peak applies
	Level   string   `json:"processor"`  // what our products were computed on: tensor.Unit
	Of      string   `json:"precision"`  // that they were computed in, of which the peak is: float32 or bfloat16
	Busy    float64  `json:"busy"`       // processors that other programs used before the case's best attempt, on average

	absent string // why there is no value of the rival
}

// meter measures cases.
type meter struct {
	budget time.Duration
	asked  []string
	log    io.Writer
}

// all measures every case on every number of threads and hands each row to done as it is ready.
func (m *meter) all(list []Case, threads []int, done func(Row)) ([]Row, error) {
	var rows []Row
	for _, n := range threads {
		if n > runtime.NumCPU() {
			fmt.Fprintf(m.log, "bench: %d threads: this machine has %d\n", n, runtime.NumCPU())
			continue
		}
		runtime.GOMAXPROCS(n)
		peaks := measurePeaks(n)
		fmt.Fprintf(m.log, "bench: %d threads of %s: peak %.0f GFLOP/s of float32, %.0f of bfloat16, %.1f GB/s read\n",
			n, tensor.Unit(), peaks.flops/1e9, peaks.half/1e9, peaks.bytes/1e9)
		field := newField(m.asked, n)
		for _, c := range list {
			some, err := m.one(c, n, peaks, field)
			if err != nil {
				field.close()
				return nil, err
			}
			for _, r := range some {
				done(r)
			}
			rows = append(rows, some...)
		}
		field.close()
	}
	return rows, nil
}

// turns is how often ours and the rivals take turns in a case, or half as often when that takes much longer than asked
// for.
const turns = 4

// attempts is how often a case's turns are taken at most while other programs use the machine.
const attempts = 3

// one measures one case against all its rivals in turns, and again while other programs use the machine: minima count.
func (m *meter) one(c Case, threads int, p peaks, f *field) ([]Row, error) {
	run := c.Setup()
	if c.Share == byArithmetic && c.Load == 0 && c.Work == 0 {
		before := counted
		run()
		c.Load = 1e-9 * float64(counted-before)
	}
	ours := math.Inf(1)
	names := f.of(c)
	theirs, why := make([]float64, len(names)), make([]string, len(names))
	for i := range theirs {
		theirs[i] = math.Inf(1)
	}
	if c.Share == byMemory {
		p.bytes = 0 // who else uses the memory of a rented machine changes by the second: the peak takes its turns too
	}
	start, busy := time.Now(), math.Inf(1)
	for turn := range turns * attempts {
		if turn%turns == 0 {
			if turn > 0 && busy < idle {
				break
			}
			b := othersBusy()
			if busy = min(busy, b); b >= idle {
				fmt.Fprintf(m.log, "bench: %s: other programs use %.1f processors\n", c.Name, b)
			}
			start = time.Now()
		}
		if turn%turns >= turns/2 && time.Since(start) > 4*m.budget*time.Duration(1+len(names)) {
			continue
		}
		ours = min(ours, fastest(run, m.budget/turns))
		if c.Share == byMemory {
			fastest(p.read, m.budget/turns)
		}
		for i, name := range names {
			if why[i] != "" {
				continue
			}
			s, err := f.measure(name, c, m.budget/turns)
			if err != nil {
				why[i] = err.Error()
				continue
			}
			theirs[i] = min(theirs[i], s)
			time.Sleep(settle)
		}
	}
	run = nil
	runtime.GC()
	if len(names) == 0 {
		names, theirs, why = []string{"–"}, []float64{0}, []string{"nobody was asked"}
	}
	var rows []Row
	for i, name := range names {
		r := Row{Case: c.Name, Threads: threads, Unit: c.Unit, Ours: c.value(ours), Rival: name, absent: why[i],
			Level: tensor.Unit(), Of: c.precision(), Busy: busy}
		if why[i] == "" {
			v, ratio := c.value(theirs[i]), theirs[i]/ours
			r.Theirs, r.Ratio = &v, &ratio
		}
		r.Share = p.share(c, ours)
		rows = append(rows, r)
		if !c.RSS {
			continue
		}
		mem, err := m.memory(c, threads, name, why[i])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.Name, err)
		}
		rows = append(rows, mem)
	}
	return rows, nil
}

// settle is how long the threads of a rival go on spinning after its answer, at most: ours must not compete with them.
const settle = 60 * time.Millisecond

// precision is what products are computed in.
func (c *Case) precision() string {
	if c.Half {
		return "bfloat16"
	}
	return "float32"
}

// value converts the seconds of one run into the case's unit.
func (c *Case) value(seconds float64) float64 {
	switch c.Unit {
	case "ms":
		return seconds * 1e3
	case "µs":
		return seconds * 1e6
	}
	return c.Work / seconds
}

// fastest runs f once untimed, then for the given time but at least once, and returns the shortest run's seconds.
func fastest(f func(), budget time.Duration) float64 {
	f()
	best := math.Inf(1)
	start := time.Now()
	for i := 0; i == 0 || time.Since(start) < budget; i++ {
		t := time.Now()
		f()
		best = min(best, time.Since(t).Seconds())
	}
	return best
}

// memory compares the peak resident memory of fresh processes that run the case alone, each beyond what it held before
// it built the case: the libraries that a rival has imported are not counted.
func (m *meter) memory(c Case, threads int, rival, absent string) (Row, error) {
	r := Row{Case: c.Name + "/memory", Of: c.precision(), Threads: threads, Unit: "MB", Rival: rival, absent: absent}
	self, err := os.Executable()
	if err != nil {
		return r, err
	}
	cmd := exec.Command(self, "-resident", c.Name)
	cmd.Env = append(os.Environ(), "GOMAXPROCS="+strconv.Itoa(threads))
	cmd.Stderr = m.log
	out, err := cmd.Output()
	if err != nil {
		return r, fmt.Errorf("measuring memory: %w", err)
	}
	if r.Ours, err = strconv.ParseFloat(strings.TrimSpace(string(out)), 64); err != nil {
		return r, fmt.Errorf("measuring memory: %w", err)
	}
	r.Ours /= 1e6
	if absent == "" {
		f := newField([]string{rival}, threads)
		defer f.close()
		bytes, err := f.resident(rival, c)
		if err != nil {
			r.absent = err.Error()
			return r, nil
		}
		bytes /= 1e6
		ratio := bytes / r.Ours
		r.Theirs, r.Ratio = &bytes, &ratio
	}
	return r, nil
}

// runResident runs a case three times and prints the bytes resident at most beyond those before.
func runResident(name string, out io.Writer) error {
	for _, c := range cases() {
		if c.Name != name {
			continue
		}
		bytes, err := residentDuring(func() {
			run := c.Setup()
			for range 3 {
				run()
			}
		})
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(out, bytes)
		return err
	}
	return fmt.Errorf("no case is called %q", name)
}

// residentDuring runs f and returns the most bytes that were resident meanwhile beyond those resident before.
func residentDuring(f func()) (bytes int64, err error) {
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil { // VmHWM becomes VmRSS
		return 0, fmt.Errorf("resident memory: %w", err)
	}
	before, err := resident("VmRSS")
	if err != nil {
		return 0, err
	}
	f()
	most, err := resident("VmHWM")
	return most - before, err
}

// resident reads the memory that this process has resident (VmRSS), or had at most (VmHWM).
func resident(field string) (bytes int64, err error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, fmt.Errorf("resident memory: %w", err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("resident memory: /proc/self/status has no %s", field)
}
