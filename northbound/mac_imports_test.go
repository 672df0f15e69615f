package northbound

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/store/storetest"
)

// load posts an import.
func (a *api) load(token, query, contentType, accept, body string) answer {
	a.t.Helper()
	req, err := http.NewRequest(http.MethodPost, a.url+"/v2.0/mac-imports?"+query, strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	req.Header.Set("X-Auth-Token", token)
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Accept", accept)
	return a.send(req)
}

func TestForeignAddressesAreImportedCheckedAndExported(t *testing.T) {
	t.Parallel()
	a := setup(t)
	a.make("/v2.0/mac-addresses", "red", `{"mac_address": {"address": "0a:00:00:00:00:01", "device_id": "vm"}}`)
	const lines = "mac,external_id,name\n0a:00:00:00:00:01,x1,first\n0a00.0000.0002,x2,\"second, of two\"\n\nnone,x3\n0a-00-00-00-00-02,x4\n0a:00:00:00:00:05,x5\n"
	conflicts := []string{
		`{"line":2,"mac":"0a:00:00:00:00:01","external_id":"x1","kind":"managed","recorded":RECORDED,"with":{"tenant_id":"red","state":"active","port_id":null,"device_id":"vm","policy":"report"}}`,
		`{"line":5,"mac":null,"external_id":"x3","kind":"invalid","recorded":false,"with":null}`,
		`{"line":6,"mac":"0a:00:00:00:00:02","external_id":"x4","kind":"twice","recorded":false,"with":null}`,
	}
	dry := a.load("admin", "source=esx&dry_run=true", "text/csv", "application/json", lines)
	names := map[string]string{}
	a.wantBody(names, dry, strings.ReplaceAll(`{"mac_import":{"import_id":"ID1","lines":5,"imported":0,"mapped":0,"conflicts":2,"invalid":1,"first_conflicts":[`+strings.Join(conflicts, ",")+`]}}`, "RECORDED", "false"))
	got := a.load("admin", "source=esx&tenant_id=blue", "text/csv; charset=utf-8", "application/x-ndjson", lines)
	want := strings.ReplaceAll(`{"progress":{"lines":5}}
{"conflict":`+strings.Join(conflicts, "}\n{\"conflict\":")+`}
{"result":{"import_id":"ID","lines":5,"imported":2,"mapped":3,"conflicts":2,"invalid":1}}
`, "RECORDED", "true")
	run := uuidPattern.FindString(got.text)
	if diff := cmp.Diff(want, strings.ReplaceAll(got.text, run, "ID")); diff != "" || got.header.Get("Content-Type") != "application/x-ndjson" {
		t.Errorf("streamed answer (-want +got):\n%s", diff)
	}
	const exported = "mac,external_id,name\n0a:00:00:00:00:01,x1,first\n0a:00:00:00:00:02,x2,\"second, of two\"\n0a:00:00:00:00:05,x5,\n"
	if got := a.want(200, "GET", "/v2.0/mac-imports/esx/export", "admin", ""); got.text != exported {
		t.Errorf("export:\n%s\nwant:\n%s", got.text, exported)
	}
	if got := a.want(200, "GET", "/v2.0/mac-imports/"+run+"/export", "admin", ""); got.text != exported {
		t.Errorf("export by id:\n%s\nwant:\n%s", got.text, exported)
	}
	a.want(404, "GET", "/v2.0/mac-imports/"+run, "blue", "")
	a.wantBody(map[string]string{run: "RUN"}, a.want(200, "GET", "/v2.0/mac-imports?source=esx&dry_run=false", "admin", ""),
		`{"mac_imports":[{"id":"RUN","source":"esx","tenant_id":"blue","project_id":"blue","dry_run":false,"lines":5,"imported":2,"mapped":3,"conflicts":2,"invalid":1,
		"actor":"root","created_at":"TIME"}]}`)
	if got := a.want(200, "GET", "/v2.0/mac-imports/"+run, "admin", "").object(t); got["id"] != run || got["imported"] != 2.0 {
		t.Errorf("the import: %v", got)
	}
	if got := a.want(200, "GET", "/v2.0/mac-imports", "blue", "").list(t); len(got) != 0 {
		t.Errorf("a member sees %v", got)
	}
	if diff := cmp.Diff("{\"mac\":\"0a:00:00:00:00:01\",\"external_id\":\"vm\",\"name\":\"\"}\n", a.want(200, "GET", "/v2.0/mac-addresses/export?format=ndjson", "red", "").text); diff != "" {
		t.Errorf("export of the tenant's own (-want +got):\n%s", diff)
	}
	if got := a.want(200, "GET", "/v2.0/mac-conflicts?source=esx", "red", "").list(t); len(got) != 1 || got[0]["external_id"] != "x1" || got[0]["kind"] != "import" {
		t.Errorf("conflicts of the import: %v", got)
	}
	json := a.load("admin", "source=kvm", "application/x-ndjson", "*/*", `{"mac": "0a:00:00:00:00:07", "external_id": "k1", "name": "n"}`)
	a.wantBody(names, json, `{"mac_import":{"import_id":"ID2","lines":1,"imported":1,"mapped":1,"conflicts":0,"invalid":0,"first_conflicts":[]}}`)

	for _, c := range []struct {
		name, token, query, contentType, body string
		code                                  int
		names                                 string
	}{
		{"no source", "admin", "", "text/csv", "", 400, "source"},
		{"no type", "admin", "source=s", "application/json", "{}", 415, "text/csv"},
		{"a doubtful dry run", "admin", "source=s&dry_run=maybe", "text/csv", "", 400, "dry_run"},
		{"an unknown word", "admin", "source=s&colour=red", "text/csv", "", 400, "colour"},
		{"a member", "red", "source=s", "text/csv", "", 403, "create_mac_import"},
		{"one column", "admin", "source=s", "text/csv", "0a:00:00:00:00:08,a\n0a:00:00:00:00:09\n", 400, "Line 2"},
		{"no JSON", "admin", "source=s", "application/x-ndjson", "0a:00:00:00:00:08,a\n", 400, "Line 1"},
		{"an endless line", "admin", "source=s", "text/csv", "0a:00:00:00:00:08,a\n" + strings.Repeat("x", 5000), 400, "Line 2"},
	} {
		got := a.load(c.token, c.query, c.contentType, "application/json", c.body)
		if _, message := got.message(t); got.code != c.code || !strings.Contains(message, c.names) {
			t.Errorf("%s: %d %s; want %d with %s", c.name, got.code, got.text, c.code, c.names)
		}
	}
	a.want(404, "GET", "/v2.0/mac-addresses/0a:00:00:00:00:08", "admin", "")
	a.want(403, "GET", "/v2.0/mac-imports/esx/export", "red", "")
	a.want(400, "GET", "/v2.0/mac-addresses/export?format=xml", "red", "")
}

// A client that takes longer for its lines than the server takes requests to
// last is served to the end, and hears of the progress while it sends.
func TestAnImportLastsLongerThanTheTimeoutsOfTheServer(t *testing.T) {
	t.Parallel()
	const timeout, chunk = 300 * time.Millisecond, 10_000 // lines from one word on the progress to the next
	var o Options
	setupOn(t, storetest.New(t), func(of *Options) { o = *of })
	o.Metrics = prometheus.NewRegistry()
	srv := httptest.NewUnstartedServer(New(o))
	srv.Config.ReadTimeout, srv.Config.WriteTimeout = timeout, timeout
	srv.Start()
	defer srv.Close()
	body, lines := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+"/v2.0/mac-imports?source=slow", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{"X-Auth-Token": {"admin"}, "Content-Type": {"text/csv"}, "Accept": {"application/x-ndjson"}}
	heard := make(chan string, 100) // more than there are
	var sender errgroup.Group
	sender.Go(func() error {
		defer lines.Close()
		start, n := time.Now(), 0
		for round := 0; round < 3 || time.Since(start) < 5*timeout; round++ {
			w := bufio.NewWriter(lines)
			for range chunk {
				n++
				fmt.Fprintf(w, "%s,vm-%d\n", mac.MustParse("0a:00:00:00:00:00")+mac.Addr(n), n)
			}
			if err := w.Flush(); err != nil {
				return err
			}
			if want, got := fmt.Sprintf(`{"progress":{"lines":%d}}`, n), <-heard; got != want {
				return fmt.Errorf("while lines were sent: %s, want %s", got, want)
			}
			time.Sleep(timeout) // as a slow client does
		}
		return nil
	})
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var last string
	for answer := bufio.NewScanner(resp.Body); answer.Scan(); {
		if last = answer.Text(); strings.Contains(last, "progress") {
			heard <- last
		}
	}
	close(heard)
	if err := sender.Wait(); err != nil {
		t.Error(err)
	}
	if !strings.Contains(last, `"result":`) || !strings.Contains(last, `"conflicts":0`) {
		t.Errorf("at last: %s", last)
	}
}
