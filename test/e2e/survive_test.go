package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/store/storetest"
	"github.com/macloom/macloom/test/lab"
)

// Killing the controller must not cost a packet, and starting it again neither
// a packet nor a flow-mod.
func TestKillingTheControllerLosesNoPacketAndItsReturnSendsNoFlowMod(t *testing.T) {
	t.Parallel()
	c := newCloud(t, lab.ControllerOptions{OwnDatabase: true})
	network := c.network("acme", "blue", "10.0.0.0/24")
	a, b := c.instance("a", "acme", network, "10.0.0.1", nil), c.instance("b", "acme", network, "10.0.0.2", nil)
	// Two hosts on unmanaged ports, so that learned flows are at stake too.
	u := c.lab.Host(c.bridge, "u", lab.HostOptions{Addrs: []string{"10.1.0.1/24"}})
	v := c.lab.Host(c.bridge, "v", lab.HostOptions{Addrs: []string{"10.1.0.2/24"}})
	c.reaches(a, b, true)
	lab.Wait(t, "the unmanaged hosts to be learned", patience, func() error {
		if got := u.Ping("10.1.0.2", lab.PingOptions{}); got.Received != got.Sent {
			return errors.New(got.String())
		}
		if n := c.ctl.Metric("macloom_learn_packet_ins_total", "result=new"); n < 2 {
			return fmt.Errorf("%v stations learned", n)
		}
		return nil
	})
	before := c.lab.Flows(c.bridge)

	bound, unmanaged := a.StartPing(b.ip, 10*time.Millisecond), v.StartPing("10.1.0.1", 10*time.Millisecond)
	bound.Await(50, patience)
	c.ctl.Kill9()
	bound.Await(200, patience)
	c.ctl.Start()
	c.ctl.WaitReady()
	c.awaitConnected(true)
	bound.Await(100, patience)
	for name, p := range map[string]lab.Pings{"bound ports": bound.Stop(), "unmanaged ports": unmanaged.Stop()} {
		if p.Received != p.Sent {
			t.Errorf("%s: %v", name, p)
		}
	}
	if n := c.ctl.Metric("macloom_openflow_flow_mods_total"); n != 0 {
		t.Errorf("the controller sent %v flow-mods on its return, want none", n)
	}
	if after := c.lab.Flows(c.bridge); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("flows before:\n%v\nafter:\n%v", before, after)
	}
	// It is not asleep either.
	c.ctl.Must(http.MethodDelete, "/v2.0/ports/"+b.portID(), nil)
	c.comes(a, b, false)
}

// A switch that restarts has lost its flows; the controller notices and fills it again.
func TestARestartedSwitchIsFilledAgain(t *testing.T) {
	t.Parallel()
	c := newCloud(t, lab.ControllerOptions{OwnDatabase: true})
	network := c.network("acme", "blue", "10.0.0.0/24")
	a, b := c.instance("a", "acme", network, "10.0.0.1", nil), c.instance("b", "acme", network, "10.0.0.2", nil)
	c.reaches(a, b, true)
	c.lab.RestartSwitch()
	c.comes(a, b, true)
}

