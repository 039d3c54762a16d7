package tokenizer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"
)

var errShort = errors.New("ends in the middle of a field")

// wireField is one field of a protobuf message.
type wireField struct {
	number int
	wire   int // 0 varint, 1 eight bytes, 2 bytes, 5 four bytes
	num    uint64
	data   []byte
}

// wireFields calls f for every field of a message.
func wireFields(b []byte, f func(wireField) error) error {
	for len(b) > 0 {
		tag, n := binary.Uvarint(b)
		if n <= 0 || tag>>3 == 0 || tag>>3 > 1<<29 {
			return errors.New("broken field tag")
		}
		b = b[n:]
		w := wireField{number: int(tag >> 3), wire: int(tag & 7)}
		switch w.wire {
		case 0:
			if w.num, n = binary.Uvarint(b); n <= 0 {
				return errShort
			}
			b = b[n:]
		case 1:
			if len(b) < 8 {
				return errShort
			}
			w.num, b = binary.LittleEndian.Uint64(b), b[8:]
		case 2:
			size, n := binary.Uvarint(b)
			if n <= 0 || size > uint64(len(b)-n) {
				return errShort
			}
			w.data, b = b[n:n+int(size)], b[n+int(size):]
		case 5:
			if len(b) < 4 {
				return errShort
			}
			w.num, b = uint64(binary.LittleEndian.Uint32(b)), b[4:]
		default:
			return fmt.Errorf("wire type %d of field %d does not exist", w.wire, w.number)
		}
		if err := f(w); err != nil {
			return err
		}
	}
	return nil
}

// Types of pieces in a SentencePiece model.
const (
	pieceNormal = iota + 1
	pieceUnknown
	pieceControl
	pieceUser
	pieceUnused
	pieceByte
)

type spPiece struct {
	text  string
	score float32
	kind  int
}

// spProto is what a SentencePiece model file says (sentencepiece_model.proto).
type spProto struct {
	pieces []spPiece

	modelType    uint64
	suffixSpace  bool
	byteFallback bool
	fewBytes     bool // not all of the byte pieces need be there: what lacks one is unknown
	unkSurface   string
	bos, eos     string
	pad          string

	normal, denormal spRules
}

type spRules struct {
	charsmap                   []byte
	dummy, shrink, escape, has bool
}

func parseSentencePiece(b []byte) (*spProto, error) {
	p := &spProto{modelType: 1, unkSurface: " \u2047 ", bos: "<s>", eos: "</s>", pad: "<pad>",
		normal: spRules{dummy: true, shrink: true, escape: true}}
	err := wireFields(b, func(w wireField) error {
		var err error
		field := ""
		switch {
		case w.number == 1 && w.wire == 2:
			field = fmt.Sprintf("pieces[%d]", len(p.pieces))
			var q spPiece
			if q, err = parsePiece(w.data); err == nil {
				p.pieces = append(p.pieces, q)
			}
		case w.number == 2 && w.wire == 2:
			field = "trainer_spec"
			err = p.parseTrainer(w.data)
		case w.number == 3 && w.wire == 2:
			field = "normalizer_spec"
			err = p.normal.parse(w.data)
		case w.number == 5 && w.wire == 2:
			field = "denormalizer_spec"
			p.denormal = spRules{escape: true, has: true}
			err = p.denormal.parse(w.data)
		case w.number <= 5 && w.number != 4:
			err = fmt.Errorf("field %d has wire type %d", w.number, w.wire)
		}
		if err != nil {
			return &FormatError{Field: field, Err: err}
		}
		return nil
	})
	if err != nil {
		var f *FormatError
		if errors.As(err, &f) {
			return nil, err
		}
		return nil, fmt.Errorf("not a SentencePiece model: %w", err)
	}
	if len(p.pieces) == 0 {
		return nil, errors.New("not a SentencePiece model: it has no pieces")
	}
	return p, nil
}

func parsePiece(b []byte) (spPiece, error) {
	q := spPiece{kind: pieceNormal}
	err := wireFields(b, func(w wireField) error {
		switch {
		case w.number == 1 && w.wire == 2:
			q.text = string(w.data)
		case w.number == 2 && w.wire == 5:
			q.score = math.Float32frombits(uint32(w.num))
		case w.number == 3 && w.wire == 0:
			if w.num < pieceNormal || w.num > pieceByte {
				return fmt.Errorf("type %d does not exist", w.num)
			}
			q.kind = int(w.num)
		case w.number <= 3:
			return fmt.Errorf("field %d has wire type %d", w.number, w.wire)
		}
		return nil
	})
	switch {
	case err != nil:
	case q.text == "":
		err = errors.New("piece is empty")
	case !utf8.ValidString(q.text):
		err = errors.New("piece is not UTF-8")
	case q.score != q.score:
		err = errors.New("score is not a number")
	}
	return q, err
}

func (p *spProto) parseTrainer(b []byte) error {
	return wireFields(b, func(w wireField) error {
		switch {
		case w.wire == 0 && w.number == 3:
			p.modelType = w.num
		case w.wire == 0 && w.number == 24:
			p.suffixSpace = w.num != 0
		case w.wire == 0 && w.number == 35:
			p.byteFallback = w.num != 0
		case w.wire == 2 && w.number == 44:
			p.unkSurface = string(w.data)
		case w.wire == 2 && w.number == 46:
			p.bos = string(w.data)
		case w.wire == 2 && w.number == 47:
			p.eos = string(w.data)
		case w.wire == 2 && w.number == 48:
			p.pad = string(w.data)
		}
		return nil
	})
}

func (r *spRules) parse(b []byte) error {
	return wireFields(b, func(w wireField) error {
		switch {
		case w.wire == 2 && w.number == 2:
			r.charsmap = w.data
		case w.wire == 0 && w.number == 3:
			r.dummy = w.num != 0
		case w.wire == 0 && w.number == 4:
			r.shrink = w.num != 0
		case w.wire == 0 && w.number == 5:
			r.escape = w.num != 0
		}
		return nil
	})
}
