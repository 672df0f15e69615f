package northbound

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"

	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/store"
)

// Limits of an import.
const (
	maxImportBody  = 128 << 20
	maxImportLines = 1_000_000
	maxImportLine  = 4 << 10
)

// csvLines reads mac,external_id[,name]; a first line of these words is a
// header.
func csvLines(body io.Reader) iter.Seq2[store.MACImportLine, error] {
	return eachLine(body, func(text string) (fields [3]string, skip bool, err error) {
		var found []string
		if strings.Contains(text, `"`) {
			found, err = csv.NewReader(strings.NewReader(text)).Read()
		} else { // a reader for each of a million lines is dear
			found = strings.Split(text, ",")
		}
		if err != nil || len(found) < 2 || len(found) > 3 {
			return fields, false, fmt.Errorf("want mac,external_id or mac,external_id,name")
		}
		copy(fields[:], found)
		return fields, fields[0] == "mac" && fields[1] == "external_id", nil
	})
}

// jsonLines reads {"mac", "external_id", "name"} line by line.
func jsonLines(body io.Reader) iter.Seq2[store.MACImportLine, error] {
	return eachLine(body, func(text string) (fields [3]string, _ bool, err error) {
		var line struct {
			MAC        string `json:"mac"`
			ExternalID string `json:"external_id"`
			Name       string `json:"name"`
		}
		dec := json.NewDecoder(strings.NewReader(text))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&line); err != nil || dec.More() {
			return fields, false, fmt.Errorf(`want {"mac": "…", "external_id": "…", "name": "…"}`)
		}
		return [3]string{line.MAC, line.ExternalID, line.Name}, false, nil
	})
}

// eachLine reads lines of bounded length. A line that cannot be read ends the
// import; an address or id that is not right is the store's to report.
func eachLine(body io.Reader, split func(string) (fields [3]string, skip bool, err error)) iter.Seq2[store.MACImportLine, error] {
	return func(yield func(store.MACImportLine, error) bool) {
		in := bufio.NewScanner(body)
		in.Buffer(make([]byte, 0, maxImportLine), maxImportLine)
		var n, taken int64
		for in.Scan() && in.Err() == nil { // what comes with an error is a part of a line
			n++
			text := strings.TrimSpace(in.Text())
			if text == "" {
				continue
			}
			fields, skip, err := split(text)
			if err == nil && !(storable(text) && storable(fields[1]) && storable(fields[2])) {
				err = errors.New("it is not UTF-8 or has a NUL")
			}
			if err != nil {
				yield(store.MACImportLine{}, badRequest("Line %d cannot be read: %v", n, err))
				return
			}
			if skip && n == 1 {
				continue
			}
			line := store.MACImportLine{Line: n, ExternalID: fields[1], Description: fields[2]}
			if a, err := mac.Parse(strings.TrimSpace(fields[0])); err == nil {
				line.Addr = a // 0 otherwise, which is reported as invalid
			}
			if taken++; taken > maxImportLines {
				yield(store.MACImportLine{}, &apiError{http.StatusRequestEntityTooLarge, errTooLarge.kind, fmt.Sprintf("There are more than %d lines.", maxImportLines)})
				return
			}
			if !yield(line, nil) {
				return
			}
		}
		large := (*http.MaxBytesError)(nil)
		switch err := in.Err(); {
		case errors.As(err, &large):
			yield(store.MACImportLine{}, errTooLarge)
		case errors.Is(err, bufio.ErrTooLong):
			yield(store.MACImportLine{}, badRequest("Line %d is longer than %d bytes", n+1, maxImportLine))
		case err != nil:
			yield(store.MACImportLine{}, badRequest("The body could not be read after line %d: it ended early or came too slowly", n))
		}
	}
}
