package train

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"time"
)

// The wire format of protocol buffers, as far as tensorflow.Event needs it: wall_time = 1 (double), step = 2 (int64),
// file_version = 3 (string), summary = 5 {value = 1 {tag = 1, simple_value = 2}}, session_log = 7 {status = 1}.

// field appends a field of bytes: a string or a message.
func field(m []byte, number int, b []byte) []byte {
	m = binary.AppendUvarint(m, uint64(number)<<3|2)
	m = binary.AppendUvarint(m, uint64(len(b)))
	return append(m, b...)
}

func appendFixed32(m []byte, v uint32) []byte { return binary.LittleEndian.AppendUint32(m, v) }

// write appends an Event with the content that fill adds.
func (b *board) write(at time.Time, step int, fill func([]byte) []byte) error {
	m := []byte{1<<3 | 1}
	m = binary.LittleEndian.AppendUint64(m, math.Float64bits(float64(at.UnixNano())/1e9))
	m = append(m, 2<<3)
	m = binary.AppendUvarint(m, uint64(step))
	_, err := b.f.Write(record(fill(m)))
	return err
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// masked is the CRC-32C that TFRecords store: rotated and shifted, so that a checksum of data with checksums in it
// stays good.
func masked(b []byte) uint32 {
	c := crc32.Checksum(b, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}

// record frames data as a TFRecord: length, its checksum, data, its checksum.
func record(data []byte) []byte {
	b := binary.LittleEndian.AppendUint64(make([]byte, 0, len(data)+16), uint64(len(data)))
	b = appendFixed32(b, masked(b))
	b = append(b, data...)
	return appendFixed32(b, masked(data))
}
