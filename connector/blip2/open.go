package blip2

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/data/tokenizer"
)

// instructionFolder is where transformers' InstructBlipProcessor keeps the Q-Former's tokenizer.
const instructionFolder = "qformer_tokenizer"

// Open loads the model in dir together with its tokenizers and image processor. A question is put to the language model
// as it stands, behind the image's tokens: write it as the model was trained, such as "Question: what is this? Answer:"
// for BLIP-2 on OPT.
func Open(dir string, o LoadOptions) (*connector.Assistant, error) {
	m, err := Load(dir, o)
	if err != nil {
		return nil, err
	}
	c := ConfigOf(m)
	a := &connector.Assistant{Model: m, Leading: true, Most: 1, Template: Raw(), Options: c.generation.Options,
		Ignored: c.generation.Ignored}
	if a.Tokenizer, err = tokenizer.Load(dir); err != nil {
		return nil, err
	}
	if err := a.Tokenizer.Rows(c.Text.VocabSize); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	if c.Instructed() {
		if a.Instruction, err = tokenizer.Load(filepath.Join(dir, instructionFolder)); err != nil {
			return nil, fmt.Errorf("the tokenizer of the instruction: %w", err)
		}
		if err := a.Instruction.Rows(c.QFormer.VocabSize); err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Join(dir, instructionFolder), err)
		}
	}
	a.Processor, err = imaging.ReadProcessor(dir)
	if errors.Is(err, fs.ErrNotExist) {
		a.Processor, err = Processor(c.Vision.ImageSize), nil
	}
	return a, err
}

// Raw is the template of BLIP-2: the turns as they stand.
func Raw() chat.Template { return chat.Template{Name: "blip2", Style: chat.MPT} }

// Processor is BLIP-2's image processor: size×size pixels, bicubic, without keeping the aspect, CLIP's mean and
// deviation.
func Processor(size int) *imaging.Processor {
	p := imaging.CLIP(size)
	p.Edge, p.CenterCrop, p.Crop, p.Size = 0, false, imaging.Size{}, imaging.Size{W: size, H: size}
	return p
}
