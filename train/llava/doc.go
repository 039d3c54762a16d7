// Package llava trains LLaVA in its published stages from files: Hugging Face folders for the models, LLaVA's json for
// the data. What a [Config] leaves out takes the published value, see [Published].
//
//	c := llava.Config{Stage: "align", Vision: "clip-vit-large-patch14-336", LLM: "vicuna-7b-v1.5",
//		Data: "blip_laion_cc_sbu_558k.json", Images: "images.zip", Out: "run/align"}
//	report, err := llava.Train(ctx, c, train.Options{Progress: os.Stderr, Signals: true})
//
// A program that looks at the model, or changes the stage before it trains, opens a [Run].
package llava
