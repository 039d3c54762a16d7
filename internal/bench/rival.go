package main

import (
	"bufio"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/cpu"

	"github.com/gollava/gollava/tensor"
)

// rivals says how each rival's process is started. Each reads requests and writes answers, one JSON object a line.
var rivals = []struct {
	name  string
	start func(dir string, threads int) (*exec.Cmd, error)
}{
	{"openblas", func(dir string, threads int) (*exec.Cmd, error) {
		cmd := python(dir, "openblas", threads)
		cmd.Env = append(cmd.Env, "OPENBLAS_NUM_THREADS="+strconv.Itoa(threads))
		if cpu.X86.HasAVX512F { // its own choice is slower there
			cmd.Env = append(cmd.Env, "OPENBLAS_CORETYPE=SkylakeX")
		}
		return cmd, nil
	}},
	{"torch", torch("")},
	{"torch-medium", torch("medium")},
	{"torch-autocast", torch("autocast")},
	{"torch-bf16", torch("bf16")},
	{"torch-compile", torch("compile")},
	{"openvino", openvino("f32")},
	{"openvino-bf16", openvino("bf16")},
	{"gorgonia", self("gorgonia")},
	{"gorgonia+interop", self("gorgonia+interop")},
	{"c", func(dir string, threads int) (*exec.Cmd, error) {
		program := filepath.Join(dir, "loops")
		if _, err := os.Stat(program); err != nil {
			out, err := exec.Command("cc", "-O3", "-march=native", "-ffast-math", "-o", program, "-x", "c",
				filepath.Join(dir, "loops.c.txt"), "-lm").CombinedOutput()
			if err != nil {
				return nil, fmt.Errorf("cc: %w %.200s", err, out)
			}
		}
		return exec.Command(program), nil
	}},
	{"llama", func(dir string, threads int) (*exec.Cmd, error) { return python(dir, "llama", threads), nil }},
	{"python", func(dir string, threads int) (*exec.Cmd, error) { return python(dir, "data", threads), nil }},
}

func rivalNames() []string {
	var names []string
	for _, r := range rivals {
		names = append(names, r.name)
	}
	return names
}

// torchModes are all ways to run PyTorch: in float32, with set_float32_matmul_precision("medium"), under autocast to
// bfloat16, in bfloat16 altogether, and in float32 through torch.compile.
var torchModes = []string{"torch", "torch-medium", "torch-autocast", "torch-bf16", "torch-compile"}

func torch(mode string) func(dir string, threads int) (*exec.Cmd, error) {
	return func(dir string, threads int) (*exec.Cmd, error) {
		if (mode == "bf16" || mode == "autocast") && !tensor.FastBFloat16() {
			return nil, errors.New("this processor has no products of bfloat16, which PyTorch then emulates")
		}
		cmd := python(dir, "torch", threads, mode)
		n := strconv.Itoa(threads)
		// Workers that sleep between operations make two threads slower than one.
		cmd.Env = append(cmd.Env, "OMP_NUM_THREADS="+n, "MKL_NUM_THREADS="+n, "OMP_WAIT_POLICY=ACTIVE",
			"GOMP_SPINCOUNT=1000000")
		return cmd, nil
	}
}

func python(dir, name string, threads int, more ...string) *exec.Cmd {
	args := append([]string{filepath.Join(dir, "rival.py"), name, strconv.Itoa(threads)}, more...)
	cmd := exec.Command("python3", args...)
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	return cmd
}

func self(name string) func(string, int) (*exec.Cmd, error) {
	return func(_ string, threads int) (*exec.Cmd, error) {
		exe, err := os.Executable()
		if err != nil {
			return nil, err
		}
		cmd := exec.Command(exe, "-serve", name)
		cmd.Env = append(os.Environ(), "GOMAXPROCS="+strconv.Itoa(threads))
		return cmd, nil
	}
}

//go:embed rivals
var scripts embed.FS

