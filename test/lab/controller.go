package lab

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/macloom/macloom/controller/store/storetest"
)

// binaryVariable names the environment variable that holds the path of a
// macloom to use instead of building one.
const binaryVariable = "MACLOOM_TEST_BINARY"

var built struct {
	sync.Mutex
	hold *holding
}

// builtMacloom is the path of the macloom under test. It is built once in a test process, with
// the race detector if the test has it.
func builtMacloom() (string, error) {
	if path := os.Getenv(binaryVariable); path != "" {
		return filepath.Abs(path)
	}
	built.Lock()
	defer built.Unlock()
	if built.hold != nil {
		return filepath.Join(built.hold.dir, "macloom"), nil
	}
	var b [3]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", err
	}
	hold, err := claim("bin" + hex.EncodeToString(b[:]))
	if err != nil {
		return "", err
	}
	path := filepath.Join(hold.dir, "macloom")
	args := []string{"build", "-buildvcs=false", "-o", path}
	if raceDetector {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, "github.com/macloom/macloom/cmd/macloom")...).CombinedOutput(); err != nil {
		return "", errors.Join(fmt.Errorf("building macloom: %w\n%s", err, out), hold.release())
	}
	built.hold = hold
	return path, nil
}

// Main runs the tests of a package that uses Controller and removes the
// macloom that was built for them: call it from TestMain.
func Main(m *testing.M) {
	code := m.Run()
	built.Lock()
	if built.hold != nil {
		if err := built.hold.release(); err != nil {
			fmt.Fprintln(os.Stderr, "lab: removing the built macloom:", err)
			code = max(code, 1)
		}
		built.hold = nil
	}
	built.Unlock()
	os.Exit(code)
}

// ControllerOptions says how a controller is started.
type ControllerOptions struct {
	// DatabaseURL is a PostgreSQL database; when empty, a fresh one of the server that tests share.
	DatabaseURL string
	// OwnDatabase has the controller run its embedded PostgreSQL, as a user's does.
	OwnDatabase bool
	// DataDir is made below the lab's directory when empty.
	DataDir string
	// Args are further arguments of macloom serve.
	Args []string
	// Env are further environment variables, as KEY=value.
	Env []string
	// HTTP, OpenFlow and OVSDB are listen addresses; when empty the defaults of macloom.
	HTTP, OpenFlow, OVSDB string
	// NotReady returns before the controller answers /readyz.
	NotReady bool
}

// Controller is a macloom that runs in the namespace of the switch.
type Controller struct {
	// URL is the base of the REST API, without a slash at its end.
	URL     string
	DataDir string

	l      *Lab
	binary string
	args   []string
	env    []string
	log    string
	client *http.Client
	proc   *Process
}

// Controller builds macloom, starts it in the namespace of the switch and
// waits until it is ready. An embedded PostgreSQL lives in the namespace too
// and ends with the lab.
func (l *Lab) Controller(o ControllerOptions) *Controller {
	l.t.Helper()
	path, err := builtMacloom()
	if err != nil {
		l.t.Fatalf("lab: %v", err)
	}
	l.mu.Lock()
	dir := filepath.Join(l.dir, fmt.Sprintf("ctl%d", len(l.processes)))
	l.mu.Unlock()
	if err := os.Mkdir(dir, 0o755); err != nil {
		l.t.Fatalf("lab: %v", err)
	}
	c := &Controller{l: l, binary: path, env: o.Env, DataDir: o.DataDir, log: filepath.Join(dir, "macloom.log")}
	if c.DataDir == "" {
		c.DataDir = filepath.Join(dir, "data")
	}
	c.args = []string{"serve", "--data-dir", c.DataDir}
	listen := func(flag, addr, preset string) string {
		if addr == "" {
			addr = preset
		}
		c.args = append(c.args, flag, addr)
		return addr
	}
	listen("--openflow", o.OpenFlow, "127.0.0.1:6653")
	listen("--ovsdb", o.OVSDB, "127.0.0.1:6640")
	c.URL = "http://" + listen("--http", o.HTTP, "127.0.0.1:9696")
	if o.DatabaseURL == "" && !o.OwnDatabase {
		o.DatabaseURL = storetest.URL(l.t)
	}
	if o.DatabaseURL != "" {
		c.args = append(c.args, "--database-url", o.DatabaseURL)
	}
	c.args = append(c.args, o.Args...)
	c.client = &http.Client{Timeout: 60 * time.Second, Transport: l.transport()}
	l.t.Cleanup(c.inspectLog)
	c.Start()
	if !o.NotReady {
		c.WaitReady()
	}
	return c
}

