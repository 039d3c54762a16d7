package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/serve"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
)

// speaker is who is talked with.
type speaker interface {
	// Reply answers the last turn; onText sees the answer as it grows.
	Reply(ctx context.Context, turns []chat.Turn, images []*imaging.RGB, onText func(string) error) (string, error)
	// system sets the system text.
	system(text string) error
}

// sighted is a vision-language model.
type sighted struct {
	*connector.Session
	assistant *connector.Assistant // the session's
}

func (s sighted) system(text string) error {
	t, ok := s.assistant.Template.WithSystem(text)
	if !ok {
		return fmt.Errorf("the template %s has no place for a system text", t.Name)
	}
	s.assistant.Template = t
	return nil
}

// reading is a language model, which takes no images.
type reading struct {
	model    serve.Model
	sampling serve.Sampling
	said     *string // system text
}

func (r reading) system(text string) error {
	*r.said = text
	return nil
}

func (r reading) Reply(ctx context.Context, turns []chat.Turn, images []*imaging.RGB,
	onText func(string) error) (string, error) {
	if len(images) > 0 {
		return "", errors.New("this is a language model: it cannot see images")
	}
	c := serve.Conversation{Messages: []serve.Message{}}
	say := func(role, text string) {
		c.Messages = append(c.Messages, serve.Message{Role: role, Parts: []serve.Part{{Text: text}}})
	}
	if *r.said != "" {
		say("system", *r.said)
	}
	for _, t := range turns {
		say(map[string]string{chat.Human: "user", chat.GPT: "assistant"}[t.From], t.Value)
	}
	p, err := r.model.Prepare(ctx, c)
	if err != nil {
		return "", err
	}
	s := r.sampling
	s.MaxTokens = min(s.MaxTokens, r.model.Context()-p.Tokens())
	var answer strings.Builder
	add := func(text string) error {
		if answer.Len() == 0 {
			text = strings.TrimLeft(text, " \n")
		}
		answer.WriteString(text)
		return onText(text)
	}
	end, err := r.model.Generate(ctx, p, s, func(t serve.Token) error { return add(t.Text) })
	if err == nil {
		err = add(end.Rest)
	}
	return strings.TrimSpace(answer.String()), err
}

// language opens a plain language model to talk with; ok is false where the source is a vision-language model.
func (v chatCommand) language(c console) (s speaker, ok bool, err error) {
	server := serveCommand{Base: v.Source.Base, Tower: v.Source.Tower, Template: v.Template, DType: v.Source.DType}
	_, none := os.Stat(filepath.Join(v.Source.Dir, "config.json"))
	if server.sees(v.Source) || none != nil && !strings.HasSuffix(strings.ToLower(v.Source.Dir), ".gguf") {
		return nil, false, nil
	}
	m, err := server.openLanguage(v.Source, c)
	if err != nil {
		return nil, true, err
	}
	fmt.Fprintf(c.err, "a language model, which sees no images; template %s\n", m.template)
	r := reading{model: m.model, said: new(string), sampling: serve.Sampling{MaxTokens: 512, Seed: v.Seed,
		Temperature: v.Temperature, TopP: v.TopP}}
	if v.MaxTokens != nil {
		r.sampling.MaxTokens = *v.MaxTokens
	}
	return r, true, nil
}
