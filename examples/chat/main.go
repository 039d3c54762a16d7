// Command chat talks with a LLaVA model in a terminal. A line is a question; /image FILE shows the model a picture.
//
//	go run ./examples/chat -model llava-1.5-7b-hf
//
// It is the smallest program that does so; `gollava chat` has more options.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

func main() {
	model := flag.String("model", "", "folder of a LLaVA model")
	flag.Parse()
	if *model == "" {
		fmt.Fprintln(os.Stderr, "chat: which model? Give its folder with -model")
		os.Exit(2)
	}
	if err := run(context.Background(), *model, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "chat:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, model string, in io.Reader, out io.Writer) error {
	a, err := llava.Open(model, llava.LoadOptions{DType: nn.As(tensor.BFloat16)})
	if err != nil {
		return err
	}
	session := a.NewSession()
	var turns []chat.Turn
	var pictures []*imaging.RGB
	show := func(text string) error {
		_, err := io.WriteString(out, text)
		return err
	}
	shown := "" // places for pictures that the next question brings
	for lines := bufio.NewScanner(in); lines.Scan(); {
		if name, ok := strings.CutPrefix(lines.Text(), "/image "); ok {
			m, err := imaging.Open(name, imaging.Options{})
			if err != nil {
				fmt.Fprintln(out, err)
				continue
			}
			pictures, shown = append(pictures, m), shown+chat.ImageToken+"\n"
			continue
		}
		turns = append(turns, chat.Turn{From: chat.Human, Value: shown + lines.Text()})
		answer, err := session.Reply(ctx, turns, pictures, show)
		if err != nil {
			return err
		}
		fmt.Fprintln(out)
		turns, shown = append(turns, chat.Turn{From: chat.GPT, Value: answer}), ""
	}
	return nil
}