// transport dials inside the namespace of the switch.
func (l *Lab) transport() *http.Transport {
	transport := &http.Transport{
		MaxIdleConnsPerHost: 64,
		DialContext: func(ctx context.Context, network, addr string) (conn net.Conn, err error) {
			err = inNamespace(l.ns, func() error {
				// With a literal address Dial makes its socket on this thread.
				conn, err = (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, addr)
				return err
			})
			return conn, err
		},
	}
	l.t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// Dial connects to an address inside the namespace of the switch, such as the
// OpenFlow port of a controller. The address must be a literal one.
func (l *Lab) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	return l.transport().DialContext(ctx, network, addr)
}

// Start starts the controller again after Kill9 or Terminate, with the same
// arguments and data directory. It does not wait: see WaitReady.
func (c *Controller) Start() {
	c.l.t.Helper()
	cmd := c.l.Command(context.Background(), c.binary, c.args...)
	cmd.Env = append(cmd.Env, c.env...)
	log, err := os.OpenFile(c.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		c.l.t.Fatalf("lab: %v", err)
	}
	defer log.Close() // the child has its own
	cmd.Stdout, cmd.Stderr = log, log
	c.proc = newProcess(cmd, "macloom")
	if err := c.proc.begin(c.l); err != nil {
		c.l.t.Fatalf("lab: starting macloom: %v", err)
	}
}

// WaitFabric waits until so many switches are connected, and so many frames have told of
// links that were known: the switches of a fabric are back, and hear of each other.
func (c *Controller) WaitFabric(switches, frames float64) {
	c.l.t.Helper()
	Wait(c.l.t, "the switches to be back, and to hear of each other", 60*time.Second, func() error {
		n, heard := c.Metric("macloom_switches_connected"), c.Metric("macloom_fabric_frames_received_total", "result=known")
		if n != switches || heard < frames {
			return fmt.Errorf("%v switches, %v frames", n, heard)
		}
		return nil
	})
}

// WaitReady waits until /readyz answers 200.
func (c *Controller) WaitReady() {
	c.l.t.Helper()
	Wait(c.l.t, "the controller to be ready", 60*time.Second, func() error {
		select {
		case <-c.proc.Done():
			c.l.t.Fatalf("lab: macloom ended before it was ready: %v\n%s", c.proc.err, tail(c.Log(), 60))
		default:
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		status, err := c.Call(ctx, "", http.MethodGet, "/readyz", nil, nil)
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("/readyz answered %d", status)
		}
		return err
	})
}

// Process is the running controller.
func (c *Controller) Process() *Process { return c.proc }

// Kill9 kills the controller so that it can tidy up nothing.
func (c *Controller) Kill9() {
	c.proc.kill()
	c.client.CloseIdleConnections()
}

// Terminate sends SIGTERM and waits; it fails the test if the controller takes
// longer than 5 seconds or ends with an error.
func (c *Controller) Terminate() {
	c.l.t.Helper()
	if err := c.proc.Stop(5 * time.Second); err != nil {
		c.l.t.Fatalf("lab: terminating macloom: %v\n%s", err, tail(c.Log(), 30))
	}
	c.client.CloseIdleConnections()
}

// Restart terminates the controller, starts it again and waits until it is ready.
func (c *Controller) Restart() {
	c.l.t.Helper()
	c.Terminate()
	c.Start()
	c.WaitReady()
}

// API is an HTTP client that dials inside the controller's namespace.
func (c *Controller) API() *http.Client { return c.client }

// Binary is the path of the macloom under test.
func (c *Controller) Binary() string { return c.binary }

// Token is the admin token that the controller made at its first start.
func (c *Controller) Token() string {
	c.l.t.Helper()
	text, err := os.ReadFile(filepath.Join(c.DataDir, "admin-token"))
	if err != nil {
		c.l.t.Fatalf("lab: the admin token: %v", err)
	}
	return strings.TrimSpace(string(text))
}

