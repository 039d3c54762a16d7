package generate

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// What can be wrong with an answer.
const (
	Empty      FaultKind = "empty"      // no text, or a question or an answer without any
	Refusal    FaultKind = "refusal"    // begins as refusals do
	Format     FaultKind = "format"     // not the blocks that were asked for
	Truncated  FaultKind = "truncated"  // cut off by the limit of tokens
	Leak       FaultKind = "leak"       // speaks of captions, boxes or numbers of places
	Marker     FaultKind = "marker"     // holds the token that stands for a picture
	Short      FaultKind = "short"      // fewer turns or words than wanted
	Similar    FaultKind = "similar"    // a question too close to one that is there
	Connection FaultKind = "connection" // no connection, a cut body, or a time-out
	HTTP       FaultKind = "http"       // another status than 200
	BadReply   FaultKind = "reply"      // not a chat completion with a text of the assistant
	Filter     FaultKind = "filter"     // the service's content filter
	WrongModel FaultKind = "model"      // answered by another model than the one asked
	Object     FaultKind = "object"     // names an object that no caption or box knows
	Number     FaultKind = "number"     // counts objects otherwise than the boxes
	Language   FaultKind = "language"   // written in another language than the captions
	Repeats    FaultKind = "repeats"    // says the same over and over
	Judged     FaultKind = "judged"     // refused by the judge
	Budget     FaultKind = "budget"     // not asked: the budget is spent
	Unasked    FaultKind = "unasked"    // not asked: the run was stopped
)

// Turn is a question with its answer. A description has no question yet.
type Turn struct{ Question, Answer string }

var (
	fence   = regexp.MustCompile("(?s)^```[\\w-]*\\n(.*?)\\n?```$")
	heading = regexp.MustCompile(`^(?i)\s*[*_#\s]*(question|answer)(?:\s*\d+)?\s*[*_]*\s*:\s*[*_]*[ \t]*`)
	divider = regexp.MustCompile(`(?m)^[ \t]*={3,}[ \t]*$`)
	barrier = regexp.MustCompile(`(?m)^\s*={3,}\s*$`)
	placed  = regexp.MustCompile(`\[\s*[01]?\.\d+\s*,`)
)

// trim is Python's str.strip.
func trim(s string) string {
	return strings.TrimFunc(s, func(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f })
}

// count is the number of words, as Python's str.split finds them.
func count(s string) int {
	return len(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }))
}

// Parse reads what a teacher wrote: for a description one Turn without a question. cut says that the limit of tokens
// ended the answer. The fault is empty if the answer is usable; repeated questions of a conversation are dropped.
func (c *Config) Parse(k Kind, text string, cut bool) ([]Turn, FaultKind) {
	text = trim(strings.ReplaceAll(text, "\r\n", "\n"))
	if m := fence.FindStringSubmatch(text); m != nil {
		text = trim(m[1])
	}
	if text == "" {
		return nil, Empty
	}
	head := strings.TrimLeft(strings.ToLower(text), "*_# \n")
	if slices.ContainsFunc(c.Refusals, func(r string) bool { return strings.HasPrefix(head, r) }) {
		return nil, Refusal
	}
	if k == Detail {
		return c.detail(text, cut)
	}
	blocks := divider.Split(text, -1)
	for i := range blocks {
		blocks[i] = trim(blocks[i])
	}
	if blocks[len(blocks)-1] == "" {
		blocks = blocks[:len(blocks)-1]
	}
	var turns []Turn
	open, question := false, "" // a question waits for its answer
	for _, b := range blocks {
		m := heading.FindStringSubmatchIndex(b)
		if m == nil || strings.EqualFold(b[m[2]:m[3]], "answer") != open {
			return nil, Format
		}
		body := trim(b[m[1]:])
		if open {
			turns = append(turns, Turn{question, body})
		}
		open, question = !open, body
	}
	if cut {
		if !open && len(turns) > 0 {
			turns = turns[:len(turns)-1] // the last answer is cut
		}
		open = false
		if len(turns) == 0 || k == Reasoning {
			return nil, Truncated
		}
	}
	if open {
		return nil, Format
	}
	for _, t := range turns {
		if t.Question == "" || t.Answer == "" {
			return nil, Empty
		}
	}
	for _, t := range turns {
		if f := c.leaks(t.Question + "\n" + t.Answer); f != "" {
			return nil, f
		}
	}
	return c.enough(k, turns)
}

// detail reads a description.
func (c *Config) detail(text string, cut bool) ([]Turn, FaultKind) {
	if cut {
		return nil, Truncated
	}
	if barrier.MatchString(text) || heading.MatchString(text) {
		return nil, Format
	}
	if f := c.leaks(text); f != "" {
		return nil, f
	}
	if count(text) < c.MinDetailWords {
		return nil, Short
	}
	return []Turn{{Answer: text}}, ""
}

// enough drops repeated questions and checks numbers of turns and words.
func (c *Config) enough(k Kind, turns []Turn) ([]Turn, FaultKind) {
	seen := map[string]bool{}
	var kept []Turn
	for _, t := range turns {
		if key := plain(t.Question); !seen[key] {
			seen[key] = true
			kept = append(kept, t)
		}
	}
	switch {
	case k == Reasoning && len(turns) != 1:
		return nil, Format
	case k == Reasoning && count(kept[0].Answer) < c.MinReasoningWords, k == Conversation && len(kept) < c.MinTurns:
		return nil, Short
	}
	return kept, ""
}

// plain is a question's letters and digits in lower case, with single spaces.
func plain(s string) string {
	return strings.Join(strings.FieldsFunc(strings.ToLower(s), func(r rune) bool {
		return r != '_' && !unicode.IsLetter(r) && !unicode.IsNumber(r)
	}), " ")
}

// leaks finds words that tell where the teacher's knowledge comes from, and the token that stands for a picture.
func (c *Config) leaks(text string) FaultKind {
	low := strings.ToLower(text)
	if slices.ContainsFunc(c.Leaks, func(w string) bool { return strings.Contains(low, w) }) ||
		placed.MatchString(text) {
		return Leak
	}
	if strings.Contains(text, "<image>") {
		return Marker
	}
	return ""
}
