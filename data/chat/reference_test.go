package chat_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/internal/verify"
	"github.com/gollava/gollava/tensor"
)

// reference computes labels as LLaVA's train.py does, by tokenizing parts of a prompt anew and counting their ids. It
// is kept for comparison; what is odd in it is odd there.
type reference struct {
	t      chat.Template
	tok    *tokenizer.Tokenizer
	image  bool // the sample has a picture
	legacy bool // tokenizer.legacy
	max    int  // tokenizer.model_max_length
	ids    []int32
	labels []int32
}

// count is len(tokenizer(text).input_ids), or that of tokenizer_image_token.
func (r *reference) count(text string) int {
	if text == "" {
		return len(r.tok.Wrap(nil))
	}
	span := []chat.Span{{Text: text, To: len(text)}}
	return len(chat.Template{}.Encode(r.tok, span, chat.Options{Pictures: r.image, Specials: true}).IDs)
}

func (r *reference) ignore(from, to int) {
	for i := max(from, 0); i < min(to, len(r.labels)); i++ {
		r.labels[i] = tensor.IgnoreIndex
	}
}

// pad is what the reference counts as padding: the unknown token.
func (r *reference) total() int {
	n := 0
	for _, id := range r.ids {
		if id != r.tok.Unknown() {
			n++
		}
	}
	return n
}

// rounds walks through the rounds of a prompt. corrected adds to the lengths of round i.
func (r *reference) rounds(rounds []string, sep string, cur int, lengths func(i int, round, question string) (whole, asked int)) {
	r.ignore(0, cur)
	for i, round := range rounds {
		parts := strings.Split(round, sep)
		if round == "" || len(parts) != 2 {
			break
		}
		whole, asked := lengths(i, round, parts[0]+sep)
		r.ignore(cur, cur+asked)
		cur += whole
	}
	r.ignore(cur, len(r.labels))
	if cur < r.max && cur != r.total() {
		r.ignore(0, len(r.labels)) // "WARNING: tokenization mismatch (ignored)"
	}
}

// pairs joins the parts of an MPT prompt into rounds: system, question and answer first, then question and answer.
func pairs(prompt, sep string) []string {
	parts := strings.Split(prompt, sep)
	out := []string{strings.Join(parts[:min(3, len(parts))], sep)}
	for i := 3; i < len(parts); i += 2 {
		out = append(out, strings.Join(parts[i:min(i+2, len(parts))], sep))
	}
	return out
}

// run labels the ids of a prompt. older is the rule of tag v1.1.3 for MPT.
func (r *reference) run(turns []chat.Turn, prompt string, older bool) []int32 {
	r.labels = slices.Clone(r.ids)
	correct := func(i, round, asked, by int, when bool) (int, int) {
		if i > 0 && when {
			return round + by, asked + by
		}
		return round, asked
	}
	switch r.t.Style {
	case chat.Two:
		r.rounds(strings.Split(prompt, r.t.Sep2), r.t.Sep+r.t.Roles[1]+": ", 1, func(i int, round, question string) (int, int) {
			return correct(i, r.count(round), r.count(question)-2, -1, !r.legacy)
		})
	case chat.Llama2:
		r.rounds(strings.Split(prompt, r.t.Sep2), "[/INST] ", 1, func(i int, round, question string) (int, int) {
			return r.count(round), r.count(question) - 2
		})
	case chat.MPT:
		r.rounds(pairs(prompt, r.t.Sep), r.t.Sep+r.t.Roles[1], 0, func(i int, round, question string) (int, int) {
			if older {
				return r.count(round) + r.count(r.t.Sep), r.count(question)
			}
			whole, asked := r.count(round), r.count(question)-1
			if r.t.Name == "phi3_instruct" {
				by := 1
				if i > 0 {
					by = -2
				}
				whole, asked = whole+by, asked+by
			}
			return correct(i, whole, asked, 1, r.legacy)
		})
	case chat.Plain:
		r.ignore(0, r.count(chat.ImageToken))
	case chat.Single:
		at := r.count(r.t.System + "\n\n")
		r.ignore(0, at)
		for _, m := range turns {
			n := r.count("### " + map[string]string{chat.Human: r.t.Roles[0], chat.GPT: r.t.Roles[1]}[m.From] + ": " + m.Value + "\n")
			if m.From == chat.Human {
				r.ignore(at+2, at+n)
			}
			at += n
		}
	}
	return r.labels
}

// TestReferenceAlgorithm holds the reference's algorithm against what the reference gave, and the labels of this
// package against the algorithm: they agree wherever it trains anything, but for the cases listed in the package's
// documentation.
func TestReferenceAlgorithm(t *testing.T) {
	dir := cases(t)
	agreed, gaveUp, differs := 0, 0, map[string]int{}
	for _, name := range []string{"llava", "phi3"} {
		rows, err := verify.PromptCases(filepath.Join(dir, name, "cases.jsonl"))
		require.NoError(t, err)
		for _, c := range rows {
			if c.Error != "" {
				continue
			}
			tpl, err := chat.Lookup(c.Template)
			require.NoError(t, err)
			tok, err := tokenizer.Load(filepath.Join(dir, "tokenizers", c.Tokenizer))
			require.NoError(t, err)
			turns := c.Conversations
			if c.HasImage {
				turns = tpl.Multimodal(turns, c.Marks)
			}
			if turns[0].From == chat.GPT {
				turns = turns[1:]
			}
			r := reference{t: tpl, tok: tok, image: c.HasImage, legacy: strings.HasSuffix(c.Tokenizer, "-legacy"), max: c.MaxLength, ids: c.IDs}
			got := r.run(turns, *c.Prompt, false)
			require.Equal(t, verify.Labels(c.IDs, c.Spans), got, "%s %s %s", c.Name, c.Template, c.Tokenizer)
			if c.Older != nil {
				older := r.run(turns, *c.Prompt, true)
				require.Equal(t, verify.Labels(c.IDs, c.Older), older, "%s %s %s", c.Name, c.Template, c.Tokenizer)
			}
			ours, err := c.Train(tok)
			switch {
			case c.MasksAll:
				gaveUp++
			case err != nil:
				require.ErrorAs(t, err, new(*chat.NothingToTrainError))
			case slices.Equal(ours.Labels, got):
				agreed++
			default:
				differs[c.Template+", "+c.Tokenizer]++
			}
		}
	}
	require.Greater(t, agreed, 40)
	require.Greater(t, gaveUp, 5)
	t.Logf("%d agree, the reference gives up %d, differs: %v", agreed, gaveUp, differs)
	for k := range differs {
		require.Contains(t, []string{"llava_v0, llama", "llava_v0, llama-legacy", "v0_mmtag, llama", "v0_mmtag, llama-legacy", "chatml_direct, llama-chatml-legacy"}, k)
	}
}
