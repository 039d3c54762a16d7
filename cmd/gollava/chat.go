package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"golang.org/x/term"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/data"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/llm"
)

type chatCommand struct {
	Source      source   `embed:""`
	Image       []string `short:"i" help:"A picture to begin with; may be given again."`
	Video       []string `help:"A video to begin with: GIF, WebP, MJPEG in AVI, a folder of frames, or what ffmpeg reads; may be given again."`
	Frames      int      `default:"8" help:"Frames of a video that the model sees."`
	Ask         *string  `help:"Ask this one question, print the answer and end."`
	Template    string   `help:"Conversation template, a name such as vicuna_v1; default: what the model was trained with."`
	MaxTokens   *int     `help:"Tokens of an answer at most; default: what generation_config.json says, else 512."`
	Temperature *float64 `help:"Randomness of answers; 0: always the likeliest token; default: what generation_config.json says, else 0."`
	TopP        *float64 `help:"Sample among the likeliest tokens that make up this share; default: what generation_config.json says, else 1."`
	Seed        uint64   `help:"Seed of the randomness."`
}

func (chatCommand) Help() string {
	return `Pictures of a conversation are given with /image and videos with /video; questions are about those given
so far.

Example:

  gollava chat ./llava-1.5-7b-hf --image cat.jpg --ask "What is unusual about this picture?"

A plain language model, in a folder or a GGUF file, is talked with as well.`
}

const chatHelp = "/image FILE shows a picture, /video FILE a video, /system TEXT sets the system text, " +
	"/save FILE keeps the conversation, /reset forgets it, /quit ends; everything else is said to the model, and " +
	"Ctrl-C ends its answer"

var chatCommands = []string{"/image", "/video", "/system", "/save", "/reset", "/clear", "/quit"}

func (v chatCommand) Run(ctx context.Context, c console) error {
	a, err := v.language(c)
	if err == nil && a == nil {
		a, err = v.sighted(c)
	}
	if err != nil {
		return fmt.Errorf("chat: %w", err)
	}
	if err := v.sampling(&a.Options); err != nil {
		return fmt.Errorf("chat: %w", err)
	}
	c.ignored(a.Ignored)
	unread := func(question string) {
		if parts := a.Tokenizer.Unread(question); len(parts) > 0 {
			c.hint("the tokenizer has no token for %q: the model does not see that", parts)
		}
	}
	return v.talk(ctx, c, talk{session: session{a.NewSession(), a}, frames: v.Frames, out: c.said(),
		unread: unread})
}

// sighted opens a vision-language model.
func (v chatCommand) sighted(c console) (*connector.Assistant, error) {
	a, err := v.Source.assistant(v.Template)
	if err == nil {
		c.template(v.Source, a, v.Template)
	}
	return a, err
}

// talk asks the one question, or as many as there are.
func (v chatCommand) talk(ctx context.Context, c console, t talk) error {
	for _, name := range v.Image {
		if err := t.show(name); err != nil {
			return fmt.Errorf("chat: %w", err)
		}
	}
	for _, name := range v.Video {
		if err := t.watch(ctx, name); err != nil {
			return fmt.Errorf("chat: %w", err)
		}
	}
	if v.Ask != nil {
		if strings.TrimSpace(*v.Ask) == "" {
			return fmt.Errorf("chat: --ask is empty: ask something, or leave it out for a conversation")
		}
		if err := t.say(ctx, *v.Ask); err != nil {
			return fmt.Errorf("chat: %w", err)
		}
		c.next(v.Source.asked(v.Template)...)
		return nil
	}
	return t.loop(ctx, c)
}

// sampling takes over the flags that were given.
func (v chatCommand) sampling(o *llm.Options) error {
	s := &o.Sampling
	s.Seed = v.Seed
	if v.MaxTokens != nil {
		if o.MaxNewTokens = *v.MaxTokens; o.MaxNewTokens < 1 {
			return fmt.Errorf("--max-tokens %d: an answer takes at least one", o.MaxNewTokens)
		}
	}
	if v.Temperature != nil {
		if s.Temperature = *v.Temperature; !(s.Temperature >= 0) {
			return fmt.Errorf("--temperature %v must not be negative", s.Temperature)
		}
	}
	if v.TopP != nil {
		if s.TopP = *v.TopP; !(s.TopP > 0 && s.TopP <= 1) {
			return fmt.Errorf("--top-p %v is not in (0, 1]", s.TopP)
		}
	}
	return nil
}

// template says how questions are put to the model, and where that comes from if neither the user nor the training
// named it.
func (c console) template(s source, a *connector.Assistant, given string) {
	from := ""
	if config, err := llava.ReadConfig(s.Dir); err == nil && config.Template == "" && given == "" {
		if _, err := chat.FromTokenizer(a.Tokenizer); err == nil {
			from = ", as the checkpoint's chat_template writes it"
		} else if a.Tokenizer.ChatTemplate() != "" {
			why, _, _ := strings.Cut(err.Error(), ": choose")
			from = fmt.Sprintf(": a guess by the family of the language model (%s); --template names another", why)
		}
	}
	fmt.Fprintf(c.err, "template %s, system text %q%s\n", a.Template.Name, a.Template.System, from)
}

