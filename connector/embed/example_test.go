package embed_test

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/gollava/gollava/connector/embed"
	"github.com/gollava/gollava/vit/imagebind"
)

// Which modalities a model embeds, and what happens to one that it lacks; at a toy size.
func Example() {
	c := imagebind.Huge()
	c.Modalities = []imagebind.Modality{imagebind.Vision, imagebind.Audio}
	c.VisionDim, c.VisionBlocks, c.VisionHeads = 32, 1, 2
	c.AudioDim, c.AudioBlocks, c.AudioHeads = 32, 1, 2
	m, err := imagebind.New(rand.New(rand.NewPCG(1, 2)), c)
	if err != nil {
		panic(err)
	}
	e := embed.New(m, nil) // embed.Open reads a trained one
	fmt.Println(e.Kinds())
	_, err = e.Embed(context.Background(), embed.Text("a dog barks"))
	fmt.Println(err)
	// Output:
	// [vision audio]
	// item 1, text: the model does not have this modality: it has [vision audio]
}
