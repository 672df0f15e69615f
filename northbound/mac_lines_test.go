package northbound

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/store"
)

func TestImportHasABoundOnItsLines(t *testing.T) {
	t.Parallel()
	in, out := io.Pipe()
	go func() {
		w := bufio.NewWriterSize(out, 1<<20)
		fmt.Fprint(w, "mac,external_id\n\n") // neither is a machine
		for i := range maxImportLines + 1 {
			fmt.Fprintf(w, "0a:00:00:00:00:00,%d\n", i)
		}
		w.Flush()
		out.Close()
	}()
	taken, last := 0, error(nil)
	for _, err := range csvLines(in) {
		if last = err; err == nil {
			taken++
		}
	}
	var refused *apiError
	if !errors.As(last, &refused) || refused.code != http.StatusRequestEntityTooLarge || taken != maxImportLines {
		t.Errorf("%d lines taken and then %v, want %d and 413", taken, last, maxImportLines)
	}
}

func TestBodyOfAnImportThatBreaksOffIsTheClientsFault(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		body io.Reader
		code int
	}{
		{io.MultiReader(strings.NewReader("0a:00:00:00:00:01,a\n"), broken{io.ErrUnexpectedEOF}), http.StatusBadRequest},
		{http.MaxBytesReader(nil, io.NopCloser(strings.NewReader("0a:00:00:00:00:01,a\n0a:00:00:00:00:02,b\n")), 22), http.StatusRequestEntityTooLarge},
	} {
		var last error
		for _, err := range csvLines(c.body) {
			last = err
		}
		var refused *apiError
		if !errors.As(last, &refused) || refused.code != c.code {
			t.Errorf("got %v, want code %d", last, c.code)
		}
	}
}

type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }

// readsLines checks what holds whatever is read: lines are in order and can be
// stored, an error is the client's and the last thing said.
func readsLines(t *testing.T, text []byte, lines func(io.Reader) iter.Seq2[store.MACImportLine, error]) {
	var n int64
	ended := false
	for line, err := range lines(bytes.NewReader(text)) {
		if ended {
			t.Fatal("something follows an error")
		}
		if err != nil {
			var refused *apiError
			if !errors.As(err, &refused) || refused.code/100 != 4 {
				t.Fatalf("error %v is not the client's", err)
			}
			ended = true
			continue
		}
		if line.Line <= n || line.Line > int64(bytes.Count(text, []byte{'\n'})+1) {
			t.Fatalf("line %d after %d", line.Line, n)
		}
		n = line.Line
		if whole := line.ExternalID + line.Description; !utf8.ValidString(whole) || strings.ContainsRune(whole, 0) || len(whole) > 3*maxImportLine || line.Addr > mac.Max {
			t.Fatalf("line %+v cannot be stored", line)
		}
	}
	next, stop := iter.Pull2(lines(bytes.NewReader(text))) // and one can stop at any time
	next()
	stop()
}

func FuzzCSVLines(f *testing.F) {
	for _, seed := range []string{
		"mac,external_id,name\n0a:00:00:00:00:01,x1,\"a, \"\"b\"\"\"\n", "0a00.0000.0001,x\r\n\r\n,\n", "\"a\nb\",c", "a,b,c,d", "\xff,\x00\n", strings.Repeat("x", maxImportLine+1),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) { readsLines(t, text, csvLines) })
}

func FuzzJSONLines(f *testing.F) {
	for _, seed := range []string{
		`{"mac": "0a:00:00:00:00:01", "external_id": "x", "name": "n"}` + "\n", `{"mac": 1}`, `{"mac": "\u0000", "external_id": "\ud800"}`, "null\n[]\n{}{}", "{", "\xff",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) { readsLines(t, text, jsonLines) })
}
