package train

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// The files of a checkpoint. The first can be read by anything that reads safetensors: what has been trained so far,
// under its names in the model.
const (
	weightsFile = "model.safetensors"
	// of the stage in progress: m/, v/, master/, ema/ and, within a step, grad/ before the names; sharded, a file of
	// each rank, optimizer-00001-of-00004.safetensors, of vectors that begin at the element after the @ of their names
	optimizerFile = "optimizer.safetensors"
	stateFile     = "state.json"
	manifestFile  = "manifest.json"
	format        = 1
)

// manifest is written last: a directory that has a right one is whole.
type manifest struct {
	Format int        `json:"format"`
	Stage  int        `json:"stage"`
	Step   int        `json:"step"`
	Micro  int        `json:"micro,omitempty"`
	Files  []fileInfo `json:"files"`
}

type fileInfo struct {
	Name string `json:"name"`
	Size int64  `json:"size"`
	SHA  string `json:"sha256"`
}

// sealed is the form of manifest.json: the manifest with a digest of its own.
type sealed struct {
	Manifest json.RawMessage `json:"manifest"`
	SHA      string          `json:"sha256"`
}

// stored is the content of state.json.
type stored struct {
	State  state             `json:"state"`
	Config json.RawMessage   `json:"config"` // resolved stages
	Hash   string            `json:"config_sha256"`
	Model  map[string]string `json:"model"` // of every parameter type and shape, and a sample of its bits if it never trained
	Unit   string            `json:"unit"`  // tensor.Unit of the process that computed it
}

func digest(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// place is the name of the checkpoint of a state. Names sort as the run went.
func place(s state) string {
	n := fmt.Sprintf("checkpoint-%02d-%08d", s.Stage+1, s.Step)
	if s.Micro > 0 {
		n += fmt.Sprintf("-%04d", s.Micro)
	}
	return n
}

// put creates a file of a checkpoint from what fill writes.
func (s *session) put(dir, name string, fill func(io.Writer) error) (fileInfo, error) {
	h, n := sha256.New(), int64(0)
	err := writeFile(s.fs, dir, name, func(w io.Writer) error {
		return fill(writerFunc(func(b []byte) (int, error) {
			h.Write(b)
			n += int64(len(b))
			return w.Write(b)
		}))
	})
	return fileInfo{name, n, hex.EncodeToString(h.Sum(nil))}, err
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// seal is the content of manifest.json.
func (m manifest) seal() ([]byte, error) {
	b, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	b, err = json.MarshalIndent(sealed{b, digest(b)}, "", " ")
	return append(b, '\n'), err
}

// readManifest checks manifest.json of a checkpoint. Every bit of the file counts.
func readManifest(dir string) (manifest, error) {
	var m manifest
	b, err := readSmall(filepath.Join(dir, manifestFile))
	if err != nil {
		return m, err
	}
	var s sealed
	if err := json.Unmarshal(b, &s); err != nil {
		return m, fmt.Errorf("%s: %w", manifestFile, err)
	}
	if err := json.Unmarshal(s.Manifest, &m); err != nil {
		return m, fmt.Errorf("%s: %w", manifestFile, err)
	}
	if again, err := m.seal(); err != nil || !bytes.Equal(again, b) {
		return m, fmt.Errorf("%s is not as it was written", manifestFile)
	}
	return m, nil
}

const maxSmall = 64 << 20

// readSmall reads a file of at most 64 MiB.
func readSmall(name string) ([]byte, error) {
	f, err := openRegular(name, maxSmall)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSmall+1))
	if err == nil && len(b) > maxSmall {
		err = fmt.Errorf("%s is larger than %d bytes", name, maxSmall)
	}
	return b, err
}

// verify reads a checkpoint's files through and compares sizes and digests.
func (m manifest) verify(dir string) error {
	for _, f := range m.Files {
		if f.Name != filepath.Base(f.Name) {
			return fmt.Errorf("file %q lies elsewhere", f.Name)
		}
		if err := f.verify(dir); err != nil {
			return err
		}
	}
	return nil
}

func (f fileInfo) verify(dir string) error {
	r, err := openRegular(filepath.Join(dir, f.Name), f.Size)
	if err != nil {
		return fmt.Errorf("%s: %w", f.Name, err)
	}
	defer r.Close()
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(r, f.Size+1))
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", f.Name, err)
	case n != f.Size:
		return fmt.Errorf("%s has %d bytes, %d were written", f.Name, n, f.Size)
	case hex.EncodeToString(h.Sum(nil)) != f.SHA:
		return fmt.Errorf("%s: its SHA-256 is not the one in %s", f.Name, manifestFile)
	}
	return nil
}

// openRegular opens a file of at most so many bytes that is no device, pipe or folder.
func openRegular(name string, most int64) (*os.File, error) {
	st, err := os.Stat(name) // first, as opening a pipe would wait for its writer
	switch {
	case err != nil:
		return nil, err
	case !st.Mode().IsRegular():
		return nil, fmt.Errorf("is not a regular file (%s)", st.Mode().Type())
	case st.Size() > most:
		return nil, fmt.Errorf("has %d bytes, more than the %d that it may have", st.Size(), most)
	}
	return os.Open(name)
}

// checkpoints lists the names of all checkpoints of a directory, damaged ones too, oldest first.
func checkpoints(dir string) ([]string, error) {
	es, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range es {
		if e.IsDir() && strings.HasPrefix(e.Name(), "checkpoint-") {
			names = append(names, e.Name())
		}
	}
	return names, nil // ReadDir sorts
}
