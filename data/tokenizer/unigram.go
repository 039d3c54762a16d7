package tokenizer

import (
	"math"
	"unicode/utf8"
)

// unigram finds the most probable split of a text (Kudo, 2018) by Viterbi's algorithm, with SentencePiece's arithmetic:
// single precision for the path, which decides ties.
type unigram struct {
	pieces *trie
	score  []float64 // by id; of a user-defined piece, what it gets for itself
	user   map[int32]bool
	skip   map[int32]bool // unused pieces
	hidden map[int32]bool // special tokens, which a literal text must not give
	unk    int32
	unkAt  float64 // score of an unknown character
	bytes  *[256]int32
	top    float32 // best score of a normal piece
	double bool    // double precision, as Hugging Face's Unigram
	cache  *wordCache
}

func newSPUnigram(m *spModel, fallback *[256]int32) *unigram {
	list := m.proto.pieces
	u := &unigram{score: make([]float64, len(list)), user: map[int32]bool{}, skip: map[int32]bool{}, unk: m.unk,
		bytes: fallback}
	low := float32(math.MaxFloat32)
	u.top = math.Float32frombits(0x00800000) // FLT_MIN: scores are log probabilities, which are below
	var keys []string
	var ids []int32
	for i, q := range list {
		switch q.kind {
		case pieceNormal:
			low, u.top = min(low, q.score), max(u.top, q.score)
		case pieceUser:
			u.user[int32(i)] = true
		case pieceUnused:
			u.skip[int32(i)] = true
		default:
			continue
		}
		u.score[i] = float64(q.score)
		keys, ids = append(keys, q.text), append(ids, int32(i))
	}
	u.pieces = newTrie(keys, ids)
	u.unkAt = float64(low - 10)
	return u
}

type bestEnd struct {
	score float64
	from  int32
	id    int32
}

func (u *unigram) tokenize(dst []piece, text string, literal bool) []piece {
	if text == "" {
		return dst
	}
	cacheable := u.cache != nil && len(text) <= cacheWord && !literal
	if cacheable {
		slot := u.cache.slot(text)
		if c := slot.Load(); c != nil && c.word == text {
			return append(dst, c.pieces...)
		}
		at := len(dst)
		dst = u.viterbi(dst, text, false)
		u.cache.put(slot, text, dst[at:])
		return dst
	}
	return u.viterbi(dst, text, literal)
}

func (u *unigram) viterbi(dst []piece, text string, literal bool) []piece {
	ends := make([]bestEnd, len(text)+1)
	for i := range ends {
		ends[i].from = -1
	}
	ends[0].score = 0
	offer := func(end, from int, id int32, score float64) {
		e := &ends[end]
		if e.from < 0 || score > e.score {
			*e = bestEnd{score, int32(from), id}
		}
	}
	for at := 0; at < len(text); {
		here := ends[at].score
		_, n := utf8.DecodeRuneInString(text[at:])
		single := false
		node := int32(0)
		for k := at; k < len(text); k++ {
			if node = u.pieces.step(node, text[k]); node == 0 {
				break
			}
			id := u.pieces.value[node]
			if id < 0 || u.skip[id] || literal && u.hidden[id] {
				continue
			}
			size := k + 1 - at
			switch {
			case u.user[id]:
				offer(k+1, at, id, u.add(float64(float32(size)*u.top)-0.1, here))
			default:
				offer(k+1, at, id, u.add(u.score[id], here))
			}
			single = single || size == n
		}
		if !single {
			offer(at+n, at, u.unk, u.add(u.unkAt, here))
		}
		at += n
	}
	first := len(dst)
	for end := len(text); end > 0; end = int(ends[end].from) {
		dst = append(dst, piece{ends[end].id, int32(end) - ends[end].from})
	}
	return u.finish(dst, first, text)
}

func (u *unigram) add(score, path float64) float64 {
	if u.double {
		return score + path
	}
	return float64(float32(score) + float32(path))
}

// finish turns the backward list of tokens round; unknown ones in a row become their bytes, or one token.
func (u *unigram) finish(dst []piece, first int, text string) []piece {
	back := append([]piece(nil), dst[first:]...)
	dst = dst[:first]
	at := 0
	for i := len(back) - 1; i >= 0; i-- {
		p := back[i]
		if p.id == u.unk {
			for i > 0 && back[i-1].id == u.unk {
				i--
				p.n += back[i].n
			}
			out, ok := asBytes(dst, u.bytes, text[at:at+int(p.n)])
			at += int(p.n)
			if dst = out; !ok {
				dst = append(dst, p)
			}
			continue
		}
		dst = append(dst, p)
		at += int(p.n)
	}
	return dst
}
