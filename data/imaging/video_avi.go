package imaging

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
)

// errOtherCodec is of an AVI that holds no MJPEG.
var errOtherCodec = errors.New("the stream is no MJPEG")

// maxLists bounds how deep the lists of an AVI are nested; the format has two levels: hdrl and strl, movi and rec.
const maxLists = 8

// motionJPEG decodes the wanted frames of the first video stream of an AVI.
func motionJPEG(ctx context.Context, data []byte, n int, o Options) ([]*RGB, error) {
	var list [][]byte
	stream, streams := -1, 0
	codec := ""
	var walk func(data []byte, depth int) error
	walk = func(data []byte, depth int) error {
		for len(data) >= 8 {
			kind, size := string(data[:4]), int64(binary.LittleEndian.Uint32(data[4:]))
			if size > int64(len(data)-8) {
				return inFrame(fail(Truncated, "the data ends within it"), len(list))
			}
			body := data[8 : 8+size]
			switch {
			case kind == "LIST" && size >= 4 && slices.Contains([]string{"hdrl", "strl", "movi", "rec "},
				string(body[:4])):
				if depth == maxLists {
					return fail(Corrupt, "lists lie more than %d deep in one another", maxLists)
				}
				if err := walk(body[4:], depth+1); err != nil {
					return err
				}
			case kind == "strh" && size >= 8:
				if stream < 0 && string(body[:4]) == "vids" {
					stream, codec = streams, strings.ToUpper(string(body[4:8]))
				}
				streams++
			case stream >= 0 && (kind == fmt.Sprintf("%02ddc", stream) || kind == fmt.Sprintf("%02ddb", stream)) &&
				size > 0:
				list = append(list, body)
			}
			data = data[min(8+size+size&1, int64(len(data))):]
		}
		return nil
	}
	if err := walk(data[12:], 1); err != nil {
		return nil, err
	}
	if len(list) > 0 && codec != "MJPG" && !isJPEG(list[0]) {
		return nil, errOtherCodec
	}
	if len(list) == 0 {
		return nil, fail(Corrupt, "it holds no frame")
	}
	return DecodeFrames(ctx, len(list), n, o, func(i int) ([]byte, error) { return withTables(list[i]), nil })
}

// withTables puts the Huffman tables of the JPEG standard (ITU T.81, K.3) into a frame that has none, as most cameras
// write MJPEG.
func withTables(frame []byte) []byte {
	for at := 2; at+4 <= len(frame) && frame[at] == 0xff; {
		size := 2 + int(binary.BigEndian.Uint16(frame[at+2:]))
		switch frame[at+1] {
		case 0xc4:
			return frame
		case 0xda:
			return slices.Concat(frame[:at], standardTables(), frame[at:])
		}
		at += size
	}
	return frame
}

func standardTables() []byte {
	dc := []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}
	var body []byte
	for _, t := range []struct {
		class  byte
		counts [16]byte
		values []byte
	}{
		{0x00, [16]byte{0, 1, 5, 1, 1, 1, 1, 1, 1}, dc},
		{0x01, [16]byte{0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1}, dc},
		{0x10, [16]byte{0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 0x7d}, []byte(
			"\x01\x02\x03\x00\x04\x11\x05\x12!1A\x06\x13Qa\x07\"q\x142\x81\x91\xa1\x08#B\xb1\xc1\x15R\xd1\xf0$3br\x82\t\n" +
				"\x16\x17\x18\x19\x1a%&'()*456789:CDEFGHIJSTUVWXYZcdefghijstuvwxyz\x83\x84\x85\x86\x87\x88\x89\x8a" +
				"\x92\x93\x94\x95\x96\x97\x98\x99\x9a\xa2\xa3\xa4\xa5\xa6\xa7\xa8\xa9\xaa\xb2\xb3\xb4\xb5\xb6\xb7\xb8\xb9\xba" +
				"\xc2\xc3\xc4\xc5\xc6\xc7\xc8\xc9\xca\xd2\xd3\xd4\xd5\xd6\xd7\xd8\xd9\xda\xe1\xe2\xe3\xe4\xe5\xe6\xe7\xe8\xe9\xea" +
				"\xf1\xf2\xf3\xf4\xf5\xf6\xf7\xf8\xf9\xfa")},
		{0x11, [16]byte{0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 0x77}, []byte(
			"\x00\x01\x02\x03\x11\x04\x05!1\x06\x12AQ\x07aq\x13\"2\x81\x08\x14B\x91\xa1\xb1\xc1\t#3R\xf0\x15br\xd1\n\x16$4" +
				"\xe1%\xf1\x17\x18\x19\x1a&'()*56789:CDEFGHIJSTUVWXYZcdefghijstuvwxyz\x82\x83\x84\x85\x86\x87\x88\x89\x8a" +
				"\x92\x93\x94\x95\x96\x97\x98\x99\x9a\xa2\xa3\xa4\xa5\xa6\xa7\xa8\xa9\xaa\xb2\xb3\xb4\xb5\xb6\xb7\xb8\xb9\xba" +
				"\xc2\xc3\xc4\xc5\xc6\xc7\xc8\xc9\xca\xd2\xd3\xd4\xd5\xd6\xd7\xd8\xd9\xda\xe2\xe3\xe4\xe5\xe6\xe7\xe8\xe9\xea" +
				"\xf2\xf3\xf4\xf5\xf6\xf7\xf8\xf9\xfa")},
	} {
		body = append(append(append(body, t.class), t.counts[:]...), t.values...)
	}
	return append(binary.BigEndian.AppendUint16([]byte{0xff, 0xc4}, uint16(len(body)+2)), body...)
}

