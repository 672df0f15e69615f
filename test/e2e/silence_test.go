package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/macloom/macloom/test/lab"
)

// wire is a link between two bridges by way of a third one, which passes all that it
// gets until it is cut. The ports of the two keep their carrier.
type wire struct {
	lab  *lab.Lab
	name string
	ends [2]string // ports of the two bridges
}

func newWire(l *lab.Lab, a, b *lab.Bridge) *wire {
	between := l.Bridge("wire", lab.BridgeOptions{})
	w := &wire{lab: l, name: between.Name}
	w.ends[0], _ = l.Link(a, between)
	w.ends[1], _ = l.Link(b, between)
	w.restore()
	return w
}

func (w *wire) restore() {
	w.lab.Ofctl("add-flow", w.name, "in_port=1,actions=output:2")
	w.lab.Ofctl("add-flow", w.name, "in_port=2,actions=output:1")
}

func (w *wire) cut() { w.lab.Ofctl("del-flows", w.name) }

// A link that carries nothing while its ports have carrier is given up when frames of the
// controller are not heard; with BFD, by the switches themselves, and at once.
func TestALinkThatIsDeadWithItsCarrierIsGivenUp(t *testing.T) {
	t.Parallel()
	m := newMesh(t, 3, [2]int{1, 2}, [2]int{2, 0})
	w := newWire(m.lab, m.bridges[0], m.bridges[1])
	m.settle(3)
	w.cut()
	m.settle(2)
	m.once()
	w.restore()
	m.settle(3)

	for _, end := range w.ends {
		m.lab.Vsctl("set", "interface", end, "bfd:enable=true", "bfd:min_rx=100", "bfd:min_tx=100")
	}
	for _, end := range w.ends {
		lab.Wait(t, "BFD to be up at "+end, patience, func() error {
			if state := m.lab.Vsctl("get", "interface", end, "bfd_status:state"); state != "up" {
				return fmt.Errorf("it is %s", state)
			}
			return nil
		})
	}
	m.settle(3)
	m.acquaint()
	const second = 50
	pings := m.hosts[0].StartPing(m.hosts[1].Addr.String(), time.Second/second)
	m.sent(pings, 5)
	w.cut()
	m.settle(2)
	m.sent(pings, 2*second)
	if got := pings.Stop(); got.Sent-got.Received > second {
		t.Errorf("a link with BFD was cut: %v", got)
	}
	w.restore()
	m.settle(3)
	m.once()
}
