package torchfile

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
)

// What a pickle may hold, besides nil, bool, int64, float64 and string.
type (
	tuple  []any
	list   struct{ items []any }
	dict   struct{ keys, values []any }
	global string // "module name", one of the allowed
	long   string // little-endian two's complement of an integer beyond int64
	mark   struct{}
)

// machine runs the opcodes of one pickle. It builds plain values and calls nothing but reduce and persist, which know a
// handful of names.
type machine struct {
	r     *bufio.Reader
	left  int64 // bytes that may still be read
	stack []any
	memo  map[int64]any

	persist func(id any) (any, error)
}

// unpickle reads one pickle and returns its value and how many bytes of limit are left. r is left right behind it.
func unpickle(r *bufio.Reader, limit int64, persist func(id any) (any, error)) (v any, left int64, err error) {
	m := &machine{r: r, left: limit, memo: map[int64]any{}, persist: persist}
	v, err = m.run()
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return v, m.left, err
}

func (m *machine) run() (any, error) {
	for {
		op, err := m.byte()
		if err != nil {
			return nil, err
		}
		if op == '.' {
			return m.pop()
		}
		if err := m.step(op); err != nil {
			return nil, err
		}
	}
}

// step runs one opcode other than STOP. Opcodes that torch.save does not write are an error.
func (m *machine) step(op byte) error {
	switch op {
	case 0x80: // PROTO
		v, err := m.byte()
		if err == nil && v > 5 {
			err = fmt.Errorf("pickle protocol %d is not known", v)
		}
		return err
	case 0x95: // FRAME
		_, err := m.number(8)
		return err
	case '(':
		return m.push(mark{})
	case '0':
		_, err := m.pop()
		return err
	case '1':
		_, err := m.popMark()
		return err
	case '2': // DUP
		v, err := m.top()
		return m.pushed(v, err)
	case 'N':
		return m.push(nil)
	case 0x88, 0x89: // NEWTRUE, NEWFALSE
		return m.push(op == 0x88)
	case 'K', 'M', 'J', 'I', 'L', 0x8a, 'G', 'F':
		return m.scalar(op)
	case 'X', 0x8c, 0x8d, 'U', 'T', 'V':
		s, err := m.text(op)
		return m.pushed(s, err)
	case ')', 't', 0x85, 0x86, 0x87, ']', 'l', 'a', 'e', '}', 'd', 's', 'u':
		return m.container(op)
	case 'q', 'r', 'p', 0x94, 'h', 'j', 'g':
		return m.remember(op)
	case 'c', 0x93, 'R', 'b', 'Q':
		return m.object(op)
	}
	return fmt.Errorf("pickle opcode %#02x is not allowed", op)
}

func (m *machine) byte() (byte, error) {
	if m.left--; m.left < 0 {
		return 0, errors.New("the pickle is longer than the limit")
	}
	return m.r.ReadByte()
}

// bytes reads n bytes; memory grows only as far as there are bytes.
func (m *machine) bytes(n int64) (string, error) {
	if n < 0 || n > m.left {
		return "", fmt.Errorf("a string of %d bytes in a pickle that may have %d more", n, m.left)
	}
	m.left -= n
	p, err := io.ReadAll(io.LimitReader(m.r, n))
	if err == nil && int64(len(p)) < n {
		err = io.ErrUnexpectedEOF
	}
	return string(p), err
}

// number reads a little-endian unsigned number of n bytes.
func (m *machine) number(n int) (int64, error) {
	s, err := m.bytes(int64(n))
	if err != nil {
		return 0, err
	}
	var p [8]byte
	copy(p[:], s)
	v := binary.LittleEndian.Uint64(p[:])
	if v > math.MaxInt64 {
		return 0, fmt.Errorf("the number %d is too large", v)
	}
	return int64(v), nil
}

// line reads up to a newline, which it drops.
func (m *machine) line() (string, error) {
	var p []byte
	for {
		b, err := m.byte()
		if err != nil {
			return "", err
		}
		if b == '\n' {
			return string(p), nil
		}
		p = append(p, b)
	}
}

// maxValues bounds the stack and the memo.
const maxValues = 1 << 20

func (m *machine) push(v any) error {
	if len(m.stack) >= maxValues {
		return fmt.Errorf("the pickle puts more than %d values on its stack", maxValues)
	}
	m.stack = append(m.stack, v)
	return nil
}

func (m *machine) pushed(v any, err error) error {
	if err != nil {
		return err
	}
	return m.push(v)
}

var errStack = errors.New("the pickle takes more from its stack than there is")

func (m *machine) top() (any, error) {
	if len(m.stack) == 0 {
		return nil, errStack
	}
	v := m.stack[len(m.stack)-1]
	if _, ok := v.(mark); ok {
		return nil, errStack
	}
	return v, nil
}

func (m *machine) pop() (any, error) {
	v, err := m.top()
	if err == nil {
		m.stack = m.stack[:len(m.stack)-1]
	}
	return v, err
}

// popMark takes everything above the topmost mark, and the mark.
func (m *machine) popMark() (tuple, error) {
	for i := len(m.stack) - 1; i >= 0; i-- {
		if _, ok := m.stack[i].(mark); ok {
			items := append(tuple(nil), m.stack[i+1:]...)
			m.stack = m.stack[:i]
			return items, nil
		}
	}
	return nil, errStack
}

