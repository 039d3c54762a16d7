package study

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/tensor"
)

// Vocabulary has a token for each word of the world's language. Its texts have spaces between any two words, so that
// cutting there is all there is to tokenizing; the files it writes say the same to other programs. It is safe for
// concurrent use.
type Vocabulary struct {
	words                []string
	ids                  map[string]int32
	Pad, BOS, EOS, Image int32 // tokens
	unknown, user, asst  int32
}

// specials come first, in the order of the ids.
var specials = []string{"<pad>", "<unk>", "<s>", "</s>", "<image>", "USER:", "ASSISTANT:"}

// NewVocabulary is the vocabulary of package shapes, which is the same for every seed.
func NewVocabulary() *Vocabulary {
	v := &Vocabulary{words: slices.Concat(specials, shapes.Vocabulary()), ids: map[string]int32{}}
	for i, w := range v.words {
		v.ids[w] = int32(i)
	}
	for i, id := range []*int32{&v.Pad, &v.unknown, &v.BOS, &v.EOS, &v.Image, &v.user, &v.asst} {
		*id = int32(i)
	}
	return v
}

// Size is the number of tokens.
func (v *Vocabulary) Size() int { return len(v.words) }

// encode appends the tokens of a text.
func (v *Vocabulary) encode(to []int32, text string) []int32 {
	for w := range strings.FieldsSeq(text) {
		if id, ok := v.ids[w]; ok {
			to = append(to, id)
		} else {
			to = append(to, v.unknown)
		}
	}
	return to
}

// decode is the text of tokens up to the end of text.
func (v *Vocabulary) decode(ids []int32) string {
	var words []string
	for _, id := range ids {
		if id == v.EOS {
			break
		}
		if int(id) >= len(specials) && int(id) < len(v.words) {
			words = append(words, v.words[id])
		}
	}
	return strings.Join(words, " ")
}

// strange lists the words of a text that the world's language does not have.
func (v *Vocabulary) strange(text string) (unknown []string) {
	for w := range strings.FieldsSeq(text) {
		if _, ok := v.ids[w]; !ok {
			unknown = append(unknown, w)
		}
	}
	return unknown
}

// Texts are what CLIP reads: each between start and end of text, padded to the longest, with their lengths.
func (v *Vocabulary) Texts(texts []string) (*tensor.Tensor, []int32) {
	rows := make([][]int32, len(texts))
	ends := make([]int32, len(texts))
	T := 0
	for i, t := range texts {
		rows[i] = append(v.encode([]int32{v.BOS}, t), v.EOS)
		ends[i] = int32(len(rows[i]))
		T = max(T, len(rows[i]))
	}
	ids := make([]int32, 0, len(texts)*T)
	for _, row := range rows {
		ids = append(append(ids, row...), slices.Repeat([]int32{v.Pad}, T-len(row))...)
	}
	return tensor.WrapInts(ids, len(rows), T), ends
}

// conversation renders turns in LLaVA's template, without its system text: a place for each of the picture's tokens,
// then the first question, or after it. Only answers and their ends are learnt from.
//
//	<s> USER: <image> question ASSISTANT: answer </s> USER: question ASSISTANT: answer </s>
func (v *Vocabulary) conversation(turns []shapes.Question, places int, after bool) (ids, labels []int32) {
	picture := slices.Repeat([]int32{chat.ImageIndex}, places)
	ids = []int32{v.BOS}
	labels = []int32{tensor.IgnoreIndex}
	for i, t := range turns {
		ids = append(ids, v.user)
		if i == 0 && !after {
			ids = append(ids, picture...)
		}
		ids = v.encode(ids, t.Text)
		if i == 0 && after {
			ids = append(ids, picture...)
		}
		ids = append(ids, v.asst)
		labels = append(labels, slices.Repeat([]int32{tensor.IgnoreIndex}, len(ids)-len(labels))...)
		answer := append(v.encode(nil, t.Answer), v.EOS)
		ids, labels = append(ids, answer...), append(labels, answer...)
	}
	return ids, labels
}

// Prompt renders a question whose answer is to come.
func (v *Vocabulary) Prompt(question string, places int) []int32 {
	ids := append([]int32{v.BOS, v.user}, slices.Repeat([]int32{chat.ImageIndex}, places)...)
	return append(v.encode(ids, question), v.asst)
}

// save writes the tokenizer as transformers and data/tokenizer read it.
func (v *Vocabulary) save(dir string) error {
	type object = map[string]any
	var added []object
	for i, s := range specials {
		added = append(added, object{"id": i, "content": s, "single_word": false, "lstrip": false, "rstrip": false,
			"normalized": false, "special": true})
	}
	files := map[string]object{
		"tokenizer.json": {
			"version": "1.0", "truncation": nil, "padding": nil, "added_tokens": added, "normalizer": nil,
			"pre_tokenizer": object{"type": "WhitespaceSplit"},
			"post_processor": object{"type": "TemplateProcessing",
				"single": []object{{"SpecialToken": object{"id": "<s>", "type_id": 0}},
					{"Sequence": object{"id": "A", "type_id": 0}}},
				"pair": []object{{"SpecialToken": object{"id": "<s>", "type_id": 0}},
					{"Sequence": object{"id": "A", "type_id": 0}}, {"Sequence": object{"id": "B", "type_id": 0}}},
				"special_tokens": object{"<s>": object{"id": "<s>", "ids": []int32{v.BOS}, "tokens": []string{"<s>"}}}},
			"decoder": object{"type": "WordPiece", "prefix": "##", "cleanup": false},
			"model": object{"type": "WordPiece", "unk_token": "<unk>", "continuing_subword_prefix": "##",
				"max_input_chars_per_word": 100, "vocab": v.ids},
		},
		"tokenizer_config.json": {
			"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>",
			"pad_token":                 "<pad>",
			"additional_special_tokens": []string{"<image>", "USER:", "ASSISTANT:"}, "model_max_length": 512,
			"padding_side": "left", "clean_up_tokenization_spaces": false,
			"chat_template": "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}USER: {{ " +
				"m['content'] }} ASSISTANT:{% else %} {{ m['content'] }}{{ eos_token }} {% endif %}{% endfor %}",
		},
	}
	for name, content := range files {
		b, err := json.MarshalIndent(content, "", " ")
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := write(filepath.Join(dir, name), append(b, '\n')); err != nil {
			return err
		}
	}
	return nil
}
