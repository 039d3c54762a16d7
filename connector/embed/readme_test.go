package embed_test

import (
	"context"
	"fmt"
	"log"

	"github.com/gollava/gollava/connector/embed"
	"github.com/gollava/gollava/nn"
)

// How alike a text and a sound are. The model is the released ImageBind.
func ExampleOpen() {
	e, err := embed.Open("./imagebind", nn.LoadOptions{})
	if err != nil {
		log.Fatal(err)
	}
	x, err := e.Embed(context.Background(), embed.Text("a dog barks"), embed.File("rain.wav")) // [2, 1024], of length 1
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(x.MatMulT(x)) // the cosines
}
