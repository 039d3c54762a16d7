package score

import (
	"strings"
	"unicode/utf8"
)

// marks are the characters that the answer processors treat as punctuation, in their order.
const marks = ";/[]\"{}()=+\\_-><@`,?!"

// Normalise is the answer processor of TextVQA and of LLaVA's upload files (MMF's EvalAIAnswerProcessor as in LLaVA's
// m4c_evaluator).
func Normalise(s string) string {
	s = lower(s)
	if strings.ContainsAny(s, ",?'") {
		s = strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(s, ",", ""), "?", ""), "'s", " 's")
	}
	return digitsAndArticles(punctuation(oneLine(strip(s)), true))
}

// NormaliseVQA is the processor of the VQA challenge, after its first step (processPunctuation) and after both
// (processDigitArticle).
func NormaliseVQA(s string) (punctuated, both string) {
	punctuated = punctuation(s, false)
	return punctuated, digitsAndArticles(punctuated)
}

// oneLine replaces line ends and tabs by spaces and strips.
func oneLine(s string) string {
	if strings.ContainsAny(s, "\n\t") {
		s = strings.ReplaceAll(strings.ReplaceAll(s, "\n", " "), "\t", " ")
	}
	return strip(s)
}

// punctuation deletes a mark if the text has it beside a space, or has a comma between digits, and else replaces it
// by a space; then it deletes full stops that no digit follows, at most 32 of them (the official program passes a
// flag where the pattern's sub takes a count). In runs of commas between digits, m4c sees a comma too and the VQA
// challenge does not.
func punctuation(s string, runs bool) string {
	out := s
	if strings.ContainsAny(s, marks) {
		comma := commaInNumber(s, runs)
		for i := range len(marks) {
			p := marks[i : i+1]
			if !strings.Contains(out, p) {
				continue
			}
			with := " "
			if comma || strings.Contains(s, p+" ") || strings.Contains(s, " "+p) {
				with = ""
			}
			out = strings.ReplaceAll(out, p, with)
		}
	}
	if !strings.Contains(out, ".") {
		return out
	}
	var b strings.Builder
	deleted := 0
	for i := range len(out) {
		if out[i] == '.' && deleted < 32 {
			if next, _ := utf8.DecodeRuneInString(out[i+1:]); !isDigit(next) {
				deleted++
				continue
			}
		}
		b.WriteByte(out[i])
	}
	return b.String()
}

// commaInNumber reports whether a comma, or with runs several, stands between two digits.
func commaInNumber(s string, runs bool) bool {
	for i := 0; i < len(s); i++ {
		if s[i] != ',' {
			continue
		}
		before, _ := utf8.DecodeLastRuneInString(s[:i])
		end := i + 1
		for runs && end < len(s) && s[end] == ',' {
			end++
		}
		after, _ := utf8.DecodeRuneInString(s[end:])
		if isDigit(before) && isDigit(after) {
			return true
		}
		i = end - 1
	}
	return false
}

// digitsAndArticles lowers, writes number words as digits, drops articles and puts apostrophes into contractions.
func digitsAndArticles(s string) string {
	s = lower(s)
	if !strings.ContainsFunc(s, isSpace) {
		w, _ := word(s)
		return w
	}
	var kept []string
	for _, w := range fields(s) {
		if w, ok := word(w); ok {
			kept = append(kept, w)
		}
	}
	return strings.Join(kept, " ")
}

// word is one word of digitsAndArticles; it is not ok, and empty, for an article.
func word(w string) (string, bool) {
	switch w {
	case "a", "an", "the":
		return "", false
	case "none", "zero":
		return "0", true
	case "one":
		return "1", true
	case "two":
		return "2", true
	case "three":
		return "3", true
	case "four":
		return "4", true
	case "five":
		return "5", true
	case "six":
		return "6", true
	case "seven":
		return "7", true
	case "eight":
		return "8", true
	case "nine":
		return "9", true
	case "ten":
		return "10", true
	}
	if c, ok := contractions[w]; ok {
		w = c
	}
	return w, true
}
