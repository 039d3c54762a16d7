package score

import (
	"regexp"
	"slices"
	"strings"
)

// ptbDropped are the tokens that pycocoevalcap leaves out.
var ptbDropped = []string{"''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"}

// ptbKept are abbreviations that keep their full stop within a sentence.
var ptbKept = regexp.MustCompile(
	`(?i)^(?:mr|mrs|ms|dr|prof|st|vs|etc|no|jr|sr|rev|gen|col|capt|lt|sgt|gov|sen|rep|ave|blvd|rd|mt|ft|inc|corp|co|ltd|dept|est|approx|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec|mon|tues?|wed|thurs?|fri|sat|sun)\.`,
)

// The lexer's patterns, tried in this order at each position; the first that matches makes the token.
var ptbPatterns = []*regexp.Regexp{
	regexp.MustCompile(`^</?[a-zA-Z][^<> ]*>`),
	regexp.MustCompile(`^(?:https?://|www\.)[^\s"<>]*[\pL\pN/]`),
	regexp.MustCompile(`^[\pL\pN._-]+@[\pL\pN-]+(?:\.[\pL\pN-]+)+`),
	regexp.MustCompile(`^[@#][a-zA-Z_][\w]*`),
	regexp.MustCompile(`^(?i:c\+\+)`),
	regexp.MustCompile(`^'n'`),
	regexp.MustCompile(`^[\pL](?:\.[\pL])+\.`),                               // U.S.
	regexp.MustCompile(`^\pN+ \pN+/\pN+`),                                    // a number with a fraction is one token
	regexp.MustCompile(`^[-+]?\pN*(?:[.,:/]\pN+)+`),                          // 1,000 and 07:45
	regexp.MustCompile(`^[\pL\pN](?:[\pL\pN\pM]|[-_]+[\pL\pN]|/\pL|\.\pL)*`), // words with hyphens and slashes
	regexp.MustCompile(`^(?i:'(?:s|m|d|ll|re|ve))\b`),
	regexp.MustCompile(
		`^\.{2,}`,
	), regexp.MustCompile(`^[-–—]{1,}`), regexp.MustCompile("^``"), regexp.MustCompile(`^''`),
}

// PTBTokens cuts a caption into lower-case words as pycocoevalcap does with the Stanford Penn Treebank tokenizer,
// punctuation left out. It is a reading of that tokenizer's rules for captions: hyphens, numbers, abbreviations,
// contractions and brackets; its rarer rules (telephone numbers, smileys, fractions of Unicode beyond the common
// ones) are not there.
func PTBTokens(text string) []string {
	text = strings.NewReplacer(
		"½",
		"1/2",
		"¼",
		"1/4",
		"¾",
		"3/4",
		"’",
		"'",
		"‘",
		"`",
		"“",
		"``",
		"”",
		"''",
		"…",
		"...",
		"&amp;",
		"&",
	).Replace(
		text,
	)
	var tokens []string
	put := func(t string) {
		t = strings.ReplaceAll(lower(t), " ", "\u00a0")
		if bracket, ok := map[string]string{"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-",
			"}": "-rcb-"}[t]; ok {
			t = bracket
		}
		if strings.Trim(t, "-–—") == "" || strings.Trim(t, ".") == "" || t == `"` || slices.Contains(ptbDropped, t) {
			return
		}
		tokens = append(tokens, t)
	}
	for rest := strings.TrimLeftFunc(text, isSpace); rest != ""; rest = strings.TrimLeftFunc(rest, isSpace) {
		word := ptbNext(rest)
		rest = rest[len(word):]
		if m := ptbKept.FindString(word + rest); m != "" && len(m) == len(word)+1 && strip(rest[1:]) != "" {
			put(m)
			rest = rest[1:]
			continue
		}
		end, parts := ptbSplit(word, rest)
		for _, p := range parts {
			put(p)
		}
		rest = rest[end:]
	}
	return tokens
}

// ptbNext is the token at the beginning of s, contractions not yet cut.
func ptbNext(s string) string {
	for _, p := range ptbPatterns {
		if m := p.FindString(s); m != "" {
			return m
		}
	}
	for _, r := range s {
		return string(r)
	}
	return s
}

var (
	ptbEnd    = regexp.MustCompile(`(?i)^'(?:s|m|d|ll|re|ve)(?:[^\pL\pN]|$)`)
	ptbJoined = regexp.MustCompile(`(?i)^(?:can(not)|gon(na)|got(ta)|lem(me)|gim(me)|wan(na))$`)
	ptbClock  = regexp.MustCompile(`(?i)^'(?:clock|\pL{2,})`)
)

// ptbSplit cuts contractions: of the word itself, and of what follows it after an apostrophe, whose length it
// returns.
func ptbSplit(word, rest string) (used int, parts []string) {
	low := lower(word)
	if m := ptbJoined.FindStringSubmatchIndex(word); m != nil {
		for k := 2; k < len(m); k += 2 {
			if m[k] >= 0 {
				return 0, []string{word[:m[k]], word[m[k]:]}
			}
		}
	}
	if strings.HasPrefix(rest, "'") && word != "" && isWord([]rune(word)[0]) {
		if strings.HasSuffix(low, "n") && len(word) > 1 && len(rest) > 1 && (rest[1] == 't' || rest[1] == 'T') &&
			(len(rest) == 2 || !isWord(rune(rest[2]))) {
			return 2, []string{word[:len(word)-1], word[len(word)-1:] + rest[:2]}
		}
		if m := ptbEnd.FindString(rest); m != "" || ptbChain(rest) > 0 {
			parts = []string{word}
			for used < len(rest) {
				n := ptbChain(rest[used:])
				if n == 0 {
					break
				}
				parts = append(parts, rest[used:used+n])
				used += n
			}
			return used, parts
		}
		if (low == "o" || low == "d" || low == "l") && ptbClock.MatchString(rest) {
			m := ptbClock.FindString(rest)
			return len(m), []string{word + m}
		}
	}
	return 0, []string{word}
}

// ptbChain is the length of a contraction's ending at the beginning of s, which another or a word's end must follow.
func ptbChain(s string) int {
	for _, e := range []string{"'ll", "'re", "'ve", "'s", "'m", "'d"} {
		if len(s) >= len(e) && strings.EqualFold(s[:len(e)], e) &&
			(len(s) == len(e) || !isWord([]rune(s[len(e):])[0])) {
			return len(e)
		}
	}
	return 0
}
