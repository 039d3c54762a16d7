package serve

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// tool is a function that the client offers.
type tool struct {
	Type     string    `json:"type"`
	Function *function `json:"function"`
}

type function struct {
	Name        string          `json:"name"`
	Description string          `json:"description"`
	Parameters  json.RawMessage `json:"parameters"`
	Strict      *bool           `json:"strict"`
}

// toolCall is a call that the model made: in answers, and in earlier messages.
type toolCall struct {
	ID       string `json:"id"`
	Type     string `json:"type"`
	Function struct {
		Name      string `json:"name"`
		Arguments string `json:"arguments"` // JSON as text
	} `json:"function"`
}

// toolChoice is none, auto, required, or a function's name.
type toolChoice struct {
	mode string
	name string
}

func (t *toolChoice) UnmarshalJSON(b []byte) error {
	if json.Unmarshal(b, &t.mode) == nil {
		if t.mode != "none" && t.mode != "auto" && t.mode != "required" {
			return invalid("tool_choice", "%.50q is not none, auto or required", t.mode)
		}
		return nil
	}
	var one tool
	if err := json.Unmarshal(b, &one); err != nil || one.Type != "function" || one.Function == nil ||
		one.Function.Name == "" {
		return invalid("tool_choice", `must be none, auto, required or {"type": "function", "function": {"name": …}}`)
	}
	t.mode, t.name = "required", one.Function.Name
	return nil
}

// calls is what a request says about tools.
type calls struct {
	offered []*function
	one     bool     // an answer is one call at most
	grammar *grammar // of an answer that must be a call; nil: it may be text
}

// mostTools bounds how many functions a request may offer, mostCalls how many of an answer that must be calls.
const (
	mostTools = 128
	mostCalls = 8
)

// tools checks the functions that are offered. An answer may hold several calls unless the client refuses them; one
// that must be a call is one, unless the client asks for several.
func (q *chatRequest) tools() (*calls, *problem) {
	return offer(q.Tools, q.ToolChoice, q.ParallelToolCalls)
}

func offer(tools []tool, choice *toolChoice, parallel *bool) (*calls, *problem) {
	c := &calls{one: !or(parallel, true)}
	if len(tools) > mostTools {
		return c, invalid("tools", "%d of at most %d", len(tools), mostTools)
	}
	var demanded []*node
	used := new(budget) // of all tools together
	seen := map[string]bool{}
	for i, t := range tools {
		field := at("tools", i)
		if t.Type != "function" || t.Function == nil {
			return c, invalid(field+".type", "%.50q is not function, or there is no function", t.Type)
		}
		f := t.Function
		if f.Name == "" || len(f.Name) > 64 || seen[f.Name] {
			return c, invalid(field+".function.name", "%.70q is empty, too long or there twice", f.Name)
		}
		seen[f.Name] = true
		c.offered = append(c.offered, f)
		if choice == nil || choice.mode != "required" ||
			choice.name != "" && choice.name != f.Name {
			continue
		}
		g, p := schemaGrammar(field+".function.parameters", f.Parameters, used)
		if p != nil {
			return c, p
		}
		demanded = append(
			demanded,
			then(text(`{"name": `), quoted(f.Name), text(`, "arguments": `), g.start, text("}")),
		)
	}
	switch {
	case choice == nil || choice.mode == "auto":
	case choice.mode == "none":
		c.offered = nil
	case len(demanded) == 0 && choice.name != "":
		return c, invalid("tool_choice", "there is no tool %.70q", choice.name)
	case len(demanded) == 0:
		return c, invalid("tool_choice", "there are no tools to choose from")
	case is(parallel) && choice.name == "":
		call := either(demanded...)
		c.grammar = newGrammar(either(call, listOf(call, 1, mostCalls)))
	default:
		c.grammar = newGrammar(either(demanded...))
	}
	return c, nil
}

// describe adds the tools to the system text.
func (c *calls) describe(to *Conversation) {
	if len(c.offered) == 0 {
		return
	}
	var b strings.Builder
	b.WriteString("You may call one of these functions. To call it, answer with nothing but a JSON object " +
		`{"name": "…", "arguments": {…}}`)
	if !c.one {
		b.WriteString(", or, for several calls, a JSON array of such objects")
	}
	b.WriteString("; else answer in plain text.\n")
	for _, f := range c.offered {
		parameters := bytes.TrimSpace(f.Parameters)
		var compact bytes.Buffer
		if json.Compact(&compact, parameters) != nil {
			compact.Reset()
			compact.WriteString("{}")
		}
		fmt.Fprintf(&b, "%s: %s Parameters: %s\n", f.Name, strings.TrimSpace(f.Description), compact.Bytes())
	}
	text := strings.TrimSpace(b.String())
	if len(to.Messages) > 0 && to.Messages[0].Role == "system" {
		to.Messages[0].Parts = append(to.Messages[0].Parts, Part{Text: "\n\n" + text})
		return
	}
	to.Messages = append([]Message{{Role: "system", Parts: []Part{{Text: text}}}}, to.Messages...)
}

