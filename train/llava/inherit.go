package llava

import (
	"fmt"
	"strings"

	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/llm"
)

// inherit takes over what a model says about how it was trained, and refuses keys that contradict what cannot be
// changed.
func (r *Run) inherit() error {
	c, m := &r.config, llava.ConfigOf(r.assistant.Model)
	layer := m.Select.Layers[len(m.Select.Layers)-1]
	switch {
	case c.given["projector_type"] && c.ProjectorType != m.Projector:
		return fmt.Errorf("projector_type %s: the model's projector is %s; leave the key out", c.ProjectorType, m.Projector)
	case c.given["select_layer"] && (c.SelectLayer != layer || len(m.Select.Layers) > 1):
		return fmt.Errorf("select_layer %d: the model looks at layers %v; leave the key out", c.SelectLayer, m.Select.Layers)
	case c.given["select_feature"] && c.SelectFeature != m.Select.Class:
		return fmt.Errorf("select_feature %s: the model was trained with %s; leave the key out", c.SelectFeature,
			m.Select.Class)
	}
	c.ProjectorType, c.SelectLayer, c.SelectFeature = m.Projector, layer, m.Select.Class
	if c.MaxLength == 0 && !c.given["max_length"] {
		if c.MaxLength = m.MaxLength; c.MaxLength == 0 {
			c.MaxLength = 2048
		}
	}
	p := r.assistant.Processor
	if c.Aspect != "" && !m.Next() {
		p.Aspect = c.Aspect
	} else if c.Aspect = p.Aspect; c.Aspect == "" {
		c.Aspect = "square"
	}
	return nil
}

// chooseTemplate takes the template that the config names; else the model's own; else LLaVA's, or, where its marks are
// no tokens of the tokenizer, that of the language model's family. The model's config keeps it, so that what was
// trained is what is asked.
func (r *Run) chooseTemplate() (err error) {
	c, a := &r.config, r.assistant
	system := llava.ConfigOf(a.Model).System
	if c.Template != "" || c.Model == "" {
		if c.Template == "" {
			t, own, err := r.fitting()
			if err != nil {
				return err
			}
			c.Template, system = t.Name, own
		}
		was := a.Template.Name
		if a.Template, err = chat.Choose(c.Template, a.Tokenizer); err != nil {
			return fmt.Errorf("template: %w", err)
		}
		if c.Model != "" && was != c.Template {
			system = nil
			r.say("template: the model was trained with %s and goes on with %s", was, c.Template)
		}
		if system != nil {
			a.Template.System = *system
		}
	}
	if c.System != nil {
		t, ok := a.Template.WithSystem(*c.System)
		if !ok {
			return fmt.Errorf("system: template %s has no place for a system text; leave the key out", a.Template.Name)
		}
		a.Template, system = t, &t.System
	}
	c.Template = a.Template.Name
	llava.Retrain(a.Model, c.Template, system, c.Aspect)
	r.say("template %s, system text %q, aspect %s, projector %s", c.Template, shorten(a.Template.System, 60), c.Aspect,
		c.ProjectorType)
	return nil
}

// fitting is the template for a language model that was not trained with images: LLaVA's, else the chat_template of the
// checkpoint, else that of its family. Only its own system text is part of the config.
func (r *Run) fitting() (t chat.Template, system *string, err error) {
	tok := r.assistant.Tokenizer
	if t, err = chat.Lookup("v1"); err != nil || r.knows(t) {
		return t, nil, err
	}
	family := llava.ConfigOf(r.assistant.Model).DefaultTemplate()
	if t, err = chat.FromTokenizer(tok); err == nil && r.knows(t) {
		system = &t.System
	} else if t, err = chat.Choose(family, tok); err != nil || !r.knows(t) {
		return t, nil, fmt.Errorf("template: none is given, and the marks of %s and v1 are no tokens of %s: name "+
			"the one that the language model was trained with", family, r.config.LLM)
	}
	r.say("template: none is given, and v1's marks are no tokens of %s: taking %s", r.config.LLM, t.Name)
	return t, system, nil
}

// knows reports whether the marks by which a template's answers end are tokens of the tokenizer.
func (r *Run) knows(t chat.Template) bool {
	for _, mark := range t.Stop {
		if _, ok := r.assistant.Tokenizer.ID(mark); !ok && strings.ContainsAny(mark, "<|") {
			return false
		}
	}
	return true
}

// dropped names the rates of dropout that a model's configs ask for.
func dropped(d llm.Dropout, vision float64) (fields []string) {
	for _, f := range []struct {
		name string
		rate float64
	}{{"attention_dropout", d.Attention}, {"resid_pdrop", d.Residual}, {"embd_pdrop", d.Embedding},
		{"router_jitter_noise", d.Router},
		{"vision_config.attention_dropout", vision}} {
		if f.rate != 0 {
			fields = append(fields, fmt.Sprintf("%s %v", f.name, f.rate))
		}
	}
	return fields
}

// shorten cuts a text to n runes.
func shorten(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}
