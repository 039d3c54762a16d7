package imaging

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/gollava/gollava/internal/jsonfile"
	"github.com/gollava/gollava/internal/mapfile"
)

// ReadProcessor reads how a model wants its pictures from the model's folder: preprocessor_config.json (see
// [ParseProcessor]) or, where newer releases of transformers keep it, "image_processor" of processor_config.json. If
// config.json says image_aspect_ratio and image_grid_pinpoints, as the original LLaVA does, those are taken over; there
// the processor may also lie in the local folder that mm_vision_tower names. Errors name the file and the field.
func ReadProcessor(dir string) (*Processor, error) {
	var model struct {
		Aspect    *string         `json:"image_aspect_ratio"`
		Pinpoints json.RawMessage `json:"image_grid_pinpoints"`
		Tower     string          `json:"mm_vision_tower"`
	}
	config := filepath.Join(dir, "config.json")
	data, err := readConfig(config)
	if err == nil {
		if err := jsonfile.Unmarshal(data, &model); err != nil {
			return nil, fmt.Errorf("imaging: %s: %w", config, err)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}

	folders := []string{dir}
	if model.Tower != "" && filepath.IsLocal(model.Tower) {
		folders = append(folders, filepath.Join(dir, model.Tower))
	}
	p, path, err := findProcessor(folders)
	if err != nil {
		return nil, err
	}
	if model.Aspect == nil {
		return p, nil
	}
	p.Aspect = *model.Aspect
	if _, tiles := maxTiles(p.Aspect); tiles {
		if p.Canvases, err = pinpoints(model.Pinpoints, p.view().W); err != nil {
			return nil, fmt.Errorf("imaging: %s: image_grid_pinpoints: %w", config, err)
		}
	}
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("imaging: %s with %s: %w", config, path, err)
	}
	return p, nil
}

// findProcessor reads the first processor there is.
func findProcessor(folders []string) (p *Processor, path string, err error) {
	for _, dir := range folders {
		for _, name := range []string{"preprocessor_config.json", "processor_config.json"} {
			path := filepath.Join(dir, name)
			data, err := readConfig(path)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			} else if err != nil {
				return nil, path, err
			}
			if name == "processor_config.json" {
				var outer struct {
					Inner json.RawMessage `json:"image_processor"`
				}
				if err := jsonfile.Unmarshal(data, &outer); err != nil {
					return nil, path, fmt.Errorf("imaging: %s: %w", path, err)
				}
				if outer.Inner == nil { // an older file, about text only
					continue
				}
				data = outer.Inner
			}
			if p, err = ParseProcessor(data); err != nil {
				return nil, path, fmt.Errorf("imaging: %s: %w", path, err)
			}
			return p, path, nil
		}
	}
	return nil, "", fmt.Errorf("imaging: %s: no preprocessor_config.json, and no processor_config.json with an "+
		"image_processor: copy it from the model's (or its vision tower's) repository: %w",
		strings.Join(folders, ", "), fs.ErrNotExist)
}

// readConfig reads a file of at most 1 MiB.
func readConfig(path string) ([]byte, error) {
	f, err := mapfile.Regular(path)
	if err != nil {
		return nil, fmt.Errorf("imaging: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, 1<<20+1))
	if err == nil && len(data) > 1<<20 {
		err = errors.New("larger than 1 MiB, which no configuration is")
	}
	if err != nil {
		return nil, fmt.Errorf("imaging: %s: %w", path, err)
	}
	return data, nil
}

// pinpoints reads LLaVA's image_grid_pinpoints: a list of widths and heights, or the form of [ParseCanvases], maybe as
// a string.
func pinpoints(raw json.RawMessage, tile int) ([]Size, error) {
	var s string
	if jsonfile.Unmarshal(raw, &s) == nil && strings.Contains(s, "x") {
		return ParseCanvases(s, tile)
	} else if s != "" {
		raw = json.RawMessage(s)
	}
	var pairs [][]int
	if err := jsonfile.Unmarshal(raw, &pairs); err != nil {
		return nil, fmt.Errorf("%.80s is no list of pairs", raw)
	}
	var out []Size
	for _, p := range pairs {
		if len(p) != 2 {
			return nil, fmt.Errorf("%v is no pair", p)
		}
		out = append(out, Size{W: p[0], H: p[1]})
	}
	return out, nil
}
