package tokenizer

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

// splitter turns normalised text into tokens. With literal set, no token that the file calls special may come out.
type splitter interface {
	tokenize(dst []piece, text string, literal bool) []piece
}

// spModel is a SentencePiece model: its normaliser, its BPE or unigram model and its pieces.
type spModel struct {
	proto  *spProto
	ids    map[string]int32
	unk    int32
	split  splitter
	rules  spRules
	chars  *charsmap
	user   *trie // user-defined pieces; nil without
	denorm *spModel
}

func newSentencePiece(b []byte) (*spModel, error) {
	p, err := parseSentencePiece(b)
	if err != nil {
		return nil, err
	}
	return buildSentencePiece(p)
}

func buildSentencePiece(p *spProto) (m *spModel, err error) {
	m = &spModel{proto: p, rules: p.normal, ids: make(map[string]int32, len(p.pieces)), unk: -1}
	if m.chars, err = newCharsmap(p.normal.charsmap); err != nil {
		return nil, &FormatError{Field: "normalizer_spec.precompiled_charsmap", Err: err}
	}
	if p.denormal.has && len(p.denormal.charsmap) > 0 {
		m.denorm = &spModel{proto: p, rules: p.denormal}
		if m.denorm.chars, err = newCharsmap(p.denormal.charsmap); err != nil {
			return nil, &FormatError{Field: "denormalizer_spec.precompiled_charsmap", Err: err}
		}
	}
	var bytes [256]int32
	for b := range bytes {
		bytes[b] = -1
	}
	found := 0
	var user []string
	var userIDs []int32
	for i, q := range p.pieces {
		field := fmt.Sprintf("pieces[%d]", i)
		if old, ok := m.ids[q.text]; ok {
			return nil, fieldError(field, "%q is already piece %d", q.text, old)
		}
		m.ids[q.text] = int32(i)
		switch q.kind {
		case pieceUnknown:
			if m.unk >= 0 {
				return nil, fieldError(field, "a second unknown piece; the first is %d", m.unk)
			}
			m.unk = int32(i)
		case pieceUser:
			user, userIDs = append(user, q.text), append(userIDs, int32(i))
		case pieceByte:
			b, ok := byteToken(q.text)
			if !ok || !p.byteFallback {
				return nil, fieldError(field, "%q cannot be a byte piece", q.text)
			}
			bytes[b] = int32(i)
			found++
		}
	}
	if m.unk < 0 {
		return nil, errors.New("it has no unknown piece")
	}
	if p.byteFallback && found != 256 && !p.fewBytes {
		return nil, fieldError("trainer_spec.byte_fallback", "%d of 256 byte pieces are there", found)
	}
	if len(user) > 0 {
		m.user = newTrie(user, userIDs)
	}
	var fallback *[256]int32
	if p.byteFallback {
		fallback = &bytes
	}
	switch p.modelType {
	case 1:
		m.split = newSPUnigram(m, fallback)
	case 2:
		m.split = newSPBPE(m, fallback)
	default:
		return nil, unsupported("trainer_spec.model_type", "%d (1 is unigram, 2 is BPE)", p.modelType)
	}
	return m, nil
}

// byteToken reads <0x0A>.
func byteToken(s string) (byte, bool) {
	if len(s) != 6 || !strings.HasPrefix(s, "<0x") || s[5] != '>' {
		return 0, false
	}
	v := 0
	for _, c := range []byte(s[3:5]) {
		switch {
		case c >= '0' && c <= '9':
			v = v<<4 | int(c-'0')
		case c >= 'A' && c <= 'F':
			v = v<<4 | int(c-'A'+10)
		case c >= 'a' && c <= 'f':
			v = v<<4 | int(c-'a'+10)
		default:
			return 0, false
		}
	}
	return byte(v), true
}

