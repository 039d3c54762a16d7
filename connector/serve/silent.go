package serve

import (
	"context"
	"errors"
)

// silent is a model that gives no answers.
type silent struct{ why error }

// chats reports whether m gives answers.
func chats(m Model) bool {
	_, no := m.(interface{ isSilent() })
	return !no
}

func (m silent) isSilent()    {}
func (m silent) Context() int { return 0 }
func (m silent) Images() bool { return true }

// Prepare implements [Model].
func (m silent) Prepare(context.Context, Conversation) (Prompt, error) { return nil, m.why }

// Generate implements [Model].
func (m silent) Generate(context.Context, Prompt, Sampling, func(Token) error) (Finish, error) {
	return Finish{}, m.why
}

// Embed implements [Model].
func (m silent) Embed(context.Context, []Input) ([][]float32, int, error) {
	return nil, 0, ErrNoEmbeddings
}

var (
	errEmbedsOnly = errors.New("this model embeds, for /v1/embeddings: it gives no answers")
	errDrawsOnly  = errors.New("this model draws, for /v1/images/generations: it gives no answers")
)

// Embedder is what [Embeds] serves. Embed is that of [Model], where tokens is what usage in the answer shows; it is
// called from many goroutines at once.
type Embedder interface {
	Embed(ctx context.Context, inputs []Input) (vectors [][]float32, tokens int, err error)
}

// Embeds serves embeddings alone, as of ImageBind, whose texts, images and sounds can be compared with one another.
func Embeds(e Embedder) Model { return embeds{silent{errEmbedsOnly}, e} }

type embeds struct {
	silent
	Embedder
}

// Embed implements [Model].
func (m embeds) Embed(ctx context.Context, inputs []Input) ([][]float32, int, error) {
	return m.Embedder.Embed(ctx, inputs)
}
