package lora

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// matcher decides which layers of a model a config is about, as PEFT does; names are those of the program that the
// adapter belongs to.
type matcher struct {
	c               *Config
	target, exclude *regexp.Regexp // nil: there is no pattern
	ranks, alphas   []*regexp.Regexp
	layer           []*regexp.Regexp // capture a block's number
	matchedTarget   map[string]bool  // entries of Targets.Names that a layer had
	matchedSave     map[string]bool
}

func newMatcher(c *Config) (*matcher, error) {
	m := &matcher{c: c, matchedTarget: map[string]bool{}, matchedSave: map[string]bool{}}
	var err error
	compile := func(field, pattern, expression string) *regexp.Regexp {
		re, e := regexp.Compile(expression)
		if e != nil && err == nil {
			err = fmt.Errorf("%s: %q: %w (Go's regular expressions know no look-ahead and no back-references)", field,
				pattern, e)
		}
		return re
	}
	if p := c.Targets.Pattern; p != "" && p != allLinear {
		m.target = compile("target_modules", p, `^(?:`+p+`)$`)
	}
	if p := c.Exclude.Pattern; p != "" {
		m.exclude = compile("exclude_modules", p, `^(?:`+p+`)$`)
	}
	for _, p := range c.RankPattern {
		m.ranks = append(m.ranks, compile("rank_pattern", p.Key, `^(?:.*\.)?(?:`+p.Key+`)$`))
	}
	for _, p := range c.AlphaPattern {
		m.alphas = append(m.alphas, compile("alpha_pattern", p.Key, `^(?:.*\.)?(?:`+p.Key+`)$`))
	}
	if len(c.LayersPattern) == 0 {
		m.layer = []*regexp.Regexp{regexp.MustCompile(`^.*\.[^.]*\.(\d+)\.`)}
	}
	for _, p := range c.LayersPattern {
		m.layer = append(m.layer, compile("layers_pattern", p, `^.*\.(?:`+p+`)\.(\d+)\.`))
	}
	return m, err
}

// allLinear targets every Linear but the output head.
const allLinear = "all-linear"

// heads are the names of output heads.
var heads = []string{"lm_head", "output_layer", "score", "classifier"}

// ends reports whether name is one of the list or ends in one of it, from a dot on.
func ends(name string, list []string) (string, bool) {
	for _, n := range list {
		if name == n || strings.HasSuffix(name, "."+n) {
			return n, true
		}
	}
	return "", false
}

// targeted reports whether a Linear of that name gets an adapter.
func (m *matcher) targeted(name string) bool {
	return m.named(name) && !m.excluded(name) && !m.saved(name)
}

func (m *matcher) excluded(name string) bool {
	_, ok := ends(name, m.c.Exclude.Names)
	return ok || m.exclude != nil && m.exclude.MatchString(name)
}

// leftOut reports whether a Linear that has an adapter in a file may have none.
func (m *matcher) leftOut(name string) bool {
	n, ok := ends(name, m.c.Targets.Names)
	return m.excluded(name) || ok && name != n && !m.inLayers(name)
}

// named reports whether target_modules names a Linear.
func (m *matcher) named(name string) bool {
	switch {
	case m.c.Targets.Pattern == allLinear:
		_, isHead := ends(name, heads)
		return !isHead
	case m.target != nil:
		return m.target.MatchString(name)
	}
	n, ok := ends(name, m.c.Targets.Names)
	if !ok || name != n && !m.inLayers(name) {
		return false
	}
	m.matchedTarget[n] = true
	return true
}

// inLayers reports whether layers_to_transform lets a layer pass.
func (m *matcher) inLayers(name string) bool {
	if len(m.c.Layers) == 0 {
		return true
	}
	for _, re := range m.layer {
		if g := re.FindStringSubmatch(name); g != nil {
			i, err := strconv.Atoi(g[1])
			return err == nil && slices.Contains(m.c.Layers, i)
		}
	}
	return false
}

// saved reports whether a module or parameter lies in a part that trains in full.
func (m *matcher) saved(name string) bool {
	for part := name; part != ""; {
		if n, ok := ends(part, m.c.Save); ok {
			m.matchedSave[n] = true
			return true
		}
		i := strings.LastIndexByte(part, '.')
		part = part[:max(i, 0)]
	}
	return false
}

// rank and scale are those of a targeted layer.
func (m *matcher) rank(name string) int {
	for i, re := range m.ranks {
		if re.MatchString(name) {
			return int(m.c.RankPattern[i].Value)
		}
	}
	return m.c.R
}

func (m *matcher) scale(name string) float64 {
	alpha := m.c.Alpha
	for i, re := range m.alphas {
		if re.MatchString(name) {
			alpha = m.c.AlphaPattern[i].Value
			break
		}
	}
	if m.c.RSLoRA {
		return alpha / math.Sqrt(float64(m.rank(name)))
	}
	return alpha / float64(m.rank(name))
}

// unmatched names an entry of target_modules or modules_to_save that no part of the model has.
func (m *matcher) unmatched() error {
	for _, n := range m.c.Targets.Names {
		if !m.matchedTarget[n] {
			return fmt.Errorf("target_modules: the model has no Linear called %q that may get an adapter", n)
		}
	}
	for _, n := range m.c.Save {
		if !m.matchedSave[n] {
			return fmt.Errorf("modules_to_save: the model has no part called %q", n)
		}
	}
	return nil
}
