package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
	"golang.org/x/sys/unix"
)

// The server in these tests is a stand-in that answers in the shapes of the
// API; ../mac_live_test.go asks the real one.

const (
	blueID  = "11111111-2222-4333-8444-555555555555"
	blue    = `{"id": "11111111-2222-4333-8444-555555555555", "name": "blue", "base_address": "02:00:05:00:00:00", "prefix_length": 24, "tenant_id": "demo", "utilisation": {"size": 16777216, "active": 2, "reserved": 1, "quarantined": 0, "free": 16777213, "largest_free_block": 8388608}, "collision_probability": 1.8e-7}`
	address = `{"mac_address": {"address": "02:00:05:00:00:01", "segment_id": "11111111-2222-4333-8444-555555555555", "state": "active", "tenant_id": "demo", "device_id": "web-1", "port_id": null, "expires_at": null}}`
)

func TestSegmentsAreListedMadeChangedAndSplit(t *testing.T) {
	t.Parallel()
	s := newStandIn(t, map[string]string{
		"GET /mac-segments":                        `{"mac_segments": [` + blue + `]}`,
		"GET /mac-segments?shared=true&tenant_id=": `{"mac_segments": []}`,
		"GET /mac-segments?fields=id&name=blue":    `{"mac_segments": [{"id": "` + blueID + `"}]}`,
		"GET /mac-segments?base_address=02%3A00%3A05%3A00%3A00%3A00&fields=id&prefix_length=24": `{"mac_segments": [{"id": "` + blueID + `"}]}`,
		"GET /networks?fields=id&name=net":       `{"networks": [{"id": "n1"}]}`,
		"GET /mac-segments?network_id=n1":        `{"mac_segments": []}`,
		"POST /mac-segments":                     `{"mac_segment": ` + blue + `}`,
		"GET /mac-segments/" + blueID:            `{"mac_segment": ` + blue + `}`,
		"PUT /mac-segments/" + blueID:            `{"mac_segment": ` + blue + `}`,
		"PUT /mac-segments/" + blueID + "/split": `{"mac_segments": [` + blue + `,` + blue + `]}`,
		"DELETE /mac-segments/" + blueID:         "",
	})
	want(t, `
ID                                    NAME  BLOCK                 TENANT_ID  NETWORK_ID  HOST  ACTIVE  RESERVED  QUARANTINED  FREE
11111111-2222-4333-8444-555555555555  blue  02:00:05:00:00:00/24  demo                         2       1         0            16777213
`, s.run("segment", "list"))
	want(t, "\nblock,utilisation.largest_free_block\n02:00:05:00:00:00/24,8388608\n", s.run("segment", "list", "-o", "csv", "--columns", "block,utilisation.largest_free_block"))
	s.requests()
	s.run("segment", "list", "--tenant", "", "--shared")
	s.run("segment", "list", "--network", "net")
	s.wantRequests("GET /mac-segments?shared=true&tenant_id=", "GET /networks?fields=id&name=net", "GET /mac-segments?network_id=n1")

	s.run("segment", "create", "0200.0500.0000/24", "--name", "blue", "--quarantine", "1h30m", "--shared=false", "--conflict-policy", "refuse")
	s.run("segment", "create", "--size", "1000", "--tenant", "demo", "--network", "net", "--parent", "blue", "--strategy", "instance-hash", "--host", "00000000000000b0")
	s.wantRequests(
		`POST /mac-segments {"mac_segment":{"base_address":"02:00:05:00:00:00","conflict_policy":"refuse","name":"blue","prefix_length":24,"quarantine_seconds":5400,"shared":false}}`,
		"GET /networks?fields=id&name=net", "GET /mac-segments?fields=id&name=blue",
		`POST /mac-segments {"mac_segment":{"host":"00000000000000b0","network_id":"n1","parent_id":"`+blueID+`","size":1000,"strategy":"instance-hash","tenant_id":"demo"}}`)

	want(t, "\nFIELD        VALUE\nblock        02:00:05:00:00:00/24\nutilisation  size=16777216 active=2 reserved=1 quarantined=0 free=16777213 largest_free_block=8388608\n",
		s.run("segment", "show", "02-00-05-00-00-00/24", "--columns", "block,utilisation"))
	want(t, "\ncollision_probability: 1.8e-7\n", s.run("segment", "show", blueID, "--columns", "collision_probability", "-o", "yaml"))
	s.requests()
	s.run("segment", "set", "blue", "--name", "", "--quarantine", "600", "--prefix-length", "/23", "--qos-policy", "none")
	s.run("segment", "set", blueID, "--qos-policy", blueID)
	want(t, "\n02:00:05:00:00:00/24\n02:00:05:00:00:00/24\n", s.run("segment", "split", blueID, "25", "--columns", "block", "--no-headers"))
	want(t, "", s.run("segment", "delete", blueID))
	s.wantRequests("GET /mac-segments?fields=id&name=blue", `PUT /mac-segments/`+blueID+` {"mac_segment":{"name":"","prefix_length":23,"qos_policy_id":null,"quarantine_seconds":600}}`,
		`PUT /mac-segments/`+blueID+` {"mac_segment":{"qos_policy_id":"`+blueID+`"}}`,
		`PUT /mac-segments/`+blueID+`/split {"prefix_length":25}`, "DELETE /mac-segments/"+blueID)
}

