package ovsdb

import (
	"errors"
	"fmt"
	"io"
)

// Messages follow each other on the stream without any framing (RFC 7047,
// section 4): the end of one is where its outermost brace closes.

const (
	// keptBuffer is how much of its buffer a framer keeps between messages.
	keptBuffer = 64 << 10
	// maxDepth bounds the nesting of a message; OVSDB needs about ten levels.
	maxDepth = 64
)

// errNotObject tells that the stream is not JSON-RPC or out of step.
var errNotObject = errors.New("ovsdb: message: not a JSON object")

// framer cuts a stream into JSON objects. It checks only what it needs for
// that: a cut message may still be bad JSON inside.
type framer struct {
	r     io.Reader
	limit int                 // largest message in bytes
	grow  func(add int) error // asks for buffer space beyond keptBuffer; add is negative when it is given back

	buf  []byte
	n    int // bytes of buf that have been read
	used int // bytes of buf that belong to the message returned last
}

func newFramer(r io.Reader, limit int, grow func(add int) error) *framer {
	return &framer{r: r, limit: limit, grow: grow, buf: make([]byte, min(limit, 4<<10))}
}

// next returns the next message. It is valid until the next call.
func (f *framer) next() ([]byte, error) {
	f.drop(f.used)
	f.used = 0
	var depth int
	var quoted, escaped bool
	for i := 0; ; i++ {
		if i == f.n {
			if err := f.fill(); err != nil {
				if errors.Is(err, io.EOF) && i > 0 {
					err = io.ErrUnexpectedEOF
				}
				return nil, err
			}
		}
		b := f.buf[i]
		switch {
		case depth == 0:
			switch b {
			case ' ', '\t', '\r', '\n':
				f.drop(1)
				i--
			case '{':
				depth = 1
			default:
				return nil, errNotObject
			}
		case escaped:
			escaped = false
		case quoted:
			escaped, quoted = b == '\\', b != '"'
		case b == '"':
			quoted = true
		case b == '{', b == '[':
			if depth++; depth > maxDepth {
				return nil, fmt.Errorf("ovsdb: message: nested deeper than %d", maxDepth)
			}
		case b == '}', b == ']':
			if depth--; depth == 0 {
				f.used = i + 1
				return f.buf[:f.used], nil
			}
		}
	}
}

// started says whether a part of a message has been read.
func (f *framer) started() bool { return f.n > f.used }

// drop forgets the first k bytes and gives a large buffer back.
func (f *framer) drop(k int) {
	if k == 0 {
		return
	}
	f.n = copy(f.buf, f.buf[k:f.n])
	if len(f.buf) > keptBuffer && f.n <= keptBuffer {
		_ = f.grow(keptBuffer - len(f.buf)) // giving back never fails
		f.buf = append(make([]byte, 0, keptBuffer), f.buf[:keptBuffer]...)
	}
}

// fill reads at least one more byte.
func (f *framer) fill() error {
	if f.n == len(f.buf) {
		if f.n >= f.limit {
			return fmt.Errorf("ovsdb: message: longer than %d bytes", f.limit)
		}
		size := min(2*len(f.buf), f.limit)
		if add := size - max(len(f.buf), keptBuffer); add > 0 {
			if err := f.grow(add); err != nil {
				return err
			}
		}
		f.buf = append(make([]byte, 0, size), f.buf...)[:size]
	}
	for range 100 {
		k, err := f.r.Read(f.buf[f.n:])
		f.n += k
		if k > 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// close gives the buffer back.
func (f *framer) close() {
	if extra := len(f.buf) - keptBuffer; extra > 0 {
		_ = f.grow(-extra) // giving back never fails
	}
	f.buf, f.n, f.used = nil, 0, 0
}
