package fabric

import (
	"maps"
	"runtime"
	"slices"
	"sync"

	"github.com/macloom/macloom/controller/intent"
)

// Rule says where frames for the stations of a switch go on.
type Rule struct {
	To intent.DPID // the switch that they are for
	// In is the port that they came by; 0: any other. Where frames come by a port
	// with a rule, a link has failed on the way that they would have taken.
	In      uint32
	Primary []uint32 // ports that are as good as each other, in order
	Backup  uint32   // port for when none of these is alive; 0: there is none
}

// Paths returns the rules of each switch, by the switch that frames are for.
//
// Frames take any of the shortest paths. Where only one link leads on and is
// dead, the switch deflects: it sends them by another link, which does not lead
// nearer. Whoever gets a frame by a link from a switch that is not further away than itself
// knows by that alone that it was deflected, for no other frame takes such a
// link. If all shortest paths from there are without the switch that deflected, they
// take one of these; otherwise a rule for that port leads them on until they come to
// such a place. So any one link may fail. Frames that were deflected bear a mark
// (package pipeline), so that they go in no circle if others fail, too.
//
// Frames pass no switch of those to avoid, but for the one that they are for.
func Paths(links []Link, avoid map[intent.DPID]bool) map[intent.DPID][]Rule {
	g := newGraph(slices.SortedFunc(slices.Values(links), Link.Compare))
	for i, d := range g.ids {
		g.avoid[i] = avoid[d]
	}
	// Destinations have nothing to do with each other: each worker takes some of them.
	workers := max(1, min(runtime.GOMAXPROCS(0), len(g.ids)/leastPerWorker))
	parts := make([][][]Rule, workers)
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() { parts[i] = g.rules(i*len(g.ids)/workers, (i+1)*len(g.ids)/workers) })
	}
	wg.Wait()
	rules := make(map[intent.DPID][]Rule, len(g.ids))
	for v, d := range g.ids {
		of := make([][]Rule, workers)
		for i := range parts {
			of[i] = parts[i][v]
		}
		rules[d] = slices.Concat(of...)
	}
	return rules
}

// leastPerWorker is how many destinations are worth a worker.
const leastPerWorker = 16

// rules returns the rules of each switch for some of the destinations.
func (g *graph) rules(from, until int) [][]Rule {
	rules, r := make([][]Rule, len(g.ids)), g.newRoutes()
	for v := range rules {
		rules[v] = make([]Rule, 0, until-from)
	}
	for to := from; to < until; to++ {
		r.find(to)
		for v := range g.ids {
			rules[v] = r.appendRules(rules[v], v)
		}
	}
	return rules
}

// graph is the fabric by numbers: switches in the order of their ids, and an arc
// for each direction of each link.
type graph struct {
	ids  []intent.DPID
	arcs []arc
	out  [][]int // arcs that leave each switch

	avoid []bool // switches that frames do not pass
}

type arc struct {
	from, to int
	port, in uint32 // of from, of to
	back     int    // the arc of the other direction
}

func newGraph(links []Link) *graph {
	seen := map[intent.DPID]int{}
	for _, l := range links {
		seen[l.A.DPID], seen[l.B.DPID] = 0, 0
	}
	g := &graph{ids: slices.Sorted(maps.Keys(seen)), out: make([][]int, len(seen)), avoid: make([]bool, len(seen))}
	for i, d := range g.ids {
		seen[d] = i
	}
	for _, l := range links {
		a, b, n := seen[l.A.DPID], seen[l.B.DPID], len(g.arcs)
		if a == b {
			continue // a switch that is connected with itself
		}
		g.arcs = append(g.arcs, arc{a, b, l.A.Port, l.B.Port, n + 1}, arc{b, a, l.B.Port, l.A.Port, n})
		g.out[a], g.out[b] = append(g.out[a], n), append(g.out[b], n+1)
	}
	return g
}

// What is done with a frame that came by an arc; at and above 0: the arc that it goes on by.
const (
	undecided = -1
	downhill  = -2 // it takes the shortest paths, as if it had not been deflected
)

// routes are the ways to one switch, and then to another.
type routes struct {
	g      *graph
	to     int
	dist   []int
	order  []int   // switches that reach it, nearest first
	next   [][]int // arcs of each switch that lead nearer
	backup []int   // arc of each switch for when its only one of these is dead; undecided: none
	onward []int   // what is done with frames that came by each arc that leads no nearer
	passes bitsets // the switches that the shortest paths of each switch may pass, and itself
	around search
	spare  []uint32 // for the ports of rules
}

// unreachable is the distance of what no path leads to.
const unreachable = 1 << 30

func (g *graph) newRoutes() *routes {
	n := len(g.ids)
	r := &routes{g: g, dist: make([]int, n), order: make([]int, 0, n), next: make([][]int, n), backup: make([]int, n), onward: make([]int, len(g.arcs)), passes: newBitsets(n)}
	r.around = search{routes: r, seen: make([]int, len(g.arcs)), came: make([]int, len(g.arcs))}
	return r
}

