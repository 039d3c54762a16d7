package study

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/internal/atomicfile"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/vit"
)

// Folders of the finished models in a run's directory.
const (
	ModelDir = "model"      // the vision-language model, as LlavaForConditionalGeneration is stored
	ClipDir  = "model-clip" // both towers of CLIP, as CLIPModel is stored
)

// Export writes the finished models in the layout of transformers, with tokenizer and processor.
func (j *Study) Export(clip *vit.CLIP, m *connector.VLM) error {
	return j.Alone(func() error { return j.export(clip, m) })
}

func (j *Study) export(clip *vit.CLIP, m *connector.VLM) error {
	dir := filepath.Join(j.Flags.Out, ModelDir)
	if err := llava.Save(dir, m, llava.SaveOptions{Processor: processor(j.World.Side())}); err != nil {
		return err
	}
	if err := j.Vocabulary.save(dir); err != nil {
		return err
	}
	dir = filepath.Join(j.Flags.Out, ClipDir)
	if err := vit.SaveCLIP(dir, clip, nn.SaveOptions{}); err != nil {
		return err
	}
	path := filepath.Join(dir, "preprocessor_config.json") // without it the tower would be shown other brightnesses
	if err := atomicfile.WriteJSON(path, processor(j.World.Side())); err != nil {
		return err
	}
	return j.Vocabulary.save(dir)
}

// Finished is the model of the run in -out.
func (j *Study) Finished() (*connector.VLM, error) {
	m, err := llava.Load(filepath.Join(j.Flags.Out, ModelDir), llava.LoadOptions{})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the run in %s is not finished yet; go on with: %s", j.Flags.Out, j.Command("-resume"))
	}
	return m, err
}