// Log is all that the controller has printed, over restarts too.
func (c *Controller) Log() string {
	text, err := os.ReadFile(c.log)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// CLI runs a command of macloom as the admin would, and returns what it prints.
func (c *Controller) CLI(args ...string) string {
	c.l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := c.l.Command(ctx, c.binary, args...)
	cmd.Env = append(cmd.Env, "MACLOOM_URL="+c.URL, "MACLOOM_TOKEN="+c.Token())
	out, err := cmd.CombinedOutput()
	if err != nil {
		c.l.t.Fatalf("lab: macloom %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// inspectLog fails the test for a panic or a data race that nobody noticed.
func (c *Controller) inspectLog() {
	text := c.Log()
	for _, bad := range []string{"WARNING: DATA RACE", "panic: ", "fatal error: "} {
		if i := strings.Index(text, bad); i >= 0 {
			c.l.t.Errorf("lab: the controller's log has %q:\n%s", bad, text[i:min(len(text), i+4000)])
		}
	}
}

// Call makes one API request. in is sent as JSON unless nil; the answer is
// decoded into out unless nil. Any status is a valid answer: err tells only
// that there was none, or not the JSON that out needs.
func (c *Controller) Call(ctx context.Context, token, method, path string, in, out any) (status int, err error) {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return 0, err
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.URL+path, body)
	if err != nil {
		return 0, err
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("X-Auth-Token", token)
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return resp.StatusCode, err
	}
	if out != nil && len(text) > 0 {
		if err := json.Unmarshal(text, out); err != nil {
			return resp.StatusCode, fmt.Errorf("%s %s answered %d: %w: %.200s", method, path, resp.StatusCode, err, text)
		}
	}
	return resp.StatusCode, nil
}

// Must makes an API request as the admin, fails the test unless it is answered
// with a 2xx status, and returns the decoded body.
func (c *Controller) Must(method, path string, in any) map[string]any {
	c.l.t.Helper()
	out := map[string]any{}
	status, err := c.Call(context.Background(), c.Token(), method, path, in, &out)
	if err != nil {
		c.l.t.Fatalf("lab: %s %s: %v", method, path, err)
	}
	if status/100 != 2 {
		c.l.t.Fatalf("lab: %s %s answered %d: %v", method, path, status, out)
	}
	return out
}

// Metrics reads /metrics.
func (c *Controller) Metrics() map[string]*dto.MetricFamily {
	c.l.t.Helper()
	resp, err := c.client.Get(c.URL + "/metrics")
	if err != nil {
		c.l.t.Fatalf("lab: reading metrics: %v", err)
	}
	defer resp.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil {
		c.l.t.Fatalf("lab: reading metrics: %v", err)
	}
	return families
}

// Metric is the sum of all series of a metric that carry the given labels,
// each as "name=value". Of histograms and summaries it is the number of
// observations. A metric without such series is 0.
func (c *Controller) Metric(name string, labels ...string) float64 {
	c.l.t.Helper()
	return sum(c.Metrics()[name], labels)
}

func sum(family *dto.MetricFamily, labels []string) float64 {
	var total float64
	for _, m := range family.GetMetric() {
		if !carries(m, labels) {
			continue
		}
		switch {
		case m.Counter != nil:
			total += m.Counter.GetValue()
		case m.Gauge != nil:
			total += m.Gauge.GetValue()
		case m.Untyped != nil:
			total += m.Untyped.GetValue()
		case m.Histogram != nil:
			total += float64(m.Histogram.GetSampleCount())
		case m.Summary != nil:
			total += float64(m.Summary.GetSampleCount())
		}
	}
	return total
}

func carries(m *dto.Metric, labels []string) bool {
	for _, want := range labels {
		found := false
		for _, pair := range m.GetLabel() {
			found = found || pair.GetName()+"="+pair.GetValue() == want
		}
		if !found {
			return false
		}
	}
	return true
}

// Hang stops the controller's process without ending it (SIGSTOP), as a stalled
// machine would; Resume lets it go on.
func (c *Controller) Hang() error { return c.proc.Signal(syscall.SIGSTOP) }

// Resume undoes Hang.
func (c *Controller) Resume() error { return c.proc.Signal(syscall.SIGCONT) }
