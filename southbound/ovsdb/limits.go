package ovsdb

import (
	"fmt"
	"net"
	"sync"
	"time"
)

// limits are what all connections of a Serve or Follow may take, together and
// by address: one address can not take what others need.
type limits struct {
	cfg *Config

	mu     sync.Mutex
	conns  int
	memory int
	shares map[string]*share
}

// A share is what the connections of one address take.
type share struct {
	l      *limits
	host   string
	conns  int
	memory int
}

func newLimits(cfg *Config) *limits { return &limits{cfg: cfg, shares: map[string]*share{}} }

// hostOf is an address without its port. Of IPv6 it is the network, of which
// one host has all addresses.
func hostOf(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return addr.Network()
	}
	ip := tcp.AddrPort().Addr().Unmap()
	if ip.Is6() && !ip.IsLoopback() {
		prefix, _ := ip.WithZone("").Prefix(64) // fits IPv6
		return prefix.String()
	}
	return ip.String()
}

// join counts a connection, until leave.
func (l *limits) join(host string) (*share, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.shares[host]
	switch {
	case l.conns >= l.cfg.MaxConns:
		return nil, fmt.Errorf("ovsdb: there are %d connections already, which is the limit", l.conns)
	case s != nil && s.conns >= l.cfg.MaxConnsPerAddress:
		return nil, fmt.Errorf("ovsdb: there are %d connections from this address already, which is the limit", s.conns)
	case s == nil:
		s = &share{l: l, host: host}
		l.shares[host] = s
	}
	l.conns++
	s.conns++
	return s, nil
}

func (s *share) leave() {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	s.l.conns--
	if s.conns--; s.conns == 0 {
		delete(s.l.shares, s.host)
	}
}

// grow makes room for add bytes, or takes them back if add is negative, which
// never fails.
func (s *share) grow(add int) error {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	if add > 0 {
		if s.memory+add > s.l.cfg.MaxMemoryPerAddress {
			return fmt.Errorf("ovsdb: connections from this address need more than %d bytes", s.l.cfg.MaxMemoryPerAddress)
		}
		if s.l.memory+add > s.l.cfg.MaxMemory {
			return fmt.Errorf("ovsdb: all connections need more than %d bytes", s.l.cfg.MaxMemory)
		}
	}
	s.memory += add
	s.l.memory += add
	return nil
}

const (
	quietTime  = 30 * time.Second // between two lines about an address
	quietHosts = 1024             // addresses that are remembered
)

// quiet keeps a flood of connections from becoming a flood of lines.
type quiet struct {
	now func() time.Time

	mu     sync.Mutex
	hosts  map[string]time.Time // until when nothing is said of it
	unsaid int
}

func newQuiet(now func() time.Time) *quiet { return &quiet{now: now, hosts: map[string]time.Time{}} }

// may says whether something may be said of a host, and how often it was not
// said of any host before.
func (q *quiet) may(host string) (ok bool, unsaid int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	if len(q.hosts) >= quietHosts {
		for h, until := range q.hosts {
			if !now.Before(until) {
				delete(q.hosts, h)
			}
		}
	}
	if until, known := q.hosts[host]; known && now.Before(until) || !known && len(q.hosts) >= quietHosts {
		q.unsaid++
		return false, 0
	}
	q.hosts[host] = now.Add(quietTime)
	unsaid, q.unsaid = q.unsaid, 0
	return true, unsaid
}