func TestAddressesAreAllocatedHeldShownAndReleased(t *testing.T) {
	t.Parallel()
	s := newStandIn(t, map[string]string{
		"GET /mac-addresses?device_id=a&device_id=b&state=active": `{"mac_addresses": [{"address": "02:00:05:00:00:01", "state": "active"}]}`,
		"POST /mac-addresses":                     address,
		"GET /mac-addresses/02:00:05:00:00:01":    address,
		"PUT /mac-addresses/02:00:05:00:00:01":    address,
		"DELETE /mac-addresses/02:00:05:00:00:01": "",
		"DELETE /mac-addresses/02:00:05:00:00:0a": "",
		"GET /mac-segments?fields=id&name=blue":   `{"mac_segments": [{"id": "` + blueID + `"}]}`,
		"GET /mac-addresses?segment_id=" + blueID: `{"mac_addresses": []}`,
	})
	want(t, `
ADDRESS            STATE   SEGMENT_ID  TENANT_ID  DEVICE_ID  PORT_ID  EXPIRES_AT
02:00:05:00:00:01  active
`, s.run("mac", "list", "--device", "a,b", "--state", "active"))
	s.run("mac", "list", "--segment", "blue")
	s.requests()
	s.run("mac", "create")
	s.run("mac", "create", "020005000001", "--tenant", "demo")
	s.run("mac", "reserve", "--segment", "blue", "--device", "web-1", "--expires", "7d")
	s.run("mac", "reserve", "--expires", "2026-05-05 10:00")
	s.wantRequests(`POST /mac-addresses {"mac_address":{"state":"active"}}`,
		`POST /mac-addresses {"mac_address":{"address":"02:00:05:00:00:01","state":"active","tenant_id":"demo"}}`,
		"GET /mac-segments?fields=id&name=blue",
		`POST /mac-addresses {"mac_address":{"device_id":"web-1","expires_at":"2026-05-11T12:00:00Z","segment_id":"`+blueID+`","state":"reserved"}}`,
		`POST /mac-addresses {"mac_address":{"expires_at":"2026-05-05T10:00:00Z","state":"reserved"}}`)
	for _, notation := range []string{"02:00:05:00:00:01", "02-00-05-00-00-01", "0200.0500.0001", "020005000001"} {
		want(t, "\nweb-1\n", strings.TrimPrefix(s.run("mac", "show", notation, "--columns", "device_id", "--no-headers"), "device_id  "))
		s.wantRequests("GET /mac-addresses/02:00:05:00:00:01")
	}
	s.run("mac", "set", "0200.0500.0001", "--activate", "--expires", "never", "--device", "")
	s.wantRequests(`PUT /mac-addresses/02:00:05:00:00:01 {"mac_address":{"device_id":"","expires_at":null,"state":"active"}}`)
	want(t, "", s.run("mac", "release", "0200.0500.0001", "02-00-05-00-00-0A"))
	s.wantRequests("DELETE /mac-addresses/02:00:05:00:00:01", "DELETE /mac-addresses/02:00:05:00:00:0a")
	sh := s.shell()
	sh.stdin = "020005000001\n\n 02:00:05:00:00:0a\n"
	if _, err := sh.run(t, "mac", "release", "-"); err != nil {
		t.Error(err)
	}
	s.wantRequests("DELETE /mac-addresses/02:00:05:00:00:01", "DELETE /mac-addresses/02:00:05:00:00:0a")
	sh.stdin = "020005000001\n02:00:05\n"
	_, err := sh.run(t, "mac", "release", "-")
	wantError(t, err, `"02:00:05" is no MAC address`)
	s.wantRequests()
}

