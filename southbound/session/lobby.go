package session

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// errCrowded ends a handshake that held up others.
var errCrowded = errors.New("session: handshake: too slow while others wait")

// patience is how long a handshake may take while others wait for its place.
const patience = time.Second

// hostOf is what the shares of connections are counted by: an IPv4 address, or
// the /64 that an IPv6 host has to itself. It is empty for what has no address
// (a unix socket), which has no limit.
func hostOf(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return ""
	}
	ip := tcp.AddrPort().Addr().Unmap()
	if ip.Is4() {
		return ip.String()
	}
	return netip.PrefixFrom(ip.WithZone(""), 64).Masked().String()
}

// census counts connections, all and by host.
type census struct {
	max, maxPerHost int

	mu     sync.Mutex
	all    int
	byHost map[string]int
}

// add counts a connection, or says why there is no room for it.
func (n *census) add(host string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.all >= n.max {
		return fmt.Errorf("session: there are %d connections already, which is the limit", n.all)
	}
	if have := n.byHost[host]; host != "" && have >= n.maxPerHost {
		return fmt.Errorf("session: there are %d connections from %s already, which is the limit for one address", have, host)
	}
	if n.byHost == nil {
		n.byHost = make(map[string]int)
	}
	n.all++
	n.byHost[host]++
	return nil
}

func (n *census) remove(host string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all--
	if n.byHost[host]--; n.byHost[host] == 0 {
		delete(n.byHost, host)
	}
}

// lobby lets a number of connections at a time do their handshake. The others
// wait, and hosts take turns: however many connections one of them opens, the
// first of another is next. While somebody waits, whoever has had a place for
// longer than patience is sent away, so that peers that only connect and
// stall cannot keep switches out.
type lobby struct {
	max int

	mu      sync.Mutex
	inside  []*guest            // in order of entry
	waiting map[string][]*guest // by host, in order of arrival
	turns   []string            // the keys of waiting, next first
	timer   *time.Timer         // runs while somebody waits
}

// guest is a connection that has not finished its handshake.
type guest struct {
	host    string
	place   chan struct{} // closed when it has one
	since   time.Time     // it has one
	dismiss func(error)   // ends the connection
}

// join lines up for a place, or takes one. The guest must leave.
func (l *lobby) join(host string, dismiss func(error)) *guest {
	g := &guest{host: host, place: make(chan struct{}), dismiss: dismiss}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting == nil {
		l.waiting = make(map[string][]*guest)
	}
	if len(l.waiting[host]) == 0 {
		l.turns = append(l.turns, host)
	}
	l.waiting[host] = append(l.waiting[host], g)
	l.admit()
	return g
}

// wait returns when g has a place; it fails when ctx, that of the connection, is
// done.
func (g *guest) wait(ctx context.Context) error {
	select {
	case <-g.place:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// leave gives up the place of g, or its wait for one.
func (l *lobby) leave(g *guest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	same := func(o *guest) bool { return o == g }
	if !g.since.IsZero() {
		l.inside = slices.DeleteFunc(l.inside, same)
	} else if queue := slices.DeleteFunc(l.waiting[g.host], same); len(queue) > 0 {
		l.waiting[g.host] = queue
	} else {
		delete(l.waiting, g.host)
		l.turns = slices.DeleteFunc(l.turns, func(h string) bool { return h == g.host })
	}
	l.admit()
}

// admit fills free places, and has the timer run while somebody waits. The
// caller holds mu.
func (l *lobby) admit() {
	now := time.Now()
	for len(l.inside) < l.max && len(l.turns) > 0 {
		host := l.turns[0]
		l.turns = l.turns[1:]
		queue := l.waiting[host]
		g := queue[0]
		if len(queue) > 1 {
			l.waiting[host] = queue[1:]
			l.turns = append(l.turns, host)
		} else {
			delete(l.waiting, host)
		}
		g.since = now
		l.inside = append(l.inside, g)
		close(g.place)
	}
	switch {
	case len(l.turns) == 0:
		if l.timer != nil {
			l.timer.Stop()
		}
	case l.timer == nil:
		l.timer = time.AfterFunc(patience-now.Sub(l.inside[0].since), l.clear)
	default:
		l.timer.Reset(patience - now.Sub(l.inside[0].since))
	}
}

// clear sends away those who are too slow, as long as others wait.
func (l *lobby) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	for len(l.turns) > 0 && len(l.inside) > 0 && now.Sub(l.inside[0].since) >= patience {
		slow := l.inside[0]
		l.inside = l.inside[1:]
		slow.dismiss(errCrowded)
		l.admit()
	}
	l.admit() // for the timer
}
