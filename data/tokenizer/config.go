package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"sort"
	"strconv"

	"github.com/gollava/gollava/internal/jsonfile"
	"github.com/gollava/gollava/internal/mapfile"
)

// Config overrides what the files beside a vocabulary say, or says it where there are none.
type Config struct {
	// as tokenizer_class of tokenizer_config.json: LlamaTokenizer, T5Tokenizer, BertTokenizer, CLIPTokenizer, …
	Class    string
	Legacy   *bool        // of LlamaTokenizer and T5Tokenizer; nil: as the files say, else true
	AddBOS   *bool        // whether Wrap puts the beginning-of-text token first
	AddEOS   *bool        // whether Wrap puts the end-of-text token last
	ExtraIDs int          // number of T5's <extra_id_…> tokens; 0: as the files say, else 100
	Added    []AddedToken // with their ids; nil: as the files say
	Lower    *bool        // do_lower_case of BertTokenizer
	Cleaning Cleaning     // of CLIPTokenizer
}

// Cleaning says how a CLIP tokenizer cleans text.
type Cleaning int

const (
	CleanFast   Cleaning = iota // Hugging Face's CLIPTokenizerFast: NFC, one space for white space, lower case
	CleanSlow                   // Hugging Face's CLIPTokenizer without ftfy, which cleans as BERT does
	CleanFtfy                   // Hugging Face's CLIPTokenizer with ftfy
	CleanOpenAI                 // OpenAI's tokenizer: ftfy and HTML entities; Context pads with 0
)

// hfConfig is what tokenizer_config.json, special_tokens_map.json and added_tokens.json say.
type hfConfig struct {
	Class        string                `json:"tokenizer_class"`
	Legacy       *bool                 `json:"legacy"`
	AddBOS       *bool                 `json:"add_bos_token"`
	AddEOS       *bool                 `json:"add_eos_token"`
	AddedDecoder map[string]AddedToken `json:"added_tokens_decoder"`
	ExtraIDs     *int                  `json:"extra_ids"`
	Lower        *bool                 `json:"do_lower_case"`
	Accents      *bool                 `json:"strip_accents"`
	Chinese      *bool                 `json:"tokenize_chinese_chars"`
	PrefixSpace  *bool                 `json:"add_prefix_space"`
	BOS          json.RawMessage       `json:"bos_token"`
	EOS          json.RawMessage       `json:"eos_token"`
	Pad          json.RawMessage       `json:"pad_token"`
	Unk          json.RawMessage       `json:"unk_token"`
	Sep          json.RawMessage       `json:"sep_token"`
	Cls          json.RawMessage       `json:"cls_token"`
	Mask         json.RawMessage       `json:"mask_token"`
	More         []json.RawMessage     `json:"additional_special_tokens"`
	ChatTemplate json.RawMessage       `json:"chat_template"` // a string, or several by name

	found   bool
	special map[string]*AddedToken // by role: bos_token, …; nil: the file says there is none
	more    []AddedToken
	added   []AddedToken // with ids, ascending
}

const maxFile = 1 << 30

// readFile reads a file of a sane size.
func readFile(path string) ([]byte, error) {
	f, err := mapfile.Regular(path)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, &FormatError{File: path, Err: err}
	}
	if len(b) > maxFile {
		return nil, &FormatError{File: path, Err: fmt.Errorf("larger than %d bytes", maxFile)}
	}
	return b, nil
}

// readJSON decodes a file into v; false if there is none.
func readJSON(path string, v any) (bool, error) {
	b, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return false, jsonError(path, err)
	}
	return true, nil
}

// jsonError names the field that a decoding error is about.
func jsonError(path string, err error) error {
	var t *json.UnmarshalTypeError
	if errors.As(err, &t) && t.Field == "" {
		return &FormatError{File: path, Err: jsonfile.Explain(nil, err)}
	}
	if errors.As(err, &t) {
		return &FormatError{File: path, Field: t.Field, Err: fmt.Errorf("a JSON %s does not fit", t.Value)}
	}
	var s *json.SyntaxError
	if errors.As(err, &s) {
		return &FormatError{File: path,
			Err: fmt.Errorf("is no JSON from byte %d on: cut off, or not written to its end?", s.Offset)}
	}
	return &FormatError{File: path, Err: err}
}