func TestMistakesAreFoundBeforeAnythingIsAsked(t *testing.T) {
	t.Parallel()
	s := newStandIn(t, nil)
	for words, part := range map[string]string{
		"segment create": "give a block",
		"segment create 02:00:00:00:00:00/8 --size 3": "not both",
		"segment create 02:00:00:00:00:01/8":          "the aligned base is",
		"segment create 03:00:00:00:00:00/8":          "group bit",
		"segment create 02:00:00:00:00:00":            "is not a segment such as",
		"segment create --size 3 --quarantine soon":   "--quarantine",
		"segment set blue":                            "say what to change",
		"segment split blue 49":                       "from 8 to 48",
		"mac show 02:00":                              "is no MAC address",
		"mac create 020005000001 --count 3":           "not both",
		"mac create --format ranges":                  "goes with --count",
		"mac create --format boxes":                   "neither addresses nor ranges",
		"mac create --expires 7d":                     "unknown flag",
		"mac reserve --expires later":                 "--expires",
		"mac set 020005000001":                        "say what to change",
		"mac lineage":                                 "give a MAC address or one of",
		"mac lineage 020005000001 --at then":          "--at",
		"mac lineage 020005000001 --limit -1":         "--limit",
		"mac import x.csv":                            `required flag(s) "source"`,
		"mac import x.bin --source v":                 "--format csv or ndjson",
		"mac import - --source v":                     "--format csv or ndjson",
		"mac import /nowhere/x.csv --source v":        "no such file",
		"mac export --format xml":                     "neither csv nor ndjson",
		"mac export --source=":                        "empty word names no --source",
		"mac conflicts sho":                           "unknown command",
	} {
		_, err := s.try(strings.Fields(words)...)
		wantError(t, err, part)
	}
	s.wantRequests()
}

// Of many addresses the first are written while the server still makes the
// last, so nobody holds them all.
func TestManyAddressesAreWrittenAsTheyCome(t *testing.T) {
	t.Parallel()
	const total, head = 20_000, 2_000
	for _, format := range formats {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			written := make(chan bool)
			s := newStandIn(t, nil)
			s.handle = func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				if got, want := string(body), `{"mac_address":{"count":20000,"state":"active"}}`; got != want {
					t.Errorf("body %s, want %s", got, want)
				}
				w.WriteHeader(http.StatusCreated)
				io.WriteString(w, `{"mac_addresses": [`)
				for i := range total {
					if i > 0 {
						io.WriteString(w, ",")
					}
					fmt.Fprintf(w, `{"address": "02:00:05:%02x:%02x:%02x", "segment_id": %q, "state": "active"}`, i>>16, i>>8&0xff, i&0xff, blueID)
					if i == head {
						http.NewResponseController(w).Flush()
						<-written
					}
				}
				io.WriteString(w, "]}")
			}
			from, to := io.Pipe()
			sh := s.shell()
			sh.stdout = to
			ended := make(chan error, 1)
			go func() {
				_, err := sh.run(t, "mac", "create", "--count", fmt.Sprint(total), "-o", format)
				to.CloseWithError(err)
				ended <- err
			}()
			if _, err := from.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			close(written)
			rest, err := io.ReadAll(from)
			if err != nil {
				t.Fatal(err)
			}
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
			if got := bytes.Count(rest, []byte("02:00:05:")); got != total {
				t.Errorf("%d addresses, want %d", got, total)
			}
			if !bytes.Contains(rest, []byte("02:00:05:00:4e:1f")) {
				t.Error("the last is missing")
			}
		})
	}
}

func TestRangesOfAddresses(t *testing.T) {
	t.Parallel()
	s := newStandIn(t, map[string]string{"POST /mac-addresses": `{"mac_ranges": [{"first": "02:00:05:00:00:00", "last": "02:00:05:00:00:ff", "count": 256, "segment_id": "s"}]}`})
	want(t, "\nFIRST              LAST               COUNT  SEGMENT_ID\n02:00:05:00:00:00  02:00:05:00:00:ff  256    s\n", s.run("mac", "create", "--count", "256", "--format", "ranges"))
	s.wantRequests(`POST /mac-addresses {"mac_address":{"count":256,"format":"ranges","state":"active"}}`)
}

