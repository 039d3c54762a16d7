package connector

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"

	"github.com/gollava/gollava/data"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/tensor"
)

// Assistant talks about images: a model with the tokenizer, the image processor and the template that it was trained
// with. [OpenText] makes one of a plain language model, which takes no images.
//
//	a, err := llava.Open("llava-1.5-7b-hf", llava.LoadOptions{})
//	answer, err := a.Ask(ctx, "What is this?", "picture.png")
//
// Ask and Reply are safe for concurrent use while nobody changes the assistant or its model.
type Assistant struct {
	Model     *VLM
	Tokenizer *tokenizer.Tokenizer
	Processor *imaging.Processor // nil where the model takes no images
	Template  chat.Template
	Marks     bool // <im_start> and <im_end> stand around the pictures in the text (LLaVA's mm_use_im_start_end)

	Leading bool // images stand before all text, its first token too, as in BLIP-2
	Most    int  // images of a conversation; 0: any number

	// Around is the token before and after each image, of which neighbours share one, as in IDEFICS; 0: none.
	Around int32

	// Instruction reads the last question for an [Instructed] connector; nil: it reads none.
	Instruction *tokenizer.Tokenizer

	// Options of generation, first those of the checkpoint. Zero: greedy, 512 tokens. Decode and OnToken are the
	// assistant's own.
	Options llm.Options
	Ignored []string // what the checkpoint says about generation and is not supported: "no_repeat_ngram_size 3"
}

// Ask answers one question about the images in files, of any number: without files the question is text alone. Where
// the question has no <image> of its own, one for each file goes before it. [Assistant.Reply] is for conversations,
// for images that are no files, and for answers that are read while they grow.
func (a *Assistant) Ask(ctx context.Context, question string, files ...string) (string, error) {
	var images []*imaging.RGB
	for _, name := range files {
		m, err := imaging.Open(name, imaging.Options{Limits: data.DefaultLimits(), Orient: true})
		if err != nil {
			return "", fmt.Errorf("ask: %w", err)
		}
		images = append(images, m)
	}
	if !strings.Contains(question, chat.ImageToken) {
		question = strings.Repeat(chat.ImageToken+"\n", len(images)) + question
	}
	return a.Reply(ctx, []chat.Turn{{From: chat.Human, Value: question}}, images, nil)
}

// Reply answers the last of turns, which is the human's. pictures are those of the turns' <image>s, in order. onText,
// if not nil, sees the answer as it grows, in whole characters; an error of it ends the generation. Special tokens
// written in the turns stay text.
func (a *Assistant) Reply(ctx context.Context, turns []chat.Turn, pictures []*imaging.RGB,
	onText func(string) error) (string, error) {
	return a.reply(ctx, turns, Visuals(pictures), onText)
}

func (a *Assistant) reply(ctx context.Context, turns []chat.Turn, shown []Visual,
	onText func(string) error) (string, error) {
	x, err := a.ask(turns, shown)
	if err != nil {
		return "", err
	}
	return a.complete(ctx, x, onText)
}

// Continue is Reply for a prompt that is no conversation: ids, in which chat.ImageIndex stands for each of the images.
func (a *Assistant) Continue(ctx context.Context, ids []int32, images []*imaging.RGB,
	onText func(string) error) (string, error) {
	x, err := a.sample(ids, Visuals(images))
	if err != nil {
		return "", err
	}
	return a.complete(ctx, x, onText)
}

// complete continues a prompt.
func (a *Assistant) complete(ctx context.Context, x Sample, onText func(string) error) (string, error) {
	b, err := a.prompt(x)
	if err != nil {
		return "", err
	}
	return a.answer(b.IDs.Dim(1), onText, func(o llm.Options) (llm.Generated, error) {
		return a.Model.Generate(ctx, b, o)
	})
}

// prompt is a batch of one prompt, none of which is cut off.
func (a *Assistant) prompt(x Sample) (Batch, error) {
	whole := *a.Model
	whole.config.MaxLength = 0
	b, err := whole.Splice([]Sample{x}, true)
	if err == nil {
		err = a.fits(b.IDs.Dim(1))
	}
	return b, err
}

// fits returns an error if a conversation takes more positions than the model has, or keeps.
func (a *Assistant) fits(length int) error {
	most := a.positions() - 1 // and an answer
	if kept := a.Model.config.MaxLength; kept > 0 {
		most = min(most, kept)
	}
	if length > most {
		return fmt.Errorf("reply: the conversation takes %d positions with its images, but the model takes only %d: "+
			"shorten or clear it", length, most)
	}
	return nil
}

