package llava_test

import (
	"context"
	"log"
	"os"

	"github.com/gollava/gollava/train"
	"github.com/gollava/gollava/train/llava"
)

// LLaVA-1.5's recipe, with its published values.
func Example() {
	for _, c := range []llava.Config{
		{Stage: "align", Vision: "clip-vit-large-patch14-336", LLM: "vicuna-7b-v1.5",
			Data: "blip_laion_cc_sbu_558k.json", Images: "images.zip", Out: "run/align"},
		{Stage: "tune", Vision: "clip-vit-large-patch14-336", LLM: "vicuna-7b-v1.5",
			Data: "llava_v1_5_mix665k.json", Images: "data", Projector: "run/align", Out: "run/tuned"},
	} {
		if _, err := llava.Train(context.Background(), c, train.Options{Progress: os.Stderr}); err != nil {
			log.Fatal(err)
		}
	}
}