func (m *machine) scalar(op byte) error {
	switch op {
	case 'K', 'M': // BININT1, BININT2
		v, err := m.number(map[byte]int{'K': 1, 'M': 2}[op])
		return m.pushed(v, err)
	case 'J': // BININT
		v, err := m.number(4)
		return m.pushed(int64(int32(v)), err)
	case 0x8a: // LONG1
		n, err := m.number(1)
		if err != nil {
			return err
		}
		s, err := m.bytes(n)
		return m.pushed(integer(s), err)
	case 'G': // BINFLOAT, big-endian
		s, err := m.bytes(8)
		if err != nil {
			return err
		}
		return m.push(math.Float64frombits(binary.BigEndian.Uint64([]byte(s))))
	}
	s, err := m.line()
	if err != nil {
		return err
	}
	switch {
	case op == 'F':
		v, err := strconv.ParseFloat(s, 64)
		return m.pushed(v, err)
	case op == 'I' && (s == "00" || s == "01"):
		return m.push(s == "01")
	case op == 'L' && len(s) > 0 && s[len(s)-1] == 'L':
		s = s[:len(s)-1]
	}
	v, err := strconv.ParseInt(s, 10, 64)
	return m.pushed(v, err)
}

// integer reads little-endian two's complement: an int64 if it is at most eight bytes long, else a long.
func integer(s string) any {
	if len(s) > 8 {
		return long(s)
	}
	var v int64
	for i := len(s) - 1; i >= 0; i-- {
		v = v<<8 | int64(s[i])
	}
	if n := len(s); n > 0 && n < 8 && s[n-1] >= 0x80 {
		v -= 1 << (8 * n)
	}
	return v
}

func (m *machine) text(op byte) (string, error) {
	if op == 'V' {
		return m.line()
	}
	n, err := m.number(map[byte]int{'X': 4, 0x8c: 1, 0x8d: 8, 'U': 1, 'T': 4}[op])
	if err != nil {
		return "", err
	}
	return m.bytes(n)
}

// container runs the opcodes of tuples, lists and dictionaries.
func (m *machine) container(op byte) error {
	switch op {
	case ')':
		return m.push(tuple{})
	case ']':
		return m.push(&list{})
	case '}':
		return m.push(&dict{})
	case 0x85, 0x86, 0x87: // TUPLE1 to 3
		n := int(op - 0x84)
		items := make(tuple, n)
		for i := n - 1; i >= 0; i-- {
			v, err := m.pop()
			if err != nil {
				return err
			}
			items[i] = v
		}
		return m.push(items)
	case 't', 'l', 'd', 'e', 'u':
		items, err := m.popMark()
		if err != nil {
			return err
		}
		switch op {
		case 't':
			return m.push(items)
		case 'l':
			return m.push(&list{items})
		case 'd':
			d := &dict{}
			return m.pushed(d, d.set(items))
		case 'e':
			return m.extend(items)
		}
		return m.update(items)
	case 'a': // APPEND
		v, err := m.pop()
		if err != nil {
			return err
		}
		return m.extend(tuple{v})
	}
	v, err := m.pop() // SETITEM
	if err != nil {
		return err
	}
	k, err := m.pop()
	if err != nil {
		return err
	}
	return m.update(tuple{k, v})
}

func (m *machine) extend(items tuple) error {
	v, err := m.top()
	if err != nil {
		return err
	}
	l, ok := v.(*list)
	if !ok {
		return fmt.Errorf("the pickle appends to %s", kind(v))
	}
	l.items = append(l.items, items...)
	return nil
}

func (m *machine) update(items tuple) error {
	v, err := m.top()
	if err != nil {
		return err
	}
	d, ok := v.(*dict)
	if !ok {
		return fmt.Errorf("the pickle sets an item of %s", kind(v))
	}
	return d.set(items)
}

func (d *dict) set(items tuple) error {
	if len(items)%2 != 0 {
		return errors.New("the pickle has a key without value")
	}
	for i := 0; i < len(items); i += 2 {
		d.keys, d.values = append(d.keys, items[i]), append(d.values, items[i+1])
	}
	return nil
}

// remember runs the opcodes of the memo.
func (m *machine) remember(op byte) (err error) {
	at := int64(len(m.memo)) // MEMOIZE
	switch op {
	case 'q', 'h':
		at, err = m.number(1)
	case 'r', 'j':
		at, err = m.number(4)
	case 'p', 'g':
		var s string
		if s, err = m.line(); err == nil {
			at, err = strconv.ParseInt(s, 10, 64)
		}
	}
	if err != nil {
		return err
	}
	if op == 'h' || op == 'j' || op == 'g' {
		v, ok := m.memo[at]
		if !ok {
			return fmt.Errorf("the pickle gets entry %d of its memo, which it has not put there", at)
		}
		return m.push(v)
	}
	v, err := m.top()
	if err == nil && len(m.memo) >= maxValues {
		err = fmt.Errorf("the pickle remembers more than %d values", maxValues)
	}
	m.memo[at] = v
	return err
}
