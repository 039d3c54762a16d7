package generate

// Estimate is what a run may take.
type Estimate struct {
	Samples int
	Asked   int // of them, what the log does not answer yet; all without a log
	Usage   Usage
	USD     float64
}

// Estimate reckons what a run would take if every first answer is accepted: four characters a token, and answers as
// long as the examples, or half of the limit where there are none.
func (c *Config) Estimate(set *Set) Estimate {
	var e Estimate
	length := map[Kind]int{}
	for _, k := range c.Kinds {
		length[k] = c.MaxTokens / 2
		if n := len(c.Shots[k]); n > 0 {
			sum := 0
			for _, s := range c.Shots[k] {
				sum += len(s.Answer)
			}
			length[k] = min(sum/n/4+1, c.MaxTokens)
		}
	}
	_ = c.samples(set, func(s sample) error { // f never errs
		e.Samples++
		for _, m := range s.request.Messages {
			e.Usage.Prompt += len(m.Content)/4 + 4
		}
		e.Usage.Completion += length[s.kind]
		return nil
	})
	e.Asked, e.USD = e.Samples, c.Price.usd(e.Usage)
	return e
}

// FirstRequests are the first n requests that a run would send, one of each kind before another of the same.
func (c *Config) FirstRequests(set *Set, n int) []*Request {
	var first, rest []*Request
	seen := map[Kind]bool{}
	_ = c.samples(set, func(s sample) error { // f never errs
		if !seen[s.kind] {
			seen[s.kind] = true
			first = append(first, s.request)
		} else if len(rest) < n {
			rest = append(rest, s.request)
		}
		return nil
	})
	all := append(first, rest...)
	return all[:min(n, len(all))]
}
