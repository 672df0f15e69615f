package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/macloom/macloom/cmd/macloom/client"
	"github.com/macloom/macloom/northbound"
	"github.com/macloom/macloom/southbound/listen/tlstest"
)

// serveHTTPS serves every path by TLS as serve does, and returns the address.
func serveHTTPS(t *testing.T, cert *tlstest.Cert) string {
	t.Helper()
	_, security, err := loadTLS(&config{HTTPTLSCert: cert.File, HTTPTLSKey: cert.KeyFile}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, `{"protocol":"`+r.Proto+`"}`) })
	go func() { done <- northbound.Serve(ctx, tls.NewListener(ln, security), h, zap.NewNop()) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().String()
}

func TestTheAPIIsServedByTLSToWhoTrustsIt(t *testing.T) {
	t.Parallel()
	ca := tlstest.NewCA(t)
	address := serveHTTPS(t, ca.Issue(t, "api"))
	for caFile, trusted := range map[string]bool{ca.File: true, tlstest.NewCA(t).File: false} {
		c, err := client.New(client.Options{URL: "https://" + address, CACert: caFile, Timeout: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		protocol, err := c.Object(t.Context(), client.Request{Method: http.MethodGet}, "protocol")
		if trusted && (err != nil || string(protocol) != `"HTTP/2.0"`) {
			t.Errorf("%s, %v; want an answer over HTTP/2.0", protocol, err)
		}
		if !trusted && (err == nil || !strings.Contains(err.Error(), "--cacert")) {
			t.Errorf("another CA: error %v, want one that names --cacert", err)
		}
		cmd := newHealth()
		cmd.SetArgs([]string{"--http", "https://" + address, "--cacert", caFile})
		cmd.SetOut(&bytes.Buffer{})
		cmd.SetErr(&bytes.Buffer{})
		if err := cmd.ExecuteContext(t.Context()); (err == nil) != trusted {
			t.Errorf("health, trusting %t: %v", trusted, err)
		}
	}
	resp, err := http.Get("http://" + address)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("without TLS: code %d, want 400", resp.StatusCode)
	}
}

func TestARenewedCertificateOfTheAPIIsShownToTheNextClient(t *testing.T) {
	t.Parallel()
	ca := tlstest.NewCA(t)
	address := serveHTTPS(t, ca.Issue(t, "api"))
	shown := func() *x509.Certificate {
		conn, err := tls.Dial("tcp", address, &tls.Config{RootCAs: ca.Pool})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0]
	}
	before := shown()
	if again := shown(); !again.Equal(before) {
		t.Error("another certificate without a change")
	}
	ca.Issue(t, "api")
	if after := shown(); after.Equal(before) {
		t.Error("the certificate of before is still shown")
	}
}
