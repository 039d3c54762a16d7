package data

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"path"
	"path/filepath"
	"sync"

	"github.com/gollava/gollava/data/imaging"
)

// LoadVideo decodes n frames of a video of a source as [imaging.OpenVideo] does those of a file, so that a model is
// trained on what it is asked about: of an animated GIF or WebP, of MJPEG in AVI, of a folder with a picture for each
// frame, and of what the ffmpeg on the path decodes where the source is a [Folder]. Of a shorter video it returns all
// frames. Zero limits are [DefaultLimits]. Its error is that of ctx, or a *Fault that names the video; a nil source has
// none.
func LoadVideo(ctx context.Context, s Source, name string, n int, o imaging.Options) ([]*imaging.RGB, error) {
	c, err := openClip(s, name)
	if err != nil {
		return nil, err
	}
	var list []*imaging.RGB
	at := "" // the frame that is being read
	switch o = limited(o); {
	case c.frames != nil:
		list, err = imaging.DecodeFrames(ctx, len(c.frames), n, o, func(i int) ([]byte, error) {
			at = c.frames[i]
			return s.Load(path.Join(name, at))
		})
	case c.path != "":
		list, err = imaging.OpenVideo(ctx, c.path, n, o)
	default:
		var b []byte
		if b, err = s.Load(name); err == nil {
			list, err = imaging.DecodeVideo(ctx, b, n, o)
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err != nil {
		f := videoFault(err, name, at)
		if errors.Is(err, imaging.Unsupported) && c.frames == nil && c.path == "" {
			f.Note += "; ffmpeg reads others from a folder, not from an archive"
		}
		return nil, f
	}
	return list, nil
}

// VideoKey identifies n frames of a video by its name, their number, and the content that they are decoded from:
// name/n frames@digest, the name under which [Features] keep what an encoder made of them. It is another once a byte of
// the file changes, or of a frame's that is among them. The error is as [LoadVideo]'s.
func VideoKey(ctx context.Context, s Source, name string, n int) (string, error) {
	c, err := openClip(s, name)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	at := ""
	switch {
	case c.frames != nil:
		fmt.Fprintln(h, len(c.frames))
		for _, i := range imaging.SampleFrames(len(c.frames), n) {
			if err := ctx.Err(); err != nil {
				return "", err
			}
			var b []byte
			at = c.frames[i]
			if b, err = s.Load(path.Join(name, at)); err != nil {
				break
			}
			fmt.Fprintf(h, "%q %d\n", at, len(b))
			h.Write(b)
		}
	case c.path != "":
		err = s.(*Folder).copy(h, name)
	default:
		var b []byte
		b, err = s.Load(name)
		h.Write(b)
	}
	if err != nil {
		return "", videoFault(err, name, at)
	}
	return fmt.Sprintf("%s/%d frames@%.16x", name, n, h.Sum(nil)), nil
}

// clip is how a video lies in a source: as pictures, as a file on disk, or else as bytes.
type clip struct {
	frames []string // names in the folder
	path   string
}

// lister is a source that knows folders: it returns the names of what lies in one, or nil where dir is none.
type lister interface {
	list(dir string) ([]string, error)
}

func openClip(s Source, name string) (c clip, err error) {
	if s == nil {
		return c, videoFault(NewFault(FileMissing, "no folder, zip or tar is given for it (images)"), name, "")
	}
	if l, ok := s.(lister); ok {
		names, err := l.list(name)
		if err != nil {
			return c, videoFault(err, name, "")
		}
		if names != nil {
			if c.frames = imaging.FrameNames(names); len(c.frames) == 0 {
				return c, videoFault(NewFault(Kind(imaging.NotImage), "the folder holds no picture: a frame each is needed, "+
					"named in order"), name, "")
			}
			return c, nil
		}
	}
	if d, ok := s.(*Folder); ok {
		c.path, err = d.file(name)
	}
	if err != nil {
		return c, videoFault(err, name, "")
	}
	return c, nil
}

// videoFault is the fault of a video, or of a frame that is a file of its own.
func videoFault(err error, name, frame string) *Fault {
	f := imageFault(err, name)
	if frame != "" {
		f.Note = frame + ": " + f.Note
	}
	f.Note = "video: " + f.Note
	return f
}

// list implements lister.
func (d *Folder) list(dir string) ([]string, error) {
	c, bad := clean(dir)
	if bad != nil {
		return nil, bad
	}
	switch st, err := d.root.Stat(c); {
	case err != nil:
		return nil, d.failed(err)
	case !st.IsDir():
		return nil, nil
	}
	f, err := d.root.Open(c)
	if err != nil {
		return nil, d.failed(err)
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, d.failed(err)
	}
	return append([]string{}, names...), nil
}

// file is the path of a regular file of d, for a program that reads it by itself.
func (d *Folder) file(name string) (string, error) {
	c, bad := clean(name)
	if bad != nil {
		return "", bad
	}
	st, err := d.root.Stat(c)
	switch {
	case err != nil:
		return "", d.failed(err)
	case !st.Mode().IsRegular():
		return "", NewFault(FileUnreadable, "neither a regular file nor a folder (%s)", st.Mode().Type())
	}
	return filepath.Join(d.path, filepath.FromSlash(c)), nil
}

// copy writes the bytes of a file, of which there may be more than of an image.
func (d *Folder) copy(w io.Writer, name string) error {
	c, bad := clean(name)
	if bad != nil {
		return bad
	}
	f, err := d.root.Open(c)
	if err != nil {
		return d.failed(err)
	}
	defer f.Close()
	if _, err = io.Copy(w, f); err != nil {
		return d.failed(err)
	}
	return nil
}

// folders are those of an archive: what lies in each.
type folders struct {
	once sync.Once
	in   map[string][]string
}

// list returns what lies in dir, nil where no member of the archive does.
func (x *folders) list(dir string, members iter.Seq[string]) ([]string, error) {
	c, bad := clean(dir)
	if bad != nil {
		return nil, bad
	}
	x.once.Do(func() {
		x.in = map[string][]string{}
		for name := range members {
			d, base := path.Split(name)
			d = path.Clean(d)
			x.in[d] = append(x.in[d], base)
		}
	})
	return x.in[c], nil
}

func (z *Zip) list(dir string) ([]string, error) {
	names, err := z.folders.list(dir, maps.Keys(z.files))
	return names, inArchive(err, z.path)
}

func (t *Tar) list(dir string) ([]string, error) {
	names, err := t.folders.list(dir, maps.Keys(t.files))
	return names, inArchive(err, t.path)
}

func inArchive(err error, file string) error {
	if f := (*Fault)(nil); errors.As(err, &f) {
		f.File = file
		return f
	}
	return err
}
