package imaging

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gollava/gollava/internal/mapfile"
)

// maxVideoFrames bounds the frames that are asked for; videoPixels bounds the pixels of all of them together, and
// videoWork those of the frames that are decoded on the way to the last, in parts of Limits.Pixels.
const (
	maxVideoFrames = 1 << 12
	videoPixels    = 4
	videoWork      = 64
)

// SampleFrames are the indices of n of total frames, evenly spaced from the first on: i·total/n, rounded down; of fewer
// than n all. Source: transformers' default_sample_indices_fn.
func SampleFrames(total, n int) []int {
	n = min(n, total)
	at := make([]int, max(n, 0))
	for i := range at {
		at[i] = i * total / n
	}
	return at
}

// OpenVideo reads n frames of a video, chosen by [SampleFrames]: of a folder with a picture for each frame, in the
// order of their names, of an animated GIF or WebP, of MJPEG in AVI, or of anything else that the ffmpeg on the path
// decodes. Of a shorter video it returns all frames. Limits hold for each frame, and for all of them together: they may
// have four times Limits.Pixels. A failure names the file and the frame.
func OpenVideo(ctx context.Context, path string, n int, o Options) ([]*RGB, error) {
	if n < 1 || n > maxVideoFrames {
		return nil, fmt.Errorf("imaging: %s: %d frames: 1 to %d are possible", path, n, maxVideoFrames)
	}
	st, err := os.Stat(path)
	if err != nil {
		return nil, opening(err, path)
	}
	if st.IsDir() {
		return openFolder(ctx, path, n, o)
	}
	f, err := mapfile.Regular(path)
	if err != nil {
		return nil, opening(err, path)
	}
	defer f.Close()
	head := make([]byte, 12)
	k, _ := f.ReadAt(head, 0)
	head = head[:k]
	name, open := videoFormat(head)
	if k == 0 {
		return nil, located(fail(Empty, "no bytes at all"), path, "")
	} else if open == nil {
		frames, err := extract(ctx, path, n, o)
		return frames, located(err, path, "")
	}
	data, err := Read(f, o.Limits)
	if err != nil {
		return nil, located(err, path, name)
	}
	frames, err := open(ctx, data, n, o)
	if errors.Is(err, errOtherCodec) {
		frames, err = extract(ctx, path, n, o)
	}
	return frames, located(err, path, name)
}

