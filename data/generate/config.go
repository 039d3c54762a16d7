package generate

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// Config says what is asked and what is accepted. Keys that a file lacks keep the values of [DefaultConfig].
type Config struct {
	Model       string  `json:"model"`       // as the endpoint calls it
	Temperature float64 `json:"temperature"` // from 0 to 2
	MaxTokens   int     `json:"max_tokens"`  // of an answer
	Seed        int64   `json:"seed"`        // of all random choices

	Kinds       []Kind           `json:"kinds"`  // in the order in which a picture is asked about
	Shares      map[Kind]float64 `json:"shares"` // share of pictures asked about in each kind; absent: 1
	MaxAttempts int              `json:"max_attempts"`

	MinTurns          int     `json:"min_turns"` // of a conversation
	MinDetailWords    int     `json:"min_detail_words"`
	MinReasoningWords int     `json:"min_reasoning_words"`
	DedupROUGE        float64 `json:"dedup_rouge"` // reasoning questions this close to an earlier one are dropped; 0: none

	Price        Price   `json:"price_per_million"` // of tokens, in dollars
	BudgetUSD    float64 `json:"budget_usd"`        // 0: no limit
	BudgetTokens int     `json:"budget_tokens"`     // of questions and answers together; 0: no limit

	System          map[Kind]string `json:"system"` // what the teacher is told first
	Shots           map[Kind][]Shot `json:"shots"`  // examples
	DetailQuestions []string        `json:"detail_questions"`
	Refusals        []string        `json:"refusals"` // beginnings of refusals, in lower case
	Leaks           []string        `json:"leaks"`    // words that tell where the knowledge comes from, in lower case

	// Checks beyond the form: object, number, language, repeats. Absent: none.
	Checks []FaultKind `json:"checks"`
	// AnswersAs are names that the endpoint may answer with besides Model and names that begin with it.
	AnswersAs []string `json:"answers_as"`
}

// Price is what a million tokens cost, in dollars.
type Price struct {
	Prompt     float64 `json:"prompt"`
	Completion float64 `json:"completion"`
}

// Shot is an example: a context, and what was written about it.
type Shot struct {
	Context string `json:"context"`
	Answer  string `json:"answer"`
}

// Validate refuses values that make no sense, naming the field.
func (c *Config) Validate() error {
	for _, k := range c.Kinds {
		if !slices.Contains(Kinds(), k) {
			return fmt.Errorf("generate: kinds: there is no kind %q, only %v", k, Kinds())
		}
		if c.System[k] == "" {
			return fmt.Errorf("generate: system: nothing says what to write for %s", k)
		}
		if s, ok := c.Shares[k]; ok && !(s >= 0 && s <= 1) {
			return fmt.Errorf("generate: shares: that of %s is %v, and shares are from 0 to 1", k, s)
		}
	}
	for _, k := range c.Checks {
		if !slices.Contains([]FaultKind{Object, Number, Language, Repeats}, k) {
			return fmt.Errorf("generate: checks: there is no check %q, only object, number, language and repeats", k)
		}
	}
	switch {
	case len(c.Kinds) == 0:
		return fmt.Errorf("generate: kinds: nothing to write")
	case c.MaxAttempts < 1:
		return fmt.Errorf("generate: max_attempts is %d, and must be at least 1", c.MaxAttempts)
	case slices.Contains(c.Kinds, Detail) && len(c.DetailQuestions) == 0:
		return fmt.Errorf("generate: detail_questions: descriptions need a question to answer")
	case c.BudgetUSD < 0 || c.BudgetTokens < 0:
		return fmt.Errorf("generate: the budget is negative")
	case c.BudgetUSD > 0 && c.Price == Price{}:
		return fmt.Errorf("generate: budget_usd needs price_per_million: else nothing is ever spent")
	case !(c.Temperature >= 0 && c.Temperature <= 2):
		return fmt.Errorf("generate: temperature is %v, and must be from 0 to 2", c.Temperature)
	}
	return nil
}

// Message is a part of a chat.
type Message struct {
	Role    string `json:"role"` // system, user or assistant
	Content string `json:"content"`
}

// Messages are the chat whose continuation is what to write about a context: the instruction, examples, the context.
func (c *Config) Messages(k Kind, context string) []Message {
	all := []Message{{"system", c.System[k]}}
	for _, s := range c.Shots[k] {
		all = append(all, Message{"user", s.Context}, Message{"assistant", s.Answer})
	}
	return append(all, Message{"user", context})
}

// draw is a random number that depends on nothing but the seed, the kind and the picture: a bit and 32 more.
func (c *Config) draw(k Kind, image int64) (bit bool, n uint32) {
	h := sha256.Sum256(fmt.Appendf(nil, "%d|%s|%d", c.Seed, k, image))
	return h[0]&1 == 1, binary.BigEndian.Uint32(h[1:5])
}

// wants reports whether a picture is asked about in a kind, by the kind's share.
func (c *Config) wants(k Kind, image int64) bool {
	share, ok := c.Shares[k]
	if !ok || share >= 1 {
		return true
	}
	_, n := c.draw("share/"+k, image)
	return float64(n) < share*(1<<32)
}

// messagesHash names a chat: SHA-256 of its JSON as Python writes it without spaces.
func messagesHash(messages []Message) string {
	var b strings.Builder
	b.WriteByte('[')
	for i, m := range messages {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`{"role":`)
		quote(&b, m.Role)
		b.WriteString(`,"content":`)
		quote(&b, m.Content)
		b.WriteByte('}')
	}
	b.WriteByte(']')
	sum := sha256.Sum256([]byte(b.String()))
	return hex.EncodeToString(sum[:])
}

// quote writes a JSON string as Python's json does without ensure_ascii: nothing is escaped but what must be.
func quote(b *strings.Builder, s string) {
	b.WriteByte('"')
	for _, r := range s {
		switch r {
		case '"', '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case '\n':
			b.WriteString(`\n`)
		case '\r':
			b.WriteString(`\r`)
		case '\t':
			b.WriteString(`\t`)
		case '\b':
			b.WriteString(`\b`)
		case '\f':
			b.WriteString(`\f`)
		default:
			if r < 0x20 {
				fmt.Fprintf(b, `\u%04x`, r)
				continue
			}
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
}