// find finds the ways to a switch.
func (r *routes) find(to int) {
	g := r.g
	r.to, r.order = to, append(r.order[:0], to)
	for v := range r.next {
		r.next[v] = r.next[v][:0]
	}
	fill(r.dist, unreachable)
	fill(r.backup, undecided)
	fill(r.onward, undecided)
	clear(r.passes.bits)
	r.dist[to] = 0
	for i := 0; i < len(r.order); i++ {
		v := r.order[i]
		if !r.passable(v) {
			continue
		}
		for _, a := range g.out[v] {
			if w := g.arcs[a].to; r.dist[w] == unreachable {
				r.dist[w] = r.dist[v] + 1
				r.order = append(r.order, w)
			}
		}
	}
	for _, v := range r.order {
		r.passes.add(v, v)
		for _, a := range g.out[v] {
			if w := g.arcs[a].to; r.dist[w] < r.dist[v] && r.passable(w) {
				r.next[v] = append(r.next[v], a)
				r.passes.include(v, w)
			}
		}
	}
	// Nearest first: around its failure most switches are concerned, and a way
	// that avoids it suits those further up the same path.
	for _, v := range r.order {
		if len(r.next[v]) == 1 {
			r.around.deflect(v)
		}
	}
}

func fill(s []int, value int) {
	for i := range s {
		s[i] = value
	}
}

// nearer reports whether an arc leads nearer to the destination.
func (r *routes) nearer(a int) bool { return r.dist[r.g.arcs[a].to] < r.dist[r.g.arcs[a].from] }

// passable reports whether frames may go on from a switch, or are for it.
func (r *routes) passable(v int) bool { return v == r.to || !r.g.avoid[v] }

// search finds ways around failures.
type search struct {
	*routes
	seen, came []int // by arc: the search that it was last seen in, and the arc before
	round      int
	todo       []int
}

// deflect looks for the shortest way by which frames of v whose only way on is
// dead come to a switch whose shortest paths are without v, and keeps to what is decided
// about arcs already.
func (s *search) deflect(v int) {
	s.round++
	s.todo = s.todo[:0]
	visit := func(a, from int) {
		if s.seen[a] != s.round && s.g.arcs[a].to != v && s.passable(s.g.arcs[a].to) {
			s.seen[a], s.came[a] = s.round, from
			s.todo = append(s.todo, a)
		}
	}
	for _, a := range s.g.out[v] {
		if a != s.next[v][0] {
			visit(a, undecided)
		}
	}
	for i := 0; i < len(s.todo); i++ {
		a := s.todo[i]
		u := s.g.arcs[a].to
		safe := !s.passes.has(u, v)
		if s.nearer(a) {
			// Nobody can tell it from others there.
			if safe {
				s.keep(v, a, undecided)
				return
			}
			continue
		}
		switch on := s.onward[a]; {
		case on == downhill || on == undecided && safe:
			if safe {
				s.keep(v, a, downhill)
				return
			}
		case on >= 0:
			visit(on, a)
		default:
			for _, b := range s.g.out[u] {
				if b != s.g.arcs[a].back {
					visit(b, a)
				}
			}
		}
	}
}

// keep decides the way that ends with an arc.
func (s *search) keep(v, last, end int) {
	if end == downhill {
		s.onward[last] = downhill
	}
	for s.came[last] != undecided {
		s.onward[s.came[last]] = last
		last = s.came[last]
	}
	s.backup[v] = last
}

// appendRules adds the rules of a switch.
func (r *routes) appendRules(rules []Rule, v int) []Rule {
	if v == r.to || len(r.next[v]) == 0 {
		return rules
	}
	plain := Rule{To: r.g.ids[r.to], Primary: r.ports(len(r.next[v]))}
	for i, a := range r.next[v] {
		plain.Primary[i] = r.g.arcs[a].port
	}
	slices.Sort(plain.Primary)
	if b := r.backup[v]; b != undecided {
		plain.Backup = r.g.arcs[b].port
	}
	rules = append(rules, plain)
	from := len(rules)
	for _, a := range r.g.out[v] {
		in := r.g.arcs[a].back
		if on := r.onward[in]; on >= 0 {
			out := r.ports(1)
			out[0] = r.g.arcs[on].port
			rules = append(rules, Rule{To: plain.To, In: r.g.arcs[in].in, Primary: out})
		}
	}
	slices.SortFunc(rules[from:], func(a, b Rule) int { return int(int64(a.In) - int64(b.In)) })
	return rules
}

// ports returns room for some ports: many rules share a piece of memory.
func (r *routes) ports(n int) []uint32 {
	if len(r.spare) < n {
		r.spare = make([]uint32, max(n, 1024))
	}
	taken := r.spare[:n:n]
	r.spare = r.spare[n:]
	return taken
}

// bitsets is a set of numbers below n for each of n.
type bitsets struct {
	words int
	bits  []uint64
}

func newBitsets(n int) bitsets {
	words := (n + 63) / 64
	return bitsets{words, make([]uint64, n*words)}
}

func (b bitsets) of(set int) []uint64      { return b.bits[set*b.words : (set+1)*b.words] }
func (b bitsets) add(set, member int)      { b.of(set)[member/64] |= 1 << (member % 64) }
func (b bitsets) has(set, member int) bool { return b.of(set)[member/64]&(1<<(member%64)) != 0 }

// include adds the members of another set.
func (b bitsets) include(set, other int) {
	from := b.of(other)
	for i, w := range b.of(set) {
		b.of(set)[i] = w | from[i]
	}
}
