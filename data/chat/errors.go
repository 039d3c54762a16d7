package chat

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gollava/gollava/internal/nearest"
)

// What can be wrong with a turn; a *TurnError wraps one of these.
var (
	ErrRole     = errors.New(`unknown sender, must be "human" or "gpt"`)
	ErrOrder    = errors.New("human and gpt must take turns, beginning with human")
	ErrEmpty    = errors.New("the turn is empty")
	ErrOpen     = errors.New("only the last turn can be open")
	ErrUnstable = errors.New("the model's chat_template writes the conversation up to this answer otherwise " +
		"than within the whole conversation, so which tokens train is not known: choose a template by name " +
		"(template in run.yaml, --template)")
	ErrPicture = errors.New("a caption sample needs <image> in its question")
)

// What can be wrong with a whole sample.
var (
	ErrNoTurns  = errors.New("chat: the conversation has no turns")
	ErrTwoTurns = errors.New("chat: a caption sample has exactly two turns")
)

// TurnError names the turn of a conversation that cannot be rendered.
type TurnError struct {
	Turn int    // index in the caller's list, from 0
	From string // its sender as given
	Err  error  // ErrRole, ErrOrder, ErrEmpty, ErrOpen or ErrPicture
}

func (e *TurnError) Error() string {
	return fmt.Sprintf("chat: turn %d (from %q): %v", e.Turn, e.From, e.Err)
}

func (e *TurnError) Unwrap() error { return e.Err }

// UnknownTemplateError is returned by Lookup.
type UnknownTemplateError struct {
	Name  string
	Known []string
}

func (e *UnknownTemplateError) Error() string {
	return fmt.Sprintf("there is no template %q: did you mean %q? There are %s", e.Name, nearest.Word(e.Name, e.Known),
		strings.Join(e.Known, ", "))
}

// NothingToTrainError says that no token of a sample is supervised, so that its loss would be 0/0.
type NothingToTrainError struct {
	Template string
	Text     string // the rendered sample
	Tokens   int    // ids kept
	Cut      int    // ids cut off by Options.MaxLength
}

func (e *NothingToTrainError) Error() string {
	why := "no finished answer in it"
	if e.Cut > 0 {
		why = fmt.Sprintf("%d ids were cut off at the maximal length %d", e.Cut, e.Tokens)
	}
	return fmt.Sprintf("chat: template %s: no token of the sample trains (%s): %q", e.Template, why,
		shorten(e.Text, 400))
}

// LostPictureError says that cutting a sample to the maximal length would remove pictures' places.
type LostPictureError struct {
	Tokens, MaxLength, Lost int
}

func (e *LostPictureError) Error() string {
	return fmt.Sprintf("chat: cutting a sample of %d ids to %d would lose %d of its pictures; raise the maximal "+
		"length or leave the sample out", e.Tokens, e.MaxLength, e.Lost)
}

// shorten keeps the beginning and the end of a long text, cutting between characters.
func shorten(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n/2]) + " … " + string(r[len(r)-n/2:])
}
