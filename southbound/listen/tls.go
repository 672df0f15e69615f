package listen

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
)

// TLSConfig is for servers whose clients must show a certificate of the CA in
// caFile: TLS 1.2 or later, with the certificate (followed by those that lead to
// its root) in certFile and its key in keyFile, all PEM.
//
// The files are read again when they change, so that a renewal needs no
// restart: the connections that stand are left alone, those to come are held
// against the new files. While these are no good (the certificate is new, the key
// not yet), the old ones stay in use and log says why.
func TLSConfig(certFile, keyFile, caFile string, log *zap.Logger) (*tls.Config, error) {
	if caFile == "" {
		return nil, errors.New("listen: TLS CA: no file is named")
	}
	return (&tlsFiles{cert: certFile, key: keyFile, ca: caFile, log: log}).watched()
}

// ServerTLSConfig is TLSConfig for servers whose clients show no certificate;
// protocols are what they may choose from (ALPN).
func ServerTLSConfig(certFile, keyFile string, protocols []string, log *zap.Logger) (*tls.Config, error) {
	return (&tlsFiles{cert: certFile, key: keyFile, protocols: protocols, log: log}).watched()
}

func (f *tlsFiles) watched() (*tls.Config, error) {
	if err := f.load(); err != nil {
		return nil, err
	}
	cfg := f.config.Clone()
	cfg.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return f.current(), nil }
	return cfg, nil
}

// tlsFiles makes a configuration of files, again when one has changed.
type tlsFiles struct {
	cert, key, ca string // ca is empty for a server that asks for no certificates
	protocols     []string
	log           *zap.Logger

	mu      sync.Mutex
	config  *tls.Config
	seen    [3]os.FileInfo // what config was made of
	trouble string         // with the files of now, as it was logged
}

// current returns the configuration for the next client.
func (f *tlsFiles) current() *tls.Config {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.changed() {
		return f.config
	}
	if err := f.load(); err != nil {
		if f.trouble != err.Error() {
			f.trouble = err.Error()
			f.log.Error("TLS files have changed but are no good; those of before stay in use", zap.Error(err))
		}
		return f.config
	}
	f.trouble = ""
	f.log.Info("TLS files have changed and are in use", zap.String("certificate", f.cert),
		zap.Time("expires", f.config.Certificates[0].Leaf.NotAfter))
	return f.config
}

func (f *tlsFiles) changed() bool {
	for i, name := range [...]string{f.cert, f.key, f.ca} {
		if name == "" {
			continue
		}
		now, err := os.Stat(name)
		if err != nil {
			return true // which load will explain
		}
		if was := f.seen[i]; !os.SameFile(was, now) || was.Size() != now.Size() || !was.ModTime().Equal(now.ModTime()) {
			return true
		}
	}
	return false
}

func (f *tlsFiles) load() error {
	var content [3][]byte
	var seen [3]os.FileInfo
	for i, file := range [...]struct{ what, name string }{{"certificate", f.cert}, {"key", f.key}, {"CA", f.ca}} {
		if file.name == "" {
			continue
		}
		var err error
		// Looked at before it is read: what is written in between is seen next time.
		if seen[i], err = os.Stat(file.name); err == nil {
			content[i], err = os.ReadFile(file.name)
		}
		if err != nil {
			return fmt.Errorf("listen: TLS %s: %w", file.what, err) // names the file
		}
	}
	certs, err := certificates(content[0])
	if err != nil {
		return fmt.Errorf("listen: TLS certificate %s: %w", f.cert, err)
	}
	if end := certs[0].NotAfter; time.Now().After(end) {
		return fmt.Errorf("listen: TLS certificate %s: expired on %s", f.cert, end.UTC().Format(time.DateTime))
	}
	pair, err := tls.X509KeyPair(content[0], content[1])
	if err != nil {
		return fmt.Errorf("listen: TLS key %s (for the certificate %s): %w", f.key, f.cert, err)
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, NextProtos: f.protocols}
	if f.ca != "" {
		roots, err := certificates(content[2])
		if err != nil {
			return fmt.Errorf("listen: TLS CA %s: %w", f.ca, err)
		}
		cfg.ClientAuth, cfg.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		for _, c := range roots {
			cfg.ClientCAs.AddCert(c)
		}
		// A ticket would spare a peer the check against the CA of now.
		cfg.SessionTicketsDisabled = true
	}
	f.seen, f.config = seen, cfg
	return nil
}

// certificates returns those of a PEM file, at least one.
func certificates(content []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	var other string
	for {
		var block *pem.Block
		if block, content = pem.Decode(content); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			other = block.Type
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d in it: %w", len(certs)+1, err)
		}
		certs = append(certs, c)
	}
	switch {
	case len(certs) > 0:
		return certs, nil
	case other != "":
		return nil, fmt.Errorf("holds a %s where a CERTIFICATE is needed", other)
	}
	return nil, errors.New("holds no PEM block")
}

// Handshake completes the handshake of nc if that is a TLS connection, as those
// of tls.NewListener are. The caller sets the deadline. The error says what is
// wrong in a form that is the same each time the same peer fails.
func Handshake(nc net.Conn) error {
	tc, ok := nc.(*tls.Conn)
	if !ok {
		return nil
	}
	err := tc.Handshake()
	if err == nil {
		return nil
	}
	return &tlsError{err: err}
}

// tlsError is a failed TLS handshake, in an operator's words.
type tlsError struct{ err error }

func (e *tlsError) Unwrap() error { return e.err }

func (e *tlsError) Error() string { return "TLS: " + e.what() }

func (e *tlsError) what() string {
	var (
		header  tls.RecordHeaderError
		unknown x509.UnknownAuthorityError
		invalid x509.CertificateInvalidError
		op      *net.OpError
	)
	switch {
	case errors.As(e.err, &header):
		switch b := header.RecordHeader; {
		case b[0] >= 1 && b[0] <= 6 && b[1] <= 1: // version; hello or error
			return "the peer speaks plain OpenFlow, and this port is for TLS: use ssl:, not tcp:"
		case b[0] == '{':
			return "the peer speaks plain JSON-RPC, and this port is for TLS: use ssl:, not tcp:"
		}
		return "the peer does not speak TLS"
	case errors.As(e.err, &unknown):
		return "the certificate of the peer is not from the CA that is trusted here"
	case errors.As(e.err, &invalid):
		if invalid.Reason == x509.Expired {
			return "the certificate of the peer has expired or is not valid yet"
		}
		return fmt.Sprintf("the certificate of the peer is not valid for this use (reason %d of crypto/x509)", invalid.Reason)
	case strings.Contains(e.err.Error(), "didn't provide a certificate"):
		return "the peer shows no certificate"
	case errors.As(e.err, &op) && op.Op == "remote error":
		return "the peer refuses the certificate of the controller: " + op.Err.Error()
	case errors.As(e.err, &op) && op.Timeout():
		return "the handshake takes too long"
	}
	return e.err.Error()
}

// LooksLikeTLS says whether b, the first bytes of a connection, are of a TLS client.
func LooksLikeTLS(b []byte) bool {
	const handshake, major = 22, 3 // ContentType of a ClientHello, ProtocolVersion.major
	return len(b) >= 2 && b[0] == handshake && b[1] == major
}
