package generate

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gollava/gollava/internal/atomicfile"
)

// Report is what a run did: report.json.
type Report struct {
	Requests   int               `json:"requests"` // that were sent, in this run and before
	Accepted   int               `json:"accepted"` // samples written
	Retries    int               `json:"retries"`  // requests after the first of a sample
	Faults     map[FaultKind]int `json:"faults"`   // of replies, by what was wrong
	Skipped    []Skipped         `json:"skipped"`  // samples that are not written
	Prompt     int               `json:"prompt_tokens"`
	Completion int               `json:"completion_tokens"`
	USD        float64           `json:"usd"`
	Models     map[string]int    `json:"models"` // who answered what was accepted
	ByKind     map[Kind]int      `json:"by_kind"`
	Pictures   int               `json:"pictures"`
	Source     SourceFaults      `json:"source"`
}

// Skipped is a sample that is not written.
type Skipped struct {
	Image int64     `json:"image_id"`
	Kind  Kind      `json:"kind"`
	Why   FaultKind `json:"why"`
}

// record is a sample in LLaVA's form.
type record struct {
	ID            string
	Image         string
	Conversations [][2]string // from, value
}

// provenance says where a sample comes from.
type provenance struct {
	ID       string
	Kind     Kind
	Model    string
	Response string
	Attempt  int
	Messages string // SHA-256
}

// Sample is a sample that was accepted, for those who want to look at it.
type Sample struct {
	Scene *Scene
	Kind  Kind
	Turns []Turn // with the question of a description
	Reply Reply
}

// accepted goes through all samples in their order, calls f with those that are accepted, and counts everything.
func (r *run) accepted(f func(s sample, v verdict) error) (*Report, error) {
	report := &Report{
		Faults:   map[FaultKind]int{},
		Skipped:  []Skipped{},
		Models:   map[string]int{},
		ByKind:   map[Kind]int{},
		Pictures: len(r.set.Scenes),
		Source:   r.set.Faults,
	}
	var pool *Pool
	if r.DedupROUGE > 0 {
		pool = NewPool(r.DedupROUGE)
	}
	counted := map[string]bool{}
	n := 0
	err := r.Config.samples(r.set, func(s sample) error {
		replies, err := r.log.replies(s.hash)
		if err != nil {
			return err
		}
		v, err := r.evaluate(s, replies)
		if err != nil {
			return err
		}
		if !counted[s.hash] {
			counted[s.hash] = true
			report.Requests += v.replies
			report.Retries += max(0, v.replies-1)
			report.Prompt += v.usage.Prompt
			report.Completion += v.usage.Completion
			for _, f := range v.faults {
				report.Faults[f]++
			}
		}
		why := r.unasked[n]
		n++
		switch {
		case why != "":
		case v.turns == nil && len(v.faults) == 0:
			why = Unasked
		case v.turns == nil:
			why = v.faults[len(v.faults)-1]
		case s.kind == Reasoning && pool != nil && !pool.Add(v.turns[0].Question):
			why = Similar
		}
		if why != "" {
			report.Skipped = append(report.Skipped, Skipped{s.scene.ID, s.kind, why})
			return nil
		}
		report.Accepted++
		report.ByKind[s.kind]++
		report.Models[v.reply.Model]++
		return f(s, v)
	})
	report.USD = math.Round(r.Price.usd(Usage{report.Prompt, report.Completion})*1e9) / 1e9
	return report, err
}

// turns are a sample's turns with the question that a description answers.
func (r *run) turns(s sample, v verdict) []Turn {
	turns := slices.Clone(v.turns)
	if s.kind == Detail {
		_, n := r.draw(s.kind, s.scene.ID)
		turns[0].Question = r.DetailQuestions[int(n)%len(r.DetailQuestions)]
	}
	return turns
}

// record lays a sample out in LLaVA's form, the picture before or behind the first question.
func (r *run) record(s sample, v verdict) record {
	rec := record{ID: imageID(s.scene.ID), Image: s.scene.Image}
	behind, _ := r.draw(s.kind, s.scene.ID)
	for i, t := range r.turns(s, v) {
		q := t.Question
		if i == 0 && behind {
			q += "\n<image>"
		} else if i == 0 {
			q = "<image>\n" + q
		}
		rec.Conversations = append(rec.Conversations, [2]string{"human", q}, [2]string{"gpt", t.Answer})
	}
	return rec
}

// imageID is a picture's id as COCO's file names have it.
func imageID(id int64) string { return fmt.Sprintf("%012d", id) }

