package verify

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/tensor"
)

// PromptCase is a line of cases.jsonl: a training sample, and what the reference makes of it.
type PromptCase struct {
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

// Train makes a training sample of a case, with special tokens in the text parsed as the reference does. It cuts as the
// reference does: texts without images alone.
func (c *PromptCase) Train(tok *tokenizer.Tokenizer) (chat.Tokens, error) {
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

// PromptCases reads a file of such cases.
func PromptCases(path string) (list []PromptCase, err error) {
	err = catch(func() { list = readLines[PromptCase](path) })
	return list, err
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

// tokenizersIn loads tokenizers by their folder's name, each once.
func tokenizersIn(dir string) func(name string) *tokenizer.Tokenizer {
	loaded := map[string]*tokenizer.Tokenizer{}
	return func(name string) *tokenizer.Tokenizer {
		if loaded[name] == nil {
			loaded[name] = must(tokenizer.Load(inside(dir, name)))
		}
		return loaded[name]
	}
}

// prompts checks rendered prompts, token ids, labels, the errors of conversations that the reference refuses, and how
// samples become batches.
func prompts(r *Report, c struct {
	Tokenizers string
	Files      map[string]string
}) {
	selfChecked[splice](r, "splices", c.Files["splice"])
	selfChecked[sampler](r, "samplers", c.Files["samplers"])
	if name := c.Files["collate"]; name != "" {
		collations(r, name, c.Files["cases"])
	}
	toks := tokenizersIn(filepath.Join(r.Dir, c.Tokenizers)) // beside the folder
	if name := c.Files["cases"]; name != "" {
		samples(r, inside(r.Dir, name), toks)
	}
	if name := c.Files["render"]; name != "" {
		renderings(r, inside(r.Dir, name))
	}
	if name := c.Files["image_token"]; name != "" {
		r.tally("ids of texts with pictures", func(n *tally) {
			eachLine(inside(r.Dir, name), func(c struct {
				Tokenizer, Text string
				IDs             []int32
			}) {
				spans := []chat.Span{{Text: c.Text, To: len(c.Text)}}
				o := chat.Options{Pictures: true, Specials: true}
				got := chat.Template{}.Encode(toks(c.Tokenizer), spans, o).IDs
				n.check(slices.Equal(got, c.IDs), "%s, %q: got %v, want %v", c.Tokenizer, c.Text, got, c.IDs)
			})
		})
	}
}

// samples compares what training samples become.
func samples(r *Report, path string, toks func(name string) *tokenizer.Tokenizer) {
	refused, turns := tally{What: "refused conversations"}, tally{What: "turns with pictures"}
	prompts, ids, labels := tally{What: "prompts"}, tally{What: "ids"}, tally{What: "labels"}
	byRule := tally{What: "labels by the reference's rule"}
	for i, c := range readLines[PromptCase](path) {
		at := fmt.Sprintf("%d (%s, %s, %s)", i, c.Name, c.Template, c.Tokenizer)
		tok, t := toks(c.Tokenizer), must(chat.Lookup(c.Template))
		got, err := c.Train(tok)
		var nothing *chat.NothingToTrainError
		if c.Error != "" {
			refused.check(err != nil && !errors.As(err, &nothing), "%s: got %d ids, the reference raises %s", at,
				len(got.IDs), c.Error)
			continue
		}
		if err != nil && !errors.As(err, &nothing) {
			ids.check(false, "%s: %v", at, err)
			continue
		}
		given := c.Conversations
		if c.HasImage {
			given = t.Multimodal(given, c.Marks)
			if len(c.Multimodal) > len(given) {
				failf("%s: %d turns, and %d are recorded", at, len(given), len(c.Multimodal))
			}
			for k, want := range c.Multimodal {
				turns.check(given[k].Value == want, "%s: turn %d is %q, want %q", at, k, given[k].Value, want)
			}
		}
		spans, err := t.Sample(given)
		if err != nil {
			failf("%s: %w", at, err)
		}
		if c.Prompt != nil {
			text := chat.Text(spans)
			prompts.check(text == *c.Prompt, "%s: got %q, want %q", at, text, *c.Prompt)
		}
		ids.check(slices.Equal(got.IDs, c.IDs), "%s: got %v, want %v", at, got.IDs, c.IDs)
		switch {
		case c.Direct != nil:
			want := Labels(c.IDs, c.Direct)
			labels.check(slices.Equal(got.Labels, want), "%s: got %v, want %v", at, got.Labels, want)
		case t.Style == chat.ChatML || t.Style == chat.Llama3:
			want, have := Labels(c.IDs, c.Spans), marked(t, tok, spans, got)
			byRule.check(slices.Equal(have, want), "%s: got %v, want %v", at, have, want)
		}
	}
	r.add(tallied(&refused, &turns, &prompts, &ids, &labels, &byRule)...)
}

// marked are the labels of LLaVA-NeXT for templates that name every speaker: an answer with its header, and in all
// turns the marks.
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

// renderings compares prompts that templates make of conversations.
func renderings(r *Report, path string) {
	n := tally{What: "rendered conversations"}
	for i, c := range readLines[struct {
		Template string
		Messages [][2]*string
		Attached bool `json:"image_tuple"`
		Examples bool `json:"with_examples"`
		Prompt   string
	}](path) {
		t := must(chat.Lookup(c.Template))
		var turns []chat.Turn
		if c.Examples {
			turns = slices.Clone(t.Examples)
		}
		for k, m := range c.Messages {
			turn := chat.Turn{From: []string{chat.Human, chat.GPT}[k%2], Open: m[1] == nil}
			if m[1] != nil {
				turn.Value, turn.Picture = *m[1], c.Attached && k == 0
			}
			turns = append(turns, turn)
		}
		got, err := t.Render(turns)
		if err != nil {
			got = fmt.Sprint(err)
		}
		n.check(got == c.Prompt, "%d (%s): got %q, want %q", i, c.Template, got, c.Prompt)
	}
	r.add(tallied(&n)...)
}
