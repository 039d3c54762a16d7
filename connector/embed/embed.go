// Package embed turns texts, images, sounds and whatever else a model binds into unit vectors of one space, whose
// products say how well two of them go together: CLIP for texts and images, ImageBind for six modalities.
//
//	e, err := embed.Open("./imagebind", nn.LoadOptions{})
//	…
//	x, err := e.Embed(ctx, embed.Text("a dog barks"), embed.File("rain.wav"), embed.File("street.jpg"))
//	similar := x.MatMulT(x) // [3, 3]
package embed

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gollava/gollava/data/audio"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/internal/jsonfile"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
	"github.com/gollava/gollava/vit/imagebind"
)

// Item is something to embed.
type Item struct {
	Kind imagebind.Modality // what it is
	Text string             // if it is text
	Path string             // of its file, if it is not

	Image *imaging.RGB // in place of the file of an image
	Sound *audio.Wave  // in place of that of a sound
}

// Text is a text.
func Text(s string) Item { return Item{Kind: imagebind.Text, Text: s} }

// File is an image or a sound, by the end of its name: .wav is a sound, .csv motion, all else an image. Depth maps and
// thermal images are images too, and need their Kind.
func File(path string) Item {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".wav":
		return Item{Kind: imagebind.Audio, Path: path}
	case ".csv":
		return Item{Kind: imagebind.IMU, Path: path}
	}
	return Item{Kind: imagebind.Vision, Path: path}
}

// Embedder embeds items. It is safe for concurrent use.
type Embedder struct {
	clip *vit.CLIP
	bind *imagebind.Model

	tokenizer *tokenizer.Tokenizer // nil: there is none, and no text
	missing   error                // why not
	image     *imaging.Processor
	sound     audio.Processor
}

// Open loads a CLIP or an ImageBind from a folder, or the file imagebind_huge.pth, together with the tokenizer beside
// it: ImageBind's is CLIP's, which its checkpoint lacks. Without one, texts are errors.
func Open(path string, o nn.LoadOptions) (*Embedder, error) {
	dir := path
	if ext := strings.ToLower(filepath.Ext(path)); ext == ".pth" || ext == ".pt" || ext == ".safetensors" {
		dir = filepath.Dir(path)
	}
	var head struct {
		ModelType string `json:"model_type"`
	}
	_ = jsonfile.Read(filepath.Join(dir, "config.json"), &head) // what is wrong with it, loading will say
	e := &Embedder{}
	var err error
	switch head.ModelType {
	case "clip":
		if e.clip, err = vit.LoadCLIP(dir, o); err == nil {
			e.image = imaging.CLIP(e.clip.Config().Vision.ImageSize)
		}
	case "", "imagebind":
		if e.bind, err = imagebind.Load(path, o); err == nil {
			e.prepare()
		}
	default:
		err = fmt.Errorf("%s: model_type %q has no embeddings of images: clip and imagebind have", dir, head.ModelType)
	}
	if err != nil {
		return nil, err
	}
	e.tokenizer, e.missing = tokenizer.Load(dir)
	return e, nil
}

// New embeds with a model that is at hand. t may be nil, without texts.
func New(m *imagebind.Model, t *tokenizer.Tokenizer) *Embedder {
	e := &Embedder{bind: m, tokenizer: t, missing: errors.New("no tokenizer was given")}
	e.prepare()
	return e
}

// prepare sets the processors to the sizes of the ImageBind.
func (e *Embedder) prepare() {
	c := e.bind.Config()
	e.image = imaging.CLIP(c.VisionPatch[0])
	e.sound = audio.ImageBind()
	e.sound.Bins, e.sound.Frames = c.AudioShape[0], c.AudioShape[1]
}

// SetSound changes how sounds are heard, for models that were trained otherwise than the released one.
func (e *Embedder) SetSound(p audio.Processor) { e.sound = p }

// Kinds are the modalities that the model embeds.
func (e *Embedder) Kinds() []imagebind.Modality {
	if e.clip != nil {
		return []imagebind.Modality{imagebind.Vision, imagebind.Text}
	}
	return e.bind.Has()
}