// newSPBPE lists, for every piece, each way to make it of two others; the better score is the better rank.
func newSPBPE(m *spModel, fallback *[256]int32) *bpe {
	list := m.proto.pieces
	b := &bpe{vocab: map[string]int32{}, size: int32(len(list)), pairs: newPairs(2 * len(list)),
		runes: map[rune]int32{}, bytes: fallback,
		unk: m.unk, fuseUnk: true, frozen: m.user, unused: map[int32]bool{}, cache: newWordCache()}
	b.length = make([]int32, len(list))
	var scores []float32
	merges := func(q spPiece) bool { return q.kind == pieceNormal || q.kind == pieceUser || q.kind == pieceUnused }
	for i, q := range list {
		b.length[i] = int32(len(q.text))
		if !merges(q) {
			continue
		}
		b.vocab[q.text] = int32(i)
		scores = append(scores, q.score)
		if q.kind == pieceUnused {
			b.unused[int32(i)] = true
		}
		if r, n := utf8.DecodeRuneInString(q.text); n == len(q.text) {
			b.runes[r] = int32(i)
		}
	}
	slices.SortFunc(scores, func(x, y float32) int { return cmp.Compare(y, x) })
	scores = slices.Compact(scores)
	part := func(s string) (int32, bool) {
		if id, ok := b.vocab[s]; ok {
			return id, true
		}
		r, n := utf8.DecodeRuneInString(s)
		if n != len(s) {
			return 0, false
		}
		if id, ok := b.runes[r]; ok {
			return id, true
		}
		id := int32(len(b.length))
		b.runes[r] = id
		b.length = append(b.length, int32(n))
		return id, true
	}
	for i, q := range list {
		if !merges(q) {
			continue
		}
		rank, _ := slices.BinarySearchFunc(scores, q.score, func(x, y float32) int { return cmp.Compare(y, x) })
		for k := range q.text {
			if k == 0 {
				continue
			}
			if x, ok := part(q.text[:k]); ok {
				if y, ok := part(q.text[k:]); ok {
					b.pairs.set(x, y, merged{int32(rank), int32(i)})
				}
			}
		}
	}
	b.cut = cutFor(func(yield func(string) bool) {
		for _, q := range list {
			if merges(q) && !yield(q.text) {
				return
			}
		}
	})
	return b
}

// normalize is SentencePiece's normaliser: rules, surplus spaces, the dummy prefix and visible spaces.
func (m *spModel) normalize(p passage) passage {
	blank := " "
	if m.rules.escape {
		blank = space
	}
	in := p.text
	at := 0
	if m.rules.shrink {
		for at < len(in) {
			s, n := m.prefix(in[at:])
			if s != " " {
				break
			}
			at += n
		}
	}
	if at == len(in) {
		return p.slice(at, at)
	}
	e := newEdit(p, 3+strings.Count(in, " ")*2)
	here := func() span { s := p.source(at, at); return span{s.from, s.from} }
	if m.rules.dummy && !m.proto.suffixSpace {
		e.put(blank, here())
	}
	spaced := m.rules.shrink
	for at < len(in) {
		if m.chars == nil && m.user == nil { // the common case: a run of characters that stay
			k := at
			for k < len(in) && in[k] != ' ' {
				k++
			}
			if k > at {
				e.keep(p, at, k)
				at, spaced = k, false
				continue
			}
		}
		s, n := m.prefix(in[at:])
		if spaced {
			s = strings.TrimLeft(s, " ")
		}
		switch {
		case s == "":
		case s == " ":
			e.put(blank, p.source(at, at+n))
			spaced = true
		default:
			if s == in[at:at+n] && !strings.Contains(s, " ") {
				e.keep(p, at, at+n)
			} else {
				e.put(strings.ReplaceAll(s, " ", blank), p.source(at, at+n))
			}
			spaced = strings.HasSuffix(s, " ")
		}
		at += n
		spaced = spaced && m.rules.shrink
	}
	if m.rules.shrink {
		for strings.HasSuffix(string(e.buf[max(0, len(e.buf)-len(blank)):]), blank) {
			e.cut(len(e.buf) - len(blank))
		}
	}
	if m.rules.dummy && m.proto.suffixSpace {
		e.put(blank, here())
	}
	return e.passage()
}

// prefix normalises the first thing in s: a user-defined piece, what the longest rule replaces, or one character.
func (m *spModel) prefix(s string) (to string, n int) {
	if m.user != nil {
		if _, n := m.user.longest(s); n > 0 {
			return s[:n], n
		}
	}
	if m.chars != nil {
		if to, n := m.chars.longest(s); n > 0 {
			return to, n
		}
	}
	_, n = utf8.DecodeRuneInString(s)
	return s[:n], n
}

// pieceRoom lends room for the pieces of a text.
var pieceRoom = sync.Pool{New: func() any { return new([]piece) }}

// encode appends the tokens of a text as SentencePiece alone would.
func (m *spModel) encode(out *output, p passage, literal bool) {
	if p.text == "" {
		return
	}
	n := m.normalize(p)
	room := pieceRoom.Get().(*[]piece)
	*room = m.split.tokenize((*room)[:0], n.text, literal)
	out.pieces(n, *room)
	pieceRoom.Put(room)
}