// write assembles the output from the log. Records go through files of one kind each, so that memory holds one at a
// time.
func (r *run) write() (*Report, error) {
	parts := map[Kind]*part{}
	defer func() {
		for _, p := range parts {
			p.discard()
		}
	}()
	for _, k := range r.Kinds {
		p, err := newPart(r.Out)
		if err != nil {
			return nil, err
		}
		parts[k] = p
	}
	var report *Report
	err := atomicfile.Write(filepath.Join(r.Out, "provenance.jsonl"), func(w io.Writer) (err error) {
		report, err = r.accepted(func(s sample, v verdict) error {
			var b strings.Builder
			p := provenance{
				imageID(s.scene.ID),
				s.kind,
				v.reply.Model,
				v.reply.ID,
				v.reply.Attempt,
				messagesHash(s.request.Messages),
			}
			p.write(&b)
			if _, err := io.WriteString(w, b.String()); err != nil {
				return err
			}
			return parts[s.kind].add(r.record(s, v))
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	var all []*part
	for _, k := range r.Kinds {
		all = append(all, parts[k])
		if err := writeParts(filepath.Join(r.Out, string(k)+".json"), parts[k]); err != nil {
			return nil, err
		}
	}
	if err := writeParts(filepath.Join(r.Out, "all.json"), all...); err != nil {
		return nil, err
	}
	return report, writeReport(filepath.Join(r.Out, "report.json"), report)
}

// part is the text of the records of one kind, in a temporary file.
type part struct {
	file *os.File
	w    *bufio.Writer
	n    int
}

func newPart(dir string) (*part, error) {
	f, err := os.CreateTemp(dir, ".records-*")
	if err != nil {
		return nil, err
	}
	return &part{file: f, w: bufio.NewWriter(f)}, nil
}

func (p *part) add(r record) error {
	var b strings.Builder
	if p.n > 0 {
		b.WriteString(",\n")
	}
	r.write(&b)
	p.n++
	_, err := p.w.WriteString(b.String())
	return err
}

func (p *part) discard() {
	p.file.Close()
	os.Remove(p.file.Name())
}

// writeParts writes the records of parts as one array, as Python's json.dump does with indent=1.
func writeParts(path string, parts ...*part) error {
	return atomicfile.Write(path, func(w io.Writer) error {
		text := "[\n"
		for _, p := range parts {
			if p.n == 0 {
				continue
			}
			if err := p.w.Flush(); err != nil {
				return err
			}
			if _, err := p.file.Seek(0, io.SeekStart); err != nil {
				return err
			}
			if _, err := io.WriteString(w, text); err != nil {
				return err
			}
			if _, err := io.Copy(w, p.file); err != nil {
				return err
			}
			text = ",\n"
		}
		end := "\n]\n"
		if text == "[\n" {
			end = "[]\n"
		}
		_, err := io.WriteString(w, end)
		return err
	})
}

// write writes a record as it stands in an array with indent=1.
func (r record) write(b *strings.Builder) {
	b.WriteString(" {\n  \"id\": ")
	quote(b, r.ID)
	b.WriteString(",\n  \"image\": ")
	quote(b, r.Image)
	b.WriteString(",\n  \"conversations\": [")
	for i, c := range r.Conversations {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString("\n   {\n    \"from\": ")
		quote(b, c[0])
		b.WriteString(",\n    \"value\": ")
		quote(b, c[1])
		b.WriteString("\n   }")
	}
	b.WriteString("\n  ]\n }")
}

// write writes a line of provenance.jsonl.
func (p provenance) write(b *strings.Builder) {
	for i, kv := range [][2]string{{"id", p.ID}, {"kind", string(p.Kind)}, {"model", p.Model},
		{"response_id", p.Response}, {"attempt", ""}, {"messages_sha256", p.Messages}} {
		b.WriteString([]string{"{", ", "}[min(i, 1)])
		quote(b, kv[0])
		b.WriteString(": ")
		if kv[0] == "attempt" {
			fmt.Fprint(b, p.Attempt)
		} else {
			quote(b, kv[1])
		}
	}
	b.WriteString("}\n")
}

// writeReport writes report.json, the keys of maps sorted.
func writeReport(path string, r *Report) error {
	return atomicfile.Write(path, func(w io.Writer) error {
		b, err := json.MarshalIndent(r, "", " ")
		if err == nil {
			_, err = w.Write(append(b, '\n'))
		}
		return err
	})
}

// Text is the report for people: what was written, what was not and why.
func (r *Report) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d samples of %d pictures: ", r.Accepted, r.Pictures)
	for i, k := range slices.Sorted(maps.Keys(r.ByKind)) {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%d %s", r.ByKind[k], k)
	}
	fmt.Fprintf(
		&b,
		"\n%d requests, %d of them repeated; %d + %d tokens, $%.6g\n",
		r.Requests,
		r.Retries,
		r.Prompt,
		r.Completion,
		r.USD,
	)
	why := map[FaultKind]int{}
	for _, s := range r.Skipped {
		why[s.Why]++
	}
	list := func(title string, counts map[FaultKind]int) {
		if len(counts) == 0 {
			return
		}
		b.WriteString(title)
		for i, k := range slices.Sorted(maps.Keys(counts)) {
			if i > 0 {
				b.WriteString(",")
			}
			fmt.Fprintf(&b, " %s %d", k, counts[k])
		}
		b.WriteByte('\n')
	}
	list("replies that could not be used:", r.Faults)
	list("samples left out:", why)
	list("annotations:", r.Source.Counts)
	for _, f := range r.Source.First {
		fmt.Fprintf(&b, "  %s: picture %d: %s: %s\n", f.At, f.Image, f.Kind, f.Note)
	}
	return b.String()
}
