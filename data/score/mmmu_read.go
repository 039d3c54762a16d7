package score

// find returns what match finds in s, from left to right and without overlap. match returns the end of a match at i,
// or -1.
func find(s string, match func(r []rune, i int) int) []string {
	r := []rune(s)
	var out []string
	for i := 0; i < len(r); {
		if end := match(r, i); end > i {
			out = append(out, string(r[i:end]))
			i = end
		} else {
			i++
		}
	}
	return out
}

// minus passes over a minus sign.
func minus(r []rune, i int) int {
	if i < len(r) && r[i] == '-' {
		return i + 1
	}
	return i
}

// digits passes over digits.
func digits(r []rune, i int) int {
	for i < len(r) && isDigit(r[i]) {
		i++
	}
	return i
}

// edge reports whether a word begins or ends at i.
func edge(r []rune, i int) bool {
	return (i > 0 && isWord(r[i-1])) != (i < len(r) && isWord(r[i]))
}

// groupedNumber matches -?\b\d{1,3}(?:,\d{3})+\b.
func groupedNumber(r []rune, i int) int {
	start := minus(r, i)
	at := digits(r, start)
	if at == start || at > start+3 || !edge(r, start) {
		return -1
	}
	groups := 0
	for at+3 < len(r) && r[at] == ',' && digits(r[:at+4], at+1) == at+4 {
		at += 4
		groups++
	}
	if groups > 0 && !edge(r, at) {
		at -= 4
		groups--
	}
	if groups == 0 {
		return -1
	}
	return at
}

// scientific matches -?\d+(?:\.\d+)?[eE][+-]?\d+.
func scientific(r []rune, i int) int {
	start := minus(r, i)
	at := digits(r, start)
	if at == start {
		return -1
	}
	if at < len(r) && r[at] == '.' {
		if end := digits(r, at+1); end > at+1 {
			at = end
		}
	}
	return exponent(r, at)
}

// exponent returns the end of [eE][+-]?\d+ at i, or -1.
func exponent(r []rune, i int) int {
	if i >= len(r) || r[i] != 'e' && r[i] != 'E' {
		return -1
	}
	if i++; i < len(r) && (r[i] == '+' || r[i] == '-') {
		i++
	}
	if end := digits(r, i); end > i {
		return end
	}
	return -1
}

// simpleNumber matches -?(?:\d+\.\d+|\.\d+|\d+\b)(?![eE][+-]?\d+)(?![,\d]).
func simpleNumber(r []rune, i int) int {
	start := minus(r, i)
	whole := digits(r, start)
	ok := func(end int) bool {
		return exponent(r, end) < 0 && (end == len(r) || r[end] != ',' && !isDigit(r[end]))
	}
	if whole < len(r) && r[whole] == '.' {
		if end := digits(r, whole+1); end > whole+1 && ok(end) {
			return end
		}
	}
	if whole > start && edge(r, whole) && ok(whole) {
		return whole
	}
	return -1
}
