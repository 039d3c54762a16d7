package main

import (
	"cmp"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/gollava/gollava/train/llava"
)

// stages are those of the recipe v1.5.
var stages = []string{"align", "tune", "lora", "task", "task_lora"}

// published are the values that a stage fills in, by key; "" where it leaves a key to the run or to the model.
func published(stage string) (map[string]string, error) {
	p, err := llava.Published("v1.5", stage)
	if err != nil {
		return nil, err
	}
	if stage != "align" {
		p.Template = "" // the language model's
	}
	p.VideoStride = 0                     // without a video_pool there is none
	if strings.HasPrefix(stage, "task") { // as the model was trained
		p.Aspect, p.ProjectorType, p.SelectLayer, p.SelectFeature, p.MaxLength = "", "", 0, "", 0
	}
	flags := flag.NewFlagSet("", flag.ContinueOnError)
	p.Flags(flags)
	values := map[string]string{}
	flags.VisitAll(func(f *flag.Flag) { values[f.Name] = f.Value.String() })
	keys, _ := llava.Keys()
	for _, key := range keys {
		values[key] = values[strings.ReplaceAll(key, ".", "_")]
	}
	return values, nil
}

// printKeys lists the keys of a run's file: what they mean, LLaVA's name, and the published values.
func printKeys(w io.Writer) error {
	values := map[string][]string{} // by key, then as in stages
	keys, help := llava.Keys()
	for _, stage := range stages {
		of, err := published(stage)
		if err != nil {
			return err
		}
		for _, key := range keys {
			values[key] = append(values[key], of[key])
		}
	}
	fmt.Fprintln(w, "KEY              MEANING [option of LLaVA's scripts]")
	for i, key := range keys {
		fmt.Fprintf(w, "%-16s %s\n", key, help[i])
		var text []string
		for k, v := range values[key] {
			if v != "" {
				text = append(text, stages[k]+" "+v)
			}
		}
		if first := values[key][0]; first != "" && len(slices.Compact(slices.Clone(values[key]))) == 1 {
			text = []string{first}
		}
		if len(text) > 0 && key != "stage" {
			fmt.Fprintf(w, "%-16s as published: %s\n", "", strings.Join(text, ", "))
		}
	}
	return nil
}

// printExample prints a run's file for a stage. What has a published value is commented out.
func printExample(w io.Writer, stage string) error {
	values, err := published(stage)
	if err != nil {
		return err
	}
	own := map[string]string{"stage": stage, "data": "data.json", "images": "images", "out": "run/" + stage}
	switch {
	case strings.HasPrefix(stage, "task"):
		own["model"] = "llava-1.5-7b-hf"
	default:
		own["vision"], own["llm"] = "clip-vit-large-patch14-336", "vicuna-7b-v1.5"
		if stage != "align" {
			own["projector"] = "run/align"
		}
	}
	fmt.Fprintf(w, "# A run of stage %s for `gollava train -config FILE`. Lines with a # in front show "+
		"the value that is\n"+
		"# taken when the key is left out, or nothing where there is none.\n", stage)
	keys, help := llava.Keys()
	for i, key := range keys {
		inner, nested := strings.CutPrefix(key, "lora.")
		if nested && values["lora.r"] == "" {
			continue
		}
		if inner == "r" && nested {
			fmt.Fprintf(w, "\n#lora:\n")
		}
		switch value := cmp.Or(own[key], values[key]); {
		case own[key] != "":
			fmt.Fprintf(w, "\n# %s\n%s: %s\n", help[i], key, value)
		case nested:
			fmt.Fprintf(w, "#  %s: %s  # %s\n", inner, value, help[i])
		default:
			fmt.Fprintf(w, "\n# %s\n%s\n", help[i], strings.TrimRight("#"+key+": "+value, " "))
		}
	}
	return nil
}
