package chat

import (
	"slices"
	"strings"

	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/tensor"
)

// Options say how text becomes ids.
type Options struct {
	// Pictures makes every <image> in the text a place for a picture; else it is text. For samples that have any.
	Pictures bool
	// Specials lets special tokens be written by those who speak, as the reference does: an answer with "</s>" in it
	// then ends there. Else only the template's own are tokens.
	Specials bool
	// Marks puts <im_start> and <im_end> around pictures (mm_use_im_start_end), in Train.
	Marks bool
	// MaxLength cuts off what is longer; 0: nothing.
	MaxLength int
}

// Tokens are the ids of rendered text.
type Tokens struct {
	IDs []int32 // ImageIndex where a picture goes
	// the id where a token trains, else tensor.IgnoreIndex; ImageIndex where a picture stands in an answer, as in the
	// reference
	Labels []int32
	Ranges [][2]int // bytes of the text behind each id; empty for what the tokenizer puts in
	Cut    int      // how many ids MaxLength has cut off
}

// Supervised counts the tokens that train.
func (t *Tokens) Supervised() int {
	n := 0
	for _, l := range t.Labels {
		if l != tensor.IgnoreIndex && l != ImageIndex {
			n++
		}
	}
	return n
}

// Encode returns the ids of spans. The text is tokenized as a whole, or with Pictures in the pieces between the
// pictures, as the reference's tokenizer_image_token does; what the tokenizer's Wrap adds stands around all of it. A
// token trains iff it holds a byte of a supervised span; in Plain, so does the dummy prefix before a caption.
func (t Template) Encode(tok *tokenizer.Tokenizer, spans []Span, o Options) Tokens {
	text := Text(spans)
	var plain, trains [][2]int
	for _, s := range spans {
		if s.Content && !o.Specials {
			plain = appendRange(plain, s.From, s.To)
		}
		if s.Supervised {
			trains = appendRange(trains, s.From, s.To)
		}
	}
	var out Tokens
	add := func(id int32, from, to int, trains bool) {
		label := int32(tensor.IgnoreIndex)
		if trains {
			label = id
		}
		out.IDs, out.Labels, out.Ranges = append(out.IDs, id), append(out.Labels, label),
			append(out.Ranges, [2]int{from, to})
	}
	chunk := func(from, to int) {
		ids, ranges := tok.EncodeGuarded(text[from:to], within(plain, from, to))
		for i, r := range ranges {
			a, b := from+r[0], from+r[1]
			end := b
			if t.Style == Plain { // the dummy prefix of a caption trains too
				end = max(b, a+1)
			}
			add(ids[i], a, b, touches(trains, a, end))
		}
	}
	around := tok.Wrap([]int32{ImageIndex})
	split := slices.Index(around, ImageIndex)
	if !t.HasBOS {
		for _, id := range around[:split] {
			add(id, 0, 0, false)
		}
	}
	at := 0
	for o.Pictures {
		k := strings.Index(text[at:], ImageToken)
		if k < 0 {
			break
		}
		from, to := at+k, at+k+len(ImageToken)
		// the marks around a picture are tokens whoever wrote it
		if strings.HasSuffix(text[at:from], ImageStart) {
			plain = without(plain, from-len(ImageStart), from)
		}
		if strings.HasPrefix(text[to:], ImageEnd) {
			plain = without(plain, to, to+len(ImageEnd))
		}
		chunk(at, from)
		add(ImageIndex, from, to, touches(trains, from, to))
		at = to
	}
	chunk(at, len(text))
	for _, id := range around[split+1:] {
		add(id, len(text), len(text), false)
	}
	if n := len(out.IDs); o.MaxLength > 0 && n > o.MaxLength {
		out = Tokens{out.IDs[:o.MaxLength], out.Labels[:o.MaxLength], out.Ranges[:o.MaxLength], n - o.MaxLength}
	}
	return out
}

// Train returns the ids and labels of a training sample: Multimodal if it has pictures, Sample, Encode. The error is
// that of Sample, a *NothingToTrainError, or a *LostPictureError.
func (t Template) Train(tok *tokenizer.Tokenizer, turns []Turn, o Options) (Tokens, error) {
	if o.Pictures {
		turns = t.Multimodal(turns, o.Marks)
	}
	spans, err := t.Sample(turns)
	if err != nil {
		return Tokens{}, err
	}
	out := t.Encode(tok, spans, o)
	if out.Supervised() == 0 {
		return out, &NothingToTrainError{Template: t.Name, Text: Text(spans), Tokens: len(out.IDs), Cut: out.Cut}
	}
	if out.Cut > 0 && o.Pictures {
		lost := strings.Count(Text(spans), ImageToken)
		for _, id := range out.IDs {
			if id == ImageIndex {
				lost--
			}
		}
		if lost > 0 {
			return out, &LostPictureError{Tokens: len(out.IDs) + out.Cut, MaxLength: o.MaxLength, Lost: lost}
		}
	}
	return out, nil
}

// appendRange joins a range to the last where it begins at its end.
func appendRange(list [][2]int, from, to int) [][2]int {
	if n := len(list); n > 0 && list[n-1][1] == from {
		list[n-1][1] = to
		return list
	}
	return append(list, [2]int{from, to})
}

// touches reports whether bytes from to to, if any, lie in one of the ascending ranges, even in part.
func touches(list [][2]int, from, to int) bool {
	if from == to {
		return false
	}
	i, _ := slices.BinarySearchFunc(list, from, func(r [2]int, at int) int {
		if r[1] <= at {
			return -1
		}
		return 1
	})
	return i < len(list) && list[i][0] < to
}

// within returns the parts of ascending ranges that lie in from to to, counted from there.
func within(list [][2]int, from, to int) [][2]int {
	var out [][2]int
	for _, r := range list {
		if a, b := max(r[0], from), min(r[1], to); a < b {
			out = append(out, [2]int{a - from, b - from})
		}
	}
	return out
}

// without takes bytes from to to out of ascending ranges.
func without(list [][2]int, from, to int) [][2]int {
	var out [][2]int
	for _, r := range list {
		for _, p := range [][2]int{{r[0], min(r[1], from)}, {max(r[0], to), r[1]}} {
			if p[0] < p[1] {
				out = append(out, p)
			}
		}
	}
	return out
}
