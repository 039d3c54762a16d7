package generate

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

//go:embed prompts
var embedded embed.FS

// folders are where LLaVA's playground/data/prompts has each kind.
func folders() map[Kind]string {
	return map[Kind]string{Conversation: "conversation", Detail: "detail_description", Reasoning: "complex_reasoning"}
}

// DefaultConfig has our prompts and the values that LLaVA and Self-Instruct used, all checks on, and no model.
func DefaultConfig() Config {
	c := Config{
		Temperature: 0.7, MaxTokens: 1024, Kinds: Kinds(), MaxAttempts: 4, MinTurns: 2, MinDetailWords: 15,
		MinReasoningWords: 12, DedupROUGE: 0.7,
		Checks: []FaultKind{Object, Number, Language, Repeats},
	}
	prompts, err := fs.Sub(embedded, "prompts")
	if err == nil {
		err = c.ReadPrompts(prompts)
	}
	if err != nil {
		panic(err) // the embedded files are tested
	}
	return c
}

// ReadPrompts replaces prompts by those of a folder laid out as LLaVA's playground/data/prompts:
// KIND/system_message.txt, and examples KIND/NAME_caps.txt with KIND/NAME_conv.txt, where KIND is conversation,
// detail_description or complex_reasoning. Files of lines are read too, each if it is there: detail_questions.txt,
// refusals.txt, leaks.txt. Kinds without a folder keep what they have.
func (c *Config) ReadPrompts(prompts fs.FS) error {
	read := func(name string) (string, error) {
		b, err := fs.ReadFile(prompts, name)
		return strings.TrimSpace(strings.ReplaceAll(string(b), "\r\n", "\n")), err
	}
	found := false
	for _, k := range Kinds() {
		dir := folders()[k]
		system, err := read(dir + "/system_message.txt")
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("generate: prompts: %w", err)
		}
		if system == "" {
			return fmt.Errorf("generate: prompts: %s/system_message.txt is empty", dir)
		}
		found = true
		names, err := fs.Glob(prompts, dir+"/*_caps.txt") // sorted by name
		if err != nil {
			return fmt.Errorf("generate: prompts: %w", err)
		}
		var shots []Shot
		for _, name := range names {
			var s Shot
			if s.Context, err = read(name); err == nil {
				s.Answer, err = read(strings.TrimSuffix(name, "_caps.txt") + "_conv.txt")
			}
			if err != nil {
				return fmt.Errorf("generate: prompts: %w", err)
			}
			if k == Conversation { // written from captions alone
				s.Context, _, _ = strings.Cut(s.Context, "\n\n")
			}
			shots = append(shots, s)
		}
		if c.System == nil {
			c.System, c.Shots = map[Kind]string{}, map[Kind][]Shot{}
		}
		c.System[k], c.Shots[k] = system, shots
	}
	for name, list := range map[string]*[]string{"detail_questions.txt": &c.DetailQuestions,
		"refusals.txt": &c.Refusals, "leaks.txt": &c.Leaks} {
		text, err := read(name)
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("generate: prompts: %w", err)
		}
		found = true
		*list = nil
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); line != "" {
				if name != "detail_questions.txt" {
					line = strings.ToLower(line)
				}
				*list = append(*list, line)
			}
		}
	}
	if !found {
		return fmt.Errorf("generate: prompts: the folder has none of conversation/, detail_description/ and " +
			"complex_reasoning/")
	}
	return nil
}

// WritePrompts writes our prompts into a folder, to be edited. Files that are there are an error: they may have been
// edited.
func WritePrompts(dir string) error {
	return fs.WalkDir(embedded, "prompts", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := filepath.Join(dir, filepath.FromSlash(strings.TrimPrefix(name, "prompts")))
		if d.IsDir() {
			return os.MkdirAll(to, 0o777)
		}
		b, err := fs.ReadFile(embedded, path.Clean(name))
		if err != nil {
			return err
		}
		f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
		if err != nil {
			return fmt.Errorf("generate: %w: remove it, or name another folder", err)
		}
		if _, err = f.Write(b); err == nil {
			err = f.Close()
		} else {
			f.Close()
		}
		return err
	})
}
