package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/lora"
)

type chatCommand struct {
	Source      source   `embed:""`
	Image       []string `short:"i" help:"A picture to begin with; may be given again."`
	Ask         string   `help:"Ask this one question, print the answer and end."`
	Template    string   `help:"Conversation template, a name such as vicuna_v1; default: what the model was trained with."`
	MaxTokens   int      `default:"512" help:"Tokens of an answer at most."`
	Temperature float64  `help:"Randomness of answers; 0: always the likeliest token."`
	TopP        float64  `default:"1" help:"Sample among the likeliest tokens that make up this share."`
	Seed        uint64   `help:"Seed of the randomness."`
}

func (chatCommand) Help() string {
	return `Pictures of a conversation are given with /image, questions are about those given so far.

Example:

  gollava chat ./llava-1.5-7b-hf --image cat.jpg --ask "What is unusual about this picture?"`
}

const chatHelp = "/image FILE shows a picture, /clear forgets the conversation, /quit ends; everything else is said to the model"

func (v chatCommand) Run(ctx context.Context, c console) error {
	a, _, err := v.Source.open()
	if err == nil {
		err = lora.Merge(a.Model)
	}
	if err != nil {
		return fmt.Errorf("chat: %w", err)
	}
	if v.Template != "" {
		if a.Template, err = chat.Lookup(v.Template); err != nil {
			return fmt.Errorf("chat: %w", err)
		}
	}
	a.Options.MaxNewTokens = v.MaxTokens
	a.Options.Sampling.Temperature, a.Options.Sampling.TopP, a.Options.Sampling.Seed = v.Temperature, v.TopP, v.Seed
	t := talk{assistant: a, out: c.out}
	for _, name := range v.Image {
		if err := t.show(name); err != nil {
			return fmt.Errorf("chat: %w", err)
		}
	}
	if v.Ask != "" {
		if err := t.say(ctx, v.Ask); err != nil {
			return fmt.Errorf("chat: %w", err)
		}
		c.next("gollava chat %s starts a conversation", v.Source.Dir)
		return nil
	}
	return t.loop(ctx, c)
}

// talk is a conversation.
type talk struct {
	assistant *connector.Assistant
	out       io.Writer

	turns    []chat.Turn
	pictures []*imaging.RGB
	fresh    int // pictures that no turn names yet
}

// show reads a picture for the next question.
func (t *talk) show(name string) error {
	m, err := imaging.Open(name, imaging.Options{Limits: data.DefaultLimits(), Orient: true})
	if err != nil {
		return err
	}
	t.pictures = append(t.pictures, m)
	t.fresh++
	return nil
}

// say asks a question and prints the answer as it grows.
func (t *talk) say(ctx context.Context, text string) error {
	text = strings.Repeat(chat.ImageToken+"\n", t.fresh) + strings.ReplaceAll(text, chat.ImageToken, "image")
	turns := append(t.turns, chat.Turn{From: chat.Human, Value: text})
	answer, err := t.assistant.Reply(ctx, turns, t.pictures, func(s string) error {
		_, err := io.WriteString(t.out, s)
		return err
	})
	fmt.Fprintln(t.out)
	if err != nil {
		return err
	}
	t.turns, t.fresh = append(turns, chat.Turn{From: chat.GPT, Value: answer}), 0
	return nil
}

// loop talks until the input ends. Ctrl-C ends an answer, not the conversation.
func (t *talk) loop(ctx context.Context, c console) error {
	fmt.Fprintln(c.err, chatHelp)
	lines := bufio.NewScanner(c.in)
	for {
		fmt.Fprint(c.err, "> ")
		if !lines.Scan() {
			return lines.Err()
		}
		line := strings.TrimSpace(lines.Text())
		command, rest, _ := strings.Cut(line, " ")
		var err error
		switch {
		case line == "":
			continue
		case command == "/quit":
			return nil
		case command == "/clear":
			t.turns, t.pictures, t.fresh = nil, nil, 0
		case command == "/image":
			err = t.show(strings.TrimSpace(rest))
		case strings.HasPrefix(line, "/"):
			fmt.Fprintln(c.err, chatHelp)
		default:
			answer, stop := signal.NotifyContext(ctx, os.Interrupt)
			err = t.say(answer, line)
			stop()
			if errors.Is(err, context.Canceled) && ctx.Err() == nil {
				err = nil
			}
		}
		if err != nil {
			fmt.Fprintf(c.err, "%v\n", err)
		}
	}
}
