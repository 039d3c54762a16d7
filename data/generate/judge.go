package generate

import "strings"

// Judge has a second model look at each answer before it is accepted.
type Judge struct {
	Teacher     Teacher
	Model       string
	System      string // what it is told; empty: ours
	MaxAttempts int    // for a readable reply; 0: 3
}

// judgeSystem asks for one word, so that the reply can be read.
const judgeSystem = `You check data that others wrote about pictures. You get what is known of a picture: sentences, and things with their places as shares of its width and height. Below it you get questions and answers about the picture. Reply with the single word yes if every answer follows from what is known or is sound reasoning from it; reply with the single word no if an answer contradicts it, or states as a fact what cannot be known from it.`

// opinion is what a judge thinks.
type opinion int

const (
	unknown opinion = iota // it has not been asked, or must be asked again
	agreed
	refused
)

// request asks about a sample.
func (j *Judge) request(s sample, turns []Turn) *Request {
	context, ok := s.scene.Context(Detail)
	if !ok {
		context, _ = s.scene.Context(Conversation)
	}
	system := j.System
	if system == "" {
		system = judgeSystem
	}
	var b strings.Builder
	b.WriteString(context + "\n")
	for _, t := range turns {
		if t.Question != "" {
			b.WriteString("\nQuestion: " + t.Question)
		}
		b.WriteString("\nAnswer: " + t.Answer)
	}
	return &Request{
		Kind:      "judge",
		Scene:     s.scene,
		Model:     j.Model,
		MaxTokens: 8,
		Messages:  []Message{{"system", system}, {"user", b.String()}},
	}
}

// judged looks up what the judge said. A judge that cannot be understood in a few attempts refuses.
func (r *run) judged(s sample, turns []Turn) (opinion, Usage, error) {
	replies, err := r.log.replies(r.Judge.request(s, turns).Hash())
	var u Usage
	for _, x := range replies {
		if x.Usage != nil && x.Status == 200 {
			u.Prompt += x.Usage.Prompt
			u.Completion += x.Usage.Completion
		}
		if x.Status != 200 || x.Text == nil {
			continue
		}
		word := words(*x.Text)
		if len(word) > 0 && word[0] == "yes" {
			return agreed, u, err
		}
		if len(word) > 0 && word[0] == "no" {
			return refused, u, err
		}
	}
	limit := r.Judge.MaxAttempts
	if limit == 0 {
		limit = 3
	}
	if len(replies) >= limit {
		return refused, u, err
	}
	return unknown, u, err
}
