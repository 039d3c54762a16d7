package llava

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// apart refuses a folder for the run that holds what the run reads: the finished model would be written over it, or
// among its files.
func (c *Config) apart() error {
	out := real(c.Out)
	for _, p := range []struct{ key, path string }{{"vision", c.Vision},
		{"second_vision", c.Second}, {"llm", c.LLM}, {"model", c.Model},
		{"projector", c.Projector},
		{"data", c.Data}, {"images", c.Images}, {"features", c.Features}} {
		if p.path == "" {
			continue
		}
		in := real(p.path)
		if info, err := os.Stat(in); err == nil && !info.IsDir() && (p.key == "projector" || written(filepath.Base(in))) {
			in = filepath.Dir(in)
		}
		if in == out || inside(in, filepath.Join(out, "checkpoints")) || inside(in, filepath.Join(out, "vision_tower")) ||
			inside(in, filepath.Join(out, "second_vision_tower")) {
			return fmt.Errorf("out %s: %s is read from there (%s), and the run would write over it: choose another folder",
				c.Out, p.key, p.path)
		}
	}
	return nil
}

// occupied refuses a folder that holds what a run writes, such as a model, and which no earlier run put there.
func (c *Config) occupied() error {
	for _, name := range []string{"run.yaml", "checkpoints"} {
		if _, err := os.Lstat(filepath.Join(c.Out, name)); err == nil {
			return nil
		}
	}
	entries, err := os.ReadDir(c.Out)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("out: %w", err)
	}
	for _, e := range entries {
		if written(e.Name()) {
			return fmt.Errorf("out %s holds %s of another model: choose another folder", c.Out, e.Name())
		}
	}
	return nil
}

// written reports whether a run may write a file of that name into its folder.
func written(name string) bool {
	return strings.HasSuffix(name, ".safetensors") || strings.HasSuffix(name, ".bin") ||
		slices.Contains([]string{"run.yaml", "config.json", "generation_config.json", "preprocessor_config.json",
			"processor_config.json", "tokenizer.json", "tokenizer_config.json", "tokenizer.model",
			"special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt", "vocab.txt", "chat_template.jinja",
			"adapter_config.json",
			"model.safetensors.index.json"}, name)
}

// real is where a path leads, links followed as far as it exists.
func real(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	rest := ""
	for p := path; ; p = filepath.Dir(p) {
		if r, err := filepath.EvalSymlinks(p); err == nil {
			return filepath.Join(r, rest)
		}
		if filepath.Dir(p) == p {
			return path
		}
		rest = filepath.Join(filepath.Base(p), rest)
	}
}

// inside reports whether path is dir or below it.
func inside(path, dir string) bool {
	r, err := filepath.Rel(dir, path)
	return err == nil && r != ".." && !strings.HasPrefix(r, ".."+string(filepath.Separator))
}