func TestALineageIsReadPageByPage(t *testing.T) {
	t.Parallel()
	events := func(first, n int) string {
		var b strings.Builder
		for id := first; id > first-n; id-- {
			fmt.Fprintf(&b, `,{"id": %d, "at": "2026-05-04T10:00:00.000000Z", "event": "bind", "mac": "02:00:05:00:00:01", "ips": ["10.0.0.1", "fd00::1"], "switch": null}`, id)
		}
		return `{"mac_lineage": [` + strings.TrimPrefix(b.String(), ",") + `]}`
	}
	s := newStandIn(t, map[string]string{
		"GET /mac-lineage?limit=1000&mac=02%3A00%3A05%3A00%3A00%3A01":                                        events(3000, 1000),
		"GET /mac-lineage?limit=1000&mac=02%3A00%3A05%3A00%3A00%3A01&marker=2001":                            events(2000, 1000),
		"GET /mac-lineage?limit=1000&mac=02%3A00%3A05%3A00%3A00%3A01&marker=1001":                            events(1000, 2),
		"GET /mac-lineage?limit=1&mac=02%3A00%3A05%3A00%3A00%3A01&marker=2001":                               events(2000, 1),
		"GET /mac-lineage?at=2026-05-04T10%3A00%3A00Z&instance=web-1&limit=2&since=2026-05-03T12%3A00%3A00Z": events(3, 2),
		"GET /mac-lineage?limit=1000&user=stuck":                                                             events(3000, 1000),
		"GET /mac-lineage?limit=1000&marker=2001&user=stuck":                                                 events(3000, 1000),
	})
	var whole strings.Builder
	for id := 3000; id > 2000; id-- {
		fmt.Fprintf(&whole, "%d\n", id)
	}
	want(t, "\n"+whole.String()+"2000\n", s.run("mac", "lineage", "0200.0500.0001", "--columns", "id", "--no-headers", "--limit", "1001"))
	s.requests()
	if got := strings.Count(s.run("mac", "lineage", "0200.0500.0001", "-o", "csv"), "2026-05-04"); got != 2002 || len(s.requests()) != 3 {
		t.Errorf("%d events, want 2002 of three pages", got)
	}
	want(t, `
AT                           EVENT  MAC                IPS
2026-05-04T10:00:00.000000Z  bind   02:00:05:00:00:01  10.0.0.1,fd00::1
2026-05-04T10:00:00.000000Z  bind   02:00:05:00:00:01  10.0.0.1,fd00::1
`, s.run("mac", "lineage", "--instance", "web-1", "--at", "2h", "--since", "1d", "--limit", "2", "--columns", "at,event,mac,ips"))
	if got := s.requests(); len(got) != 1 {
		t.Errorf("asked %q, want one page", got)
	}
	s.run("mac", "lineage", "--user", "stuck")
	if got := s.requests(); len(got) != 2 {
		t.Errorf("asked %d times a server that gives the same page again, want 2", len(got))
	}
}

// importServer answers an import as the API does: a line of progress every two
// lines, a conflict for every address that begins with 02, and a result.
func importServer(t *testing.T) *standIn {
	s := newStandIn(t, nil)
	s.handle = func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Accept"); got != "application/x-ndjson" {
			t.Errorf("Accept: %q", got)
		}
		if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/x-ndjson")
		text, _ := io.ReadAll(r.Body)
		conflicts := 0
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		for i, line := range lines {
			if i%2 == 1 {
				fmt.Fprintf(w, `{"progress": {"lines": %d}}`+"\n", i+1)
			}
			if address, _, _ := strings.Cut(line, ","); strings.HasPrefix(address, "02") {
				conflicts++
				fmt.Fprintf(w, `{"conflict": {"line": %d, "mac": %q, "kind": "managed", "with": {"tenant_id": "demo", "port_id": "p1"}}}`+"\n", i+1, address)
			}
		}
		fmt.Fprintf(w, `{"result": {"import_id": "i1", "lines": %d, "imported": %d, "conflicts": %d, "invalid": 0, "type": %q}}`+"\n",
			len(lines), len(lines)-conflicts, conflicts, r.Header.Get("Content-Type"))
	}
	return s
}

