package generate

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"

	"github.com/gollava/gollava/internal/jsonrecord"
)

// log is the file of all replies, appended to and flushed to the disk one by one. It holds places in memory, not
// texts.
type log struct {
	mu     sync.Mutex
	files  []*os.File        // the last is written to
	size   int64             // of the last
	places map[string][]span // of a request's replies, in order of attempts
	usage  Usage
	cut    int
}

type span struct {
	file   int
	offset int64
	size   int
}

// openLog opens the log, cutting off a last line that a killed run left unfinished.
func openLog(path string) (*log, error) {
	l := &log{places: map[string][]span{}}
	err := jsonrecord.EachLine(path, func(r jsonrecord.Record, cut bool) error {
		v, err := jsonrecord.Decode[Reply](r)
		if cut {
			l.cut++
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: the log of replies is damaged: repair the line or delete it", err)
		}
		if want := len(l.places[v.Request]) + 1; v.Attempt != want {
			return fmt.Errorf("%s: attempt %d where %d belongs: the log of replies is damaged, or two runs wrote "+
				"to it", r.At(), v.Attempt, want)
		}
		l.note(v, span{0, r.Offset, len(r.Raw)})
		l.size = r.Offset + int64(len(r.Raw)) + 1
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	l.files = []*os.File{f}
	if err := f.Truncate(l.size); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// divert makes a fresh file the one that replies are added to.
func (l *log) divert(path string) error {
	f, err := os.Create(path)
	if err != nil {
		l.close()
		return err
	}
	l.files, l.size = append(l.files, f), 0
	return nil
}

func (l *log) note(r Reply, s span) {
	l.places[r.Request] = append(l.places[r.Request], s)
	if r.Usage != nil && r.Status == 200 {
		l.usage.Prompt += r.Usage.Prompt
		l.usage.Completion += r.Usage.Completion
	}
}

// add appends a reply.
func (l *log) add(r Reply) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	b = append(b, '\n')
	l.mu.Lock()
	defer l.mu.Unlock()
	last := len(l.files) - 1
	if _, err := l.files[last].WriteAt(b, l.size); err != nil {
		return err
	}
	if err := l.files[last].Sync(); err != nil {
		return err
	}
	l.note(r, span{last, l.size, len(b) - 1})
	l.size += int64(len(b))
	return nil
}

// replies reads what is there of a request.
func (l *log) replies(request string) ([]Reply, error) {
	l.mu.Lock()
	places := l.places[request]
	l.mu.Unlock()
	var out []Reply
	for _, s := range places {
		b := make([]byte, s.size)
		if _, err := l.files[s.file].ReadAt(b, s.offset); err != nil && err != io.EOF {
			return nil, err
		}
		var r Reply
		if err := json.Unmarshal(b, &r); err != nil {
			return nil, fmt.Errorf("%s: at byte %d: %w", l.files[s.file].Name(), s.offset, err)
		}
		out = append(out, r)
	}
	return out, nil
}

// spent is all that was used.
func (l *log) spent() Usage {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.usage
}

func (l *log) close() error {
	var err error
	for _, f := range l.files {
		err = errors.Join(err, f.Close())
	}
	return err
}
