package ovsdb

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

func cut(r io.Reader, limit int) (messages []string, err error) {
	f := newFramer(r, limit, func(int) error { return nil })
	defer f.close()
	for {
		m, err := f.next()
		if err != nil {
			return messages, err
		}
		messages = append(messages, string(m))
	}
}

func TestStreamIsCutIntoMessages(t *testing.T) {
	t.Parallel()
	want := []string{`{}`, `{"a":"}{\"\\"}`, `{"a":[{"b":[]}]}`, `{"long":"` + strings.Repeat("x", 200_000) + `"}`, `{"end":1}`}
	stream := " \n" + want[0] + want[1] + "\r\n" + want[2] + "\t" + want[3] + want[4] + " "
	for name, r := range map[string]io.Reader{
		"at once":    strings.NewReader(stream),
		"by bytes":   iotest.OneByteReader(strings.NewReader(stream)),
		"with error": iotest.DataErrReader(strings.NewReader(stream)),
	} {
		got, err := cut(r, 1<<20)
		if !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: want EOF at the end, got %v", name, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

func TestStreamThatIsNoJSONRPCIsRefused(t *testing.T) {
	t.Parallel()
	for stream, want := range map[string]string{
		`[]`:                                 "not a JSON object",
		"\x04\x00\x00\x08":                   "not a JSON object",
		"GET / HTTP/1.1":                     "not a JSON object",
		`{"a":`:                              "unexpected EOF",
		strings.Repeat(`{"a":[`, 100):        "nested deeper than 64",
		`{"a":"` + strings.Repeat("x", 2000): "longer than 1000 bytes",
	} {
		if _, err := cut(strings.NewReader(stream), 1000); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: want an error with %q, got %v", stream, want, err)
		}
	}
}

func TestLargeBuffersAreAccountedForAndGivenBack(t *testing.T) {
	t.Parallel()
	held, peak := 0, 0
	big := `{"a":"` + strings.Repeat("x", 500_000) + `"}`
	f := newFramer(strings.NewReader(big+`{}`+big), 1<<20, func(add int) error {
		held += add
		peak = max(peak, held)
		return nil
	})
	for i, want := range []int{len(big), 2, len(big)} {
		m, err := f.next()
		if err != nil || len(m) != want {
			t.Fatalf("message %d: want %d bytes, got %d, %v", i, want, len(m), err)
		}
		if i == 1 && held != 0 {
			t.Errorf("held after a small message: want 0, got %d", held)
		}
	}
	f.close()
	if held != 0 || peak < 500_000-keptBuffer || peak > 1<<20 {
		t.Errorf("held %d, at most %d", held, peak)
	}

	refusal := errors.New("no more")
	f = newFramer(strings.NewReader(big), 1<<20, func(int) error { return refusal })
	if _, err := f.next(); !errors.Is(err, refusal) {
		t.Errorf("without room: want %v, got %v", refusal, err)
	}
}

func FuzzFramer(f *testing.F) {
	f.Add([]byte(`{"id":"echo","method":"echo","params":[]}{"id":1,"result":["Open_vSwitch"],"error":null}`))
	f.Add([]byte(` {"a":"\\\"}{"} [`))
	f.Fuzz(func(t *testing.T, stream []byte) {
		const limit = 1 << 12
		whole, err1 := cut(bytes.NewReader(stream), limit)
		bytewise, err2 := cut(iotest.OneByteReader(bytes.NewReader(stream)), limit)
		if d := cmp.Diff(whole, bytewise); d != "" || (err1 == nil) != (err2 == nil) {
			t.Fatalf("reading in other portions gives other messages: %v %v\n%s", err1, err2, d)
		}
		// What a JSON decoder takes for objects must be cut in the same way.
		decoder := json.NewDecoder(bytes.NewReader(stream))
		for i := 0; i < len(whole); i++ {
			var object json.RawMessage
			if decoder.Decode(&object) != nil {
				break // bad JSON inside of balanced braces
			}
			if string(object) != whole[i] {
				t.Fatalf("message %d: want %q, got %q", i, object, whole[i])
			}
		}
	})
}
