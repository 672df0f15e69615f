package ovsdb

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// authority signs certificates, which like those of ovs-pki name no host.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{t: t}
	a.cert, a.key = a.make("ca", nil)
	return a
}

func (a *authority) make(name string, signer *authority) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		IsCA: signer == nil, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	parent, by := template, key
	if signer != nil {
		parent, by = signer.cert, signer.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

// config is of one who has a certificate of a and trusts those who have.
func (a *authority) config(name string) *tls.Config {
	a.t.Helper()
	cert, key := a.make(name, a)
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}},
		RootCAs:      pool, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
	}
}

// files writes what Open vSwitch needs to be such a one, into dir.
func (a *authority) files(dir, name string) (key, cert, ca string) {
	a.t.Helper()
	c, k := a.make(name, a)
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		a.t.Fatal(err)
	}
	write := func(file, kind string, der []byte) string {
		path := filepath.Join(dir, file)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			a.t.Fatal(err)
		}
		return path
	}
	return write(name+".key", "PRIVATE KEY", der), write(name+".pem", "CERTIFICATE", c.Raw), write("ca.pem", "CERTIFICATE", a.cert.Raw)
}

func TestPeersOverTLSAreRefusedWithoutACertificateOfTheAuthority(t *testing.T) {
	t.Parallel()
	ours, other := newAuthority(t), newAuthority(t)
	for name, c := range map[string]struct {
		cfg    *tls.Config
		reason string // "" if the peer is accepted
	}{
		"good":            {ours.config("switch"), ""},
		"no certificate":  {&tls.Config{RootCAs: ours.config("x").RootCAs}, "didn't provide a certificate"},
		"other authority": {&tls.Config{RootCAs: ours.config("x").RootCAs, Certificates: other.config("switch").Certificates}, "unknown authority"},
		"no TLS":          {nil, "first record does not look like a TLS handshake"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ln, err := tls.Listen("tcp", "127.0.0.1:0", ours.config("controller"))
			if err != nil {
				t.Fatal(err)
			}
			s := serveOn(t, ln, Config{})
			p := s.dial()
			if c.cfg != nil {
				client := c.cfg.Clone()
				client.InsecureSkipVerify = true // of the name that the certificates do not have
				p.over(tls.Client(p.nc, client))
			}
			if c.reason == "" {
				p.send(`{"id":` + p.request("list_dbs") + `,"result":["Open_vSwitch"],"error":null}`)
				<-s.conns
				return
			}
			_, _ = p.nc.Write([]byte(`{"id":"echo","method":"echo","params":[]}`)) // the server may refuse before
			p.closed()
			refused := func() []observer.LoggedEntry { return s.logs.FilterMessage("OVSDB connection refused").All() }
			// The peer hears of it before the reason is logged; a server that stops meanwhile has another one.
			for deadline := time.Now().Add(20 * time.Second); len(refused()) == 0 && time.Now().Before(deadline); {
				time.Sleep(time.Millisecond)
			}
			s.stop()
			<-s.served
			s.served <- nil
			lines := refused()
			if len(lines) != 1 || !strings.Contains(lines[0].ContextMap()["error"].(string), c.reason) {
				t.Errorf("want one line with %q, got %v", c.reason, lines)
			}
		})
	}
}

func TestAnotherCertificateGetsNothingOfWhatIsKept(t *testing.T) {
	t.Parallel()
	ours := newAuthority(t)
	ln, err := tls.Listen("tcp", "127.0.0.1:0", ours.config("controller"))
	if err != nil {
		t.Fatal(err)
	}
	s := serveOn(t, ln, Config{})
	first, second := ours.config("a"), ours.config("b")
	for i, step := range []struct {
		cfg  *tls.Config
		last string
	}{{first, zeroTxn}, {second, zeroTxn}, {first, "t1"}} {
		p := s.dial()
		step.cfg.InsecureSkipVerify = true
		p.over(tls.Client(p.nc, step.cfg))
		p.send(`{"id":` + p.request("list_dbs") + `,"result":["_Server","Open_vSwitch"],"error":null}`)
		w := watching(t, <-s.conns)
		p.schema()
		p.clustered("c1")
		id, _, params := p.monitor("monitor_cond_since")
		if string(params[3]) != `"`+step.last+`"` {
			t.Errorf("connection %d: want transaction %s, got %s", i, step.last, params[3])
		}
		if i == 0 {
			p.send(`{"id":` + id + `,"error":null,"result":[false,"t1",` + initialDiffs + `]}`)
			w.until(initialState())
		}
		p.nc.Close()
		<-w.done
	}
}

func TestHandshakeOfTLSHasADeadlineAndBlocksNobody(t *testing.T) {
	t.Parallel()
	ours := newAuthority(t)
	ln, err := tls.Listen("tcp", "127.0.0.1:0", ours.config("controller"))
	if err != nil {
		t.Fatal(err)
	}
	s := serveOn(t, ln, Config{HandshakeTimeout: 300 * time.Millisecond})
	silent := s.dial()
	good := s.dial()
	client := ours.config("switch")
	client.InsecureSkipVerify = true
	good.over(tls.Client(good.nc, client))
	good.send(`{"id":` + good.request("list_dbs") + `,"result":["Open_vSwitch"],"error":null}`)
	<-s.conns
	silent.closed()
}

func TestDialVerifiesWhoSignedTheServersCertificate(t *testing.T) {
	t.Parallel()
	ours, other := newAuthority(t), newAuthority(t)
	for name, c := range map[string]struct {
		server *tls.Config
		name   string
		reason string
	}{
		"good":            {ours.config("switch"), "", ""},
		"other authority": {other.config("switch"), "", "unknown authority"},
		"other name":      {ours.config("switch"), "example.com", "valid for any names"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.server.ClientAuth = tls.RequestClientCert
			ln, err := tls.Listen("tcp", "127.0.0.1:0", c.server)
			if err != nil {
				t.Fatal(err)
			}
			go answerDatabases(ln)
			t.Cleanup(func() { ln.Close() })
			cfg := Config{Log: zap.NewNop(), TLS: ours.config("controller")}
			cfg.TLS.ServerName = c.name
			conn, err := Dial(t.Context(), "ssl:"+ln.Addr().String(), cfg)
			if c.reason != "" {
				if err == nil || !strings.Contains(err.Error(), c.reason) {
					t.Errorf("want an error with %q, got %v", c.reason, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			conn.Close(ErrHandled)
		})
	}
}

// answerDatabases is a server that knows its databases and nothing else.
func answerDatabases(ln net.Listener) {
	for {
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		go func() {
			defer nc.Close()
			f := newFramer(nc, 1<<20, func(int) error { return nil })
			for {
				text, err := f.next()
				if err != nil {
					return
				}
				if m := parseMessage(text); is(m.method, "list_dbs") {
					_, _ = nc.Write([]byte(`{"id":` + string(m.id) + `,"result":["Open_vSwitch"],"error":null}`))
				}
			}
		}()
	}
}
