package listen

import (
	"context"
	"errors"
	"net"
	"testing"

	"go.uber.org/zap"
)

// brittle is a listener whose first accepts fail as they do without file descriptors.
type brittle struct {
	net.Listener
	failures int
}

func (b *brittle) Accept() (net.Conn, error) {
	if b.failures > 0 {
		b.failures--
		return nil, errors.New("too many open files")
	}
	return b.Listener.Accept()
}

func TestServeOutlivesFailedAcceptsAndEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	admitted, served := make(chan net.Conn, 1), make(chan error, 1)
	go func() {
		served <- Serve(ctx, &brittle{Listener: ln, failures: 3}, zap.NewNop(), func(nc net.Conn) { admitted <- nc })
	}()
	nc, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	(<-admitted).Close()
	cancel()
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if nc, err := net.Dial("tcp", ln.Addr().String()); err == nil {
		nc.Close()
		t.Error("the listener is still open")
	}
}

func TestServeSaysThatItsListenerWasClosed(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	if err := Serve(t.Context(), ln, zap.NewNop(), func(net.Conn) {}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve: %v, want net.ErrClosed", err)
	}
}
