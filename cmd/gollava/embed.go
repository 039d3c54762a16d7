package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gollava/gollava/connector/embed"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/vit/imagebind"
)

type embedCommand struct {
	Model string   `arg:"" help:"Folder of a CLIP or an ImageBind, with a tokenizer, or the file imagebind_huge.pth."`
	Items []string `arg:"" help:"Files and texts: KIND:PATH or text:WORDS, where KIND is image, audio, depth, thermal or imu; a name that ends in .wav, .csv, .png, .jpg, .jpeg, .gif, .webp or .bmp needs no kind."`
	JSON  bool     `name:"json" help:"Print the vectors, one JSON object a line, in place of how alike they are."`
	DType string   `name:"dtype" enum:"float32,bfloat16,stored" default:"${dtype}" help:"What weights are kept as: ${enum}, in which float16 counts as float32."`
}

func (embedCommand) Help() string {
	return `Makes unit vectors of texts, images, sounds (WAV), depth maps, thermal images and motion (CSV, a sample a line), and prints the
cosines of all pairs. ImageBind needs CLIP's tokenizer.json beside its checkpoint for texts.

Example:

  gollava embed ./imagebind text:"a dog barks" text:rain street.jpg rain.wav
  gollava embed ./clip-vit-base-patch32 --json cat.png`
}

// kinds are how items are introduced.
var kinds = map[string]imagebind.Modality{"text": imagebind.Text, "image": imagebind.Vision, "audio": imagebind.Audio,
	"depth": imagebind.Depth, "thermal": imagebind.Thermal, "imu": imagebind.IMU}

// item reads an argument.
func (embedCommand) item(arg string) (embed.Item, error) {
	name, rest, found := strings.Cut(arg, ":")
	if kind, ok := kinds[name]; found && ok {
		if kind == imagebind.Text {
			return embed.Text(rest), nil
		}
		return embed.Item{Kind: kind, Path: rest}, nil
	}
	ext := strings.ToLower(filepath.Ext(arg))
	if slices.Contains([]string{".wav", ".csv", ".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp"}, ext) {
		return embed.File(arg), nil
	}
	return embed.Item{}, fmt.Errorf("%q: say what it is, such as text:%[1]s (image:, audio:, depth:, thermal: "+
		"and imu: are the others)", arg)
}

func (e embedCommand) Run(ctx context.Context, c console) error {
	var items []embed.Item
	for _, arg := range e.Items {
		it, err := e.item(arg)
		if err != nil {
			return err
		}
		items = append(items, it)
	}
	m, err := embed.Open(e.Model, nn.LoadOptions{DType: source{DType: e.DType}.dtype()})
	if err != nil {
		return err
	}
	x, err := m.Embed(ctx, items...)
	if err != nil {
		return err
	}
	n, E := x.Dims2()
	if e.JSON {
		encoder := json.NewEncoder(c.out)
		for i, arg := range e.Items {
			if err := encoder.Encode(map[string]any{"item": arg, "embedding": x.Data()[i*E : (i+1)*E]}); err != nil {
				return err
			}
		}
		return nil
	}
	cosines := x.MatMulT(x).Data()
	fmt.Fprintf(c.out, "%-32s", "COSINE")
	for i := range n {
		fmt.Fprintf(c.out, " %6d", i+1)
	}
	fmt.Fprintln(c.out)
	for i, arg := range e.Items {
		fmt.Fprintf(c.out, "%-32s", short(fmt.Sprintf("%d %s", i+1, arg), 32))
		for j := range n {
			fmt.Fprintf(c.out, " %6.3f", cosines[i*n+j])
		}
		fmt.Fprintln(c.out)
	}
	return nil
}
