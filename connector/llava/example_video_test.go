package llava_test

import (
	"context"
	"fmt"
	"log"

	"github.com/gollava/gollava/connector/llava"
)

// Compiled and not run: the model is 1.8 GB.
func Example_video() {
	ctx := context.Background()
	a, err := llava.Open("llava-onevision-qwen2-0.5b-ov-hf", llava.LoadOptions{})
	if err != nil {
		log.Fatal(err)
	}
	answer, err := a.AskVideo(ctx, "Which way does the ball go?", "ball.gif", 8) // 8 frames of it
	fmt.Println(answer, err)
}