// maxDecoded bounds the frames that ffmpeg may give: a day of 30 a second.
const maxDecoded = 30 * 60 * 60 * 24

// extract lets the ffmpeg on the path decode a video twice: to count its frames, and to take those that are wanted.
func extract(ctx context.Context, path string, n int, o Options) ([]*RGB, error) {
	program, err := exec.LookPath("ffmpeg")
	if err != nil {
		return nil, fail(Unsupported, "GIF, WebP, MJPEG in AVI and folders of frames are read as they are; for "+
			"anything else ffmpeg must be on the path: %w", err)
	}
	total := 0
	if err := decoded(ctx, program, path, o.Limits, func(*bytesPPM) (bool, error) {
		total++
		return true, nil
	}); err != nil {
		return nil, err
	}
	wanted := SampleFrames(total, n)
	if total == 0 {
		return nil, fail(Corrupt, "ffmpeg finds no frame in it")
	}
	var out []*RGB
	i := 0
	err = decoded(ctx, program, path, o.Limits, func(p *bytesPPM) (more bool, err error) {
		if len(out) < len(wanted) && wanted[len(out)] == i {
			if err := o.checkVideo(len(wanted), p.w, p.h); err != nil {
				return false, err
			}
			m := New(p.w, p.h)
			copy(m.Pix, p.pix)
			out = append(out, m)
		}
		i++
		return len(out) < len(wanted), nil
	})
	return out, err
}

// bytesPPM is a frame as ffmpeg writes it; pix is used again for the next.
type bytesPPM struct {
	w, h int
	pix  []byte
}

// decoded calls each for the frames of the first video stream, until it wants no more.
func decoded(ctx context.Context, program, path string, l Limits, each func(*bytesPPM) (bool, error)) error {
	running, stop := context.WithCancel(ctx)
	defer stop()
	c := exec.CommandContext(running, program, "-nostdin", "-v", "error", "-i", "file:"+path, "-map", "0:v:0",
		"-fps_mode", "passthrough", "-f", "image2pipe", "-c:v", "ppm", "-pix_fmt", "rgb24", "-")
	var said bytes.Buffer
	c.Stderr = &said
	pipe, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		return &Error{Kind: Unreadable, Err: fmt.Errorf("ffmpeg: %w", err)}
	}
	r := bufio.NewReaderSize(pipe, 1<<16)
	var p bytesPPM
	frames := 0
	done := false
	for more := true; more && err == nil; frames++ {
		if _, err = r.Peek(1); err != nil { // after the last frame
			done = errors.Is(err, io.EOF)
			break
		}
		var depth int
		if _, err = fmt.Fscanf(r, "P6\n%d %d\n%d\n", &p.w, &p.h, &depth); err == nil {
			err = l.check(p.w, p.h)
		}
		if err == nil && frames == maxDecoded {
			err = fail(TooLarge, "more than %d frames", maxDecoded)
		}
		if err == nil {
			p.pix = slices.Grow(p.pix[:0], 3*p.w*p.h)[:3*p.w*p.h]
			if _, err = io.ReadFull(r, p.pix); err == nil {
				more, err = each(&p)
			}
		}
		if errors.Is(err, io.EOF) { // within a frame
			err = io.ErrUnexpectedEOF
		}
	}
	if !done { // it has more to write, which nobody wants
		stop()
	}
	switch wait := c.Wait(); {
	case ctx.Err() != nil:
		return ctx.Err()
	case done && (wait != nil || said.Len() > 0):
		return fail(Corrupt, "ffmpeg: %.300s", cmp.Or(strings.TrimSpace(said.String()), fmt.Sprint(wait)))
	case done:
		return nil
	}
	return err
}
