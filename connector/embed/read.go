package embed

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/tensor"
)

// grey is an image's luminance in 0 … 1, its shorter side scaled to size and the middle cut out: [1, 1, size, size].
// The authors take thermal images so, and disparity maps once they are images.
func grey(m *imaging.RGB, size int) (*tensor.Tensor, error) {
	p := imaging.CLIP(size)
	p.Normalize, p.Filter = false, imaging.Bilinear
	single := imaging.New(m.W, m.H)
	for i := 0; i < len(m.Pix); i += 3 {
		r, g, b := int(m.Pix[i]), int(m.Pix[i+1]), int(m.Pix[i+2])
		single.Pix[i] = byte((r*19595 + g*38470 + b*7471 + 0x8000) >> 16) // as Pillow's mode L
	}
	x, err := p.Process(single)
	if err != nil {
		return nil, err
	}
	return tensor.Wrap(x.Data[:size*size], 1, 1, size, size), nil
}

// maxMotion bounds a file of motion.
const maxMotion = 16 << 20

// readMotion reads samples, a line of comma-separated numbers for each: [1, channels, samples]. Of longer recordings
// the first samples count; a shorter one is an error. A line of names may come first.
func readMotion(path string, shape [3]int) (*tensor.Tensor, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	channels, samples := shape[0], shape[1]
	x := tensor.New(1, channels, samples)
	r := csv.NewReader(io.LimitReader(f, maxMotion))
	r.FieldsPerRecord = -1
	for t := 0; t < samples; {
		line, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%s: %d samples: the model needs %d", path, t, samples)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		n, _ := r.FieldPos(0)
		if len(line) != channels {
			return nil, fmt.Errorf("%s: line %d has %d numbers: the model has %d channels", path, n, len(line),
				channels)
		}
		values := make([]float32, channels)
		var bad error
		for c, text := range line {
			v, err := strconv.ParseFloat(strings.TrimSpace(text), 32)
			if err != nil && bad == nil {
				bad = fmt.Errorf("%s: line %d: %q is no number", path, n, text)
			}
			if err == nil && (math.IsNaN(v) || math.IsInf(v, 0)) {
				return nil, fmt.Errorf("%s: line %d: %q is not finite", path, n, text)
			}
			values[c] = float32(v)
		}
		if bad != nil {
			if n == 1 {
				continue // names of the channels
			}
			return nil, bad
		}
		for c, v := range values {
			x.Data()[c*samples+t] = v
		}
		t++
	}
	return x, nil
}
