package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/gollava/gollava/internal/atomicfile"
)

// fileNames are the files that a tokenizer may consist of.
var fileNames = []string{"tokenizer.model", "spiece.model", "tokenizer.json", "vocab.json", "merges.txt", "vocab.txt",
	"tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja",
	"chat_template.json"}

// Save writes the tokenizer's files into a folder that Load and Hugging Face's libraries read: what Train made, or
// the files from which Load read it, as they are. Tokens that AddTokens has added since are put into tokenizer.json and
// tokenizer_config.json. What LoadConfig was told beyond the files is not saved.
func (t *Tokenizer) Save(dir string) error {
	files := t.files
	if files == nil {
		files = map[string][]byte{}
		for _, name := range fileNames {
			b, err := readFile(filepath.Join(t.dir, name))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			files[name] = b
		}
	}
	if len(files) == 0 {
		return fmt.Errorf("tokenizer: Save: no files in %s any more", t.dir)
	}
	if t.grown {
		var err error
		if files, err = t.withAdded(files); err != nil {
			return fmt.Errorf("tokenizer: Save: %w", err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		err := atomicfile.Write(filepath.Join(dir, name), func(w io.Writer) error {
			_, err := w.Write(files[name])
			return err
		})
		if err != nil {
			return fmt.Errorf("tokenizer: Save: %w", err)
		}
	}
	return nil
}

// withAdded puts the added tokens where Hugging Face's libraries look for them.
func (t *Tokenizer) withAdded(files map[string][]byte) (map[string][]byte, error) {
	files = maps.Clone(files)
	byID := map[string]AddedToken{}
	for _, x := range t.added.list {
		byID[strconv.Itoa(int(x.ID))] = x
	}
	put := func(file, key string, value any) error {
		var all map[string]json.RawMessage
		if err := json.Unmarshal(files[file], &all); err != nil {
			return jsonError(file, err)
		}
		raw, err := json.Marshal(value)
		if err != nil {
			return err
		}
		all[key] = raw
		files[file], err = json.Marshal(all)
		return err
	}
	if files["tokenizer.json"] == nil && files["tokenizer_config.json"] == nil {
		return nil,
			fmt.Errorf("there is neither a tokenizer.json nor a tokenizer_config.json to put added tokens into: %w",
				ErrUnsupported)
	}
	if files["tokenizer.json"] != nil {
		list := slices.Clone(t.added.list)
		slices.SortStableFunc(list, func(a, b AddedToken) int { return int(a.ID - b.ID) })
		if err := put("tokenizer.json", "added_tokens", list); err != nil {
			return nil, err
		}
	}
	if files["tokenizer_config.json"] != nil {
		return files, put("tokenizer_config.json", "added_tokens_decoder", byID)
	}
	return files, nil
}

// fromFiles reads a tokenizer.json and its tokenizer_config.json from memory.
func fromFiles(files map[string][]byte) (*Tokenizer, error) {
	hf := &hfConfig{special: map[string]*AddedToken{}}
	if err := hf.read(files["tokenizer_config.json"]); err != nil {
		return nil, err
	}
	t, err := loadFast(files["tokenizer.json"], hf.merge(Config{}), hf)
	if err != nil {
		return nil, err
	}
	t.files = files
	return t, nil
}