func TestAnImportListsConflictsAndTheResult(t *testing.T) {
	t.Parallel()
	s := importServer(t)
	dir := t.TempDir()
	file := write(t, filepath.Join(dir, "vm.csv"), "00:50:56:00:00:01,vm-1\n02:00:05:00:00:01,vm-2\n00:50:56:00:00:03,vm-3\n")
	clean := write(t, filepath.Join(dir, "clean.csv"), "00:50:56:00:00:01,vm-1\n")
	run := func(file, format string) string {
		return s.run("mac", "import", file, "--source", "vcenter 1", "--dry-run", "-o", format)
	}
	want(t, `
LINE  MAC                KIND     WITH
2     02:00:05:00:00:01  managed  tenant_id=demo port_id=p1

FIELD      VALUE
import_id  i1
lines      3
imported   2
conflicts  1
invalid    0
type       text/csv
`, run(file, "table"))
	s.wantRequests("POST /mac-imports?dry_run=true&source=vcenter+1")
	want(t, "\nline,mac,kind,with\n2,02:00:05:00:00:01,managed,tenant_id=demo port_id=p1\n", run(file, "csv"))
	for name, conflicts := range map[string]int{file: 1, clean: 0} {
		for format, read := range map[string]func([]byte, any) error{"json": json.Unmarshal, "yaml": yaml.Unmarshal} {
			var got map[string]any
			text := run(name, format)
			if err := read([]byte(text), &got); err != nil {
				t.Fatalf("%v in %q", err, text)
			}
			list, ok := got["conflicts"].([]any)
			if !ok || len(list) != conflicts || got["mac_import"].(map[string]any)["import_id"] != "i1" {
				t.Errorf("%s: %q", format, text)
			}
		}
	}
	sh := s.shell()
	sh.stdin = `{"mac": "00:50:56:00:00:01", "external_id": "vm-1"}`
	out, err := sh.run(t, "mac", "import", "-", "--source", "v", "--format", "ndjson", "-o", "json")
	if err != nil || !strings.Contains(out, `"application/x-ndjson"`) {
		t.Errorf("from standard input: %q, %v", out, err)
	}
}

func TestAnImportThatFailsInItsMidstSaysSo(t *testing.T) {
	t.Parallel()
	for answer, part := range map[string]string{
		`{"progress": {"lines": 9}}`: "without a result",
		`{"NeutronError": {"type": "ServiceUnavailable", "message": "The database is away."}}`: "ServiceUnavailable: The database is away.",
		`{"conflict": {"line": 1}} {"re`: "broke off",
	} {
		s := newStandIn(t, map[string]string{"POST /mac-imports?source=v": answer})
		sh := s.shell()
		sh.stdin = "x"
		_, err := sh.run(t, "mac", "import", "-", "--source", "v", "--format", "csv")
		wantError(t, err, part)
	}
}

func TestAnExportIsWrittenWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	const text = "02:00:05:00:00:01,web-1\n"
	s := newStandIn(t, map[string]string{
		"GET /mac-imports/vcenter%201/export?format=ndjson": "{}\n",
		"GET /mac-addresses/export?format=csv":              text,
	})
	want(t, text, s.run("mac", "export"))
	want(t, "{}\n", s.run("mac", "export", "--source", "vcenter 1", "--format", "ndjson"))
	file := write(t, filepath.Join(t.TempDir(), "out.csv"), "before")
	s.run("mac", "export", "--file", file)
	got, err := os.ReadFile(file)
	if err != nil || string(got) != text {
		t.Errorf("file %q, %v", got, err)
	}
	s.answers = nil
	s.handle = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "half")
	}
	_, err = s.try("mac", "export", "--file", file)
	wantError(t, err, "broke off")
	got, err = os.ReadFile(file)
	if entries, _ := os.ReadDir(filepath.Dir(file)); err != nil || string(got) != text || len(entries) != 1 {
		t.Errorf("after half an export: %q, %v, %d files", got, err, len(entries))
	}
	s.run("switch") // the help needs no server
}

