package fabric

import (
	"fmt"
	"math/rand/v2"

	"github.com/macloom/macloom/controller/intent"
)

// cables makes links between switches 1, 2…, with the next free port of each.
type cables struct {
	links []Link
	used  map[intent.DPID]uint32
}

func (c *cables) connect(a, b int) {
	if c.used == nil {
		c.used = map[intent.DPID]uint32{}
	}
	end := func(n int) End {
		d := intent.DPID(n + 1)
		c.used[d]++
		return End{d, c.used[d]}
	}
	c.links = append(c.links, Between(end(a), end(b)))
}

func ring(n int) []Link {
	var c cables
	for i := range n {
		c.connect(i, (i+1)%n)
	}
	return c.links
}

func torus(w, h int) []Link {
	var c cables
	for y := range h {
		for x := range w {
			c.connect(y*w+x, y*w+(x+1)%w)
			c.connect(y*w+x, (y+1)%h*w+x)
		}
	}
	return c.links
}

// fatTree is the three-stage network of switches with k ports: 5k²/4 of them.
func fatTree(k int) []Link {
	var c cables
	half := k / 2
	cores := half * half
	for pod := range k {
		first := cores + pod*k
		for agg := range half {
			for i := range half {
				c.connect(agg*half+i, first+agg)   // a core
				c.connect(first+agg, first+half+i) // an edge
			}
		}
	}
	return c.links
}

// random is a connected graph with n switches and extra links beyond a tree.
func random(r *rand.Rand, n, extra int) []Link {
	var c cables
	for i := 1; i < n; i++ {
		c.connect(i, r.IntN(i))
	}
	for range extra {
		if a, b := r.IntN(n), r.IntN(n); a != b {
			c.connect(a, b)
		}
	}
	return c.links
}

// regular are the fabrics in which every failure of one link must be survived.
func regular() map[string][]Link {
	all := map[string][]Link{
		"parallel":  {Between(End{1, 1}, End{2, 1}), Between(End{1, 2}, End{2, 2})},
		"torus 3x3": torus(3, 3), "torus 4x3": torus(4, 3), "torus 5x4": torus(5, 4), "fat-tree 4": fatTree(4),
	}
	for n := 3; n <= 9; n++ {
		all[fmt.Sprint("ring ", n)] = ring(n)
	}
	return all
}
