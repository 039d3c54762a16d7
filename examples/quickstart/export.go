package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/vit"
)

// Folders of the finished models in a run's directory.
const (
	modelDir = "model"      // the vision-language model, as LlavaForConditionalGeneration is stored
	clipDir  = "model-clip" // both towers of CLIP, as CLIPModel is stored
)

// export writes the finished models in the layout of transformers, with tokenizer and processor.
func (j *job) export(clip *vit.CLIP, m *connector.VLM) error {
	dir := filepath.Join(j.flags.out, modelDir)
	if err := llava.Save(dir, m, llava.SaveOptions{Processor: processor(j.world.Side())}); err != nil {
		return err
	}
	if err := j.vocabulary.save(dir); err != nil {
		return err
	}
	dir = filepath.Join(j.flags.out, clipDir)
	if err := vit.SaveCLIP(dir, clip, nn.SaveOptions{}); err != nil {
		return err
	}
	return j.vocabulary.save(dir)
}

// finished is the model of the run in -out.
func (j *job) finished() (*connector.VLM, error) {
	m, err := llava.Load(filepath.Join(j.flags.out, modelDir), llava.LoadOptions{})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the run in %s is not finished yet; go on with: %s", j.flags.out, j.command("-resume"))
	}
	return m, err
}
