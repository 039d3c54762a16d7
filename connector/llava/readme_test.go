package llava_test

import (
	"context"
	"fmt"
	"log"

	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
)

// The answer to a question about an image in a file. The model is the one that the quickstart trains.
func Example() {
	a, err := llava.Open("run/model", llava.LoadOptions{})
	if err != nil {
		log.Fatal(err)
	}
	image, err := imaging.Open("picture.png", imaging.Options{})
	if err != nil {
		log.Fatal(err)
	}
	question := []chat.Turn{{From: chat.Human, Value: "<image>\nwhat color is the circle ?"}}
	answer, err := a.Reply(context.Background(), question, []*imaging.RGB{image}, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(answer)
}
