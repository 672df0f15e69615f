package controller

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/store"
	"github.com/macloom/macloom/controller/store/storetest"
)

const (
	dpid     intent.DPID = 7
	patience             = time.Minute
)

// rig is a controller without listeners on a real store.
func rig(t *testing.T) (*Controller, *store.Store) {
	t.Helper()
	db := storetest.New(t)
	return New(Config{Store: db, Unmanaged: intent.UnmanagedLearn, Log: zap.NewNop(), Metrics: prometheus.NewRegistry()}), db
}

// boundPort makes a network and a port bound to a switch port.
func boundPort(t *testing.T, db *store.Store, no uint32) {
	t.Helper()
	admin := store.Scope{Admin: true}
	networks, err := db.CreateNetworks(t.Context(), admin, []intent.Network{{Meta: intent.Meta{TenantID: "acme"}, MTU: 1450, AdminUp: true}})
	if err != nil {
		t.Fatal(err)
	}
	p := store.NewPort{Port: intent.Port{
		Meta: intent.Meta{TenantID: "acme"}, NetworkID: networks[0].ID, AdminUp: true,
		Binding: intent.Binding{Host: dpid.String(), PortNo: no},
	}}
	if _, err := db.CreatePorts(t.Context(), admin, []store.NewPort{p}); err != nil {
		t.Fatal(err)
	}
}

// awaitPorts waits until the view of the switch has n ports.
func awaitPorts(t *testing.T, c *Controller, n int) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		v := c.world.View(dpid, []intent.SwitchPort{{No: 1}, {No: 2}, {No: 3}})
		if len(v.Ports) == n {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the view has %d ports, want %d", len(v.Ports), n)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func follow(t *testing.T, c *Controller) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- c.follow(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
	})
}

func TestTheIntentIsLoadedAndThenFollowed(t *testing.T) {
	t.Parallel()
	c, db := rig(t)
	boundPort(t, db, 1)
	if err := c.world.load(t.Context()); err != nil {
		t.Fatal(err)
	}
	awaitPorts(t, c, 1)
	follow(t, c)
	boundPort(t, db, 2)
	awaitPorts(t, c, 2)
	ports, err := db.Ports(t.Context(), store.Scope{Admin: true}, store.Query{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range ports {
		if err := db.DeletePort(t.Context(), store.Scope{Admin: true}, p.ID); err != nil {
			t.Fatal(err)
		}
	}
	awaitPorts(t, c, 0)
}

func TestWhatBecameOfAPortInASwitchTouchesNoSwitch(t *testing.T) {
	t.Parallel()
	c, db := rig(t)
	boundPort(t, db, 1)
	ports, err := db.Ports(t.Context(), store.Scope{Admin: true}, store.Query{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.world.load(t.Context()); err != nil {
		t.Fatal(err)
	}
	change := store.Change{Revision: c.world.revision() + 1, Kind: store.KindPort, ID: ports[0].ID, Op: store.OpUpdate}
	for _, fact := range []bool{true, false} {
		// The port is DOWN: a change of what is wanted of it has its switch looked at.
		change.Fact = fact
		touched, _, err := c.world.apply(t.Context(), []store.Change{change})
		if err != nil {
			t.Fatal(err)
		}
		if looked := len(touched) > 0; looked == fact {
			t.Errorf("fact %t: touched %v", fact, touched)
		}
	}
	if got := c.world.revision(); got != change.Revision {
		t.Errorf("the state is of revision %d, want %d", got, change.Revision)
	}
}

func TestAFeedThatHasForgottenTooMuchIsMadeGoodByLoadingAnew(t *testing.T) {
	t.Parallel()
	c, db := rig(t)
	if err := c.world.load(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The controller sleeps while all this happens and is forgotten.
	boundPort(t, db, 1)
	boundPort(t, db, 2)
	deadline := time.Now().Add(patience)
	for {
		changes, err := db.Changes(t.Context(), 0, 100)
		if err != nil {
			t.Fatal(err)
		}
		if len(changes) > 0 && changes[len(changes)-1].Kind == store.KindPort && len(changes) >= 4 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the changes are not published")
		}
		time.Sleep(5 * time.Millisecond)
	}
	if err := db.ForgetChanges(t.Context(), time.Now().Add(time.Hour), 1<<40); err != nil {
		t.Fatal(err)
	}
	follow(t, c)
	awaitPorts(t, c, 2)
	boundPort(t, db, 3)
	awaitPorts(t, c, 3)
}
