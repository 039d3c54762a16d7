package chat

import "strings"

// systemMarks are what the system texts of templates begin with, before the text itself.
var systemMarks = []string{"<|im_start|>system\n", "<|system|>\n",
	"<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n"}

// WithSystem returns t with another system text, without marks; "" leaves it out where the format allows that. It
// reports false, and returns t as it is, if the format has no place for one: put the text before the first question
// then.
func (t Template) WithSystem(text string) (Template, bool) {
	if t.Style == Jinja {
		if t.Program.system {
			t.System = text
		}
		return t, t.Program.system
	}
	mark := ""
	for _, m := range systemMarks {
		if strings.HasPrefix(t.System, m) {
			mark = m
		}
	}
	marked := strings.Contains(t.Roles[0], "<|user|>") || strings.Contains(t.Roles[0], "<|im_start|>user")
	switch {
	case mark != "":
	case t.System != "":
	case marked:
		mark = strings.TrimSpace(strings.Replace(t.Roles[0], "user", "system", 1)) + "\n"
	case t.Style == Llama3, t.Style == Two, t.Style == Single:
	case t.Style == Llama2 && t.Name != "mistral_instruct":
	default:
		return t, false
	}
	if t.System = text; text != "" {
		t.System = mark + text
	}
	return t, true
}
