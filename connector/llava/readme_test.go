package llava_test

import (
	"context"
	"fmt"
	"log"

	"github.com/gollava/gollava/connector/llava"
)

// The answer to a question about an image in a file. The model is the one that the quickstart trains.
func Example() {
	a, err := llava.Open("run/model", llava.LoadOptions{})
	if err != nil {
		log.Fatal(err)
	}
	answer, err := a.Ask(context.Background(), "what color is the circle ?", "picture.png")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(answer)
}
