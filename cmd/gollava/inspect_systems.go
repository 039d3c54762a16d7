package main

import (
	"fmt"
	"path/filepath"
	"slices"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/blip2"
	"github.com/gollava/gollava/connector/flamingo"
	"github.com/gollava/gollava/connector/git"
	"github.com/gollava/gollava/internal/jsonfile"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/vit"
)

// joined is the checkpoint of m, with what is between its tower and its language model in words.
func joined(m *connector.VLM, between string, canonical func(string) (string, bool)) *checkpoint {
	return &checkpoint{says: fmt.Sprintf("%s, then %s, then language model %s", towerOf(m.Vision.Config()), between,
		decoder(m.Language.Config())), model: m, load: renamed(canonical), talks: true}
}

// describeBLIP2 knows Blip2ForImageTextRetrieval beside the models that generate.
func describeBLIP2(dir string, ownHead bool) (*checkpoint, error) {
	var head struct {
		Architectures []string `json:"architectures"`
	}
	if err := jsonfile.Read(filepath.Join(dir, "config.json"), &head); err != nil {
		return nil, err
	}
	if slices.Contains(head.Architectures, "Blip2ForImageTextRetrieval") {
		c, err := blip2.ReadRetrievalConfig(dir)
		if err != nil {
			return nil, err
		}
		v, err := vit.New(nil, c.Vision)
		if err != nil {
			return nil, err
		}
		m, err := blip2.NewRetrieval(nil, v, c)
		return &checkpoint{says: fmt.Sprintf("BLIP-2 for retrieval: %s, then a Q-Former of %d queries, without a language "+
			"model", towerOf(c.Vision), c.NumQueryTokens), model: m,
			load: nn.LoadOptions{Ignore: []string{"**.position_ids"}}}, err
	}
	c, err := blip2.ReadConfig(dir)
	if err != nil {
		return nil, err
	}
	c.Text.TieWordEmbeddings = c.Text.TieWordEmbeddings && !ownHead
	m, err := blip2.New(nil, c)
	if err != nil {
		return nil, err
	}
	return joined(m, fmt.Sprintf("a Q-Former of %d queries", c.NumQueryTokens), blip2.Canonical), nil
}

// describeFlamingo leaves out the frozen parts of an OpenFlamingo, which are in folders of their own.
func describeFlamingo(dir string, ownHead bool) (*checkpoint, error) {
	c, err := flamingo.ReadConfig(dir)
	if err != nil {
		return nil, err
	}
	between := fmt.Sprintf("gated cross-attention every %d layers", c.Every)
	if c.Latents > 0 {
		between = fmt.Sprintf("a resampler to %d tokens, then %s", c.Latents, between)
	}
	if c.Variant == flamingo.OpenFlamingo {
		return &checkpoint{says: fmt.Sprintf("what OpenFlamingo trains: %s of the language model in %s", between,
			c.Language)}, nil
	}
	c.Text.TieWordEmbeddings = c.Text.TieWordEmbeddings && !ownHead
	m, err := flamingo.New(nil, c)
	if err != nil {
		return nil, err
	}
	return joined(m, between, flamingo.Canonical), nil
}

func describeGIT(dir string, ownHead bool) (*checkpoint, error) {
	c, err := git.ReadConfig(dir)
	if err != nil {
		return nil, err
	}
	c.TieWordEmbeddings = c.TieWordEmbeddings && !ownHead
	m, err := git.New(nil, c)
	if err != nil {
		return nil, err
	}
	return joined(m, fmt.Sprintf("%d image tokens before the text", c.ImageTokens()), git.Canonical), nil
}
