package git

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/internal/jsonfile"
	"github.com/gollava/gollava/llm"
)

// Describes reports whether dir/config.json calls itself that of a GIT, whatever else may be wrong with it.
func Describes(dir string) bool {
	var head struct {
		ModelType string `json:"model_type"`
	}
	return jsonfile.Read(filepath.Join(dir, "config.json"), &head) == nil && head.ModelType == "git"
}

// Open loads the model in dir together with its tokenizer and image processor. GIT has no conversations: an empty
// question asks for a caption, another is answered. [Caption] takes the frames of a video as well.
func Open(dir string, o LoadOptions) (*connector.Assistant, error) {
	m, err := Load(dir, o)
	if err != nil {
		return nil, err
	}
	g, err := llm.ReadGeneration(dir)
	if err != nil {
		return nil, err
	}
	a := &connector.Assistant{Model: m, Leading: true, Most: 1, Template: chat.Template{Name: "git", Style: chat.MPT},
		Options: g.Options, Ignored: g.Ignored}
	if a.Tokenizer, err = tokenizer.Load(dir); err != nil {
		return nil, err
	}
	if err := a.Tokenizer.Rows(ConfigOf(m).VocabSize); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	a.Processor, err = imaging.ReadProcessor(dir)
	if errors.Is(err, fs.ErrNotExist) {
		a.Processor, err = imaging.CLIP(ConfigOf(m).Vision.ImageSize), nil
	}
	return a, err
}

// Caption describes an image, or as many frames of a video as the model has time embeddings for; with a question, which
// may be "", it answers that. a.Options say how to search; the reference's are 4 beams with a length penalty of 0.6. It
// is safe for concurrent use while nobody changes a.
func Caption(ctx context.Context, a *connector.Assistant, question string, frames ...*imaging.RGB) (string, error) {
	c := ConfigOf(a.Model)
	if n := max(c.Frames, 1); len(frames) != n {
		return "", fmt.Errorf("caption: %d images: the model takes %d (num_image_with_embedding)", len(frames), n)
	}
	s := connector.Sample{Name: "caption", IDs: []int32{chat.ImageIndex}}
	if c.BOS >= 0 {
		s.IDs = append(s.IDs, int32(c.BOS))
	}
	s.IDs = append(s.IDs, a.Tokenizer.Encode(question)...)
	x, err := a.Video(frames)
	if err != nil {
		return "", fmt.Errorf("caption: %w", err)
	}
	x.Frames = 0 // its connector knows how many there are
	s.Images = []connector.Image{x}
	b, err := a.Model.Splice([]connector.Sample{s}, true)
	if err != nil {
		return "", err
	}
	o := a.Options
	if o.MaxNewTokens == 0 {
		o.MaxNewTokens = 30
	}
	o.MaxNewTokens = min(o.MaxNewTokens, c.MaxPositions-len(s.IDs)+1)
	g, err := a.Model.Generate(ctx, b, o)
	if err != nil {
		return "", err
	}
	return a.Tokenizer.Decode(g.IDs[0]), nil
}
