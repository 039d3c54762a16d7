package study

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Package is a package of a public registry, as its client stores it: a .whl of pip, or a .tgz of npm.
type Package struct {
	File, Get string // its name on disk; the command that gets it, but for the folder at its end
	SHA256    string
	Licence   string // of what is read, and whose it is
	Under     string // the folder in it that is read
	Name      string // what the program calls it
}

// FetchPackages gets the packages that are missing in a folder with pip and npm where they are installed, and says else
// how to get them, and returns an error if the content of one is not that of the version which is known. It writes
// their licences to out.
func FetchPackages(ctx context.Context, dir string, list []Package, out io.Writer) error {
	var missing []string
	for _, s := range list {
		fmt.Fprintf(out, "%s\n    %s\n", s.File, s.Licence)
		name := filepath.Join(dir, s.File)
		if _, err := os.Stat(name); err == nil {
			continue
		}
		words := append(strings.Fields(s.Get), dir)
		if _, err := exec.LookPath(words[0]); err != nil {
			missing = append(missing, s.Get+" "+dir)
			continue
		}
		fmt.Fprintf(out, "    %s\n", strings.Join(words, " "))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if said, err := exec.CommandContext(ctx, words[0], words[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", strings.Join(words, " "), err, said)
		}
	}
	if missing != nil {
		return fmt.Errorf("these packages are missing in %s, and their clients are not installed; get them with\n    %s",
			dir, strings.Join(missing, "\n    "))
	}
	for _, s := range list {
		b, err := os.ReadFile(filepath.Join(dir, s.File))
		if err != nil {
			return err
		}
		if sum := fmt.Sprintf("%x", sha256.Sum256(b)); sum != s.SHA256 {
			return fmt.Errorf("%s: its content is not that of the version which this program knows (SHA-256 %s, "+
				"expected %s); delete it and get it with: %s %s", filepath.Join(dir, s.File), sum, s.SHA256, s.Get, dir)
		}
	}
	return nil
}

// Files are the files of the package in dir that lie under p.Under, by their names there.
func (p Package) Files(dir string) (map[string][]byte, error) {
	name := filepath.Join(dir, p.File)
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	fail := func(err error) (map[string][]byte, error) { return nil, fmt.Errorf("%s: %w", name, err) }
	if strings.HasSuffix(name, ".whl") {
		z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return fail(err)
		}
		for _, f := range z.File {
			if rest, ok := strings.CutPrefix(f.Name, p.Under); ok && !strings.Contains(rest, "/") {
				r, err := f.Open()
				if err != nil {
					return fail(err)
				}
				if files[rest], err = io.ReadAll(r); err != nil {
					return fail(err)
				}
			}
		}
		return files, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return fail(err)
	}
	for t := tar.NewReader(z); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return fail(err)
		}
		if rest, ok := strings.CutPrefix(h.Name, p.Under); ok && filepath.IsLocal(rest) {
			if files[rest], err = io.ReadAll(t); err != nil {
				return fail(err)
			}
		}
	}
}