// DecodeVideo is [OpenVideo] for the bytes of a file. It decodes what needs no other program: animated GIF and WebP,
// and MJPEG in AVI. It returns early with ctx's error.
func DecodeVideo(ctx context.Context, data []byte, n int, o Options) ([]*RGB, error) {
	if n < 1 || n > maxVideoFrames {
		return nil, fmt.Errorf("imaging: %d frames: 1 to %d are possible", n, maxVideoFrames)
	}
	name, open := videoFormat(data[:min(len(data), 12)])
	switch most := o.filled().Bytes; {
	case len(data) == 0:
		return nil, located(fail(Empty, "no bytes at all"), "", "")
	case open == nil:
		return nil, located(fail(Unsupported, "a video must be an animated GIF or WebP, or MJPEG in AVI"), "", "")
	case int64(len(data)) > most:
		return nil, located(fail(TooLarge, "%d bytes: %d are allowed (Limits.Bytes)", len(data), most), "", name)
	}
	frames, err := open(ctx, data, n, o)
	if errors.Is(err, errOtherCodec) {
		err = fail(Unsupported, "of AVIs only those of MJPEG are decoded")
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return frames, located(err, "", name)
}

// videoFormat is how a file that begins with head, its first 12 bytes, is decoded; nil: otherwise than here.
func videoFormat(head []byte) (name string, open func(context.Context, []byte, int, Options) ([]*RGB, error)) {
	switch {
	case isGIF(head):
		return "gif", animatedGIF
	case isWebP(head):
		return "webp", animatedWebP
	case len(head) == 12 && string(head[:4]) == "RIFF" && string(head[8:]) == "AVI ":
		return "avi", motionJPEG
	}
	return "", nil
}

// checkVideo holds n frames of w×h pixels against the limits.
func (l Limits) checkVideo(n, w, h int) error {
	if n == 0 {
		return fail(Corrupt, "it holds no frame")
	}
	if err := l.check(w, h); err != nil {
		return err
	}
	if most := videoPixels * l.filled().Pixels; int64(n)*int64(w)*int64(h) > most {
		return fail(TooLarge, "%d frames of %d×%d pixels: %d pixels are allowed in all: ask for fewer frames", n, w, h,
			most)
	}
	return nil
}

// checkWork holds what is to be decoded of an animation against the limits: n frames, each on top of those before.
func (l Limits) checkWork(n, w, h int) error {
	if most := videoWork * l.filled().Pixels; int64(n)*int64(w)*int64(h) > most {
		return fail(TooLarge, "%d frames of %d×%d pixels are to be decoded one on top of another: %d pixels are "+
			"allowed in all", n, w, h, most)
	}
	return nil
}

// inFrame says in which frame something went wrong.
func inFrame(err error, i int) error {
	var e *Error
	if err == nil {
		return nil
	}
	if errors.As(err, &e) {
		return &Error{Kind: e.Kind, File: e.File, Err: fmt.Errorf("frame %d: %w", i, e.Err)}
	}
	return fmt.Errorf("frame %d: %w", i, err)
}

// FrameNames are those of the names of files that end as pictures do, sorted: the frames of a video that is a folder of
// pictures, in their order.
func FrameNames(names []string) []string {
	var frames []string
	for _, name := range names {
		switch strings.ToLower(filepath.Ext(name)) {
		case ".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp":
			frames = append(frames, name)
		}
	}
	slices.Sort(frames)
	return frames
}

// DecodeFrames is [OpenVideo] for a video each frame of which is a picture by itself: it decodes n of total frames,
// chosen by [SampleFrames], from the bytes that load returns. It returns early with ctx's error, and with load's.
func DecodeFrames(ctx context.Context, total, n int, o Options, load func(i int) ([]byte, error)) ([]*RGB, error) {
	var frames []*RGB
	for _, i := range SampleFrames(total, n) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		b, err := load(i)
		if err != nil {
			return nil, err
		}
		info, err := Header(b, o.Limits)
		if err == nil {
			err = o.checkVideo(min(n, total), info.W, info.H)
		}
		var m *RGB
		if err == nil {
			m, err = Decode(b, o)
		}
		if err != nil {
			return nil, inFrame(err, i)
		}
		frames = append(frames, m)
	}
	return frames, nil
}

// openFolder reads pictures in the order of their names. Other files are passed over.
func openFolder(ctx context.Context, dir string, n int, o Options) ([]*RGB, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, opening(err, dir)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if names = FrameNames(names); len(names) == 0 {
		return nil, &Error{Kind: NotImage, File: dir, Err: errors.New("the folder holds no picture: a frame each is " +
			"needed, named in order")}
	}
	path := ""
	frames, err := DecodeFrames(ctx, len(names), n, o, func(i int) ([]byte, error) {
		path = filepath.Join(dir, names[i])
		return readFile(path, o.Limits)
	})
	if err == nil || ctx.Err() != nil {
		return frames, err
	}
	return nil, located(err, path, "")
}

