package embed

import (
	"bytes"
	"context"
	"encoding/binary"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
	"github.com/gollava/gollava/vit/imagebind"
)

// folder holds a tiny ImageBind without a thermal tower, a tokenizer and files of every kind.
func folder(t *testing.T) string {
	dir := t.TempDir()
	tok, err := tokenizer.Train(slices.Values([]string{"a red circle"}), tokenizer.TrainConfig{Size: 270,
		Specials: []string{"<s>", "</s>"}, BOS: "<s>", EOS: "</s>"})
	require.NoError(t, err)
	require.NoError(t, tok.Save(dir))
	c := imagebind.Huge()
	c.EmbedDim, c.Modalities = 6, []imagebind.Modality{imagebind.Vision, imagebind.Text, imagebind.Audio,
		imagebind.Depth, imagebind.IMU}
	c.VisionDim, c.VisionBlocks, c.VisionHeads, c.VisionPatch = 8, 1, 2, [2]int{8, 4}
	c.TextDim, c.TextBlocks, c.TextHeads, c.VocabSize, c.ContextLength = 8, 1, 2, 300, 9
	c.AudioDim, c.AudioBlocks, c.AudioHeads, c.AudioShape, c.AudioKernel = 8, 1, 2, [2]int{8, 204}, [2]int{8, 8}
	c.DepthDim, c.DepthBlocks, c.DepthHeads, c.DepthPatch = 8, 1, 2, [2]int{8, 4}
	c.IMUDim, c.IMUBlocks, c.IMUHeads, c.IMUShape = 8, 1, 2, [3]int{2, 8, 4}
	m, err := imagebind.New(rand.New(rand.NewPCG(1, 2)), c)
	require.NoError(t, err)
	require.NoError(t, imagebind.Save(dir, m, nn.SaveOptions{}))
	pixels := imaging.New(11, 9)
	for i := range pixels.Pix {
		pixels.Pix[i] = byte(i * 7)
	}
	var b bytes.Buffer
	require.NoError(t, png.Encode(&b, pixels))
	write(t, dir, "x.png", b.String())
	write(t, dir, "x.csv", "x,y\n"+strings.Repeat("1,-2\n", 9))
	write(t, dir, "short.csv", strings.Repeat("1,-2\n", 7))
	write(t, dir, "wide.csv", "1,2,3\n")
	write(t, dir, "words.csv", "1,2\na,b\n")
	write(t, dir, "x.wav", wave(8000, 16000))
	write(t, dir, "empty.wav", wave(8000, 0))
	return dir
}

func write(t *testing.T, dir, name, content string) {
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644))
}

// wave is a tone of n samples in 16 bits.
func wave(rate, n int) string {
	var b bytes.Buffer
	b.WriteString("RIFF\x00\x00\x00\x00WAVEfmt ")
	for _, v := range []any{uint32(16), uint16(1), uint16(1), uint32(rate), uint32(2 * rate), uint16(2), uint16(16)} {
		_ = binary.Write(&b, binary.LittleEndian, v)
	}
	b.WriteString("data")
	_ = binary.Write(&b, binary.LittleEndian, uint32(2*n))
	for i := range n {
		_ = binary.Write(&b, binary.LittleEndian, int16(9000*math.Sin(float64(i)/9)))
	}
	return b.String()
}

// Whatever has a tower becomes a unit vector of its own, alone or among others.
func TestEmbed(t *testing.T) {
	dir := folder(t)
	e, err := Open(dir, nn.LoadOptions{})
	require.NoError(t, err)
	in := func(name string) string { return filepath.Join(dir, name) }
	items := []Item{Text("a red circle"), File(in("x.png")), File(in("x.wav")), {Kind: imagebind.Depth,
		Path: in("x.png")}, File(in("x.csv"))}
	x, err := e.Embed(context.Background(), items...)
	require.NoError(t, err)
	require.Equal(t, []int{5, 6}, x.Shape())
	for i, it := range items {
		alone, err := e.Embed(context.Background(), it)
		require.NoError(t, err)
		require.Equal(t, alone.Data(), x.Data()[i*6:(i+1)*6], it.Kind)
		require.InDelta(t, 1, alone.Mul(alone).Sum().Item(), 1e-5)
	}
	long, err := e.Embed(context.Background(), Text(strings.Repeat("red ", 50)))
	require.NoError(t, err)
	require.NotEqual(t, x.Data()[:6], long.Data())
}

