package tokenizer

import (
	"unicode"
	"unicode/utf8"
)

// grapheme returns the length of the first extended grapheme cluster of s (Unicode Standard Annex 29).
func grapheme(s string) int {
	prev, at := utf8.DecodeRuneInString(s)
	if at == len(s) || prev < 0x80 && s[at] < 0x80 && prev != '\r' {
		return at
	}
	flags := 0 // regional indicators so far
	if regional(prev) {
		flags = 1
	}
	pictograph := isPictograph(prev) // a pictograph and its extensions so far
	joined := false                  // … and a joiner
	for at < len(s) {
		r, n := utf8.DecodeRuneInString(s[at:])
		if prev == '\r' && r == '\n' {
			return at + n
		}
		if breaks(prev) || breaks(r) {
			return at
		}
		switch {
		case isExtend(r) || r == 0x200D || isSpacing(r):
		case isPrepend(prev):
		case hangul(prev, r):
		case joined && isPictograph(r):
		case regional(prev) && regional(r) && flags%2 == 1:
			flags++
		default:
			return at
		}
		switch {
		case r == 0x200D:
			joined = pictograph
		case isExtend(r):
			joined = false
		default:
			pictograph, joined = isPictograph(r), false
		}
		prev = r
		at += n
	}
	return at
}

// breaks says whether a cluster ends before and after r.
func breaks(r rune) bool {
	if r == 0x200C || r == 0x200D || isPrepend(r) {
		return false
	}
	if r >= 0xE0000 && r <= 0xE0FFF {
		return !(r >= 0xE0020 && r <= 0xE007F || r >= 0xE0100 && r <= 0xE01EF)
	}
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) || r >= 0xFFF0 && r <= 0xFFF8 || r == 0x2065
}

func regional(r rune) bool { return r >= 0x1F1E6 && r <= 0x1F1FF }

func isExtend(r rune) bool {
	return unicode.In(r, unicode.Mn, unicode.Me, unicode.Other_Grapheme_Extend) || r >= 0x1F3FB && r <= 0x1F3FF ||
		r >= 0xE0020 && r <= 0xE007F
}

func isSpacing(r rune) bool {
	if r == 0x0E33 || r == 0x0EB3 {
		return true
	}
	switch {
	case !unicode.Is(unicode.Mc, r), isExtend(r),
		r == 0x102B, r == 0x102C, r == 0x1038, r >= 0x1062 && r <= 0x1064, r >= 0x1067 && r <= 0x106D, r == 0x1083,
		r >= 0x1087 && r <= 0x108C,
		r == 0x108F, r >= 0x109A && r <= 0x109C, r == 0x1A61, r == 0x1A63, r == 0x1A64, r == 0xAA7B, r == 0xAA7D,
		r == 0x11720, r == 0x11721:
		return false
	}
	return true
}

func isPrepend(r rune) bool {
	return unicode.Is(unicode.Prepended_Concatenation_Mark, r) || r == 0x0D4E || r == 0x111C2 || r == 0x111C3 ||
		r == 0x1193F || r == 0x11941 ||
		r == 0x11A3A || r >= 0x11A84 && r <= 0x11A89 || r == 0x11D46 || r == 0x11F02
}

// hangul joins the parts of a Korean syllable.
func hangul(a, b rune) bool {
	lead := func(r rune) bool { return r >= 0x1100 && r <= 0x115F || r >= 0xA960 && r <= 0xA97C }
	vowel := func(r rune) bool { return r >= 0x1160 && r <= 0x11A7 || r >= 0xD7B0 && r <= 0xD7C6 }
	tail := func(r rune) bool { return r >= 0x11A8 && r <= 0x11FF || r >= 0xD7CB && r <= 0xD7FB }
	whole := func(r rune) bool { return r >= 0xAC00 && r <= 0xD7A3 }
	open := func(r rune) bool { return whole(r) && (r-0xAC00)%28 == 0 }
	switch {
	case lead(a):
		return lead(b) || vowel(b) || whole(b)
	case open(a) || vowel(a):
		return vowel(b) || tail(b)
	case whole(a) || tail(a):
		return tail(b)
	}
	return false
}

// isPictograph is nearly Extended_Pictographic.
func isPictograph(r rune) bool {
	switch {
	case r < 0xA9:
		return false
	case r == 0xA9, r == 0xAE, r == 0x203C, r == 0x2049, r == 0x2122, r == 0x2139, r >= 0x2194 && r <= 0x2199,
		r == 0x21A9, r == 0x21AA,
		r == 0x231A, r == 0x231B, r == 0x2328, r == 0x2388, r == 0x23CF, r >= 0x23E9 && r <= 0x23F3, r >= 0x23F8 &&
			r <= 0x23FA, r == 0x24C2,
		r == 0x25AA, r == 0x25AB, r == 0x25B6, r == 0x25C0, r >= 0x25FB && r <= 0x25FE, r >= 0x2600 && r <= 0x2605,
		r >= 0x2607 && r <= 0x2612,
		r >= 0x2614 && r <= 0x2685, r >= 0x2690 && r <= 0x2705, r >= 0x2708 && r <= 0x2712, r == 0x2714, r == 0x2716,
		r == 0x271D, r == 0x2721,
		r == 0x2728, r == 0x2733, r == 0x2734, r == 0x2744, r == 0x2747, r == 0x274C, r == 0x274E, r >= 0x2753 &&
			r <= 0x2755, r == 0x2757,
		r >= 0x2763 && r <= 0x2767, r >= 0x2795 && r <= 0x2797, r == 0x27A1, r == 0x27B0, r == 0x27BF, r == 0x2934,
		r == 0x2935,
		r >= 0x2B05 && r <= 0x2B07, r == 0x2B1B, r == 0x2B1C, r == 0x2B50, r == 0x2B55, r == 0x3030, r == 0x303D,
		r == 0x3297, r == 0x3299:
		return true
	}
	return r >= 0x1F000 && r <= 0x1FAFF && !regional(r) && !(r >= 0x1F3FB && r <= 0x1F3FF) &&
		!(r >= 0x1F130 && r <= 0x1F16B) || r >= 0x1FC00 && r <= 0x1FFFD
}