// addToolCalls writes earlier calls and their results as the text that the model reads.
func addToolCalls(to *Message, field string, m message) *problem {
	var list []string
	for i, call := range m.ToolCalls {
		field := at(field+".tool_calls", i)
		if m.Role != "assistant" {
			return invalid(field, "belong to messages of the assistant")
		}
		if !json.Valid([]byte(call.Function.Arguments)) {
			return invalid(field+".function.arguments", "is not JSON in a string")
		}
		name, _ := json.Marshal(call.Function.Name)
		list = append(list, fmt.Sprintf(`{"name": %s, "arguments": %s}`, name, call.Function.Arguments))
	}
	switch len(list) {
	case 0:
	case 1:
		to.Parts = append(to.Parts, Part{Text: list[0]})
	default:
		to.Parts = append(to.Parts, Part{Text: "[" + strings.Join(list, ", ") + "]"})
	}
	if m.Role == "tool" {
		if m.ToolCallID == nil || *m.ToolCallID == "" {
			return invalid(field+".tool_call_id", "is missing")
		}
		to.Parts = append([]Part{{Text: "The function returned: "}}, to.Parts...)
	}
	return nil
}

// parse reads an answer as calls of offered functions: one, several after one another, or a list of them.
func (c *calls) parse(answer string) (list []toolCall) {
	if len(c.offered) == 0 {
		return nil
	}
	type said struct {
		Name      string          `json:"name"`
		Arguments json.RawMessage `json:"arguments"`
	}
	var all []said
	if strings.HasPrefix(answer, "[") {
		if json.Unmarshal([]byte(answer), &all) != nil {
			return nil
		}
	} else {
		for d := json.NewDecoder(strings.NewReader(answer)); d.More(); {
			var one said
			if d.Decode(&one) != nil {
				return nil
			}
			all = append(all, one)
		}
	}
	for _, x := range all {
		offered := func(f *function) bool { return f.Name == x.Name }
		if !slices.ContainsFunc(c.offered, offered) || !bytes.HasPrefix(bytes.TrimSpace(x.Arguments), []byte("{")) {
			return nil
		}
		call := toolCall{ID: newID("call_"), Type: "function"}
		call.Function.Name, call.Function.Arguments = x.Name, string(x.Arguments)
		list = append(list, call)
	}
	if c.one && len(list) > 1 {
		list = list[:1]
	}
	return list
}

// message is a whole answer.
func (c *calls) message(answer, finish string) (message map[string]any, reason string) {
	if list := c.parse(answer); list != nil {
		return map[string]any{"role": "assistant", "content": nil, "refusal": nil, "tool_calls": list}, "tool_calls"
	}
	return map[string]any{"role": "assistant", "content": answer, "refusal": nil}, finish
}

// collector turns the text of one streamed choice into deltas. What may become a call is held back until the end.
type collector struct {
	calls *calls
	begun bool // text was sent
	held  string
}

func (c *calls) collect() *collector { return &collector{calls: c} }

func (c *collector) add(text string) []map[string]any {
	if !c.begun {
		c.held += text
		c.held = strings.TrimLeft(c.held, " \n\t")
		if c.held == "" || len(c.calls.offered) > 0 && (c.held[0] == '{' || c.held[0] == '[') {
			return nil
		}
		text, c.held, c.begun = c.held, "", true
	}
	if text == "" {
		return nil
	}
	return []map[string]any{{"content": text}}
}

// end returns the last deltas and the reason of the end.
func (c *collector) end(finish string) ([]map[string]any, string) {
	if c.begun || c.held == "" {
		return nil, finish
	}
	list := c.calls.parse(strings.TrimSpace(c.held))
	if list == nil {
		return []map[string]any{{"content": c.held}}, finish
	}
	var deltas []map[string]any
	for i, call := range list {
		for _, part := range []any{
			map[string]any{"index": i, "id": call.ID, "type": "function",
				"function": map[string]any{"name": call.Function.Name, "arguments": ""}},
			map[string]any{"index": i, "function": map[string]any{"arguments": call.Function.Arguments}},
		} {
			deltas = append(deltas, map[string]any{"tool_calls": []any{part}})
		}
	}
	return deltas, "tool_calls"
}
