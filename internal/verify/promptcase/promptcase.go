// Package promptcase holds package chat against reference cases: rendered prompts, token ids, labels, and the errors of conversations
// that the reference refuses.
package promptcase

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/internal/verify"
	"github.com/gollava/gollava/internal/verify/datacase"
	"github.com/gollava/gollava/tensor"
)

type caseFile struct {
	Tokenizers string
	Files      map[string]string
}

// Case is a line of cases.jsonl: a training sample, and what the reference makes of it.
type Case struct {
	Name          string
	Template      string
	Tokenizer     string
	HasImage      bool `json:"has_image"`
	Marks         bool `json:"im_start_end"`
	MaxLength     int  `json:"model_max_length"`
	Conversations []chat.Turn

	Error      string
	Multimodal []string
	Prompt     *string
	IDs        []int32
	Spans      [][2]int // what the reference trains
	Direct     [][2]int // what a finished answer adds to an open one; nil where that was not recorded
	Older      [][2]int `json:"spans_v1.1.3"`
	MasksAll   bool     `json:"reference_masks_all"`
	Differs    bool     `json:"reference_differs"`
}

// Train makes a training sample of a case, with special tokens in the text parsed as the reference does. It cuts as the reference does:
// texts without pictures alone.
func (c *Case) Train(tok *tokenizer.Tokenizer) (chat.Tokens, error) {
	t, err := chat.Lookup(c.Template)
	if err != nil {
		return chat.Tokens{}, err
	}
	o := chat.Options{Pictures: c.HasImage, Specials: true, Marks: c.Marks}
	if !c.HasImage {
		o.MaxLength = c.MaxLength
	}
	return t.Train(tok, c.Conversations, o)
}

// Labels are ids inside of spans and IgnoreIndex outside.
func Labels(ids []int32, spans [][2]int) []int32 {
	out := slices.Repeat([]int32{tensor.IgnoreIndex}, len(ids))
	for _, s := range spans {
		if s[0] < 0 || s[0] > s[1] || s[1] > len(ids) {
			return nil
		}
		copy(out[s[0]:s[1]], ids[s[0]:s[1]])
	}
	return out
}

// Run checks a case folder of task "prompt".
func Run(dir string) ([]verify.Row, error) {
	return verify.Check(dir, func(r *verify.Report, c caseFile) error {
		toks := Tokenizers{Dir: filepath.Join(dir, c.Tokenizers)}
		rows, err := datacase.Run(dir) // splices, samplers, collation
		if err != nil {
			return err
		}
		r.Add(rows...)
		for _, part := range []struct {
			file string
			run  func(path string, toks *Tokenizers) ([]verify.Row, error)
		}{{"cases", samples}, {"render", renderings}, {"image_token", pictures}} {
			name := c.Files[part.file]
			if name == "" {
				continue
			}
			path, err := verify.Inside(dir, name)
			if err != nil {
				return err
			}
			rows, err := part.run(path, &toks)
			if err != nil {
				return err
			}
			r.Add(rows...)
		}
		return nil
	})
}

// Tokenizers loads tokenizers by their folder's name, each once.
type Tokenizers struct {
	Dir    string
	loaded map[string]*tokenizer.Tokenizer
}

// Get returns the tokenizer in the folder of that name.
func (t *Tokenizers) Get(name string) (*tokenizer.Tokenizer, error) {
	if tok := t.loaded[name]; tok != nil {
		return tok, nil
	}
	path, err := verify.Inside(t.Dir, name)
	if err != nil {
		return nil, err
	}
	tok, err := tokenizer.Load(path)
	if err != nil {
		return nil, err
	}
	if t.loaded == nil {
		t.loaded = map[string]*tokenizer.Tokenizer{}
	}
	t.loaded[name] = tok
	return tok, nil
}

// samples compares what training samples become.
func samples(path string, toks *Tokenizers) ([]verify.Row, error) {
	cases, err := verify.Lines[Case](path)
	if err != nil {
		return nil, err
	}
	refused, turns, prompts := verify.Tally{What: "refused conversations"}, verify.Tally{What: "turns with pictures"}, verify.Tally{What: "prompts"}
	ids, labels, byRule := verify.Tally{What: "ids"}, verify.Tally{What: "labels"}, verify.Tally{What: "labels by the reference's rule"}
	for i := range cases {
		c := &cases[i]
		at := fmt.Sprintf("%d (%s, %s, %s)", i, c.Name, c.Template, c.Tokenizer)
		tok, err := toks.Get(c.Tokenizer)
		if err != nil {
			return nil, err
		}
		t, err := chat.Lookup(c.Template)
		if err != nil {
			return nil, err
		}
		got, err := c.Train(tok)
		var nothing *chat.NothingToTrainError
		if c.Error != "" {
			refused.Check(err != nil && !errors.As(err, &nothing), "%s: got %d ids, the reference raises %s", at, len(got.IDs), c.Error)
			continue
		}
		if err != nil && !errors.As(err, &nothing) {
			ids.Check(false, "%s: %v", at, err)
			continue
		}
		given := c.Conversations
		if c.HasImage {
			given = t.Multimodal(given, c.Marks)
			for k, want := range c.Multimodal {
				turns.Check(given[k].Value == want, "%s: turn %d is %q, want %q", at, k, given[k].Value, want)
			}
		}
		spans, err := t.Sample(given)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", at, err)
		}
		if c.Prompt != nil {
			text := chat.Text(spans)
			prompts.Check(text == *c.Prompt, "%s: got %q, want %q", at, text, *c.Prompt)
		}
		ids.Check(slices.Equal(got.IDs, c.IDs), "%s: got %v, want %v", at, got.IDs, c.IDs)
		switch {
		case c.Direct != nil:
			want := Labels(c.IDs, c.Direct)
			labels.Check(slices.Equal(got.Labels, want), "%s: got %v, want %v", at, got.Labels, want)
		case t.Style == chat.ChatML || t.Style == chat.Llama3:
			want, have := Labels(c.IDs, c.Spans), marked(t, tok, spans, got)
			byRule.Check(slices.Equal(have, want), "%s: got %v, want %v", at, have, want)
		}
	}
	return verify.Rows(&refused, &turns, &prompts, &ids, &labels, &byRule), nil
}

// marked are the labels of LLaVA-NeXT for templates that name every speaker: an answer with its header, and in all turns the marks.
func marked(t chat.Template, tok *tokenizer.Tokenizer, spans []chat.Span, x chat.Tokens) []int32 {
	marks := []string{"<|im_start|>", "<|im_end|>", "Ċ"}
	if t.Style == chat.Llama3 {
		marks = []string{"<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "ĊĊ"}
	}
	answers := map[int]bool{}
	for _, s := range spans {
		if s.Supervised {
			answers[s.Turn] = true
		}
	}
	out := slices.Clone(x.Labels)
	for i, r := range x.Ranges {
		k := slices.IndexFunc(spans, func(s chat.Span) bool { return s.From <= r[0] && r[0] < s.To })
		if x.IDs[i] != chat.ImageIndex && (k >= 0 && answers[spans[k].Turn] || slices.Contains(marks, tok.Token(x.IDs[i]))) {
			out[i] = x.IDs[i]
		}
	}
	return out
}