// animatedGIF decodes frames up to the last that is wanted, each on top of those before.
func animatedGIF(ctx context.Context, data []byte, n int, o Options) ([]*RGB, error) {
	list, err := gifFrames(data)
	if err != nil {
		return nil, inFrame(err, len(list))
	}
	info, err := headerGIF(data)
	if err == nil {
		err = o.checkVideo(min(n, len(list)), info.W, info.H)
	}
	if err != nil {
		return nil, err
	}
	wanted := SampleFrames(len(list), n)
	if err := o.checkWork(wanted[len(wanted)-1]+1, info.W, info.H); err != nil {
		return nil, err
	}
	var out []*RGB
	canvas := New(info.W, info.H)
	for i, f := range list[:wanted[len(wanted)-1]+1] {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if f.x+f.w > info.W || f.y+f.h > info.H {
			return nil, inFrame(fail(BadHeader, "%d×%d pixels at (%d, %d) on a screen of %d×%d", f.w, f.h, f.x, f.y,
				info.W, info.H), i)
		}
		before := canvas
		if f.disposal == 3 { // put back what was there
			before = canvas.Crop(canvas.Bounds())
		}
		if i == 0 {
			canvas.Fill(f.colour(f.fill))
		}
		if err := f.draw(canvas, i > 0); err != nil {
			return nil, inFrame(err, i)
		}
		if slices.Contains(wanted, i) {
			out = append(out, canvas.Crop(canvas.Bounds()))
		}
		switch f.disposal {
		case 2:
			patch := New(f.w, f.h)
			ground := data[11] // the background's index, as Pillow has it
			if f.transparent {
				ground = f.fill
			}
			patch.Fill(f.colour(ground))
			canvas.Paste(patch, f.x, f.y)
		case 3:
			canvas = before
		}
	}
	return out, nil
}

// animatedWebP decodes frames up to the last that is wanted, each on top of those before. A still picture is one frame.
func animatedWebP(ctx context.Context, data []byte, n int, o Options) ([]*RGB, error) {
	info, err := headerWebP(data)
	if err != nil {
		return nil, err
	}
	var list []webpFile
	var over []bool // the frame is laid over what is there, rather than in its place
	var clear []bool
	rest := data[12:]
	for len(rest) >= 8 {
		kind, size := string(rest[:4]), int64(binary.LittleEndian.Uint32(rest[4:]))
		if size > int64(len(rest)-8) {
			return nil, inFrame(fail(Truncated, "the data ends within it"), len(list))
		}
		if body := rest[8 : 8+size]; kind == "ANMF" && size >= 16 {
			f := webpFile{w: info.W, h: info.H, x: 2 * u24(body), y: 2 * u24(body[3:])}
			flags, opaque := body[15], true
			for sub := body[16:]; len(sub) >= 8; {
				k := int64(binary.LittleEndian.Uint32(sub[4:]))
				if k > int64(len(sub)-8) {
					return nil, inFrame(fail(Truncated, "the data ends within it"), len(list))
				}
				switch string(sub[:4]) {
				case "VP8 ":
					f.lossy = sub[8 : 8+k]
				case "VP8L":
					f.lossless = sub[8 : 8+k]
				case "ALPH":
					opaque = false
				}
				sub = sub[min(8+k+k&1, int64(len(sub))):]
			}
			if !opaque && flags&2 == 0 && len(list) > 0 {
				return nil, inFrame(fail(Unsupported, "a lossy frame that is blended with what is below it"), len(list))
			}
			list, over, clear = append(list, f), append(over, flags&2 == 0), append(clear, flags&1 != 0)
		}
		rest = rest[min(8+size+size&1, int64(len(rest))):]
	}
	if list == nil {
		m, err := Decode(data, o)
		return []*RGB{m}, err
	}
	if err := o.checkVideo(min(n, len(list)), info.W, info.H); err != nil {
		return nil, err
	}
	wanted := SampleFrames(len(list), n)
	if err := o.checkWork(wanted[len(wanted)-1]+1, info.W, info.H); err != nil {
		return nil, err
	}
	var out []*RGB
	canvas := New(info.W, info.H)
	for i, f := range list[:wanted[len(wanted)-1]+1] {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		m, err := f.within(o.Limits)
		if err == nil {
			err = f.layOn(canvas, m, over[i])
		}
		if err != nil {
			return nil, inFrame(err, i)
		}
		if slices.Contains(wanted, i) {
			out = append(out, canvas.Crop(canvas.Bounds()))
		}
		if clear[i] {
			canvas.Paste(New(m.W, m.H), f.x, f.y)
		}
	}
	return out, nil
}
