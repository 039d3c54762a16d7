// Package recipe runs LLaVA's training recipe from files: Hugging Face folders for the models, LLaVA's json for the data. It is what
// `gollava train` and examples/llava do; its parts are the public packages.
//
//	c, err := recipe.ReadConfig("run.yaml")
//	r, err := recipe.Open(ctx, c, os.Stderr)
//	report, err := r.Train(ctx, train.Options{Progress: os.Stderr, Signals: true})
//	err = r.Save()
package recipe