// Killed in the midst of creating ports, the controller leaves whole ports or
// nothing: no MAC twice, none without its port, no port without its MAC.
func TestKillingTheControllerWhileItCreatesPortsLeavesNoHalves(t *testing.T) {
	t.Parallel()
	url := storetest.URL(t)
	c := newCloud(t, lab.ControllerOptions{DatabaseURL: url})
	network := c.network("acme", "blue", "10.0.0.0/16")
	db, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(context.WithoutCancel(t.Context()))
	count := func(sql string) (n int) {
		t.Helper()
		if err := db.QueryRow(t.Context(), sql).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}

	const killAt = 60
	token := c.ctl.Token()
	var mu sync.Mutex
	var created []string
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for n := 0; ; n++ { // until nobody answers any more
				var out struct{ Port struct{ ID string } }
				body := map[string]any{"port": map[string]any{"network_id": network, "tenant_id": "acme", "name": fmt.Sprintf("p%d-%d", worker, n)}}
				status, err := c.ctl.Call(context.Background(), token, http.MethodPost, "/v2.0/ports", body, &out)
				if err != nil {
					return
				}
				if status != http.StatusCreated {
					t.Errorf("creating a port: status %d", status)
					return
				}
				mu.Lock()
				created = append(created, out.Port.ID)
				mu.Unlock()
			}
		})
	}
	lab.Wait(t, "some ports to be made", patience, func() error {
		mu.Lock()
		defer mu.Unlock()
		if n := len(created); n < killAt {
			return fmt.Errorf("%d of %d", n, killAt)
		}
		return nil
	})
	c.ctl.Kill9()
	wg.Wait()
	answered := len(created)
	c.ctl.Start()
	c.ctl.WaitReady()

	ports := count(`SELECT count(*) FROM ports`)
	t.Logf("%d ports answered, %d stored", answered, ports)
	for what, sql := range map[string]string{
		"MACs used twice":      `SELECT count(*) FROM (SELECT address FROM mac_addresses GROUP BY 1 HAVING count(*) > 1) t`,
		"MACs without a port":  `SELECT count(*) FROM mac_addresses m WHERE NOT EXISTS (SELECT 1 FROM ports p WHERE p.id = m.port_id)`,
		"ports without a MAC":  `SELECT count(*) FROM ports p WHERE NOT EXISTS (SELECT 1 FROM mac_addresses m WHERE m.port_id = p.id)`,
		"IPs without a port":   `SELECT count(*) FROM fixed_ips f WHERE NOT EXISTS (SELECT 1 FROM ports p WHERE p.id = f.port_id)`,
		"ports without an IP":  `SELECT count(*) FROM ports p WHERE NOT EXISTS (SELECT 1 FROM fixed_ips f WHERE f.port_id = p.id)`,
		"ports not in the log": `SELECT count(*) FROM ports p WHERE NOT EXISTS (SELECT 1 FROM outbox o WHERE o.kind = 'port' AND o.object_id = p.id::text)`,
	} {
		if n := count(sql); n != 0 {
			t.Errorf("%s: %d", what, n)
		}
	}
	for _, id := range created {
		if n := count(`SELECT count(*) FROM ports WHERE id = '` + id + `'`); n != 1 {
			t.Errorf("port %s was answered with 201 and is not there", id)
		}
	}
	if n := count(`SELECT count(*) FROM ports`); n != ports || ports < answered {
		t.Errorf("%d ports, %d were answered", ports, answered)
	}
	for i := range 5 {
		c.create("ports", "port", map[string]any{"network_id": network, "tenant_id": "acme", "name": fmt.Sprintf("later%d", i)})
	}
}

// The private database goes on after a kill -9 and is taken over; a second
// instance is refused; SIGTERM ends both within the 5 s that Terminate allows.
func TestTheProcessStartsStopsAndComesBack(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	ctl := l.Controller(lab.ControllerOptions{OwnDatabase: true})
	ctl.Must(http.MethodPost, "/v2.0/networks", map[string]any{"network": map[string]any{"name": "kept"}})
	second := l.Controller(lab.ControllerOptions{OwnDatabase: true, DataDir: ctl.DataDir, HTTP: "127.0.0.1:1", OpenFlow: "127.0.0.1:2", OVSDB: "127.0.0.1:3", NotReady: true})
	<-second.Process().Done()
	if log := second.Log(); !strings.Contains(log, "is using the data directory") {
		t.Errorf("a second instance says:\n%s", log)
	}
	for range 2 {
		ctl.Kill9()
		ctl.Start()
		ctl.WaitReady()
	}
	ctl.Restart()
	list := ctl.Must(http.MethodGet, "/v2.0/networks?name=kept", nil)["networks"].([]any)
	if len(list) != 1 {
		t.Errorf("%d networks named kept, want the one made before it all", len(list))
	}
	ctl.Terminate()
}

// A private database that dies takes the controller with it, so that whatever
// watches over the controller starts both again; nothing that was answered is lost.
func TestADeadDatabaseEndsTheControllerAndTheNextStartRecovers(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	ctl := l.Controller(lab.ControllerOptions{OwnDatabase: true})
	ctl.Must(http.MethodPost, "/v2.0/networks", map[string]any{"network": map[string]any{"name": "kept"}})
	pidFile, err := os.ReadFile(filepath.Join(ctl.DataDir, "postgres", "cluster", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(pidFile), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-ctl.Process().Done()
	if !strings.Contains(ctl.Log(), "PostgreSQL server has ended") {
		t.Error("the log does not say why")
	}
	ctl.Start()
	ctl.WaitReady()
	if list := ctl.Must(http.MethodGet, "/v2.0/networks?name=kept", nil)["networks"].([]any); len(list) != 1 {
		t.Errorf("%d networks named kept, want 1", len(list))
	}
}
