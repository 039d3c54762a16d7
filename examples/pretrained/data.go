package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/shapes"
)

// questions is the number of questions in a conversation. The image and the frame of a conversation cost as many
// positions as one question does, whatever follows.
const questions = 8

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
// answering them that way. Data that an earlier call wrote in full is kept.
func (d files) write(ctx context.Context, p preset, before *speaker) error {
	if _, err := os.Stat(d.conversations()); err == nil {
		return nil
	}
	if err := d.world.Write(ctx, d.dir, shapes.Files{Captions: p.images}); err != nil {
		return err
	}
	var records []record
	for i := range p.conversations {
		r := d.world.Rand("pretrained/conversations", i)
		s := d.world.Scene(shapes.Train, i%p.images, shapes.Options{}) // of the image that Write drew
		turns := s.Converse(r, shapes.Conversation(), questions)
		if i%2 == 0 { // a description comes last, since it answers the questions
			q, _ := s.Ask(r, shapes.Brief)
			turns = append(turns[:min(len(turns), questions-2)], q)
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
		records = append(records, x)
	}
	requests := make([]string, p.replayed)
	for i := range requests {
		r := d.world.Rand("pretrained/replay", i)
		requests[i] = requestForms[r.IntN(len(requestForms))] + things[r.IntN(len(things))] + ". Be brief."
	}
	answers, err := before.say(ctx, requests, 48)
	if err != nil {
		return err
	}
	for i, answer := range answers {
		turns := []chat.Turn{{From: chat.Human, Value: requests[i]}, {From: chat.GPT, Value: answer}}
		for copies := range max(1, p.conversations/(5*p.replayed)) { // about one sample in six
			records = append(records, record{ID: fmt.Sprintf("replay-%d-%d", i, copies), Conversations: turns})
		}
	}
	b, err := json.Marshal(records)
	if err != nil {
		return err
	}
	return os.WriteFile(d.conversations(), b, 0o644)
}

// Requests to the language model are one of each put together.
var (
	requestForms = []string{"Write one sentence about ", "Tell me a fact about ", "Write a short poem about ",
		"Explain to a child what is special about ", "Write the first line of a story about ", "Why do people like "}
	things = []string{"a river", "a bakery", "an old bridge", "winter", "the sea", "a library", "a long walk",
		"a small dog", "the moon", "music", "rain"}
)
