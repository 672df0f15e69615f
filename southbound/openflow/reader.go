package openflow

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// errShort is the failure of every read past the end.
var errShort = errors.New("ends early")

// reader takes values off the front of a buffer. The first failure sticks:
// every later read yields zero values, so decoders check once, at their end. No
// decoder sees bytes that its reader was not given.
type reader struct {
	b   []byte
	err error
}

// take returns the next n bytes, or nil after a failure. The result aliases
// the buffer.
func (r *reader) take(n int) []byte {
	if r.err != nil {
		return nil
	}
	if n < 0 || n > len(r.b) {
		r.err = errShort
		r.b = nil
		return nil
	}
	p := r.b[:n:n]
	r.b = r.b[n:]
	return p
}

func (r *reader) skip(n int) { r.take(n) }

func (r *reader) u8() uint8 {
	if p := r.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (r *reader) u16() uint16 {
	if p := r.take(2); p != nil {
		return binary.BigEndian.Uint16(p)
	}
	return 0
}

func (r *reader) u32() uint32 {
	if p := r.take(4); p != nil {
		return binary.BigEndian.Uint32(p)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if p := r.take(8); p != nil {
		return binary.BigEndian.Uint64(p)
	}
	return 0
}

// text reads a fixed-size, NUL-padded string.
func (r *reader) text(n int) string {
	p := r.take(n)
	for i, c := range p {
		if c == 0 {
			return string(p[:i])
		}
	}
	return string(p)
}

// rest returns all that is left; nil where that is nothing.
func (r *reader) rest() []byte {
	if len(r.b) == 0 {
		return nil
	}
	return r.take(len(r.b))
}

// copyRest is rest with bytes of its own.
func (r *reader) copyRest() []byte { return append([]byte(nil), r.rest()...) }

// fail records a failure unless there is one.
func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.failWith(fmt.Errorf(format, args...))
	}
}

// failWith is fail with an error that is there.
func (r *reader) failWith(err error) {
	if r.err == nil {
		r.err = err
		r.b = nil
	}
}

// own gives r a copy of what is left of its buffer, so that what is taken from
// then on belongs to the message.
func (r *reader) own() { r.b = append([]byte(nil), r.b...) }

// end returns the sticky error, or complains of bytes that nobody read.
func (r *reader) end() error {
	if r.err == nil && len(r.b) != 0 {
		r.fail("%d bytes too many", len(r.b))
	}
	return r.err
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// appendZeros appends n zero bytes.
func appendZeros(b []byte, n int) []byte {
	const zeros = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	for n > len(zeros) {
		b = append(b, zeros...)
		n -= len(zeros)
	}
	return append(b, zeros[:n]...)
}

// appendPad pads what was appended since start to a multiple of 8 bytes.
func appendPad(b []byte, start int) []byte {
	return appendZeros(b, -(len(b)-start)&7)
}

// appendText appends s, cut or NUL-padded to n bytes.
func appendText(b []byte, s string, n int) []byte {
	if len(s) > n {
		s = s[:n]
	}
	return appendZeros(append(b, s...), n-len(s))
}

// putLen back-patches the 16-bit length at offset at.
func putLen(b []byte, at, n int) { binary.BigEndian.PutUint16(b[at:], uint16(n)) }

// adopt makes a failure of a reader of part of the buffer r's own.
func (r *reader) adopt(part *reader) {
	if part.err != nil {
		r.failWith(part.err)
	}
}