// readConfig reads the files beside a vocabulary; none need be there.
func readConfig(dir string) (*hfConfig, error) {
	c := &hfConfig{special: map[string]*AddedToken{}}
	path := filepath.Join(dir, "tokenizer_config.json")
	b, err := readFile(path)
	if err == nil {
		err = inFile(path, c.read(b))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := c.olderFiles(dir); err != nil {
		return nil, err
	}
	sort.Slice(c.added, func(i, j int) bool { return c.added[i].ID < c.added[j].ID })
	return c, nil
}

// read takes in a tokenizer_config.json.
func (c *hfConfig) read(b []byte) error {
	if err := json.Unmarshal(b, c); err != nil {
		return jsonError("", err)
	}
	c.found = true
	roles := map[string]json.RawMessage{"bos_token": c.BOS, "eos_token": c.EOS, "pad_token": c.Pad, "unk_token": c.Unk,
		"sep_token": c.Sep, "cls_token": c.Cls, "mask_token": c.Mask}
	for role, raw := range roles {
		if err := c.role(role, raw); err != nil {
			return err
		}
	}
	for i, raw := range c.More {
		x, err := specialToken(fmt.Sprintf("additional_special_tokens[%d]", i), raw)
		if err != nil {
			return err
		}
		if x != nil {
			c.more = append(c.more, *x)
		}
	}
	for key, x := range c.AddedDecoder {
		field := fmt.Sprintf("added_tokens_decoder[%q]", key)
		id, err := strconv.ParseInt(key, 10, 32)
		if err != nil {
			return fieldError(field, "the key is no id")
		}
		if err := checkID(field, id); err != nil {
			return err
		}
		if x.Content == "" {
			return fieldError(field+".content", "empty")
		}
		x.ID = int32(id)
		c.added = append(c.added, x)
	}
	return nil
}

// olderFiles reads special_tokens_map.json, and added_tokens.json where tokenizer_config.json lists no added tokens.
func (c *hfConfig) olderFiles(dir string) error {
	path := filepath.Join(dir, "special_tokens_map.json")
	var roles map[string]json.RawMessage
	if _, err := readJSON(path, &roles); err != nil {
		return err
	}
	for role, raw := range roles {
		if role == "additional_special_tokens" {
			var list []json.RawMessage
			if err := json.Unmarshal(raw, &list); err != nil {
				return inFile(path, fieldError(role, "not a list"))
			}
			for i, raw := range list {
				x, err := specialToken(fmt.Sprintf("%s[%d]", role, i), raw)
				if err != nil {
					return inFile(path, err)
				}
				if x != nil && len(c.More) == 0 {
					c.more = append(c.more, *x)
				}
			}
			continue
		}
		if _, ok := c.special[role]; ok {
			continue
		}
		if err := c.role(role, raw); err != nil {
			return inFile(path, err)
		}
	}
	if len(c.added) > 0 {
		return nil
	}
	path = filepath.Join(dir, "added_tokens.json")
	var ids map[string]int64
	if _, err := readJSON(path, &ids); err != nil {
		return err
	}
	special := map[string]bool{}
	for _, x := range c.special {
		if x != nil {
			special[x.Content] = true
		}
	}
	for _, x := range c.more {
		special[x.Content] = true
	}
	for s, id := range ids {
		field := strconv.Quote(s)
		if err := checkID(field, id); err != nil {
			return inFile(path, err)
		}
		if s == "" {
			return inFile(path, fieldError(field, "empty token"))
		}
		c.added = append(c.added, AddedToken{ID: int32(id), Content: s, Normalized: !special[s], Special: special[s]})
	}
	return nil
}

func (c *hfConfig) role(role string, raw json.RawMessage) error {
	if raw == nil {
		return nil
	}
	x, err := specialToken(role, raw)
	if err == nil {
		c.special[role] = x
	}
	return err
}

// specialToken reads "text", {"content": "text", …} or null.
func specialToken(field string, raw json.RawMessage) (*AddedToken, error) {
	if string(raw) == "null" {
		return nil, nil
	}
	x := AddedToken{Special: true}
	if err := json.Unmarshal(raw, &x.Content); err == nil {
		if x.Content == "" {
			return nil, nil
		}
		return &x, nil
	}
	if err := json.Unmarshal(raw, &x); err != nil || x.Content == "" {
		return nil, fieldError(field, "neither a text nor an object with content")
	}
	x.Special = true
	return &x, nil
}

// token returns the token of a role, or the class's own if the files do not speak of it.
func (c *hfConfig) token(role, otherwise string) string {
	if x, ok := c.special[role]; ok {
		if x == nil {
			return ""
		}
		return x.Content
	}
	return otherwise
}
