package listen

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/macloom/macloom/southbound/listen/tlstest"
)

func TestTLSConfigNamesTheFileThatIsNoGood(t *testing.T) {
	t.Parallel()
	ca := tlstest.NewCA(t)
	good, other := ca.Issue(t, "good"), ca.Issue(t, "other")
	expired := ca.IssueUntil(t, "expired", time.Now().Add(-time.Minute))
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	text, empty := file("text", "no PEM here"), file("empty", "")
	broken := filepath.Join(dir, "broken")
	tlstest.WritePEM(t, broken, "CERTIFICATE", []byte("not DER"))
	missing := filepath.Join(dir, "missing")
	for name, test := range map[string]struct {
		cert, key, ca string
		want          []string
	}{
		"no certificate":             {missing, good.KeyFile, ca.File, []string{"TLS certificate", missing, "no such file"}},
		"no key":                     {good.File, missing, ca.File, []string{"TLS key", missing, "no such file"}},
		"no CA":                      {good.File, good.KeyFile, missing, []string{"TLS CA", missing, "no such file"}},
		"certificate of text":        {text, good.KeyFile, ca.File, []string{"TLS certificate " + text, "no PEM block"}},
		"certificate is a key":       {good.KeyFile, good.KeyFile, ca.File, []string{"TLS certificate " + good.KeyFile, "holds a PRIVATE KEY"}},
		"broken certificate":         {broken, good.KeyFile, ca.File, []string{"TLS certificate " + broken, "certificate 1 in it"}},
		"expired certificate":        {expired.File, expired.KeyFile, ca.File, []string{"TLS certificate " + expired.File, "expired on "}},
		"key of another certificate": {good.File, other.KeyFile, ca.File, []string{"TLS key " + other.KeyFile, good.File, "does not match"}},
		"key is empty":               {good.File, empty, ca.File, []string{"TLS key " + empty, "PEM"}},
		"CA is a key":                {good.File, good.KeyFile, good.KeyFile, []string{"TLS CA " + good.KeyFile, "holds a PRIVATE KEY"}},
		"CA is empty":                {good.File, good.KeyFile, empty, []string{"TLS CA " + empty, "no PEM block"}},
	} {
		_, err := TLSConfig(test.cert, test.key, test.ca, zap.NewNop())
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		for _, want := range test.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %q does not say %q", name, err, want)
			}
		}
	}
}

// meet has one client shake hands with one server and returns what each made
// of it. The server's certificate is returned where it was shown.
func meet(t *testing.T, server *tls.Config, client func(net.Conn) error) (serverErr error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		nc, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Error(err)
			return
		}
		defer nc.Close()
		if err := client(nc); err != nil {
			t.Error(err)
		}
	}()
	nc, err := tls.NewListener(ln, server).Accept()
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	serverErr = Handshake(nc)
	nc.Close()
	<-done
	return serverErr
}

