package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/shapes"
)

// files is the training data: LLaVA's json and images, in a folder.
type files struct {
	dir   string
	world *shapes.World
}

func (d files) images() string        { return filepath.Join(d.dir, "pretrain", "images") }
func (d files) captions() string      { return filepath.Join(d.dir, "pretrain", "chat.json") }
func (d files) conversations() string { return filepath.Join(d.dir, "conversations.json") }

// record is a sample in LLaVA's form.
type record struct {
	ID            string      `json:"id"`
	Image         string      `json:"image,omitempty"`
	Conversations []chat.Turn `json:"conversations"`
}

// write writes captions for stage 1, and for stage 2 conversations about the same images. Among these are texts
// without an image: what the language model itself answers to plain requests before it is trained, so that it keeps
// answering them that way. Data that an earlier call wrote in full for the same options is kept; data for others is an
// error.
func (d files) write(ctx context.Context, o options, before *speaker) error {
	p := o.preset
	key := fmt.Sprintf("images %d, conversations %d, replayed %d, side %d, seed %d, answers of %s\n",
		p.images, p.conversations, p.replayed, d.world.Side(), o.seed, o.llm)
	keyFile := filepath.Join(d.dir, "made-for.txt")
	switch made, err := os.ReadFile(keyFile); {
	case err == nil && string(made) == key:
		return nil
	case err == nil:
		return fmt.Errorf("%s: the data was made for other options (%s): choose another -out", d.dir,
			strings.TrimSpace(string(made)))
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := d.world.Write(ctx, d.dir, shapes.Files{Captions: p.images}); err != nil {
		return err
	}
	var records []record
	for i := range p.conversations {
		r := d.world.Rand("pretrained/conversations", i)
		s := d.world.Scene(shapes.Train, i%p.images, shapes.Options{}) // of the image that Write drew
		turns := s.Converse(r, shapes.Conversation(), 3)
		if i%5 == 0 {
			q, _ := s.Ask(r, shapes.Brief)
			turns = []shapes.Question{q}
		}
		x := record{ID: fmt.Sprint("conversation-", i), Image: fmt.Sprintf("shapes_train_%09d.png", i%p.images)}
		for k, q := range turns {
			text := q.Text
			if k == 0 {
				text = chat.ImageToken + "\n" + text
			}
			x.Conversations = append(x.Conversations, chat.Turn{From: chat.Human, Value: text},
				chat.Turn{From: chat.GPT, Value: q.Answer})
		}
		if len(turns) > 0 {
			records = append(records, x)
		}
	}
	for i := range p.replayed {
		request := plainRequest(d.world.Rand("pretrained/replay", i))
		answer, err := before.say(ctx, request, 48)
		if err != nil {
			return err
		}
		turns := []chat.Turn{{From: chat.Human, Value: request}, {From: chat.GPT, Value: answer}}
		for copies := range max(1, p.conversations/(5*p.replayed)) { // about one sample in six
			records = append(records, record{ID: fmt.Sprintf("replay-%d-%d", i, copies), Conversations: turns})
		}
	}
	b, err := json.Marshal(records)
	if err != nil {
		return err
	}
	if err := os.WriteFile(d.conversations(), b, 0o644); err != nil {
		return err
	}
	return os.WriteFile(keyFile, []byte(key), 0o644)
}

// Plain requests are one of each put together.
var (
	requests = []string{
		"Write one sentence about ", "Tell me a fact about ", "What comes to mind when you think of ",
		"Write a short poem about ", "Explain to a child what is special about ",
		"Write the first line of a story about ", "Why do people like ",
	}
	things = []string{
		"a river", "a bakery", "an old bridge", "winter", "the sea", "a library", "a long walk", "a small dog",
		"the moon", "music", "rain",
	}
	manners = []string{". Be brief.", ". Answer in one sentence.", ". Use plain words."}
)

// plainRequest is something that people ask a language model.
func plainRequest(r *rand.Rand) string {
	pick := func(list []string) string { return list[r.IntN(len(list))] }
	thing := pick(things)
	return pick(requests) + thing + pick(manners)
}
