package fabric

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
)

const (
	// maxHosts and maxPortHosts bound what is known of hosts in all, and behind
	// one port: who makes up addresses must not keep others out of the list.
	maxHosts     = 1 << 16
	maxPortHosts = 1000

	// maxHostIPs is how many IP addresses of a host are kept, the latest ones.
	maxHostIPs = 8

	// seenStep is how much later a host must have been seen for that alone to be told,
	// and hostRest how long ago one must have been told to be told again: it may
	// jump between ports as fast as it likes.
	seenStep = 10 * time.Second
	hostRest = 2 * time.Second

	// doubtFor is how long a host stays that may have gone without being noticed.
	doubtFor = 5 * time.Minute
)

// Host is a station behind a port that leads to stations.
type Host struct {
	MAC      mac.Addr
	At       End
	IPs      []netip.Addr // told by ARP or neighbour discovery, the latest last
	Since    time.Time    // when it was found
	LastSeen time.Time    // when a frame of it last came to the controller
	MovedAt  time.Time    // when it last appeared behind another port; zero: never
	Moves    int64        // how often it did
}

// HostChange is a host as it is by now, or one that is gone.
type HostChange struct {
	Host
	Gone bool
}

// Hosts are the stations of the whole fabric, each at one place. It is safe for
// concurrent use.
type Hosts struct {
	mu      sync.Mutex
	hosts   map[mac.Addr]*Host
	behind  map[End]int            // how many there are
	doubted map[mac.Addr]time.Time // hosts that are gone if they are not seen until then
	told    map[mac.Addr]time.Time // when TakeChanged last told of those that it told to be there
	changed map[mac.Addr]struct{}
	news    chan struct{}
}

// NewHosts returns Hosts of which none is known.
func NewHosts() *Hosts {
	return &Hosts{
		hosts: map[mac.Addr]*Host{}, behind: map[End]int{}, doubted: map[mac.Addr]time.Time{}, told: map[mac.Addr]time.Time{},
		changed: map[mac.Addr]struct{}{}, news: make(chan struct{}, 1),
	}
}

// Load takes over the hosts that are known from before.
func (h *Hosts) Load(known []Host) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, k := range known {
		h.told[k.MAC] = time.Time{}
		if !h.room(k.At) {
			h.change(k.MAC) // it is not known any more
			continue
		}
		h.hosts[k.MAC] = &k
		h.behind[k.At]++
	}
}

func (h *Hosts) room(at End) bool { return len(h.hosts) < maxHosts && h.behind[at] < maxPortHosts }

// Seen takes down a frame of a station that came by a port which leads to
// stations, with the IP address that it tells, if any.
func (h *Hosts) Seen(now time.Time, a mac.Addr, at End, told netip.Addr) {
	h.mu.Lock()
	defer h.mu.Unlock()
	k := h.hosts[a]
	switch {
	case k == nil && !h.room(at):
		return
	case k == nil:
		h.meet(now, a, at)
		k = h.hosts[a]
	case k.At != at:
		if h.behind[at] >= maxPortHosts {
			h.drop(k) // it is not where it was
			return
		}
		h.move(now, k, at)
	case now.Sub(k.LastSeen) >= seenStep:
		h.change(a)
	}
	k.LastSeen = now
	delete(h.doubted, a)
	if !told.IsValid() {
		return
	}
	if last := len(k.IPs) - 1; last >= 0 && k.IPs[last] == told {
		return
	}
	was := len(k.IPs)
	ips := slices.DeleteFunc(slices.Clone(k.IPs), func(ip netip.Addr) bool { return ip == told })
	known := len(ips) < was
	ips = append(ips, told)
	k.IPs = ips[max(len(ips)-maxHostIPs, 0):]
	if !known {
		h.change(a)
	}
}

func (h *Hosts) meet(now time.Time, a mac.Addr, at End) {
	h.hosts[a] = &Host{MAC: a, At: at, Since: now, LastSeen: now}
	h.behind[at]++
	h.change(a)
}

func (h *Hosts) move(now time.Time, k *Host, to End) {
	h.leave(k.At)
	h.behind[to]++
	k.At, k.MovedAt, k.Moves = to, now, k.Moves+1
	h.change(k.MAC)
}

