package northbound

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"
)

// BenchmarkAllocateMACsOverREST asks for many addresses in one request and
// reads the whole answer.
func BenchmarkAllocateMACsOverREST(b *testing.B) {
	for _, format := range []string{formatList, formatRanges} {
		for _, count := range []int{1000, 100_000} {
			b.Run(fmt.Sprintf("%s/%d", format, count), func(b *testing.B) {
				a := setup(b)
				segment := idOf(a.make("/v2.0/mac-segments", "admin", `{"mac_segment": {"base_address": "0a:00:00:00:00:00", "prefix_length": 16, "tenant_id": "red"}}`))
				body := fmt.Sprintf(`{"mac_address": {"segment_id": "%s", "count": %d, "format": "%s"}}`, segment, count, format)
				a.want(201, "POST", "/v2.0/mac-addresses", "red", strings.Replace(body, fmt.Sprint(count), "10", 1))
				for b.Loop() {
					a.want(201, "POST", "/v2.0/mac-addresses", "red", body)
				}
				b.ReportMetric(float64(b.N)*float64(count)/b.Elapsed().Seconds(), "addresses/s")
			})
		}
	}
}

// BenchmarkImportOverREST streams a million machines in, the client in the same
// process, and says how much memory that took at most.
func BenchmarkImportOverREST(b *testing.B) {
	for _, dry := range []bool{true, false} {
		b.Run(fmt.Sprintf("dry_run=%t", dry), func(b *testing.B) {
			a := setup(b)
			debug.FreeOSMemory()
			n, most := 0, uint64(0)
			for b.Loop() {
				n++
				body, out := io.Pipe()
				go func() {
					w := bufio.NewWriterSize(out, 64<<10)
					for i := range maxImportLines {
						fmt.Fprintf(w, "06:%02x:00:%02x:%02x:%02x,instance-%08d,web %d\n", n, i>>16&255, i>>8&255, i&255, i, i%1000)
					}
					_ = w.Flush() // the answer says what came
					_ = out.Close()
				}()
				done := make(chan struct{})
				peak := make(chan uint64)
				go func() { peak <- peakMemory(done) }()
				req, err := http.NewRequest(http.MethodPost, a.url+fmt.Sprintf("/v2.0/mac-imports?source=cloud%d&dry_run=%t", n, dry), body)
				if err != nil {
					b.Fatal(err)
				}
				for name, value := range map[string]string{"X-Auth-Token": "admin", "Content-Type": importContentCSV, "Accept": importContentJSON} {
					req.Header.Set(name, value)
				}
				got := a.send(req)
				close(done)
				most = max(most, <-peak)
				if !strings.Contains(got.text, fmt.Sprintf(`"lines":%d,`, maxImportLines)) || !strings.Contains(got.text, `"conflicts":0,"invalid":0`) {
					b.Fatalf("code %d: %s", got.code, got.text[max(0, len(got.text)-500):])
				}
			}
			b.ReportMetric(float64(b.N)*maxImportLines/b.Elapsed().Seconds(), "lines/s")
			b.ReportMetric(float64(most)/(1<<20), "MiB")
		})
	}
}

// peakMemory is the most that the process had from the system, less what it
// gave back, until done.
func peakMemory(done <-chan struct{}) (most uint64) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		most = max(most, m.Sys-m.HeapReleased)
		select {
		case <-done:
			return most
		case <-tick.C:
		}
	}
}
