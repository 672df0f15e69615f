package session

import (
	"crypto/tls"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/macloom/macloom/southbound/listen"
	"github.com/macloom/macloom/southbound/listen/tlstest"
	"github.com/macloom/macloom/southbound/openflow"
)

// newTLSController is newController for switches with a certificate of ca.
func newTLSController(t testing.TB, ca *tlstest.CA, cfg Config) *controller {
	t.Helper()
	cert := ca.Issue(t, "controller")
	secure, err := listen.TLSConfig(cert.File, cert.KeyFile, ca.File, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveController(t, tls.NewListener(ln, secure), cfg, nil)
}

// A connection that is not a bare socket takes another way through the writer,
// and has to survive the read deadlines that the echo rests on.
func TestSessionOverTLS(t *testing.T) {
	t.Parallel()
	ca := tlstest.NewCA(t)
	k := newTLSController(t, ca, Config{EchoInterval: 5 * time.Millisecond})
	nc, err := tls.Dial("tcp", k.addr, &tls.Config{RootCAs: ca.Pool, Certificates: []tls.Certificate{ca.Issue(t, "switch").TLS}})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	p := &peer{nc, t}
	p.handshake(1)
	c := k.next(t)
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
	p.send(0, packetIn(1, []byte("secret")))
	if batch, err := c.PacketIns(0).Take(t.Context(), nil); err != nil || len(batch) != 1 {
		t.Errorf("packet-ins %v, error %v", batch, err)
	}
	if err := c.Err(); err != nil {
		t.Errorf("the session ended: %v", err)
	}
}

func TestOpenVSwitchNeedsACertificateOfTheCA(t *testing.T) {
	t.Parallel()
	ca, foreign := tlstest.NewCA(t), tlstest.NewCA(t)
	k := newTLSController(t, ca, Config{})
	plain := newController(t, Config{}, nil)
	good, bad := ca.Issue(t, "switch"), foreign.Issue(t, "switch")
	for name, test := range map[string]struct {
		cert    *tlstest.Cert
		target  string
		refused string // by whom it is refused, and why
		at      *controller
	}{
		"a switch of the CA":         {good, "ssl:" + k.addr, "", k},
		"a switch of another CA":     {bad, "ssl:" + k.addr, "not from the CA", k},
		"a switch without TLS":       {good, "tcp:" + k.addr, "speaks plain OpenFlow, and this port is for TLS", k},
		"a switch with TLS, wrongly": {good, "ssl:" + plain.addr, "speaks TLS, and this port is for plain OpenFlow", plain},
	} {
		o := startOVS(t)
		o.Vsctl("set-ssl", test.cert.KeyFile, test.cert.File, ca.File)
		o.AddBridge("br0", "--", "set-controller", "br0", test.target)
		if test.refused == "" {
			c := test.at.next(t)
			if err := c.Commit(t.Context(), addFlows(1000)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if got := len(o.dumpFlows("br0")); got != 1000 {
				t.Errorf("%s: %d flows, want 1000", name, got)
			}
			continue
		}
		refused := func() (n int) {
			for _, line := range test.at.logs.FilterMessage("switch refused").All() {
				if strings.Contains(line.ContextMap()["reason"].(string), test.refused) {
					n++
				}
			}
			return n
		}
		for deadline := time.Now().Add(patient); refused() == 0; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: no log line that says %q; there are: %v", name, test.refused, test.at.logs.All())
			}
		}
	}
	if n := k.stats.Accepted.Load() + plain.stats.Accepted.Load(); n != 1 {
		t.Errorf("%d switches accepted, want 1", n)
	}
}

func TestRefusedTLSPeersAreLoggedOnceAndNameTheirReason(t *testing.T) {
	t.Parallel()
	ca := tlstest.NewCA(t)
	for name, test := range map[string]struct {
		tls  bool // of the controller
		peer func(nc net.Conn)
		want string
	}{
		"no certificate": {true, func(nc net.Conn) {
			tc := tls.Client(nc, &tls.Config{ServerName: "127.0.0.1", RootCAs: ca.Pool})
			if tc.Handshake() == nil {
				_, _ = tc.Read(make([]byte, 1))
			}
		}, "the peer shows no certificate"},
		"plain OpenFlow at a TLS port": {true, func(nc net.Conn) {
			_, _ = nc.Write(openflow.AppendMessage(nil, 1, &openflow.Hello{Bitmap: helloBitmap}))
			_, _ = nc.Read(make([]byte, 1))
		}, "use ssl:, not tcp:"},
		"TLS at a plain port": {false, func(nc net.Conn) {
			_ = tls.Client(nc, &tls.Config{ServerName: "127.0.0.1", RootCAs: ca.Pool}).Handshake()
		}, "use tcp:, not ssl:"},
		"nothing at a TLS port": {true, func(nc net.Conn) {
			_, _ = nc.Read(make([]byte, 1))
		}, "the handshake takes too long"},
		"half a client hello": {true, func(nc net.Conn) {
			_, _ = nc.Write([]byte{22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3})
			_, _ = nc.Read(make([]byte, 1))
		}, "the handshake takes too long"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := Config{HandshakeTimeout: 200 * time.Millisecond}
			if strings.HasPrefix(name, "no certificate") {
				cfg = Config{} // nothing to wait for
			}
			k := newController(t, cfg, nil)
			if test.tls {
				k = newTLSController(t, ca, cfg)
			}
			for range 3 {
				nc, err := net.Dial("tcp", k.addr)
				if err != nil {
					t.Fatal(err)
				}
				test.peer(nc)
				nc.Close()
			}
			for k.stats.Refused.Load() < 3 {
				time.Sleep(time.Millisecond)
			}
			lines := k.awaitLog(t, "switch refused", 1)
			if len(lines) != 1 {
				t.Errorf("%d log lines, want 1: %v", len(lines), lines)
			}
			fields := lines[0].ContextMap()
			if reason, _ := fields["reason"].(string); !strings.Contains(reason, test.want) {
				t.Errorf("reason %q, want %q", reason, test.want)
			}
			if remote, _ := fields["remote"].(string); !strings.HasPrefix(remote, "127.0.0.1:") {
				t.Errorf("the log line names the peer %q", remote)
			}
		})
	}
}

// A TLS peer that stalls has a place in the lobby, and not the accept loop.
func TestStalledTLSPeersCannotKeepSwitchesOut(t *testing.T) {
	t.Parallel()
	ca := tlstest.NewCA(t)
	k := newTLSController(t, ca, Config{MaxHandshakes: 2, HandshakeTimeout: time.Hour})
	for range 6 {
		dialPeer(t, k.addr)
	}
	nc, err := tls.Dial("tcp", k.addr, &tls.Config{RootCAs: ca.Pool, Certificates: []tls.Certificate{ca.Issue(t, "switch").TLS}})
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{nc, t}
	defer nc.Close()
	p.handshake(7)
	if got := k.next(t).Features().DatapathID; got != 7 {
		t.Errorf("switch %d came", got)
	}
}
