package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/macloom/macloom/test/lab"
)

// authority is a CA of a test, with the certificates that it signs in files.
type authority struct {
	t    *testing.T
	dir  string
	name string
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t *testing.T, dir, name string) *authority {
	t.Helper()
	a := &authority{t: t, dir: dir, name: name}
	a.key, a.cert = a.sign(name, nil)
	return a
}

// file is where a thing of the authority lies.
func (a *authority) file(name string) string { return filepath.Join(a.dir, a.name+"-"+name+".pem") }

// sign makes a key and a certificate, the one of the authority itself if
// issuer is nil, and writes both.
func (a *authority) sign(name string, issuer *x509.Certificate) (*ecdsa.PrivateKey, *x509.Certificate) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		BasicConstraintsValid: true, IsCA: issuer == nil, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	parent, signer := issuer, a.key
	if issuer == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{"cert": {Type: "CERTIFICATE", Bytes: der}, "key": {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(a.file(name+"-"+file), pem.EncodeToMemory(block), 0o644); err != nil {
			a.t.Fatal(err)
		}
	}
	return key, cert
}

func (a *authority) issue(name string) (key, cert string) {
	a.t.Helper()
	a.sign(name, a.cert)
	return a.file(name + "-key"), a.file(name + "-cert")
}

func (a *authority) ca() string { return a.file(a.name + "-cert") }

func TestOnlyAHostWithACertificateOfTheCAConnectsByTLS(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	ours, other := newAuthority(t, l.Dir(), "ours"), newAuthority(t, l.Dir(), "other")
	key, cert := ours.issue("controller")
	ctl := l.Controller(lab.ControllerOptions{Args: []string{"--tls-cert", cert, "--tls-key", key, "--tls-ca", ours.ca()}})
	c := &cloud{t: t, lab: l, ctl: ctl, bridge: &lab.Bridge{Name: "br-int"}}

	strangerKey, strangerCert := other.issue("stranger")
	l.Vsctl("set-ssl", strangerKey, strangerCert, ours.ca())
	l.Vsctl("set-manager", "ssl:127.0.0.1:6640")
	l.Bridge("br0", lab.BridgeOptions{Controller: "ssl:127.0.0.1:6653", DPID: dpid})
	refusals := func(word, reason string) (n int) {
		for line := range strings.Lines(ctl.Log()) {
			if strings.Contains(line, word) && strings.Contains(line, reason) {
				n++
			}
		}
		return n
	}
	attempts := func() float64 { return ctl.Metric("macloom_openflow_sessions_total", "handshake=refused") }
	lab.Wait(t, "both to be refused, the switch more than once", patience, func() error {
		if refusals("OVSDB connection refused", "TLS") == 0 || refusals("switch refused", "not from the CA") == 0 || attempts() < 3 {
			return fmt.Errorf("%v attempts", attempts())
		}
		return nil
	})
	// They come again every few seconds, and that must not fill the log.
	if n := refusals("switch refused", "not from the CA"); float64(n) >= attempts() {
		t.Errorf("%d log lines about %v attempts", n, attempts())
	}
	if list := c.switches(""); len(list) != 0 {
		t.Errorf("a stranger is known: %v", list)
	}

	l.Vsctl("del-br", "br0")
	hostKey, hostCert := ours.issue("host")
	l.Vsctl("set-ssl", hostKey, hostCert, ours.ca())
	c.setManager("ssl:127.0.0.1:6640")
	if got := l.Vsctl("get-controller", "br-int"); got != "ssl:127.0.0.1:6653" {
		t.Errorf("controller %s", got)
	}
	network := c.network("acme", "blue", "10.0.0.0/24")
	c.reaches(c.plugged("a", network, "10.0.0.1"), c.plugged("b", network, "10.0.0.2"), true)
}
