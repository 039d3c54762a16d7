package data

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gollava/gollava/data/chat"
)

// Sample is one record of a data set: a conversation about pictures, or about none.
type Sample struct {
	ID     string   // a number's digits where the file has a number; empty where it has none
	Images []string // paths under the image folder, with forward slashes
	Videos []string // likewise; each a file, or a folder with a picture for each frame
	Turns  []chat.Turn
	Extra  map[string]json.RawMessage // every other key, as it is: "model", "data_source", boxes…
}

// Words counts the words of all turns, as LLaVA's samplers do (Python's str.split).
func (s *Sample) Words() int {
	n := 0
	for _, t := range s.Turns {
		n += words(t.Value)
	}
	return n
}

// ModalityLength is Words, negative where there is no image: what the modality-grouped sampler goes by. LLaVA knows no
// videos; for a trainer that does, a sample with one belongs among those with images.
func (s *Sample) ModalityLength() int {
	if len(s.Images) == 0 {
		return -s.Words()
	}
	return s.Words()
}

// ImageTokens counts the places for images and videos in the text.
func (s *Sample) ImageTokens() int {
	n := 0
	for _, t := range s.Turns {
		n += s.places(t.Value)
	}
	return n
}

// places counts those of one text: in a sample without videos <video> is a word like any other.
func (s *Sample) places(text string) int {
	n := strings.Count(text, chat.ImageToken)
	if len(s.Videos) > 0 {
		n += strings.Count(text, chat.VideoToken)
	}
	return n
}

// Visual is an image or a video, by its path under the image folder.
type Visual struct {
	Name  string
	Video bool
}

// Visuals are the images and videos of s in the order of their places in the text. The place of a video is a <video>
// or, in a sample without images, an <image>, as LLaVA-Video's files have it. What has no place comes last.
func (s *Sample) Visuals() []Visual {
	list := make([]Visual, 0, len(s.Images)+len(s.Videos))
	images, videos := s.Images, s.Videos
	take := func(names *[]string, video bool) {
		if len(*names) > 0 {
			list = append(list, Visual{(*names)[0], video})
			*names = (*names)[1:]
		}
	}
	for _, t := range s.Turns {
		for text := t.Value; len(videos) > 0; {
			i, j := strings.Index(text, chat.ImageToken), strings.Index(text, chat.VideoToken)
			if i < 0 && j < 0 {
				break
			}
			if j >= 0 && (i < 0 || j < i) {
				take(&videos, true)
				text = text[j+len(chat.VideoToken):]
				continue
			}
			if len(s.Images) == 0 {
				take(&videos, true)
			} else {
				take(&images, false)
			}
			text = text[i+len(chat.ImageToken):]
		}
	}
	for len(images) > 0 {
		take(&images, false)
	}
	for len(videos) > 0 {
		take(&videos, true)
	}
	return list
}

// Places are the turns of s with an <image> for each <video> of its videos.
func (s *Sample) Places() []chat.Turn {
	if len(s.Videos) == 0 {
		return s.Turns
	}
	turns := slices.Clone(s.Turns)
	for i := range turns {
		turns[i].Value = strings.ReplaceAll(turns[i].Value, chat.VideoToken, chat.ImageToken)
	}
	return turns
}