// positions is how many the language model has for a conversation with its answer.
func (a *Assistant) positions() int {
	c := a.Model.Language.Config()
	if c.AlibiBiasMax > 0 || c.RoPE.Type == "dynamic" {
		return math.MaxInt
	}
	return c.MaxPositionEmbeddings
}

// answer makes text of what generate does with the assistant's options, behind a prompt of so many positions.
func (a *Assistant) answer(
	length int,
	onText func(string) error,
	generate func(llm.Options) (llm.Generated, error),
) (string, error) {
	o := a.Options
	if o.MaxNewTokens == 0 {
		o.MaxNewTokens = 512
	}
	if a.Model.encoderDecoder() == nil {
		o.MaxNewTokens = min(o.MaxNewTokens, a.positions()-length)
	}
	o.StopStrings, o.Decode = slices.Concat(a.Template.Stop, o.StopStrings), a.Tokenizer.Decode
	s := speech{stream: a.Tokenizer.Stream(nil), until: chat.NewUntil(o.StopStrings...), onText: onText}
	if o.Beams > 1 {
		o.StopStrings, o.OnToken = nil, nil // the text is cut at them in the end
	} else {
		o.OnToken = func(_ int, id int32) error { return s.add(s.stream.Next(id)) }
	}
	g, err := generate(o)
	if err != nil {
		return s.said.String(), a.Model.blame(err)
	}
	if o.Beams > 1 {
		err = s.add(a.Tokenizer.Decode(g.IDs[0]))
	}
	if err == nil {
		err = s.end()
	}
	return s.said.String(), err
}

// Prompt tokenizes a conversation, with an answer to come, and prepares its images, as [Assistant.Reply] does.
func (a *Assistant) Prompt(turns []chat.Turn, pictures []*imaging.RGB) (Sample, error) {
	return a.ask(turns, Visuals(pictures))
}

func (a *Assistant) ask(turns []chat.Turn, shown []Visual) (Sample, error) {
	ids, err := a.PromptIDs(turns, len(shown) > 0)
	if err != nil {
		return Sample{}, err
	}
	x, err := a.sample(ids, shown)
	x.Instruction = a.InstructionIDs(turns[len(turns)-1].Value)
	return x, err
}

// sample is a prompt with its images prepared.
func (a *Assistant) sample(ids []int32, shown []Visual) (Sample, error) {
	images, err := a.images(shown)
	if err != nil {
		err = fmt.Errorf("reply: %w", err)
	}
	return Sample{Name: "prompt", IDs: ids, Images: images}, err
}

// Sample tokenizes a conversation with its answers, which are what is learnt of it, and prepares its images: pictures
// are those of the turns' <image>s, in order. [VLM.Splice] makes batches of samples.
func (a *Assistant) Sample(turns []chat.Turn, pictures []*imaging.RGB) (Sample, error) {
	if a.Leading {
		return Sample{}, errLeading
	}
	x, err := a.learnt("sample", turns, len(pictures) > 0)
	if err != nil {
		return x, fmt.Errorf("sample: %w", err)
	}
	x.Images, err = a.images(Visuals(pictures))
	return x, err
}

// learnt is a conversation with its answers, without the images.
func (a *Assistant) learnt(name string, turns []chat.Turn, images bool) (Sample, error) {
	t, err := a.Template.Train(a.Tokenizer, turns, chat.Options{Pictures: images, Marks: a.Marks})
	x := Sample{Name: name}
	x.IDs, x.Labels = a.surround(t.IDs, t.Labels)
	return x, err
}

// images prepares images and videos for the encoder.
func (a *Assistant) images(shown []Visual) (list []Image, err error) {
	for i, v := range shown {
		p, err := a.visual(v)
		if err != nil {
			return nil, fmt.Errorf("picture %d: %w", i+1, err)
		}
		list = append(list, p)
	}
	return list, nil
}

