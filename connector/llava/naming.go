package llava

import (
	"strings"

	"github.com/gollava/gollava/connector"
)

// Namings are what the programs that adapters of a LLaVA come from call its parameters: transformers 5, transformers
// from 4.52 on, earlier ones (whose names are ours), and the original repository. lora.Load tries them in turn.
func Namings(m *connector.VLM) []func(name string) string {
	same := func(name string) string { return name }
	return []func(string) string{Transformers5, transformers452, same, OriginalNames(m)}
}

// OriginalNames is what the original repository calls a parameter or a layer of m.
func OriginalNames(m *connector.VLM) func(name string) string {
	kind := ConfigOf(m).Projector
	return func(name string) string { return original(name, kind) }
}

// Transformers5 is what transformers 5 calls, in its program, a parameter or a layer of a LLaVA.
func Transformers5(name string) string {
	return strings.Replace(transformers452(name), "model.vision_tower.vision_model.", "model.vision_tower.", 1)
}

// transformers452 nests the parts below model, and takes the head out.
func transformers452(name string) string {
	if tail, ok := strings.CutPrefix(name, "language_model.model."); ok {
		return "model.language_model." + tail
	}
	if tail, ok := strings.CutPrefix(name, "language_model."); ok {
		return tail
	}
	return "model." + name
}