// said is where what a model says goes: as it is to a file, cleaned to a terminal.
func (c console) said() io.Writer {
	if f, ok := c.plain.(*os.File); ok && term.IsTerminal(int(f.Fd())) || c.plain == nil {
		return c.out
	}
	return c.plain
}

// ignored says what the checkpoint asks for and is not done.
func (c console) ignored(fields []string) {
	for _, field := range fields {
		fmt.Fprintf(c.err, "generation_config.json: %s is not supported: answers are made without it\n", field)
	}
}

// talk is a conversation.
type talk struct {
	session speaker
	frames  int // that are seen of a video
	out     io.Writer
	unread  func(question string) // says what the model cannot read of it; nil: nothing does

	turns []chat.Turn
	shown []connector.Visual
	names []string // of their files
	fresh int      // of shown, those that no turn names yet
}

// show reads a picture for the next question.
func (t *talk) show(name string) error {
	m, err := imaging.Open(name, imaging.Options{Limits: data.DefaultLimits(), Orient: true})
	if err != nil {
		return err
	}
	return t.add(connector.Visual{Image: m}, name)
}

// watch reads a video for the next question.
func (t *talk) watch(ctx context.Context, name string) error {
	frames, err := imaging.OpenVideo(ctx, name, t.frames, imaging.Options{Limits: data.DefaultLimits()})
	if err != nil {
		return err
	}
	return t.add(connector.Visual{Video: frames}, name)
}

func (t *talk) add(v connector.Visual, name string) error {
	if err := t.session.takes(v); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	t.shown, t.names = append(t.shown, v), append(t.names, name)
	t.fresh++
	return nil
}

// say asks a question and prints the answer as it grows.
func (t *talk) say(ctx context.Context, text string) error {
	if t.unread != nil {
		t.unread(text)
	}
	text = strings.Repeat(chat.ImageToken+"\n", t.fresh) + strings.ReplaceAll(text, chat.ImageToken, "image")
	turns := append(t.turns, chat.Turn{From: chat.Human, Value: text})
	answer, err := t.session.Watch(ctx, turns, t.shown, func(s string) error {
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

// save writes the conversation as a sample of LLaVA's json, to a file that is not there yet.
func (t *talk) save(name string) (err error) {
	if len(t.turns) == 0 {
		return errors.New("there is nothing to save yet")
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	sample := map[string]any{"id": "conversation", "conversations": t.turns}
	if len(t.names) > 0 {
		sample["image"] = t.names
	}
	e := json.NewEncoder(f)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode([]any{sample})
}

// loop talks until the input ends. Ctrl-C ends an answer, not the conversation.
func (t *talk) loop(ctx context.Context, c console) error {
	fmt.Fprintln(c.err, chatHelp)
	next := c.lines()
	for {
		line, err := next()
		if err == io.EOF && line == "" {
			return nil
		} else if err != nil && err != io.EOF {
			fmt.Fprintln(c.err, err)
			if !errors.Is(err, errLongLine) {
				return err
			}
			continue
		}
		line = strings.TrimSpace(line)
		command, rest, _ := strings.Cut(line, " ")
		err = nil
		switch {
		case line == "":
			continue
		case command == "/quit":
			return nil
		case command == "/reset", command == "/clear":
			t.turns, t.shown, t.names, t.fresh = nil, nil, nil, 0
		case command == "/system":
			err = t.session.system(strings.TrimSpace(rest))
		case command == "/save":
			err = t.save(unquoted(strings.TrimSpace(rest)))
		case command == "/image":
			err = t.show(unquoted(strings.TrimSpace(rest)))
		case command == "/video":
			err = t.watch(ctx, unquoted(strings.TrimSpace(rest)))
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

// maxLine is how long a line of a conversation may be, in bytes.
const maxLine = 1 << 20

var errLongLine = fmt.Errorf("the line is longer than %d bytes: nothing was asked", maxLine)

// readLine reads a line of any length, and refuses it if it is longer than maxLine.
func readLine(r *bufio.Reader) (string, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(line) <= maxLine {
			line = append(line, part...)
		}
		switch {
		case err == bufio.ErrBufferFull:
			continue
		case len(line) > maxLine:
			return "", errLongLine
		}
		return string(line), err
	}
}

// unquoted takes off the quotes that a shell, or a file dragged into a terminal, puts around a name, and the
// backslashes before spaces.
func unquoted(name string) string {
	if n := len(name); n >= 2 && strings.ContainsRune("\"'", rune(name[0])) && name[n-1] == name[0] {
		return name[1 : n-1]
	}
	return strings.ReplaceAll(name, `\ `, " ")
}