// Embed maps items to unit vectors: [len(items), E]. A modality that the model lacks, a file that cannot be read and a
// text without a tokenizer are errors that name the item.
func (e *Embedder) Embed(ctx context.Context, items ...Item) (*tensor.Tensor, error) {
	var all []float32
	for i, it := range items {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		x, err := e.one(it)
		if err != nil {
			return nil, fmt.Errorf("item %d, %s: %w", i+1, it.Kind, err)
		}
		all = append(all, x...)
	}
	n := len(items)
	if n == 0 {
		return nil, errors.New("there is nothing to embed")
	}
	return tensor.Wrap(all, n, len(all)/n), nil
}

// one embeds an item: [E].
func (e *Embedder) one(it Item) (z []float32, err error) {
	if !slices.Contains(e.Kinds(), it.Kind) {
		return nil, fmt.Errorf("the model does not have this modality: it has %v", e.Kinds())
	}
	x, err := e.input(it)
	if err != nil {
		return nil, err
	}
	caught := tensor.Catch(func() {
		tensor.Scope(func(s *tensor.Arena) {
			x := x.In(s)
			if it.Kind != imagebind.Text {
				x = x.NoGrad()
			}
			switch {
			case e.bind != nil:
				z = slices.Clone(e.bind.Embed(it.Kind, x).Host().Data())
			case it.Kind == imagebind.Text:
				z = slices.Clone(e.clip.EncodeText(x, nil).Host().Data())
			default:
				z = slices.Clone(e.clip.EncodeImage(x).Host().Data())
			}
		})
	})
	return z, caught
}

// input is what the model reads of an item, as a batch of one.
func (e *Embedder) input(it Item) (*tensor.Tensor, error) {
	switch it.Kind {
	case imagebind.Text:
		return e.text(it.Text)
	case imagebind.Audio:
		w, err := it.sound()
		if err != nil {
			return nil, err
		}
		x, err := e.sound.Inputs(w)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", it.Path, err)
		}
		return x.Reshape(append([]int{1}, x.Shape()...)...), nil
	case imagebind.IMU:
		return readMotion(it.Path, e.bind.Config().IMUShape)
	}
	m, err := it.picture()
	if err != nil {
		return nil, err
	}
	if it.Kind != imagebind.Vision {
		size := e.bind.Config().ThermalPatch[0]
		if it.Kind == imagebind.Depth {
			size = e.bind.Config().DepthPatch[0]
		}
		return grey(m, size)
	}
	x, err := e.image.Process(m)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", it.Path, err)
	}
	return tensor.Wrap(x.Data, x.N, 3, x.H, x.W), nil
}

// sound is the item's, at hand or from its file.
func (it Item) sound() (audio.Wave, error) {
	if it.Sound != nil {
		return *it.Sound, nil
	}
	return audio.Read(it.Path)
}

// picture is the item's, at hand or from its file.
func (it Item) picture() (*imaging.RGB, error) {
	if it.Image != nil {
		return it.Image, nil
	}
	return imaging.Open(it.Path, imaging.Options{})
}

// text is the ids of a text: CLIP's as they are; ImageBind's filled up with 0, and cut so that the end stays.
func (e *Embedder) text(s string) (*tensor.Tensor, error) {
	if e.tokenizer == nil {
		return nil, fmt.Errorf("the model's tokenizer cannot be read: %w", e.missing)
	}
	ids := e.tokenizer.Wrap(e.tokenizer.Encode(s))
	if end := e.tokenizer.EOS(); end >= 0 && (len(ids) == 0 || ids[len(ids)-1] != end) {
		ids = append(ids, end)
	}
	most, vocab := 0, 0
	if e.clip != nil {
		most, vocab = e.clip.Config().Text.MaxPositionEmbeddings, e.clip.Config().Text.VocabSize
	} else {
		most, vocab = e.bind.Config().ContextLength, e.bind.Config().VocabSize
	}
	for _, id := range ids {
		if id < 0 || int(id) >= vocab {
			return nil, fmt.Errorf(
				"token id %d is outside of the model's vocabulary of %d: the tokenizer belongs to another model", id,
				vocab)
		}
	}
	if n := len(ids); n > most {
		ids = append(ids[:most-1:most-1], ids[n-1])
	}
	if e.bind != nil {
		ids = append(ids, make([]int32, most-len(ids))...)
	}
	return tensor.WrapInts(ids, 1, len(ids)), nil
}
