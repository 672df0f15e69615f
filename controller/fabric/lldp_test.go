package fabric

import (
	"bytes"
	"errors"
	"os/exec"
	"testing"
	"time"
)

var (
	testKey = Key("a key of 32 bytes, which it must ")
	noon    = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
)

func TestAFrameSaysWhichPortItLeft(t *testing.T) {
	t.Parallel()
	for _, want := range []End{{1, 1}, {0xffffffffffffffff, 0xfffffeff}, {0x0102030405060708, 48}} {
		for passed, frame := range map[bool][]byte{false: testKey.Frame(noon, want), true: testKey.Passed(noon, want)} {
			got, is, err := testKey.Read(noon, frame)
			if err != nil || got != want || is != passed {
				t.Errorf("%v, %v, %v; want %v, %v", got, is, err, want, passed)
			}
		}
	}
}

func TestAFrameIsBelievedOnlyForAFewSecondsAndWithTheRightSignature(t *testing.T) {
	t.Parallel()
	end := End{7, 3}
	frame := testKey.Frame(noon, end)
	alter := func(at int) []byte {
		b := bytes.Clone(frame)
		b[at] ^= 1
		return b
	}
	for name, test := range map[string]struct {
		now   time.Time
		key   Key
		frame []byte
		want  error
	}{
		"now":                 {noon, testKey, frame, nil},
		"4 s later":           {noon.Add(4 * time.Second), testKey, frame, nil},
		"6 s later":           {noon.Add(6 * time.Second), testKey, frame, ErrStale},
		"a day later":         {noon.Add(24 * time.Hour), testKey, frame, ErrStale},
		"ahead of its time":   {noon.Add(-4 * time.Second), testKey, frame, ErrStale},
		"another key":         {noon, Key("another"), frame, ErrForged},
		"another switch":      {noon, testKey, alter(14 + 3 + 15), ErrForged},
		"another port":        {noon, testKey, alter(14 + 19 + 3), ErrForged},
		"another signature":   {noon, testKey, alter(len(frame) - 3), ErrForged},
		"another time":        {noon, testKey, alter(len(frame) - 20), ErrForged},
		"another destination": {noon, testKey, alter(5), ErrForeign},
		"another purpose":     {noon, testKey, append(bytes.Clone(testKey.Passed(noon, end)[:6]), frame[6:]...), ErrForged},
		"cut off":             {noon, testKey, frame[:len(frame)-6], ErrForeign},
		"nothing":             {noon, testKey, nil, ErrForeign},
	} {
		if _, _, err := test.key.Read(test.now, test.frame); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
}

// tcpdump knows LLDP without us.
func TestOthersReadTheFrame(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("tcpdump"); err != nil {
		t.Fatal("tcpdump is not installed: it is in the Debian package tcpdump (apt-get install tcpdump)")
	}
	frame := testKey.Frame(noon, End{0xab, 17})
	pcap := []byte{0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0}
	n := byte(len(frame))
	pcap = append(append(pcap, 0, 0, 0, 0, 0, 0, 0, 0, n, 0, 0, 0, n, 0, 0, 0), frame...)
	cmd := exec.Command("tcpdump", "-nvr", "-")
	cmd.Stdin = bytes.NewReader(pcap)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Local (7): 00000000000000ab", "Local (7): 17", "TTL 30s", "End TLV"} {
		if !bytes.Contains(out, []byte(want)) {
			t.Errorf("tcpdump does not say %q:\n%s", want, out)
		}
	}
}

func FuzzRead(f *testing.F) {
	frame := testKey.Frame(noon, End{7, 3})
	f.Add(frame)
	f.Add(testKey.Passed(noon, End{7, 3}))
	f.Add(frame[:20])
	f.Add(append(bytes.Clone(frame[:14]), 0xff, 0xff))
	f.Fuzz(func(t *testing.T, b []byte) {
		end, _, err := testKey.Read(noon, b)
		if err == nil && end != (End{7, 3}) {
			t.Errorf("a frame of %v that nobody signed: %x", end, b)
		}
		if err != nil && end != (End{}) {
			t.Errorf("an end besides an error: %v", end)
		}
	})
}