// words counts what is between blanks, as Python's str.split has them.
func words(s string) int {
	n, before := 0, byte(1)
	for i := 0; i < len(s); {
		if c := s[i]; c < utf8.RuneSelf {
			b := blanks[c]
			n += int(before &^ b)
			before = b
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		b := byte(0)
		if unicode.IsSpace(r) {
			b = 1
		}
		n += int(before &^ b)
		before = b
		i += size
	}
	return n
}

// blanks holds 1 for the ASCII characters that are blank.
var blanks = func() (t [utf8.RuneSelf]byte) {
	for _, c := range "\t\n\v\f\r\x1c\x1d\x1e\x1f " {
		t[c] = 1
	}
	return t
}()

// blank reports whether Python's str.strip would leave nothing.
func blank(s string) bool { return words(s) == 0 }

// spots are where the parts of a record begin, from its own beginning.
type spots struct {
	id, image, video, conversations int
	turns                           []int // the values
}

// parse reads the bytes of a record, which are well-formed. Faults that leave nothing to read end it; those of a single
// part leave that part empty. Their Offset counts from the record's beginning.
func parse(b []byte) (Sample, spots, []*Fault) {
	var s Sample
	var at spots
	var faults []*Fault
	add := func(f *Fault, at int) { f.Offset = int64(at); faults = append(faults, f) }
	if len(b) == 0 || b[0] != '{' {
		add(NewFault(RecordWrongType, "%s, not an object", shape(b)), 0)
		return s, at, faults
	}
	var hasID, hasImage, hasTurns bool
	var idValue, imageValue, videoValue, turnsValue []byte
	members(b, func(key string, from, to int) {
		switch v := b[from:to]; key {
		case "id":
			hasID, idValue, at.id = true, v, from
		case "image":
			hasImage, imageValue, at.image = true, v, from
		case "video":
			videoValue, at.video = v, from
		case "conversations":
			hasTurns, turnsValue, at.conversations = true, v, from
		default:
			if s.Extra == nil {
				s.Extra = map[string]json.RawMessage{}
			}
			s.Extra[key] = append(json.RawMessage(nil), v...)
		}
	})
	switch {
	case !hasID || string(idValue) == "null" || string(idValue) == `""`:
		add(NewFault(IDMissing, "messages about this record will have only its number").warning(), at.id)
	case idValue[0] == '"':
		s.ID = unquote(idValue)
	case idValue[0] == '-' || '0' <= idValue[0] && idValue[0] <= '9':
		s.ID = string(idValue)
	default:
		add(NewFault(IDWrongType, "%s, neither string nor number", shape(idValue)).warning(), at.id)
	}
	if hasImage {
		var ok bool
		if s.Images, ok = paths(imageValue); !ok {
			add(NewFault(ImageWrongType,
				"%s, neither string nor list of strings; leave the key out where there is no picture",
				shape(imageValue)), at.image)
		}
	}
	if videoValue != nil {
		var ok bool
		if s.Videos, ok = paths(videoValue); !ok {
			add(NewFault(VideoWrongType,
				"%s, neither string nor list of strings; leave the key out where there is no video",
				shape(videoValue)), at.video)
		}
	}
	if !hasTurns {
		add(NewFault(ConversationsMissing, "no key conversations"), 0)
	} else if turnsValue[0] != '[' {
		add(NewFault(ConversationsWrongType, "%s, not a list", shape(turnsValue)), at.conversations)
	} else {
		base := at.conversations
		elements(turnsValue, func(from, to int) {
			t, v, f := turn(turnsValue[from:to])
			if f != nil {
				f.Turn = len(s.Turns)
				add(f, base+from+v)
			}
			s.Turns, at.turns = append(s.Turns, t), append(at.turns, base+from+v)
		})
		if len(s.Turns) == 0 {
			add(NewFault(ConversationsMissing, "no turns"), at.conversations)
		}
	}
	return s, at, faults
}

// turn reads one turn and says where its value begins.
func turn(b []byte) (t chat.Turn, at int, f *Fault) {
	if b[0] != '{' {
		return t, 0, NewFault(ConversationsWrongType, "%s, not an object with from and value", shape(b))
	}
	var has bool
	var value []byte
	members(b, func(key string, from, to int) {
		switch v := b[from:to]; key {
		case "from":
			t.From = ""
			if v[0] == '"' {
				t.From = unquote(v)
			}
		case "value":
			has, value, at = true, v, from
		}
	})
	switch {
	case !has:
		f = NewFault(ValueMissing, "no key value")
	case value[0] != '"':
		f = NewFault(ValueWrongType, "%s, not a string", shape(value))
	default:
		t.Value = unquote(value)
	}
	return t, at, f
}

// paths reads a string or a list of strings.
func paths(b []byte) (out []string, ok bool) {
	switch b[0] {
	case '"':
		return []string{unquote(b)}, true
	case '[':
		ok = true
		elements(b, func(from, to int) {
			if b[from] != '"' {
				ok = false
			} else {
				out = append(out, unquote(b[from:to]))
			}
		})
		return out, ok
	}
	return nil, false
}

// wellFormed returns a fault where b is not one JSON value, as when the file has changed since it was indexed.
func wellFormed(b []byte) *Fault {
	var g grammar
	end, k := g.value(b, 0, 0)
	if k == "" && end == len(b) {
		return nil
	}
	f := NewFault(cmp.Or(k, Syntax), "the file has changed since it was opened")
	f.Offset = int64(end)
	return f
}

// members calls f with the key and the place of the value of each member of the well-formed object b, in the file's
// order: of equal keys the last wins, as in Python.
func members(b []byte, f func(key string, from, to int)) {
	for i := space(b, 1); b[i] != '}'; {
		keyEnd := past(b, i)
		from := space(b, space(b, keyEnd)+1)
		to := past(b, from)
		f(unquote(b[i:keyEnd]), from, to)
		if i = space(b, to); b[i] == ',' {
			i = space(b, i+1)
		}
	}
}

// elements calls f with the place of each element of the well-formed array b.
func elements(b []byte, f func(from, to int)) {
	for i := space(b, 1); b[i] != ']'; {
		to := past(b, i)
		f(i, to)
		if i = space(b, to); b[i] == ',' {
			i = space(b, i+1)
		}
	}
}

// shape names what kind of value b is.
func shape(b []byte) string {
	if len(b) == 0 {
		return "nothing"
	}
	switch b[0] {
	case '"':
		return "a string"
	case '{':
		return "an object"
	case '[':
		return "a list"
	case 't', 'f':
		return "true or false"
	case 'n':
		return "null"
	}
	return "a number"
}
