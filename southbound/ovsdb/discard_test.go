package ovsdb

import (
	"net"
	"time"
)

// discard is a connection that takes everything and never says a word.
type discard struct{ net.Conn }

func (discard) Write(p []byte) (int, error)      { return len(p), nil }
func (discard) Close() error                     { return nil }
func (discard) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (discard) SetWriteDeadline(time.Time) error { return nil }
