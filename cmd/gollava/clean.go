package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// cleaner passes text on with what could command a terminal written as Go escapes: control characters but for line ends
// and tabs, those of C1, marks that reorder text, and bytes that are no UTF-8.
type cleaner struct{ to io.Writer }

func (c cleaner) Write(p []byte) (int, error) {
	if _, err := io.WriteString(c.to, printable(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// printable is s with everything escaped that could command a terminal.
func printable(s string) string {
	if strings.IndexFunc(s, commanding) < 0 && utf8.ValidString(s) {
		return s
	}
	var out strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&out, "\\x%02x", s[i])
		case commanding(r) && r < 0x100:
			fmt.Fprintf(&out, "\\x%02x", r)
		case commanding(r):
			fmt.Fprintf(&out, "\\u%04x", r)
		default:
			out.WriteRune(r)
		}
		i += n
	}
	return out.String()
}

func commanding(r rune) bool {
	switch {
	case r == '\n' || r == '\t':
		return false
	case r < 0x20 || r >= 0x7f && r < 0xa0:
		return true
	}
	return r == 0x061c || r == 0x200e || r == 0x200f || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}

// most is how long a message may be, in bytes.
const most = 16 << 10

// brief cuts a message that quotes too much.
func brief(s string) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most*3/4], "") + fmt.Sprintf("\n… %d bytes more …\n", len(s)-most) +
		strings.ToValidUTF8(s[len(s)-most/4:], "")
}
