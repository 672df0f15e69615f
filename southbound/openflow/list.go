package openflow

import "fmt"

// countEntries walks a list of entries with a 16-bit length at offset lenAt and
// returns how many there are, so that memory for them is taken once. An entry
// that is shorter than least or ends past the list is a failure.
func countEntries(b []byte, lenAt, least int, what string) (n int, err error) {
	for ; len(b) > 0; n++ {
		if len(b) < lenAt+2 {
			return 0, fmt.Errorf("%s: %w", what, errShort)
		}
		size := int(be.Uint16(b[lenAt:]))
		if size < least || size > len(b) {
			return 0, fmt.Errorf("%s: length %d of %d bytes", what, size, len(b))
		}
		b = b[size:]
	}
	return n, nil
}

// decodeEntries decodes all that r has left as a list of entries with a 16-bit
// length at offset lenAt. The decoder of an entry is given all of it, length
// included, and has to use it up.
func decodeEntries[T any](r *reader, lenAt, least int, what string, decode func(*T, *reader)) []T {
	n, err := countEntries(r.b, lenAt, least, what)
	if err != nil {
		r.failWith(err)
	}
	if n == 0 {
		return nil
	}
	list := make([]T, n)
	var e reader // one for all entries, since it escapes
	for i := range list {
		e = reader{b: r.take(int(be.Uint16(r.b[lenAt:])))}
		decode(&list[i], &e)
		if err := e.end(); err != nil {
			r.fail("%s: %w", what, err)
			return nil
		}
	}
	return list
}

// decodeFixed decodes all that r has left as a list of entries of one size.
func decodeFixed[T any](r *reader, size int, decode func(*T, *reader)) []T {
	n := len(r.b) / size
	if n == 0 {
		return nil
	}
	list := make([]T, n)
	for i := range list {
		decode(&list[i], r)
	}
	return list
}