// field is the processes of the rivals for one number of threads, started when first asked.
type field struct {
	asked   []string
	threads int
	dir     string // where the scripts lie
	running map[string]*process
	absent  map[string]error
}

func newField(asked []string, threads int) *field {
	return &field{asked: asked, threads: threads, running: map[string]*process{}, absent: map[string]error{}}
}

// of lists whom to ask about a case.
func (f *field) of(c Case) []string {
	return slices.DeleteFunc(slices.Clone(c.Rivals), func(name string) bool { return !slices.Contains(f.asked, name) })
}

// request asks for the seconds of a run of Op, measured for Budget seconds, or for the bytes resident at most in three
// runs beyond those before.
type request struct {
	Op       string         `json:"op"`
	Args     map[string]any `json:"args"`
	Budget   float64        `json:"budget"`
	Resident bool           `json:"resident"`
}

// answer holds one of its fields.
type answer struct {
	Ready   bool    `json:"ready,omitempty"`
	Seconds float64 `json:"seconds,omitempty"`
	Bytes   float64 `json:"bytes,omitempty"`
	Absent  string  `json:"absent,omitempty"` // why there is no such rival or operation
}

func (f *field) measure(name string, c Case, budget time.Duration) (seconds float64, err error) {
	a, err := f.ask(name, request{Op: c.Op, Args: c.Args, Budget: budget.Seconds()})
	return a.Seconds, err
}

func (f *field) resident(name string, c Case) (bytes float64, err error) {
	a, err := f.ask(name, request{Op: c.Op, Args: c.Args, Resident: true})
	return a.Bytes, err
}

func (f *field) ask(name string, r request) (answer, error) {
	if err := f.absent[name]; err != nil {
		return answer{}, err
	}
	p := f.running[name]
	if p == nil {
		var err error
		if p, err = f.start(name); err != nil {
			f.absent[name] = err
			return answer{}, err
		}
		f.running[name] = p
	}
	a, err := p.ask(r)
	if err != nil && !errors.As(err, new(refusal)) { // it died: do not ask again
		f.absent[name] = err
		delete(f.running, name)
		p.close()
	}
	return a, err
}

func (f *field) start(name string) (*process, error) {
	if f.dir == "" {
		dir, err := os.MkdirTemp("", "bench")
		if err != nil {
			return nil, err
		}
		f.dir = dir
		if err := os.CopyFS(dir, scripts); err != nil {
			return nil, err
		}
	}
	for _, r := range rivals {
		if r.name == name {
			cmd, err := r.start(filepath.Join(f.dir, "rivals"), f.threads)
			if err != nil {
				return nil, err
			}
			return startProcess(cmd)
		}
	}
	return nil, fmt.Errorf("no rival is called %q", name)
}

func (f *field) close() {
	for _, p := range f.running {
		p.close()
	}
	if f.dir != "" {
		os.RemoveAll(f.dir)
	}
}

// process is a rival that runs.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startProcess(cmd *exec.Cmd) (*process, error) {
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd, in, bufio.NewReader(out)}
	if _, err := p.read(); err != nil { // it says that it is ready, or why not
		p.close()
		return nil, err
	}
	return p, nil
}

// refusal is an answer that says why there is no measurement.
type refusal string

func (r refusal) Error() string { return string(r) }

func (p *process) ask(r request) (answer, error) {
	line, err := json.Marshal(r)
	if err != nil {
		return answer{}, err
	}
	if _, err := p.in.Write(append(line, '\n')); err != nil {
		return answer{}, fmt.Errorf("the rival's process ended: %w", err)
	}
	return p.read()
}

func (p *process) read() (a answer, err error) {
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		return a, fmt.Errorf("the rival's process ended: %w", err)
	}
	if err := json.Unmarshal(line, &a); err != nil {
		return a, fmt.Errorf("the rival answered %.100q: %w", line, err)
	}
	if a.Absent != "" {
		return a, refusal(a.Absent)
	}
	return a, nil
}

func (p *process) close() {
	p.in.Close()
	p.cmd.Wait()
}