func TestBadInput(t *testing.T) {
	dir := folder(t)
	e, err := Open(dir, nn.LoadOptions{})
	require.NoError(t, err)
	write(t, dir, "nan.csv", "1,nan\n")
	for want, it := range map[string]Item{
		"thermal: the model does not have this modality: it has [vision text audio depth imu]": {
			Kind: imagebind.Thermal, Path: "x.png"},
		"empty.wav: there are no samples":         File(filepath.Join(dir, "empty.wav")),
		"short.csv: 7 samples: the model needs 8": File(filepath.Join(dir, "short.csv")),
		"wide.csv: line 1 has 3 numbers":          File(filepath.Join(dir, "wide.csv")),
		`words.csv: line 2: "a" is no number`:     File(filepath.Join(dir, "words.csv")),
		`nan.csv: line 1: "nan" is not finite`:    File(filepath.Join(dir, "nan.csv")),
		"none.png":                                File(filepath.Join(dir, "none.png")),
		"x.csv": {Kind: imagebind.Vision, Path: filepath.Join(dir,
			"x.csv")},
		"smell: the model does not have this modality: it ": {Kind: "smell"},
	} {
		_, err := e.Embed(context.Background(), it)
		require.ErrorContains(t, err, want)
	}
	_, err = e.Embed(context.Background())
	require.ErrorContains(t, err, "nothing to embed")
	require.NoError(t, os.Remove(filepath.Join(dir, "tokenizer.json")))
	e, err = Open(dir, nn.LoadOptions{})
	require.NoError(t, err)
	_, err = e.Embed(context.Background(), Text("a"))
	require.ErrorContains(t, err, "the model's tokenizer cannot be read")
	write(t, dir, "config.json", `{"model_type":"llava"}`)
	_, err = Open(dir, nn.LoadOptions{})
	require.ErrorContains(t, err, `model_type "llava" has no embeddings of images`)
}

// A CLIP embeds what its own methods embed.
func TestCLIP(t *testing.T) {
	dir := folder(t)
	v := vit.CLIPBase32()
	v.HiddenSize, v.IntermediateSize, v.NumHiddenLayers, v.NumAttentionHeads, v.ImageSize, v.PatchSize = 8, 16, 1, 2,
		8, 4
	c := v.CLIP()
	c.ProjectionDim, c.Text.HiddenSize, c.Text.IntermediateSize, c.Text.NumHiddenLayers, c.Text.NumAttentionHeads = 6,
		8, 16, 1, 2
	c.Text.VocabSize, c.Text.MaxPositionEmbeddings, c.Text.EOS = 300, 9, 1
	m, err := vit.NewCLIP(rand.New(rand.NewPCG(1, 2)), c)
	require.NoError(t, err)
	require.NoError(t, vit.SaveCLIP(dir, m, nn.SaveOptions{}))
	e, err := Open(dir, nn.LoadOptions{})
	require.NoError(t, err)
	x, err := e.Embed(context.Background(), Text("a red circle"), File(filepath.Join(dir, "x.png")))
	require.NoError(t, err)
	ids, err := e.text("a red circle")
	require.NoError(t, err)
	require.InDeltaSlice(t, m.EncodeText(ids, nil).Data(), x.Data()[:6], 1e-6)
	_, err = e.Embed(context.Background(), File(filepath.Join(dir, "x.wav")))
	require.ErrorContains(t, err, "it has [vision text]")
	require.Equal(t, tensor.Float32, x.DType())
}
