package score

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// Message is a part of a chat with a judge.
type Message struct {
	Role    string `json:"role"` // system or user
	Content string `json:"content"`
}

// JudgeRequest is what a judge is asked.
type JudgeRequest struct {
	Messages    []Message `json:"messages"`
	Temperature float64   `json:"temperature"`
	MaxTokens   int       `json:"max_tokens"`
}

// JudgeReply is what it says, and which model says so.
type JudgeReply struct {
	Text, Model string
}

// Judge asks a language model. Whoever provides it retries what is worth retrying; an error ends the judging.
type Judge func(ctx context.Context, r JudgeRequest) (JudgeReply, error)

// hash names a request, so that a judge is not asked the same twice.
func (r JudgeRequest) hash() string {
	b, _ := json.Marshal(r) // strings and numbers alone
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
