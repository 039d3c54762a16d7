package score

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/gollava/gollava/internal/jsonrecord"
)

// MathExtraction is the short answer that a judge read out of a response: a line of MathVista's grades.
type MathExtraction struct {
	ID         string `json:"pid"`
	Response   string `json:"response"` // what it was read out of
	Extraction string `json:"extraction"`
	Request    string `json:"request"` // hash of what was asked
	Judge      string `json:"judge"`
}

// MathVistaPrompt is the instruction and the examples before a problem and its response, in our words: the official
// ones are in MathVista's evaluation/prompts/ext_ans.py.
const MathVistaPrompt = `Below are a question, with a hint about the form of its answer, and what a model replied to it. Write the answer that the reply gives, in the form that the hint asks for, and nothing else. Do not solve the question yourself. If the reply gives no answer, write nothing.

Hint: Answer with an integer at the end.
Question: How many marbles are in the jar?
Reply: I count four red marbles and three blue ones, so the jar holds seven marbles.
Answer: 7

Hint: Answer with a number that has two decimal places at the end.
Question: What is the slope of the line?
Reply: The line rises by 3 while it runs by 8, which makes its slope 3/8 = 0.375.
Answer: 0.38

Hint: Answer with the letter of the option at the end.
Question: Which angle is the largest?
Choices:
(A) ABC
(B) BCA
(C) CAB
Reply: The side AB is the longest, and the angle BCA lies opposite to it.
Answer: B

Hint: Answer with a Python list at the end.
Question: Between which years did the sales fall?
Reply: They rose until 2003, fell for two years, and rose again from 2005.
Answer: [2003, 2005]`

// request asks a judge for the short answer of a response.
func (p MathProblem) request(prompt, response string) JudgeRequest {
	query := p.Query
	if query == "" {
		query = mathQuery(p)
	}
	content := prompt + "\n\n" + query + "\nReply: " + response + "\nAnswer: "
	return JudgeRequest{MaxTokens: 256, Messages: []Message{{"user", content}}}
}

// ExtractMathVista asks a judge for the short answer of each response from which [MathVistaExtract] reads none, and
// adds what it says to the file path, a [MathExtraction] a line; what was asked there before in the same words is not
// asked again.
func ExtractMathVista(ctx context.Context, f Files, path, prompt string, judge Judge) error {
	if err := needs("question", f.Questions); err != nil {
		return err
	}
	a, err := OpenAnswers(nil, f.Answers...)
	if err != nil {
		return err
	}
	defer a.Close()
	done := map[string]bool{}
	out, err := continueLog(path, "pid", func(r jsonrecord.Record) error {
		x, err := jsonrecord.Decode[MathExtraction](r)
		done[x.Request] = true
		return err
	})
	if err != nil {
		return err
	}
	defer out.Close()
	err = jsonrecord.Each(f.Questions, "", func(rec jsonrecord.Record) error {
		p, err := jsonrecord.Decode[MathProblem](rec)
		if err != nil {
			return err
		}
		id := p.id(rec)
		x, ok, err := a.find(id)
		if err != nil || !ok {
			return err // a missing answer is reported when it is scored
		}
		request := p.request(prompt, x.Text)
		if _, ok := MathVistaExtract(x.Text, p, true); ok || done[request.hash()] {
			return nil
		}
		reply, err := judge(ctx, request)
		if err != nil {
			return fmt.Errorf("%s: problem %s: %w", rec.At(), id, err)
		}
		short := strings.TrimSpace(reply.Text)
		line, err := json.Marshal(MathExtraction{id, x.Text, short, request.hash(), reply.Model})
		if err == nil {
			_, err = out.Write(append(line, '\n'))
		}
		return err
	})
	if err != nil {
		return err
	}
	return out.Close()
}

// id is the name of a problem, which is its key where the file is an object.
func (p MathProblem) id(r jsonrecord.Record) string {
	if r.Key != "" {
		return r.Key
	}
	return string(p.ID)
}

// mathExtractions are what a judge has read, by problem and response; none without a file.
func mathExtractions(path string, faults *Faults) (map[[2]string]string, error) {
	all := map[[2]string]string{}
	if path == "" {
		return all, nil
	}
	err := jsonrecord.EachLine(path, func(r jsonrecord.Record, cut bool) error {
		x, err := jsonrecord.Decode[MathExtraction](r)
		if err != nil && cut {
			faults.add(CutLine, r.At(), "")
			return nil
		}
		if err == nil && x.Request == "" {
			err = fmt.Errorf("%s: this is no extraction by a judge", r.At())
		}
		all[[2]string{x.ID, x.Response}] = x.Extraction
		return err
	})
	return all, err
}
