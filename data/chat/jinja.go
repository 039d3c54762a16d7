package chat

import (
	"fmt"
	"regexp"
	"strings"
)

// FromJinja chooses a template for the chat_template that a model's files carry: a program in Jinja, which is never run. It is known by the marks that it
// writes around turns, and its system text, where there is a constant one, is taken over. The error says that no known template writes
// such marks; choose one by name then ([Lookup]).
func FromJinja(program string) (Template, error) {
	has := func(marks ...string) bool {
		for _, m := range marks {
			if !strings.Contains(program, m) {
				return false
			}
		}
		return true
	}
	switch {
	case has("<|im_start|>", "<|im_end|>"):
		t := chatML("")
		t.Name, t.System = "chatml", ""
		if s := constant(program, `<\|im_start\|>system(?:\n|\\n)`, `<\|im_end\|>`); s != "" {
			t.System = "<|im_start|>system\n" + s
		}
		return t, nil
	case has("<|start_header_id|>", "<|eot_id|>"):
		t := LlavaLlama3()
		t.Name, t.System = "llama3", ""
		return t, nil
	case has("<start_of_turn>", "<end_of_turn>"):
		return Gemma(), nil
	case has("<|user|>", "<|end|>"):
		t := Phi3()
		t.System, t.Roles = "", [2]string{"<|user|>\n", "<|assistant|>\n"}
		t.Sep = "<|end|>\n"
		return t, nil
	case has("<|user|>", "<|assistant|>"):
		t := MistralZephyr()
		t.System, t.Sep = "", "</s>\n"
		return t, nil
	case has("[INST]", "<<SYS>>"):
		t := Llama2Chat()
		t.System = ""
		return t, nil
	case has("[INST]"):
		return MistralInstruct(), nil
	case has("USER:", "ASSISTANT:"):
		return VicunaV1(), nil
	}
	return Template{}, fmt.Errorf("the model's chat_template is of no known kind (ChatML, Llama 2, Llama 3, Gemma, Mistral, Phi-3, Vicuna and Zephyr are): choose one of %s",
		strings.Join(Names(), ", "))
}

// constant is the text between two marks where the program writes it as one string.
func constant(program, before, after string) string {
	m := regexp.MustCompile(before + `([^'"{}]+)` + after).FindStringSubmatch(program)
	if m == nil {
		return ""
	}
	return strings.ReplaceAll(m[1], `\n`, "\n")
}
