package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data/chat"
)

// speaker is who is talked with.
type speaker interface {
	// Watch answers the last turn; onText sees the answer as it grows.
	Watch(ctx context.Context, turns []chat.Turn, shown []connector.Visual, onText func(string) error) (string, error)
	// takes returns an error if the model cannot be shown v.
	takes(v connector.Visual) error
	// system sets the system text.
	system(text string) error
}

// session is a conversation with a model.
type session struct {
	*connector.Session
	assistant *connector.Assistant // whose conversation it is
}

func (s session) takes(v connector.Visual) error {
	_, err := s.assistant.Model.Layout(v.Media())
	return err
}

func (s session) system(text string) error {
	t, ok := s.assistant.Template.WithSystem(text)
	if !ok {
		return fmt.Errorf("the template %s has no place for a system text", t.Name)
	}
	s.assistant.Template = t
	return nil
}

// language opens a plain language model to talk with; it is nil where the source is a vision-language model.
func (v chatCommand) language(c console) (*connector.Assistant, error) {
	_, none := os.Stat(filepath.Join(v.Source.Dir, "config.json"))
	if v.Source.sees() || none != nil && !v.Source.gguf() {
		return nil, nil
	}
	from := v.Source
	from.rounding = true
	a, err := from.openText(v.Template)
	if err == nil {
		fmt.Fprintf(c.err, "a language model, which takes no images; template %s\n", a.Template.Name)
	}
	return a, err
}