func TestHandshakeSaysWhatIsWrongWithThePeer(t *testing.T) {
	t.Parallel()
	ca, foreign := tlstest.NewCA(t), tlstest.NewCA(t)
	ours := ca.Issue(t, "controller")
	cfg, err := TLSConfig(ours.File, ours.KeyFile, ca.File, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	with := func(cfg *tls.Config) func(net.Conn) error {
		return func(nc net.Conn) error {
			tc := tls.Client(nc, cfg)
			if err := tc.Handshake(); err == nil {
				_, _ = tc.Read(make([]byte, 1)) // TLS 1.3: the server's verdict comes later
			}
			return nil
		}
	}
	plain := func(b string) func(net.Conn) error {
		return func(nc net.Conn) error {
			_, err := nc.Write([]byte(b))
			_, _ = io.Copy(io.Discard, nc)
			return err
		}
	}
	roots := &tls.Config{RootCAs: ca.Pool, ServerName: "127.0.0.1"}
	client := func(certs ...tls.Certificate) *tls.Config {
		c := roots.Clone()
		c.Certificates = certs
		// Show the certificate even if the server has not named its CA.
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if len(certs) == 0 {
				return new(tls.Certificate), nil
			}
			return &certs[0], nil
		}
		return c
	}
	old := client(ca.Issue(t, "old").TLS)
	old.MaxVersion = tls.VersionTLS12
	ancient := client(ca.Issue(t, "ancient").TLS)
	ancient.MinVersion, ancient.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	distrustful := client(ca.Issue(t, "distrustful").TLS)
	distrustful.RootCAs = foreign.Pool
	for name, test := range map[string]struct {
		client func(net.Conn) error
		want   string // empty: accepted
	}{
		"certificate of the CA":          {with(client(ca.Issue(t, "switch").TLS)), ""},
		"TLS 1.2":                        {with(old), ""},
		"TLS 1.1":                        {with(ancient), "version"},
		"no certificate":                 {with(client()), "the peer shows no certificate"},
		"certificate of another CA":      {with(client(foreign.Issue(t, "switch").TLS)), "not from the CA"},
		"expired certificate":            {with(client(ca.IssueUntil(t, "late", time.Now().Add(-time.Hour)).TLS)), "has expired"},
		"peer does not trust the server": {with(distrustful), "the peer refuses the certificate of the controller"},
		"plain OpenFlow":                 {plain("\x04\x00\x00\x10\x00\x00\x00\x01\x00\x01\x00\x08\x00\x00\x00\x10"), "speaks plain OpenFlow"},
		"plain JSON-RPC":                 {plain(`{"method":"echo","params":[],"id":"echo"}`), "speaks plain JSON-RPC"},
		"something else":                 {plain("GET / HTTP/1.1\r\n\r\n"), "does not speak TLS"},
	} {
		err := meet(t, cfg, test.client)
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: error %v, want %q", name, err, test.want)
		}
	}
}

func TestRenewedFilesAreUsedWithoutRestart(t *testing.T) {
	t.Parallel()
	ca := tlstest.NewCA(t)
	first := ca.Issue(t, "controller")
	core, logs := observer.New(zapcore.InfoLevel)
	cfg, err := TLSConfig(first.File, first.KeyFile, ca.File, zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	shown := func(cert tls.Certificate) (leaf string, err error) {
		err = meet(t, cfg, func(nc net.Conn) error {
			tc := tls.Client(nc, &tls.Config{ServerName: "127.0.0.1", RootCAs: ca.Pool, Certificates: []tls.Certificate{cert}})
			if err := tc.Handshake(); err != nil {
				return err
			}
			leaf = string(tc.ConnectionState().PeerCertificates[0].Raw)
			return nil
		})
		return leaf, err
	}
	sw := ca.Issue(t, "switch").TLS
	if leaf, err := shown(sw); err != nil || leaf != string(first.TLS.Certificate[0]) {
		t.Fatalf("error %v", err)
	}

	// Half of a renewal: the certificate without its key.
	keep, err := os.ReadFile(first.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	second := ca.Issue(t, "controller")
	renewedKey, err := os.ReadFile(second.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(second.KeyFile, keep, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if leaf, err := shown(sw); err != nil || leaf != string(first.TLS.Certificate[0]) {
			t.Errorf("half-way: error %v, or not the certificate of before", err)
		}
	}
	if n := logs.FilterLevelExact(zapcore.ErrorLevel).Len(); n != 1 {
		t.Errorf("%d log lines about the key that does not fit, want 1: %v", n, logs.All())
	}

	if err := os.WriteFile(second.KeyFile, renewedKey, 0o600); err != nil {
		t.Fatal(err)
	}
	if leaf, err := shown(sw); err != nil || leaf != string(second.TLS.Certificate[0]) {
		t.Errorf("renewed: error %v, or not the new certificate", err)
	}

	// The CA counts for those who come, too.
	other := tlstest.NewCA(t)
	content, err := os.ReadFile(other.File)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(ca.File, content, 0o600); err != nil {
		t.Fatal(err)
	}
	err = meet(t, cfg, func(nc net.Conn) error {
		tc := tls.Client(nc, &tls.Config{ServerName: "127.0.0.1", RootCAs: ca.Pool, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &sw, nil
		}})
		if tc.Handshake() == nil {
			_, _ = tc.Read(make([]byte, 1))
		}
		return nil
	})
	var te *tlsError
	if !errors.As(err, &te) || !strings.Contains(err.Error(), "not from the CA") {
		t.Errorf("a switch of the CA of before: error %v", err)
	}
}

func TestHandshakeIsForTLSOnly(t *testing.T) {
	t.Parallel()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if err := Handshake(a); err != nil {
		t.Error(err)
	}
}