func (h *Hosts) drop(k *Host) {
	delete(h.hosts, k.MAC)
	delete(h.doubted, k.MAC)
	h.leave(k.At)
	if _, told := h.told[k.MAC]; !told {
		delete(h.changed, k.MAC) // who makes up addresses leaves nothing behind
		return
	}
	h.change(k.MAC)
}

func (h *Hosts) leave(at End) {
	if h.behind[at]--; h.behind[at] <= 0 {
		delete(h.behind, at)
	}
}

// Silent says that a switch has not seen a station for as long as it remembers
// them.
func (h *Hosts) Silent(a mac.Addr, d intent.DPID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if k := h.hosts[a]; k != nil && k.At.DPID == d {
		h.drop(k)
	}
}

// Unsought says that a switch has not sent anything to a station for as long as it
// remembers them, and so learns it anew with its next frame. It may have gone, too.
func (h *Hosts) Unsought(now time.Time, a mac.Addr, d intent.DPID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if k := h.hosts[a]; k != nil && k.At.DPID == d {
		h.doubted[a] = now.Add(doubtFor)
	}
}

// Gone says that a station is not known behind a port any more.
func (h *Hosts) Gone(a mac.Addr, at End) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if k := h.hosts[a]; k != nil && k.At == at {
		h.drop(k)
	}
}

// Held takes over the stations that a switch knew at a time behind ports that
// lead to stations. Those that it did not know then are gone from it.
func (h *Hosts) Held(now time.Time, d intent.DPID, held map[mac.Addr]uint32) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, k := range h.hosts {
		_, still := held[k.MAC]
		_, doubted := h.doubted[k.MAC] // it was not to be held
		if k.At.DPID == d && !still && !doubted && k.LastSeen.Before(now) {
			h.drop(k)
		}
	}
	for _, a := range slices.Sorted(maps.Keys(held)) {
		at := End{d, held[a]}
		k := h.hosts[a]
		switch {
		case k == nil && h.room(at):
			h.meet(now, a, at)
		case k != nil && k.At.DPID == d && k.At != at && k.LastSeen.Before(now) && h.behind[at] < maxPortHosts:
			// It moved while nobody was there to see it.
			h.move(now, k, at)
		}
	}
}

// Forget removes the hosts of a switch that will not come again.
func (h *Hosts) Forget(d intent.DPID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, k := range h.hosts {
		if k.At.DPID == d {
			h.drop(k)
		}
	}
}

// Len returns how many hosts are known.
func (h *Hosts) Len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.hosts)
}

func (h *Hosts) change(a mac.Addr) {
	h.changed[a] = struct{}{}
	select {
	case h.news <- struct{}{}:
	default: // one is there already
	}
}

// News holds a token when TakeChanged has something to tell.
func (h *Hosts) News() <-chan struct{} { return h.news }

// TakeChanged returns what has become of at most so many hosts since it was
// asked last, each once, in the order of their addresses. One of which it told
// a short while ago has to wait: who gets no news asks again later.
func (h *Hosts) TakeChanged(now time.Time, most int) []HostChange {
	h.mu.Lock()
	defer h.mu.Unlock()
	for a, until := range h.doubted {
		if !now.Before(until) {
			h.drop(h.hosts[a])
		}
	}
	var list []HostChange
	for a := range h.changed {
		if now.Sub(h.told[a]) < hostRest {
			continue
		}
		if len(list) == most {
			h.change(a) // there is more
			break
		}
		delete(h.changed, a)
		c := HostChange{Host: Host{MAC: a}, Gone: true}
		if k := h.hosts[a]; k != nil {
			c = HostChange{Host: *k}
			h.told[a] = now
		} else {
			delete(h.told, a)
		}
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b HostChange) int { return cmp.Compare(a.MAC, b.MAC) })
	return list
}

// Changed says that what TakeChanged returned may not have been heard.
func (h *Hosts) Changed(lost []HostChange) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range lost {
		h.told[c.MAC] = time.Time{}
		h.change(c.MAC)
	}
}
