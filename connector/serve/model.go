package serve

import (
	"context"

	"github.com/gollava/gollava/data/imaging"
)

// Model is what a [Server] asks for answers. [Assistant] makes one of a vision-language model or of a plain language
// model. Its methods are called from many goroutines at once.
type Model interface {
	// Prepare renders a conversation whose answer is to come, tokenizes it and prepares its images. An error is about
	// the conversation: images that the model cannot see, a prompt that is too long ([ErrTooLong]), roles in an order
	// that the template does not know.
	Prepare(ctx context.Context, c Conversation) (Prompt, error)

	// Generate continues a prompt. It calls each for every token as it is chosen, ends early if that returns an
	// error, which it passes on, and ends within one token when ctx does.
	Generate(ctx context.Context, p Prompt, s Sampling, each func(Token) error) (Finish, error)

	// Embed returns one vector of length 1 for each input, and the number of positions read. A model without
	// embeddings returns ErrNoEmbeddings; other errors are about the inputs.
	Embed(ctx context.Context, inputs []Input) (vectors [][]float32, tokens int, err error)

	Context() int // positions that prompt and answer have together
	Images() bool // whether it sees images; one that takes videos has a method Videos() bool too
}

// Prompt is a conversation, or a text, ready to be continued.
type Prompt interface {
	Tokens() int // its length in positions, those of images included
}

// Conversation is what a prompt is made of.
type Conversation struct {
	Messages []Message
	Text     string  // instead of messages: a text that goes on as it is
	IDs      []int32 // instead of both: token ids that go on as they are
}

// Message is one turn.
type Message struct {
	Role  string // system, user, assistant or tool
	Parts []Part
}

// Part is a piece of a message: text, an image, or a video.
type Part struct {
	Text  string
	Image *imaging.RGB
	Video []*imaging.RGB // frames
}

// Sampling sets how tokens are chosen, in the terms of the protocol. What is nil is left to the model's own settings.
type Sampling struct {
	MaxTokens int // above 0 when a model sees it
	Seed      uint64
	Seeded    bool     // the client chose Seed
	Stop      []string // the server cuts answers there; a model need not

	Temperature *float64 // 0: greedy
	TopP        *float64 // 1: all
	TopK        *int     // 0: all
	MinP        *float64 // 0: all

	PresencePenalty   *float64
	FrequencyPenalty  *float64
	RepetitionPenalty *float64          // 1: none
	LogitBias         map[int32]float64 // added to the model's own

	LogProbs    bool // tokens carry their log-probability
	TopLogProbs int  // and so many alternatives

	Constraint Constraint // nil: any token
}

// Constraint restricts the text of an answer, as a schema does. It is used by one answer.
type Constraint interface {
	// Accepts reports whether text may follow what was accepted so far.
	Accepts(text []byte) bool
	// Advance accepts text.
	Advance(text []byte)
	// Complete reports whether the answer may end here.
	Complete() bool
	// Fresh is the constraint as it was at the beginning.
	Fresh() Constraint
}

// Token is one generated token.
type Token struct {
	ID      int32
	Text    string // what becomes certain with it, in whole characters; several tokens may make one
	Bytes   []byte // of the token alone
	LogProb float64
	Top     []Alternative
}

// Alternative is a token that might have come.
type Alternative struct {
	ID      int32
	Bytes   []byte
	LogProb float64
}

// Finish says why an answer ended.
type Finish struct {
	Reason string // stop or length
	Rest   string // text that became certain with the end
}
