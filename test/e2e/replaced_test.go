package e2e

import (
	"errors"
	"strings"
	"testing"

	"github.com/macloom/macloom/test/lab"
)

// A switch whose datapath id is changed while it runs is another one in the same place, with the
// flows of the first: its cables keep their carrier, and its stations say nothing new.
func TestASwitchThatChangesItsDatapathIDStaysInItsFabric(t *testing.T) {
	t.Parallel()
	m := newMesh(t, 4, [2]int{0, 1}, [2]int{1, 2}, [2]int{2, 3}, [2]int{3, 0})
	m.lab.Vsctl("set", "bridge", m.bridges[1].Name, "other-config:datapath-id=00000000000000ee")
	lab.Wait(t, "it to have its links again", patience, func() error {
		if out := m.ctl.CLI("topology", "-o", "csv", "--no-headers"); strings.Count(out, "00000000000000ee") != 2 {
			return errors.New(out)
		}
		return nil
	})
	m.settle(4)
	m.once()
}
