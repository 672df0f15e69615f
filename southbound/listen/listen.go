// Package listen accepts connections for the servers of southbound.
package listen

import (
	"context"
	"errors"
	"net"
	"time"

	"go.uber.org/zap"
)

// Bounds of the pause after a failed accept, which doubles from one to the next.
const (
	minPause = 5 * time.Millisecond
	maxPause = time.Second
)

// Serve hands the connections that ln accepts to admit, one after the other,
// until ctx is done, when it returns nil, or ln is closed by somebody else,
// when it returns the error. It closes ln.
func Serve(ctx context.Context, ln net.Listener, log *zap.Logger, admit func(net.Conn)) error {
	defer ln.Close()
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()

	var pause time.Duration
	for {
		nc, err := ln.Accept()
		switch {
		case err == nil:
			pause = 0
			admit(nc)
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		default:
			// Out of file descriptors, most likely: that passes.
			pause = min(max(2*pause, minPause), maxPause)
			log.Error("cannot accept connections for now", zap.Error(err), zap.Duration("retry_in", pause))
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return nil
			}
		}
	}
}
