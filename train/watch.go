package train

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/gollava/gollava/tensor"
)

// ranksDir holds, for each rank, a log and its last sign of life.
const ranksDir = "ranks"

// patienceOfRanks is how long a rank waits for the others if Options.Timeout does not say.
const patienceOfRanks = 30 * time.Minute

// watched is a Comm whose waits are timed: if one takes too long, the run ends with a message that names the ranks
// that are missing.
type watched struct {
	Comm
	dir     string // of the signs of life; "": none
	timeout time.Duration
	name    func(rank int) string
	quit    chan struct{}

	mu      sync.Mutex
	begun   int // transfers
	step    int
	waiting int       // number of the transfer that is waited for; 0: none
	since   time.Time // when that began
	log     *os.File
}

// life is a sign of life, as its file has it.
type life struct {
	Host  string    `json:"host"`
	PID   int       `json:"pid"`
	Step  int       `json:"step"`
	Begun int       `json:"transfers"`
	Time  time.Time `json:"time"`
}

// watch begins to watch over a run of several ranks.
func (s *session) watch() error {
	if s.comm().Size() == 1 {
		return nil
	}
	w := &watched{Comm: s.comm(), timeout: s.o.Timeout, name: s.named, quit: make(chan struct{})}
	if w.timeout == 0 {
		w.timeout = patienceOfRanks
	}
	if s.o.Dir != "" {
		w.dir = filepath.Join(s.o.Dir, ranksDir)
		err := os.MkdirAll(w.dir, 0o777)
		if err == nil {
			w.log, err = os.OpenFile(w.file(w.Rank(), "log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o666)
		}
		if err = s.agree(err); err != nil {
			return fmt.Errorf("logs of the ranks: %w", err)
		}
		s.sinks = append(s.sinks, w.event)
	}
	s.watched = w
	go w.run(min(10*time.Second, w.timeout/4))
	return nil
}

func (w *watched) file(rank int, kind string) string {
	return filepath.Join(w.dir, fmt.Sprintf("rank-%04d.%s", rank, kind))
}

// event writes a line of this rank's log.
func (w *watched) event(e Event) error {
	w.mu.Lock()
	w.step = e.Step
	w.mu.Unlock()
	line := fmt.Sprintf("%s %s %d %s", e.Time.Format(time.RFC3339), e.Stage, e.Step, e.Kind)
	if e.Kind == "step" {
		line += fmt.Sprintf(" loss %.4f, %.3fs", e.Loss, e.Seconds)
	}
	if e.Text != "" {
		line += " " + e.Text
	}
	_, err := fmt.Fprintln(w.log, strings.ReplaceAll(line, "\n", "\n  "))
	return err
}

// end stops watching; err is how the run ended.
func (w *watched) end(err error) {
	close(w.quit)
	if w.log != nil {
		if err != nil {
			fmt.Fprintln(w.log, time.Now().Format(time.RFC3339), err)
		}
		w.log.Close()
	}
}

// run gives signs of life and ends the run when a wait takes too long.
func (w *watched) run(every time.Duration) {
	ticker := time.NewTicker(max(every, time.Millisecond))
	defer ticker.Stop()
	for {
		w.live()
		select {
		case <-w.quit:
			return
		case <-ticker.C:
		}
		w.mu.Lock()
		waiting, since, step := w.waiting, w.since, w.step
		w.mu.Unlock()
		if waiting > 0 && w.timeout > 0 && time.Since(since) > w.timeout {
			w.Abort(fmt.Errorf("%s has waited for %v in transfer %d after step %d; missing: %s", w.name(w.Rank()),
				time.Since(since).Round(time.Second),
				waiting, step, w.missing(waiting)))
			return
		}
	}
}

// live writes this rank's sign of life. What cannot be written is not worth ending a run for.
func (w *watched) live() {
	if w.dir == "" {
		return
	}
	host, _ := os.Hostname()
	w.mu.Lock()
	b, _ := json.Marshal(life{host, os.Getpid(), w.step, w.begun, time.Now()})
	w.mu.Unlock()
	tmp := w.file(w.Rank(), "new")
	if os.WriteFile(tmp, append(b, '\n'), 0o666) == nil {
		_ = os.Rename(tmp, w.file(w.Rank(), "json"))
	}
}

// missing names the ranks that have not begun a transfer, as far as their signs of life show.
func (w *watched) missing(transfer int) string {
	var names []string
	for rank := range w.Size() {
		if rank == w.Rank() || w.dir == "" {
			continue
		}
		var l life
		b, err := os.ReadFile(w.file(rank, "json"))
		if err == nil {
			err = json.Unmarshal(b, &l)
		}
		switch {
		case err != nil:
			names = append(names, fmt.Sprintf("%s (no sign of life: %v)", w.name(rank), err))
		case l.Begun < transfer:
			names = append(names,
				fmt.Sprintf("%s (process %d, after step %d, has begun %d transfers; last sign of life %v ago)",
					w.name(rank), l.PID, l.Step, l.Begun,
					time.Since(l.Time).Round(time.Second)))
		}
	}
	if names == nil {
		return "nobody is known to be; is the network down?"
	}
	return strings.Join(names, ", ")
}

// begin counts a transfer.
func (w *watched) begin() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.begun++
	return w.begun
}

// timed runs a wait for transfer n.
func (w *watched) timed(n int, wait func() error) error {
	w.mu.Lock()
	w.waiting, w.since = n, time.Now()
	w.mu.Unlock()
	err := wait()
	w.mu.Lock()
	w.waiting = 0
	w.mu.Unlock()
	return err
}

func (w *watched) Exchange(recv *tensor.Tensor, recvs []int, send *tensor.Tensor, sends []int) Pending {
	return timed{w, w.begin(), w.Comm.Exchange(recv, recvs, send, sends)}
}

func (w *watched) AllGather(recv *tensor.Tensor, counts []int, send *tensor.Tensor) Pending {
	return timed{w, w.begin(), w.Comm.AllGather(recv, counts, send)}
}

func (w *watched) AllReduce(x *tensor.Tensor) (p Pending) {
	n := w.begin()
	_ = w.timed(n, func() error { // it may wait
		p = w.Comm.AllReduce(x)
		return nil
	})
	return timed{w, n, p}
}

func (w *watched) Share(message []byte) (all [][]byte, err error) {
	err = w.timed(w.begin(), func() (err error) {
		all, err = w.Comm.Share(message)
		return err
	})
	return all, err
}

// timed is a transfer whose Wait is timed.
type timed struct {
	w *watched
	n int
	p Pending
}

func (t timed) Wait() error { return t.w.timed(t.n, t.p.Wait) }
func (t timed) Done() bool  { return t.p.Done() }