func TestConflictsAndImportsAreListedAndResolved(t *testing.T) {
	t.Parallel()
	const conflict = `{"id": "` + blueID + `", "address": "02:00:05:00:00:01", "kind": "seen", "status": "open", "datapath": "00000000000000b0", "switch_port": 7}`
	s := newStandIn(t, map[string]string{
		"GET /mac-conflicts?status=open":  `{"mac_conflicts": [` + conflict + `]}`,
		"GET /mac-conflicts/" + blueID:    `{"mac_conflict": ` + conflict + `}`,
		"DELETE /mac-conflicts/" + blueID: "",
		"GET /mac-imports":                `{"mac_imports": [{"id": "i1", "source": "vcenter"}]}`,
		"GET /mac-imports/" + blueID:      `{"mac_import": {"id": "i1"}}`,
	})
	want(t, "\nid,address,kind,status,policy,tenant_id,device_id,port_id,source,external_id,datapath,switch_port,times,seen_at\n"+
		blueID+",02:00:05:00:00:01,seen,open,,,,,,,00000000000000b0,7,,\n", s.run("mac", "conflicts", "--status", "open", "-o", "csv"))
	want(t, "\ndatapath  00000000000000b0\n", s.run("mac", "conflicts", "show", blueID, "--columns", "datapath", "--no-headers"))
	want(t, "", s.run("mac", "conflicts", "resolve", blueID))
	want(t, "\nid,source\ni1,vcenter\n", s.run("mac", "imports", "-o", "csv"))
	want(t, "\nFIELD  VALUE\nid     i1\n", s.run("mac", "imports", "show", blueID))
}

// terminal returns both ends of a pseudo terminal.
func terminal(t *testing.T) (screen, tty *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { screen.Close() })
	if err := unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tty.Close() })
	return screen, tty
}

func TestABarIsDrawnOnATerminalAndTakenAwayAtTheEnd(t *testing.T) {
	t.Parallel()
	s := importServer(t)
	file := write(t, filepath.Join(t.TempDir(), "vm.csv"), "00:50:56:00:00:01,vm-1\n00:50:56:00:00:02,vm-2\n")
	screen, tty := terminal(t)
	sh := s.shell()
	sh.stderr = tty
	out, err := sh.run(t, "mac", "import", file, "--source", "v", "-o", "csv")
	if err != nil || out != "" {
		t.Errorf("output %q, %v", out, err)
	}
	fmt.Fprint(tty, "end")
	var seen []byte
	for buf := make([]byte, 4096); !bytes.HasSuffix(seen, []byte("end")); {
		n, err := screen.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, buf[:n]...)
	}
	wantBar := "\r\x1b[Kimporting [" + strings.Repeat("#", 24) + "] 100 % 2 lines\r\x1b[K"
	if !strings.HasPrefix(string(seen), wantBar) || !strings.Contains(string(seen), "import_id") {
		t.Errorf("on the terminal: %q, want first %q and then the result", seen, wantBar)
	}
}

func TestABarMovesAtMostTenTimesASecond(t *testing.T) {
	t.Parallel()
	now := noon
	var b bytes.Buffer
	p := &progress{w: &b, now: func() time.Time { return now }, label: "x", total: 1000}
	for i := range int64(1000) {
		now = now.Add(time.Millisecond)
		p.set(i, thousands(i))
	}
	if got := strings.Count(b.String(), "\r"); got != 10 {
		t.Errorf("drawn %d times in a second, want 10", got)
	}
	want(t, "\nx [#######################.]  99 % 999\n", p.line()+"\n")
	want(t, "\n1 12 123 1,234 1,234,567\n", fmt.Sprintln(thousands(1), thousands(12), thousands(123), thousands(1234), thousands(1234567)))
}

func TestTimesAsPeopleWriteThem(t *testing.T) {
	t.Parallel()
	now := noon.In(time.FixedZone("", 2*3600))
	for text, want := range map[string]string{
		"2026-05-04T12:00:00+02:00": "2026-05-04T10:00:00Z", "2026-05-04 14:00": "2026-05-04T12:00:00Z", "2026-05-04": "2026-05-03T22:00:00Z",
		"2h": "2026-05-04T10:00:00Z", "90": "2026-05-04T11:58:30Z", "1d": "2026-05-03T12:00:00Z",
	} {
		got, err := parseTime(text, now, -1)
		if diff := gocmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", text, err, diff)
		}
	}
	for _, text := range []string{"", "now", "-2h", "-5", "99999999999999999999", "9999999d", "2026-13-01"} {
		if got, err := parseTime(text, now, -1); err == nil {
			t.Errorf("%q is %s", text, got)
		}
	}
}
