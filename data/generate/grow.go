package generate

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Growth grows a pool of instructions from seeds as Self-Instruct does (Wang et al. 2023): a teacher is shown some of
// the pool and writes more; what is too similar to the pool, too short or long, or cannot be followed by looking at a
// picture is dropped.
type Growth struct {
	Model       string
	Temperature float64
	Seed        int64
	Count       int      // instructions to add
	Shown       int      // seeds in each request; 0: 6
	ShownGrown  int      // grown instructions in each request; 0: 2
	Limit       float64  // ROUGE-L from which on two are too similar; 0: 0.7
	Banned      []string // words, in lower case; nil: what a model that answers in text cannot do
	MaxAttempts int      // of a request; 0: 4
	Wait        time.Duration
}

// Grown is a pool that has grown.
type Grown struct {
	Added   []string       // in the order in which they were kept
	Dropped map[string]int // by reason: similar, short, long, banned, format
	Rounds  int
}

// banned are words of tasks that a model which sees a picture and answers in text cannot do.
func banned() []string {
	return []string{
		"draw",
		"plot",
		"file",
		"video",
		"audio",
		"music",
		"flowchart",
		"diagram",
		"website",
		"link",
		"program",
		"go to",
	}
}

var numbered = regexp.MustCompile(`^\s*(?:\d+[.):]|[-*•])\s*(.+?)\s*$`)

// Run grows the pool. Replies are kept in the log in the folder out, so a run that was stopped goes on; the same log
// gives the same pool. It errs if five rounds in a row add nothing.
func (g Growth) Run(ctx context.Context, seeds []string, teacher Teacher, out string) (*Grown, error) {
	if len(seeds) == 0 {
		return nil, fmt.Errorf("generate: no seeds to grow from")
	}
	if g.Limit == 0 {
		g.Limit = 0.7
	}
	if g.Shown == 0 {
		g.Shown = 6
	}
	if g.ShownGrown == 0 {
		g.ShownGrown = 2
	}
	if g.Banned == nil {
		g.Banned = banned()
	}
	if g.MaxAttempts == 0 {
		g.MaxAttempts = 4
	}
	if g.Wait == 0 {
		g.Wait = time.Second
	}
	if err := os.MkdirAll(out, 0o777); err != nil {
		return nil, err
	}
	l, err := openLog(filepath.Join(out, "replies.jsonl"))
	if err != nil {
		return nil, err
	}
	defer l.close()
	pool := NewPool(g.Limit)
	for _, s := range seeds {
		pool.texts = append(pool.texts, words(s))
	}
	grown := &Grown{Dropped: map[string]int{}}
	for idle := 0; len(grown.Added) < g.Count; grown.Rounds++ {
		text, err := g.ask(ctx, l, teacher, g.request(seeds, grown))
		if err != nil {
			return nil, fmt.Errorf("generate: growth, round %d: %w; run the same again to go on", grown.Rounds+1, err)
		}
		before := len(grown.Added)
		for line := range strings.Lines(text) {
			if len(grown.Added) < g.Count {
				g.add(pool, grown, line)
			}
		}
		if idle++; len(grown.Added) > before {
			idle = 0
		}
		if idle == 5 {
			return grown, fmt.Errorf("generate: growth: five rounds in a row added nothing (%d added, dropped: "+
				"%v): the teacher repeats itself; raise the temperature or give it more seeds", len(grown.Added),
				grown.Dropped)
		}
	}
	return grown, nil
}

// add keeps an instruction of a reply, or counts why not.
func (g Growth) add(pool *Pool, grown *Grown, line string) {
	m := numbered.FindStringSubmatch(line)
	if m == nil {
		if strings.TrimSpace(line) != "" {
			grown.Dropped["format"]++
		}
		return
	}
	text := strings.Trim(m[1], `"`)
	first, _ := utf8.DecodeRuneInString(text)
	w := words(text)
	switch {
	case len(w) <= 3:
		grown.Dropped["short"]++
	case len(w) > 150:
		grown.Dropped["long"]++
	case first > unicode.MaxASCII || !unicode.IsLetter(first):
		grown.Dropped["format"]++
	case slices.ContainsFunc(g.Banned, func(b string) bool { return holds(w, words(b)) }):
		grown.Dropped["banned"]++
	case !pool.Add(text):
		grown.Dropped["similar"]++
	default:
		grown.Added = append(grown.Added, text)
	}
}

// request shows a random part of the pool, which depends on the seed and the round alone.
func (g Growth) request(seeds []string, grown *Grown) *Request {
	c := Config{Seed: g.Seed}
	pick := func(name string, from []string, n int) []string {
		from = slices.Clone(from)
		for i := range min(n, len(from)) {
			_, x := c.draw(Kind(fmt.Sprintf("grow/%s/%d", name, i)), int64(grown.Rounds))
			j := i + int(x)%(len(from)-i)
			from[i], from[j] = from[j], from[i]
		}
		return from[:min(n, len(from))]
	}
	shown := append(pick("seeds", seeds, g.Shown), pick("grown", grown.Added, g.ShownGrown)...)
	var b strings.Builder
	for i, s := range shown {
		fmt.Fprintf(&b, "%d. %s\n", i+1, s)
	}
	return &Request{Kind: "grow", Model: g.Model, Temperature: g.Temperature, MaxTokens: 1024, Messages: []Message{
		{"system", "You think of things that people ask an assistant who looks at a picture with them. You get a " +
			"numbered list of examples. Write ten more, each on a line of its own, and go on with the numbers. " +
			"They must fit any picture of their kind and differ from the examples and from each other in what " +
			"they ask for, not in wording alone. Write nothing else."},
		{"user", b.String()},
	}}
}

// ask sends a request until its reply has a text.
func (g Growth) ask(ctx context.Context, l *log, teacher Teacher, r *Request) (string, error) {
	hash := r.Hash()
	c := Config{Model: g.Model}
	for {
		replies, err := l.replies(hash)
		if err != nil {
			return "", err
		}
		for i, x := range replies {
			f, again, fatal := x.fault(&c)
			if f == "" {
				return *x.Text, nil
			}
			if last := i == len(replies)-1; last && (fatal || !again || len(replies) >= g.MaxAttempts) {
				return "", fmt.Errorf("%s: the endpoint answers %d %s %s", f, x.Status, x.Code, x.Error)
			}
		}
		if n := len(replies); n > 0 {
			if err := sleep(ctx, max(replies[n-1].RetryAfter, g.Wait<<min(n-1, 6))); err != nil {
				return "", err
			}
		}
		reply, err := teacher.Ask(ctx, r)
		if err != nil {
			return "", err
		}
		reply.Request, reply.Attempt = hash, len(replies)+1
		if err := l.add(reply); err != nil {
			return "", err
		}
	}
}
