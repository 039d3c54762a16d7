package main

import (
	"bufio"
	"context"
	_ "embed"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// server is a process that answers.
type server struct {
	name, url string
	alone     []string // what it answers to each request when nothing else runs
	pid       int
	stop      func()
}

var address = regexp.MustCompile(`http://[0-9.]+:[0-9]+`)

// start runs a command until it has printed its address, to stderr.
func start(name string, cmd *exec.Cmd) (*server, error) {
	said, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{name: name, pid: cmd.Process.Pid, stop: func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}}
	lines, last := bufio.NewScanner(said), ""
	for lines.Scan() {
		if s.url = address.FindString(lines.Text()); s.url != "" {
			go func() {
				for lines.Scan() { // so that it never waits for a reader
				}
			}()
			return s, nil
		}
		last = lines.Text()
	}
	s.stop()
	return nil, fmt.Errorf("it ended before it answered: %s", last)
}

func startOurs(ctx context.Context, o options) (*server, error) {
	program := o.program
	if program == "" {
		dir, err := os.MkdirTemp("", "bench-load-")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(dir) // a running program does not need its file
		program = filepath.Join(dir, "gollava")
		build := exec.CommandContext(ctx, "go", "build", "-o", program, "github.com/gollava/gollava/cmd/gollava")
		if said, err := build.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("go build: %w\n%s", err, said)
		}
	}
	args := append([]string{"serve", "model=" + o.model, "--listen", "127.0.0.1:0"}, strings.Fields(o.args)...)
	return start("gollava", exec.CommandContext(ctx, program, args...))
}

//go:embed llama_server.py
var script string

// startLlama starts llama.cpp's server with a slot for every client.
func startLlama(ctx context.Context, o options) (*server, error) {
	slots := 1
	for _, n := range o.clients {
		slots = max(slots, n)
	}
	return start("llama.cpp", exec.CommandContext(ctx, o.python, "-c", script, o.model, strconv.Itoa(slots),
		strconv.Itoa(runtime.NumCPU())))
}

// learn asks every request alone, once.
func (s *server) learn(ctx context.Context, requests [][]byte) error {
	s.alone = nil
	for i, body := range requests {
		a, err := ask(ctx, http.DefaultClient, s.url, body)
		if err != nil {
			return fmt.Errorf("request %d: %w", i, err)
		}
		s.alone = append(s.alone, a.text)
	}
	time.Sleep(200 * time.Millisecond) // what the last answer left to do
	return nil
}

// resident is the memory of the server's process, where the system tells.
func (s *server) resident() int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kb << 10
		}
	}
	return 0
}
