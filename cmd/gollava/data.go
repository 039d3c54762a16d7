package main

import (
	"path/filepath"
	"strings"

	"github.com/gollava/gollava/data"
)

// dataCommand holds the commands that look at data sets.
type dataCommand struct {
	Check checkCommand `cmd:"" help:"List everything in data files and pictures that would spoil a training run."`
	Show  showCommand  `cmd:"" help:"Write an HTML page of samples as the model sees them: pictures, tokens, labels."`

	Annotate annotateCommand `cmd:"" help:"Caption images with a model, and find boxes with SEEM: what generate writes from."`
}

// openSet opens a data file of any kind. images is where a shard's own pictures are, else nil.
func openSet(path string) (set data.Set, images data.Source, err error) {
	switch ext(path) {
	case ".tar":
		t, err := data.OpenTar(path)
		if err != nil {
			return nil, nil, err
		}
		return t, t, nil
	case ".yaml", ".yml":
		m, err := data.OpenMixture(path, data.MixtureOptions{})
		if err != nil {
			return nil, nil, err
		}
		return m, nil, nil
	}
	f, err := data.Open(path, data.Options{})
	if err != nil {
		return nil, nil, err
	}
	return f, nil, nil
}

func ext(path string) string { return strings.ToLower(filepath.Ext(path)) }
