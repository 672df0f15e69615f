package session

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/macloom/macloom/southbound/openflow"
)

// A connection that is not a bare socket takes another way through the writer,
// and has to survive the read deadlines that the echo rests on.
func TestSessionOverTLS(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	conns, served := make(chan *Conn, 1), make(chan error, 1)
	go func() {
		served <- Serve(ctx, ln, Config{EchoInterval: 5 * time.Millisecond}, func(ctx context.Context, c *Conn) {
			conns <- c
			<-ctx.Done()
		})
	}()
	nc, err := tls.Dial("tcp", ln.Addr().String(), &tls.Config{RootCAs: roots})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	p := &peer{nc, t}
	p.handshake(1)
	c := <-conns
	for range 3 {
		xid, _ := p.expect(openflow.TypeEchoRequest)
		p.send(xid, &openflow.EchoReply{})
	}
	if err := c.Send(addFlows(5000)...); err != nil {
		t.Fatal(err)
	}
	for range 5000 {
		p.expect(openflow.TypeFlowMod)
	}
	if err := c.Err(); err != nil {
		t.Errorf("the session ended: %v", err)
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}
