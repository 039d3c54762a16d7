// Package llava trains LLaVA in its published stages from files: Hugging Face folders for the models, LLaVA's json for the data. What a [Config]
// leaves out takes the published value, see [Published].
//
//	c, err := llava.ReadConfig("run.yaml")
//	r, err := llava.Open(ctx, c, os.Stderr)
//	report, err := r.Train(ctx, train.Options{Progress: os.Stderr, Signals: true})
//	err = r.Save()
package llava
