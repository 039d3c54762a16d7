package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/shapes"
)

// questions is the number of questions in a conversation. The image and the frame of a conversation cost as many
// positions as one question does, whatever follows.
const questions = 8

// write writes LLaVA's json and images to a folder: captions for stage 1, and for stage 2 conversations about the same
// images. Among these are texts without an image: what the language model itself answers to plain requests before it
// is trained, so that it keeps answering them that way. Data that an earlier call wrote in full is kept.
func (p preset) write(ctx context.Context, dir string, w *shapes.World, before *connector.Assistant) error {
	path := filepath.Join(dir, "conversations.json")
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if err := w.Write(ctx, dir, shapes.Files{Captions: p.images}); err != nil {
		return err
	}
	var records []map[string]any // samples in LLaVA's form
	for i := range p.conversations {
		r := w.Rand("pretrained/conversations", i)
		s := w.Scene(shapes.Train, i%p.images, shapes.Options{}) // of the image that Write drew
		mix := shapes.Conversation()
		if i%3 > 0 { // to find one object by its name is what all else builds on
			mix = shapes.LookUp()
		}
		turns := s.Converse(r, mix, questions)
		if i%2 == 0 { // a description comes last, since it answers the questions
			q, _ := s.Ask(r, shapes.Brief)
			turns = append(turns[:min(len(turns), questions-2)], q)
		}
		var said []chat.Turn
		for k, q := range turns {
			text := q.Text
			if k == 0 {
				text = chat.ImageToken + "\n" + text
			}
			said = append(said, chat.Turn{From: chat.Human, Value: text}, chat.Turn{From: chat.GPT, Value: q.Answer})
		}
		records = append(records, map[string]any{"id": fmt.Sprint("conversation-", i), "conversations": said,
			"image": fmt.Sprintf("shapes_train_%09d.png", i%p.images)})
	}
	requests := make([]string, p.replayed)
	for i := range requests {
		requests[i] = forms[i%len(forms)] + things[i/len(forms)%len(things)] + ". Be brief."
	}
	answers, err := ask(ctx, before, requests, nil, 48)
	if err != nil {
		return err
	}
	for i, answer := range answers {
		said := []chat.Turn{{From: chat.Human, Value: requests[i]}, {From: chat.GPT, Value: answer}}
		for copies := range max(1, p.conversations/(5*p.replayed)) { // about one sample in six
			records = append(records, map[string]any{"id": fmt.Sprintf("replay-%d-%d", i, copies), "conversations": said})
		}
	}
	b, err := json.Marshal(records)
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o644)
}

// Requests to the language model are one of each put together.
var (
	forms = []string{"Write one sentence about ", "Tell me a fact about ", "Write a short poem about ",
		"Explain to a child what is special about ", "Write the first line of a story about ", "Why do people like "}
	things = []string{"rain", "a river", "a bakery", "an old bridge", "winter", "the sea", "a library", "music"}
)