// PromptIDs tokenizes a conversation, with an answer to come. With images, chat.ImageIndex stands for each <image>;
// without, <image> is text.
func (a *Assistant) PromptIDs(turns []chat.Turn, images bool) ([]int32, error) {
	if len(turns) == 0 || turns[len(turns)-1].From != chat.Human {
		return nil, fmt.Errorf("reply: the last turn must be the human's")
	}
	turns = append(append([]chat.Turn(nil), turns...), chat.Turn{From: chat.GPT, Open: true})
	if err := a.countImages(turns, images); err != nil {
		return nil, err
	}
	if a.Marks && images {
		for i := range turns {
			turns[i].Value = strings.ReplaceAll(turns[i].Value, chat.ImageToken,
				chat.ImageStart+chat.ImageToken+chat.ImageEnd)
		}
	}
	var leading []int32
	for i := range turns {
		if a.Leading && images {
			n := strings.Count(turns[i].Value, chat.ImageToken)
			leading = append(leading, slices.Repeat([]int32{chat.ImageIndex}, n)...)
			turns[i].Value = withoutImages(turns[i].Value)
		}
	}
	spans, err := a.Template.Spans(turns)
	if err != nil {
		return nil, fmt.Errorf("reply: %w", err)
	}
	if a.Leading {
		text := a.Template.Encode(a.Tokenizer, spans, chat.Options{}).IDs
		if a.Model.config.Prefix { // the text goes on: what a tokenizer puts behind a whole one is not its end
			around := a.Tokenizer.Wrap([]int32{chat.ImageIndex})
			text = text[:len(text)-(len(around)-1-slices.Index(around, chat.ImageIndex))]
		}
		return append(leading, text...), nil
	}
	ids, _ := a.surround(a.Template.Encode(a.Tokenizer, spans, chat.Options{Pictures: images}).IDs, nil)
	return ids, nil
}

// countImages returns an error if turns have more images than the model takes.
func (a *Assistant) countImages(turns []chat.Turn, images bool) error {
	n := 0
	for i := range turns {
		n += strings.Count(turns[i].Value, chat.ImageToken)
	}
	if images && a.Most > 0 && n > a.Most {
		return fmt.Errorf("reply: %d images in a conversation: this model takes %d", n, a.Most)
	}
	return nil
}

// surround puts Around before and after each image. It is not learnt: labels, if there are any, ignore it.
func (a *Assistant) surround(ids, labels []int32) (_, _ []int32) {
	if a.Around == 0 {
		return ids, labels
	}
	var out, learnt []int32
	add := func(id, label int32) {
		out = append(out, id)
		if labels != nil {
			learnt = append(learnt, label)
		}
	}
	for i, id := range ids {
		if id == chat.ImageIndex && (len(out) == 0 || out[len(out)-1] != a.Around) {
			add(a.Around, tensor.IgnoreIndex)
		}
		label := int32(tensor.IgnoreIndex)
		if labels != nil {
			label = labels[i]
		}
		add(id, label)
		if id == chat.ImageIndex {
			add(a.Around, tensor.IgnoreIndex)
		}
	}
	return out, learnt
}

// InstructionIDs is a question as an [Instructed] connector reads it, nil if the model's reads none.
func (a *Assistant) InstructionIDs(question string) []int32 {
	if a.Instruction == nil {
		return nil
	}
	return a.Instruction.Wrap(a.Instruction.Encode(withoutImages(question)))
}

// speech passes text on while it comes, without stop strings, what follows them, and white space at both ends.
type speech struct {
	stream *tokenizer.Stream
	until  *chat.Until
	onText func(string) error

	said  strings.Builder // what has been passed on
	space string          // white space that more text must follow
}

func (s *speech) add(text string) error { return s.pass(s.until.Add(text)) }

func (s *speech) pass(text string) error {
	text = s.space + text
	if s.said.Len() == 0 {
		text = strings.TrimLeftFunc(text, unicode.IsSpace)
	}
	out := strings.TrimRightFunc(text, unicode.IsSpace)
	s.space = text[len(out):]
	s.said.WriteString(out)
	if s.onText == nil || out == "" {
		return nil
	}
	return s.onText(out)
}

// end passes on what is left.
func (s *speech) end() error {
	if err := s.add(s.stream.Flush()); err != nil {
		return err
	}
	return s.pass(s.until.Rest())
}

// withoutImages is text without its <image>s and the line breaks behind them.
func withoutImages(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(text, chat.ImageToken+"\n", ""), chat.ImageToken, "")
}

// errLeading is what a set of conversations meets on a model whose images stand before all text.
var errLeading = errors.New("a model whose images stand before all text, and may read the instruction, learns from " +
	"samples that are put together by hand: see VLM.Splice")
