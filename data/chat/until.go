package chat

import "strings"

// Until passes text on while it is generated, up to the stop string that is complete first: what may become one is held
// back until that is decided. Its zero value passes everything on. It serves one goroutine.
type Until struct {
	stop []string
	held string
	over bool
}

// NewUntil returns an Until for stop strings, of which empty ones do not count.
func NewUntil(stop ...string) *Until {
	u := &Until{}
	for _, s := range stop {
		if s != "" {
			u.stop = append(u.stop, s)
		}
	}
	return u
}

// Add takes the next piece and returns what can be passed on now. After a stop string that is nothing.
func (u *Until) Add(text string) string {
	if u.over {
		return ""
	}
	u.held += text
	end, complete := len(u.held), len(u.held)+1
	for _, s := range u.stop { // the one that is complete first, as if the text came byte by byte
		at := strings.Index(u.held, s)
		if at < 0 || at+len(s) > complete || at+len(s) == complete && at > end {
			continue
		}
		end, complete, u.over = at, at+len(s), true
	}
	out := u.held[:end]
	if u.over {
		u.held = ""
		return out
	}
	keep := 0
	for _, s := range u.stop {
		for n := min(len(s)-1, len(out)); n > keep; n-- {
			if strings.HasSuffix(out, s[:n]) {
				keep = n
			}
		}
	}
	out, u.held = out[:len(out)-keep], out[len(out)-keep:]
	return out
}

// Rest returns what was held back, when no more text comes.
func (u *Until) Rest() string {
	out := u.held
	u.held = ""
	return out
}

// Stopped reports whether a stop string came.
func (u *Until) Stopped() bool { return u.over }
