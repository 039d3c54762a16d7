package chat

import (
	"fmt"
	"regexp"
	"strings"
)

// FromJinja recognises the template that a model's chat_template writes: a program in Jinja, which is never run. What
// counts are the marks around turns and the line breaks between them; a constant system text is taken over. Name is
// one that [Lookup] knows, whose template differs from the result at most in System. A prompt of one question is what
// transformers renders, with these exceptions: LLaVA-1.5's program leaves out the system text that the model was
// trained with, which VicunaV1 has; dates and tools in a system text are left out; the begin-of-sentence token is the
// tokenizer's affair, but for Llama 3. The error says that the program is of no known kind; choose a template by name
// then.
func FromJinja(program string) (Template, error) {
	text := outline(program)
	has := func(marks ...string) bool {
		for _, m := range marks {
			if !strings.Contains(text, m) {
				return false
			}
		}
		return true
	}
	name, system := "", ""
	switch {
	case has("<|im_start|>", "<|im_end|>"):
		const mark = "<|im_start|>system\n"
		ends, breaks := strings.Count(text, "<|im_end|>"), strings.Count(text, "<|im_end|>\n")
		switch {
		case !roleLine.MatchString(text) || roleNoLine.MatchString(text) || has("<|im_end|>\n\n"):
		case breaks == ends:
			name = "chatml"
		case breaks == 0:
			name = "chatml_direct"
		}
		if s := between(text, mark, "<|im_end|>"); s != "" {
			system = mark + s
		}
	case has("<|end_header_id|>\n\n", "<|eot_id|>") && !has("<|eot_id|>\n"):
		name, system = "llava_llama_3", between(text, "<|start_header_id|>system<|end_header_id|>\n\n", "<|eot_id|>")
	case has("<start_of_turn>", "<end_of_turn>\n"):
		name = "gemma_instruct"
	case has("<|user|>\n", "<|end|>\n"):
		name = "phi3"
	case has("<|user|>\n", "<|assistant|>", hole+"\n"):
		name = "zephyr"
	case has(hole + "[INST]"), has("<s>[INST]"): // a token before each question
		name = "llama_2"
	case has("[INST]"):
		name = "mistral_instruct"
	case has("ASSISTANT:"):
		return VicunaV1(), nil
	}
	t, err := Lookup(name)
	if err != nil {
		return Template{}, fmt.Errorf("the model's chat_template is of no known kind (ChatML, Llama 2, Llama 3, Gemma, "+
			"Mistral, Phi-3, Vicuna and Zephyr are): choose one of %s", strings.Join(Names(), ", "))
	}
	t.System = system
	return t, nil
}

// In an outline: a role that is followed by a line break, and one that is followed by something else.
var (
	roleLine   = regexp.MustCompile(`<\|im_start\|>(user|assistant|` + hole + `)\n`)
	roleNoLine = regexp.MustCompile(`<\|im_start\|>(user|assistant|system|` + hole + `)[^\n` + hole + step + `]`)
)

// between is the text between two marks of an outline where the program writes it as one string, "" otherwise.
func between(text, before, behind string) string {
	for _, rest := range strings.Split(text, before)[1:] {
		if s, _, ok := strings.Cut(rest, behind); ok && !strings.ContainsAny(s, hole+step) {
			return s
		}
	}
	return ""
}

// hole and step stand in an outline for a computed value and for a statement.
const hole, step = "\x00", "\x01"

var (
	// A tag of the program with the white space that belongs to it: a minus sign takes all, a statement one line
	// break behind it and the spaces before it on its line (trim_blocks and lstrip_blocks, as transformers has them).
	jinjaTag = regexp.MustCompile(`(?s)(?:\s*\{[{%#]-|(?m:^[ \t]+)?\{[%#]|\{\{)(.*?)(?:-[}%#]\}\s*|[%#]\}\n?|\}\})`)
	jinjaSet = regexp.MustCompile(`^\s*set\s+\w+\s*=`)
	jinjaStr = regexp.MustCompile(`(?s)"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'`)
)

// outline is what a program writes, in the order of its text: constant strings as they are, a hole for each value
// between them, and a step for each statement.
func outline(program string) string {
	var out strings.Builder
	last := 0
	for _, at := range jinjaTag.FindAllStringSubmatchIndex(program, -1) {
		out.WriteString(program[last:at[0]])
		last = at[1]
		tag, inner := strings.TrimLeft(program[at[0]:at[2]], " \t\r\n"), program[at[2]:at[3]]
		switch tag[1] {
		case '{':
			values(&out, inner)
		case '%':
			if set := jinjaSet.FindString(inner); set != "" {
				values(&out, inner[len(set):])
			}
			out.WriteString(step)
		}
	}
	out.WriteString(program[last:])
	return out.String()
}

// values writes the outline of an expression: strings that are joined by + or ~, and what is computed.
func values(out *strings.Builder, expression string) {
	last := 0
	computed := func(s string) {
		if strings.Trim(s, "+~() \t\r\n") != "" {
			out.WriteString(hole)
		}
	}
	for _, at := range jinjaStr.FindAllStringIndex(expression, -1) {
		if key := strings.TrimRight(expression[last:at[0]], " "); strings.HasSuffix(key, "[") ||
			strings.HasSuffix(key, "(") && strings.Trim(key, "+~() ") != "" {
			continue // message['role'], selectattr('type'): part of what is computed
		}
		computed(expression[last:at[0]])
		out.WriteString(jinjaEscape.Replace(expression[at[0]+1 : at[1]-1]))
		last = at[1]
	}
	computed(expression[last:])
}

var jinjaEscape = strings.NewReplacer(`\n`, "\n", `\t`, "\t", `\'`, "'", `\"`, `"`, `\\`, `\`)
