package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestThePictureShowsWhatWasMeasured(t *testing.T) {
	t.Parallel()
	s, err := read(strings.NewReader("# Linux <6.1>\nvoice,without,2000\nvoice,without,1000.5\nvoice,without,lost\nvoice,with,5.4\nweb,without,700\nweb,with,40\n"))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := s.draw(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"without priority: p50 1 s, p99 1 s, 1 of 3 lost", "with priority: p50 5.4 ms", "Linux &lt;6.1&gt;",
		"M0 210H256.0V140.0H275.3V70.0H320", // a third has come after a second, another third after two, and one never
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	d := xml.NewDecoder(&out)
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func TestWhatIsNoSampleIsRefused(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"voice", "voice,with,", "voice,with,-1", "voice,with,NaN", "voice,with,Inf", "voice,with,0"} {
		if _, err := read(strings.NewReader("web,with,1\n" + line + "\n")); err == nil || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%q: %v", line, err)
		}
	}
}
