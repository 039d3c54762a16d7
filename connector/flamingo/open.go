package flamingo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/internal/jsonfile"
	"github.com/gollava/gollava/llm"
)

// The marks in a text: of an image, around it (IDEFICS), and at the end of what belongs to it (OpenFlamingo).
const (
	around     = "<fake_token_around_image>"
	endOfChunk = "<|endofchunk|>"

	endOfUtterance = "<end_of_utterance>" // of a turn, where a model was tuned on instructions
)

// Describes reports whether dir/config.json is that of an IDEFICS or of an OpenFlamingo, whatever else may be wrong
// with it.
func Describes(dir string) bool {
	var head struct {
		ModelType string `json:"model_type"`
		Every     *int   `json:"cross_attn_every_n_layers"`
	}
	err := jsonfile.Read(filepath.Join(dir, "config.json"), &head)
	return err == nil && (head.ModelType == "idefics" || head.Every != nil)
}

// Open loads the model in dir together with its tokenizer and image processor. OpenFlamingo's tokenizer may be in the
// decoder's folder, and gets its marks. A text goes on as it stands, but for an IDEFICS that was tuned on instructions,
// whose tokenizer has <end_of_utterance>: there turns are "User:" and "Assistant:".
func Open(dir string, o LoadOptions) (*connector.Assistant, error) {
	c, err := readConfig(dir, o)
	if err != nil {
		return nil, err
	}
	t, err := tokenizer.Load(dir)
	if err != nil && c.Variant == OpenFlamingo {
		t, err = tokenizer.Load(place(dir, c.Language, o.Language))
	}
	if err != nil {
		return nil, err
	}
	if c.Variant == OpenFlamingo {
		t.AddTokens(tokenizer.AddedToken{Content: endOfChunk, Special: true},
			tokenizer.AddedToken{Content: chat.ImageToken, Special: true})
	}
	if id, ok := t.ID(chat.ImageToken); !ok || int(id) != c.Image {
		return nil, fmt.Errorf("%s: the id of <image> is %d, but in the tokenizer %d (LoadOptions.Image)", dir,
			c.Image, id)
	}
	m, err := Load(dir, o)
	if err != nil {
		return nil, err
	}
	if err := t.Rows(m.Language.Config().VocabSize); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	g, err := llm.ReadGeneration(dir)
	if err != nil {
		return nil, err
	}
	if c.Variant == OpenFlamingo { // a chunk ends an answer
		g.Options.EOS = append(slices.Clone(m.Config().EOS), c.End)
	}
	a := &connector.Assistant{Model: m, Tokenizer: t, Template: chat.PlainCaption(), Options: g.Options,
		Ignored: g.Ignored}
	if c.Variant == IDEFICS {
		a.Around, _ = t.ID(around)
		if _, ok := t.ID(endOfUtterance); ok {
			a.Template = chat.Template{Name: "idefics", Style: chat.MPT, Roles: [2]string{"User:", "\nAssistant:"},
				Sep: endOfUtterance, Several: true, Stop: []string{endOfUtterance, "\nUser:"}}
		}
	}
	a.Processor, err = c.processor(dir)
	return a, err
}

// processor is that of the tower's family, or what dir/preprocessor_config.json says.
func (c Config) processor(dir string) (*imaging.Processor, error) {
	p := imaging.CLIP(c.Vision.ImageSize)
	if c.Variant == OpenFlamingo {
		read, err := imaging.ReadProcessor(dir)
		if errors.Is(err, fs.ErrNotExist) {
			return p, nil
		}
		return read, err
	}
	p.Edge, p.Size, p.CenterCrop = 0, imaging.Size{W: c.Vision.ImageSize, H: c.Vision.ImageSize}, false
	var f struct {
		Size *int        `json:"image_size"`
		Mean *[3]float64 `json:"image_mean"`
		Std  *[3]float64 `json:"image_std"`
	}
	path := filepath.Join(dir, "preprocessor_config.json")
	if err := jsonfile.Read(path, &f); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if f.Size != nil && *f.Size != c.Vision.ImageSize {
		return nil, fmt.Errorf("%s: image_size %d, but the tower's is %d", path, *f.Size, c.Vision.ImageSize)
	}
	if f.Mean != nil {
		p.Mean = *f.Mean
	}
	if f.Std != nil {
		p.Std = *f.Std
	}
	return p, p.Validate()
}

// FewShot writes a prompt of examples, which are answers such as "Output:two cats", each to an image of its own, and of
// a last image to which prompt, such as "Output:", is to be continued: OpenFlamingo's
// "<image>Output:two cats<|endofchunk|><image>Output:". IDEFICS has blank lines for the ends of chunks.
func (c Config) FewShot(examples []string, prompt string) string {
	end := endOfChunk
	if c.Variant == IDEFICS {
		end = "\n\n"
	}
	var b strings.Builder
	for _, e := range examples {
		b.WriteString(chat.ImageToken + e + end)
	}
	return b.String() + chat.ImageToken + prompt
}

// IDs tokenizes text with marks as a's model reads it, chat.ImageIndex in the place of each <image>. With IDEFICS
// <fake_token_around_image> is put around images where it is missing; neighbours share one.
func IDs(a *connector.Assistant, text string) []int32 {
	c := ConfigOf(a.Model)
	if _, ok := a.Tokenizer.ID(around); ok && c.Variant == IDEFICS {
		text = strings.ReplaceAll(text, chat.ImageToken, around+chat.ImageToken+around)
		for strings.Contains(text, around+around) {
			text = strings.ReplaceAll(text, around+around, around)
		}
	}
	ids := a.Tokenizer.Wrap(a.Tokenizer.EncodeSpecial(text))
	for i, id := range ids {
		if int(id) == c.Image {
			ids[i] = chat.ImageIndex
		}
	}
	return ids
}

// Complete continues text, in which <image> stands for each of images and special tokens count as such. The text is the
// program's own; text from outside is to be put in with its special tokens taken out. It is safe for concurrent use
// while nobody changes a.
func Complete(ctx context.Context, a *connector.Assistant, text string, images []*imaging.RGB) (string, error) {
	return a.Continue(ctx, IDs(a, text), images, nil)
}
