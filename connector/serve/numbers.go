package serve

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// widest is the largest magnitude of a whole number that a bounded schema may write.
const widest = 999_999_999_999_999_999

// numeric is the grammar of integer or number, with the bounds of m.
func (c *compiler) numeric(path, t string, m map[string]any) (*node, *problem) {
	low, high := int64(-widest), int64(widest)
	bounded := false
	for _, key := range []string{"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"} {
		v, ok := m[key]
		if !ok {
			continue
		}
		bounded = true
		number, _ := v.(json.Number)
		n, err := number.Int64()
		if err != nil || n < -widest || n > widest {
			return nil, c.fault(path+"/"+key, "must be a whole number of at most 18 digits")
		}
		switch key {
		case "minimum":
			low = max(low, n)
		case "maximum":
			high = min(high, n)
		case "exclusiveMinimum":
			low = max(low, n+1)
		case "exclusiveMaximum":
			high = min(high, n-1)
		}
	}
	switch {
	case !bounded && t == "integer":
		return jsonInt, nil
	case !bounded:
		return jsonNumber, nil
	case low > high:
		return nil, c.fault(path, "no whole number lies between its bounds")
	case t == "integer":
		return whole(low, high), nil
	}
	// A number is a whole one, with a fraction where the next one away from zero is allowed too. What lies strictly
	// between an exclusive bound and the next whole number is not written.
	fraction := then(text("."), digit, upTo(digit, 17))
	out := whole(low, high)
	if from, to := max(low, 0), high-1; from <= to {
		out = either(out, then(whole(from, to), fraction))
	}
	if from, to := low+1, min(high, 0); from <= to {
		out = either(out, then(negative(from, to), fraction))
	}
	return out, nil
}

// negative is the whole numbers of [low, high], none above 0, with a sign: -0 for 0.
func negative(low, high int64) *node { return then(text("-"), natural(-high, -low)) }

// whole is the whole numbers of [low, high].
func whole(low, high int64) *node {
	out := &node{kind: choice}
	if low < 0 {
		out.list = append(out.list, negative(low, min(high, -1)))
	}
	if high >= 0 {
		out.list = append(out.list, natural(max(low, 0), high))
	}
	return out
}

// natural is the numbers of [low, high], 0 ≤ low, by their length.
func natural(low, high int64) *node {
	out := &node{kind: choice}
	for from := low; from <= high; {
		digits := strconv.FormatInt(from, 10)
		to := min(high, int64(powerOf10(len(digits)))-1)
		out.list = append(out.list, sameLength(digits, strconv.FormatInt(to, 10)))
		from = to + 1
	}
	return out
}

func powerOf10(n int) (p uint64) {
	for p = 1; n > 0; n-- {
		p *= 10
	}
	return p
}

// sameLength is the numbers from low to high, of as many digits.
func sameLength(low, high string) *node {
	switch {
	case strings.Trim(low, "0") == "" && strings.Trim(high, "9") == "": // all of them
		return then(slices.Repeat([]*node{digit}, len(low))...)
	case low[0] == high[0]:
		return then(text(low[:1]), sameLength(low[1:], high[1:]))
	}
	rest := len(low) - 1
	out := either(
		then(text(low[:1]), sameLength(low[1:], strings.Repeat("9", rest))),
		then(text(high[:1]), sameLength(strings.Repeat("0", rest), high[1:])),
	)
	if low[0]+1 <= high[0]-1 {
		out.list = append(
			out.list,
			then(append([]*node{between(low[0]+1, high[0]-1)}, slices.Repeat([]*node{digit}, rest)...)...),
		)
	}
	return out
}
