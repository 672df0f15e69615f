package fabric

import "github.com/macloom/macloom/controller/intent"

// forest returns which of the live links are in the flood tree: a spanning tree
// of each component. A link that was in it stays, so that a tree changes only
// where it has to; another one joins only if it connects what is apart without
// it. Of several that would do, the first one of the list joins.
func forest(live []Link, had func(Link) bool) map[Link]bool {
	tree, whole := make(map[Link]bool, len(live)), parts{}
	for _, l := range live {
		if had(l) && whole.join(l.A.DPID, l.B.DPID) {
			tree[l] = true
		}
	}
	for _, l := range live {
		if !tree[l] && whole.join(l.A.DPID, l.B.DPID) {
			tree[l] = true
		}
	}
	return tree
}

// parts is a partition of switches: a forest of pointers to one of each part.
type parts map[intent.DPID]intent.DPID

func (p parts) of(d intent.DPID) intent.DPID {
	for {
		up, ok := p[d]
		if !ok || up == d {
			return d
		}
		if top, ok := p[up]; ok {
			p[d] = top
		}
		d = up
	}
}

// join makes one part of those of two switches; false: they were one already.
func (p parts) join(a, b intent.DPID) bool {
	a, b = p.of(a), p.of(b)
	if a == b {
		return false
	}
	p[max(a, b)] = min(a, b)
	return true
}
