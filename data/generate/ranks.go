package generate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"

	"github.com/gollava/gollava/internal/atomicfile"
	"github.com/gollava/gollava/internal/jsonrecord"
)

// Comm joins processes, called ranks, that share a run out: each asks the requests whose hashes are its own. All make
// the same calls in the same order. A train.Comm is one.
type Comm interface {
	Rank() int // of this process: 0 to Size−1
	Size() int // number of ranks

	// Share gives every rank the messages of all, in rank order.
	Share(message []byte) ([][]byte, error)
}

// alone is the Comm of a run in one process.
type alone struct{}

func (alone) Rank() int                              { return 0 }
func (alone) Size() int                              { return 1 }
func (alone) Share(message []byte) ([][]byte, error) { return [][]byte{message}, nil }

const logName = "replies.jsonl"

var partName = regexp.MustCompile(`^replies-\d{4,}\.jsonl$`)

// logPath is the log that a rank writes: the run's own, or one of several that rank 0 moves into it.
func (o Options) logPath(rank int) string {
	if o.Comm.Size() == 1 {
		return filepath.Join(o.Out, logName)
	}
	return filepath.Join(o.Out, fmt.Sprintf("replies-%04d.jsonl", rank))
}

// mine reports whether this rank asks a request. Equal requests are one rank's, which so asks them once.
func (o Options) mine(hash string) bool {
	n, err := strconv.ParseUint(hash[:8], 16, 32)
	return err != nil || n%uint64(o.Comm.Size()) == uint64(o.Comm.Rank())
}

// agree waits for all ranks, and returns an error on each if one has an error: its own, or the first rank's.
func (o Options) agree(err error) error {
	if o.Comm.Size() == 1 {
		return err
	}
	said := ""
	if err != nil {
		said = " " + err.Error()
	}
	all, failed := o.Comm.Share([]byte(said))
	if failed != nil {
		return errors.Join(err, failed)
	}
	for rank, text := range all {
		if len(text) > 0 && err == nil {
			err = fmt.Errorf("rank %d:%s", rank, text)
		}
	}
	return err
}

// merge moves what ranks have logged, in this run or in one that was stopped, into the run's log, rank after rank. A
// reply that is there already, of a request that two ranks sent or of a merge that was stopped, is left out.
func (o Options) merge() error {
	files, err := os.ReadDir(o.Out) // sorted
	if err != nil {
		return err
	}
	var parts []string
	for _, f := range files {
		if partName.MatchString(f.Name()) {
			parts = append(parts, filepath.Join(o.Out, f.Name()))
		}
	}
	if parts == nil {
		return nil
	}
	type key struct {
		request string
		attempt int
	}
	there := map[key]bool{}
	path := filepath.Join(o.Out, logName)
	err = atomicfile.Write(path, func(w io.Writer) error {
		for _, from := range append([]string{path}, parts...) {
			err := jsonrecord.EachLine(from, func(r jsonrecord.Record, cut bool) error {
				if cut {
					return nil
				}
				v, err := jsonrecord.Decode[Reply](r)
				if err != nil {
					return fmt.Errorf("%w: the log of replies is damaged: repair the line or delete it", err)
				}
				k := key{v.Request, v.Attempt}
				if there[k] {
					return nil
				}
				there[k] = true
				_, err = w.Write(append(bytes.TrimSuffix(r.Raw, []byte("\n")), '\n'))
				return err
			})
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		return nil
	})
	for _, p := range parts {
		if err == nil {
			err = os.Remove(p)
		}
	}
	return err
}

// together runs f on rank 0 and gives its report, or its error, to all.
func (o Options) together(f func() (*Report, error)) (report *Report, err error) {
	var b []byte
	if o.Comm.Rank() == 0 {
		if report, err = f(); err == nil {
			b, err = json.Marshal(report)
		}
	}
	if err = o.agree(err); err != nil || o.Comm.Size() == 1 {
		return report, err
	}
	all, err := o.Comm.Share(b)
	if err != nil || report != nil {
		return report, err
	}
	report = &Report{}
	return report, json.Unmarshal(all[0], report)
}
