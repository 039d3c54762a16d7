package train

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"github.com/gollava/gollava/tensor"
)

// peer is what a rank says of itself at the start.
type peer struct {
	Host   string
	PID    int
	CPUs   int               // that this process may use
	Online int               // CPUs of the host; 0: unknown
	Unit   string            // tensor.Unit
	Code   string            // of which the program was built
	MPI    string            // library that joins the ranks, "" if the Comm names none
	Config string            // resolved stages, as JSON
	Model  map[string]string // fingerprint of the parameters
	Same   map[string]string // Options.Same
}

// meet compares the ranks, before any of them trains. An error names the rank that differs from rank 0, and in what.
func (s *session) meet() (notes []string, err error) {
	if s.comm().Size() == 1 {
		return nil, nil
	}
	host, err := os.Hostname()
	if err != nil {
		host = "a host without a name"
	}
	config, err := json.Marshal(s.plan)
	if err != nil {
		return nil, err
	}
	me := peer{Host: host, PID: os.Getpid(), CPUs: runtime.NumCPU(), Online: online(), Unit: tensor.Unit(),
		Code: builtOf(), Config: string(config), Same: s.o.Same,
		Model: s.describeParams(func(string) bool { return false })}
	if l, ok := s.o.Comm.(interface{ Library() string }); ok {
		me.MPI = l.Library()
	}
	if s.peers, err = share(s.comm(), me); err != nil {
		return nil, fmt.Errorf("meeting the other ranks: %w", err)
	}
	for rank, p := range s.peers[1:] {
		if err := s.peers[0].compare(p); err != nil {
			return nil, agreed{fmt.Errorf("%s differs from %s: %w", s.named(rank+1), s.named(0), err)}
		}
	}
	notes, err = s.sameUnit()
	return append(unused(s.peers), notes...), err
}

// unused says on which hosts the launcher has bound ranks to so few CPUs that others are left idle.
func unused(peers []peer) (notes []string) {
	ranks, cpus := map[string]int{}, map[string]int{}
	for _, p := range peers {
		ranks[p.Host]++
		cpus[p.Host] += p.CPUs
	}
	for _, p := range peers {
		if n := ranks[p.Host]; n > 0 && cpus[p.Host] < p.Online {
			notes = append(notes, fmt.Sprintf("the %d ranks on %s may use %d of its %d CPUs: a launcher that binds "+
				"each to a core leaves the others idle; start with --bind-to none (mpirun), or more --cpus-per-task (srun)",
				n, p.Host, cpus[p.Host], p.Online))
		}
		delete(ranks, p.Host)
	}
	return notes
}

// online is the number of CPUs of this host, 0 if the system does not say.
func online() int {
	b, err := os.ReadFile("/sys/devices/system/cpu/online") // such as 0-3,8
	n := 0
	for part := range strings.SplitSeq(strings.TrimSpace(string(b)), ",") {
		from, to, more := strings.Cut(part, "-")
		if !more {
			to = from
		}
		a, e1 := strconv.Atoi(from)
		z, e2 := strconv.Atoi(to)
		if err != nil || e1 != nil || e2 != nil {
			return 0
		}
		n += z - a + 1
	}
	return n
}

// compare returns an error that says in what q differs from p.
func (p peer) compare(q peer) error {
	switch {
	case p.Code != q.Code:
		return fmt.Errorf("code: it runs a program built of %s, not of %s: install the same program on all hosts",
			q.Code, p.Code)
	case p.MPI != q.MPI:
		return fmt.Errorf("library: it is joined by %s, not by %s: install the same version on all hosts", q.MPI, p.MPI)
	case p.Config != q.Config:
		return fmt.Errorf("config: %s: start all ranks with the same config",
			differ([]byte(p.Config), []byte(q.Config)))
	}
	keys := maps.Clone(p.Same)
	if keys == nil {
		keys = map[string]string{}
	}
	maps.Copy(keys, q.Same)
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		if p.Same[k] != q.Same[k] {
			return fmt.Errorf("%s: %q, not %q: give all ranks the same files", k, q.Same[k], p.Same[k])
		}
	}
	keys = maps.Clone(p.Model)
	maps.Copy(keys, q.Model)
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		if p.Model[k] != q.Model[k] {
			return fmt.Errorf("model: parameter %s is %q, not %q: load the same weights on all ranks", k, q.Model[k],
				p.Model[k])
		}
	}
	return nil
}

// sameUnit refuses ranks that compute with other instructions than rank 0; if Options.AnyUnit allows them, they are
// noted.
func (s *session) sameUnit() (notes []string, err error) {
	other := map[string][]int{}
	for rank, p := range s.peers {
		if p.Unit != s.peers[0].Unit {
			other[p.Unit] = append(other[p.Unit], rank)
		}
	}
	for _, unit := range slices.Sorted(maps.Keys(other)) {
		notes = append(notes, fmt.Sprintf("%s computes on %s, but ranks %v on %s, which rounds differently: the "+
			"result depends on who computes what", s.named(0), s.peers[0].Unit, other[unit], unit))
	}
	if len(notes) == 0 || s.o.AnyUnit {
		return notes, nil
	}
	return nil, agreed{fmt.Errorf("%s; let all compute on what every rank has (CommonUnit, flag --common-unit), or "+
		"allow any unit (Options.AnyUnit, flag --any-unit)", notes[0])}
}

// builtOf names the sources of this program: the version control's revision, else the version of its main module. If
// these do not say all, the program's own digest is added.
func builtOf() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown sources"
	}
	revision, modified := "", ""
	for _, v := range info.Settings {
		switch v.Key {
		case "vcs.revision":
			revision = v.Value
		case "vcs.modified":
			modified = v.Value
		}
	}
	switch {
	case revision == "" && info.Main.Version != "(devel)" && info.Main.Version != "":
		return info.Main.Path + "@" + info.Main.Version
	case revision != "" && modified != "true":
		return revision
	case revision == "":
		revision = info.Main.Path
	}
	return revision + ", changed since (" + executable() + ")"
}

// executable is the beginning of the SHA-256 of this program's file.
func executable() string {
	path, err := os.Executable()
	if err != nil {
		return "of no file"
	}
	f, err := os.Open(path)
	if err != nil {
		return "of no file"
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "of no file"
	}
	return fmt.Sprintf("SHA-256 %.8x", h.Sum(nil))
}

// sameDir returns an error if a rank does not see the run's directory as rank 0 does.
func (s *session) sameDir() error {
	if s.comm().Size() == 1 {
		return nil
	}
	name, err := first(s, func() (string, error) {
		f, err := os.CreateTemp(s.o.Dir, ".shared-")
		if err != nil {
			return "", err
		}
		return filepath.Base(f.Name()), f.Close()
	})
	if err != nil {
		return err
	}
	if _, err = os.Stat(filepath.Join(s.o.Dir, name)); err != nil {
		err = fmt.Errorf("it does not see the file that %s wrote into %s: the directory must be on a file system that "+
			"all hosts share", s.named(0), s.o.Dir)
	}
	err = s.agree(err)
	if s.comm().Rank() == 0 {
		err = errors.Join(err, os.Remove(filepath.Join(s.o.Dir, name)))
	}
	return err
}
