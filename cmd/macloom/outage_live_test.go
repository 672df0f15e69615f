package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/macloom/macloom/controller/postgres"
)

// caller asks the API for things, and counts the answers.
type caller struct {
	url, token   string
	done, notNow atomic.Int64
}

// ask posts and says whether it was done; what is neither that nor a clear
// refusal for the time being is an error.
func (c *caller) ask(ctx context.Context, method, path, body string, answer any) (done bool, _ error) {
	req, err := http.NewRequestWithContext(ctx, method, c.url+"/v2.0/"+path, strings.NewReader(body))
	if err != nil {
		return false, err
	}
	req.Header.Set("X-Auth-Token", c.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return false, err
	}
	switch {
	case resp.StatusCode/100 == 2:
		c.done.Add(1)
		if answer == nil {
			return true, nil
		}
		return true, json.Unmarshal(text, answer)
	case resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") != "" && bytes.Contains(text, []byte(`"ServiceUnavailable"`)):
		c.notNow.Add(1)
		return false, nil
	}
	return false, fmt.Errorf("%s %s: %d %v %s", method, path, resp.StatusCode, resp.Header, text)
}

func TestDatabaseStoppedAndStartedUnderRequests(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "macloom-pg-test-") // not below the home of root, which PostgreSQL could not enter
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	launch := func() *postgres.Server {
		t.Helper()
		server, err := postgres.Start(t.Context(), postgres.Options{Dir: dir, Log: zap.NewNop()})
		if err != nil {
			t.Fatal(err)
		}
		return server
	}
	server := launch()
	t.Cleanup(func() { _ = server.Stop(context.WithoutCancel(t.Context())) })
	l := startLiveOn(t, server.URL())
	l.run("segment", "create", "02:00:05:00:00:00/24", "--shared", "--name", "large")
	network := l.post("networks", "network", map[string]any{"name": "n"})["id"].(string)
	l.post("subnets", "subnet", map[string]any{"network_id": network, "ip_version": 4, "cidr": "10.0.0.0/16"})
	token, err := os.ReadFile(filepath.Join(l.dataDir, "admin-token"))
	if err != nil {
		t.Fatal(err)
	}
	c := &caller{url: l.api, token: strings.TrimSpace(string(token))}

	type macs struct {
		Addresses []struct{ Address string } `json:"mac_addresses"`
	}
	type port struct {
		ID  string `json:"id"`
		MAC string `json:"mac_address"`
		IPs []any  `json:"fixed_ips"`
	}
	const bulk = 20
	var mu sync.Mutex
	confirmed := map[string]string{} // the device or port that was told to have an address
	deleted := map[string]bool{}     // ports, and whether that was confirmed
	note := func(address, owner string) error {
		mu.Lock()
		defer mu.Unlock()
		if other, twice := confirmed[address]; twice {
			return fmt.Errorf("%s was given to %s and to %s", address, other, owner)
		}
		confirmed[address] = owner
		return nil
	}
	ctx, stop := context.WithCancel(t.Context())
	var work errgroup.Group
	for i := range 8 {
		work.Go(func() error {
			for n := 0; ctx.Err() == nil; n++ {
				if i%2 == 0 {
					device, got := fmt.Sprintf("vm-%d-%d", i, n), macs{}
					body := fmt.Sprintf(`{"mac_address": {"count": %d, "device_id": %q}}`, bulk, device)
					done, err := c.ask(t.Context(), "POST", "mac-addresses", body, &got)
					if err != nil || done && len(got.Addresses) != bulk {
						return fmt.Errorf("%d addresses, %w", len(got.Addresses), err)
					}
					for _, a := range got.Addresses {
						if err := note(a.Address, device); err != nil {
							return err
						}
					}
					continue
				}
				var got struct{ Port port }
				done, err := c.ask(t.Context(), "POST", "ports", fmt.Sprintf(`{"port": {"network_id": %q}}`, network), &got)
				if err != nil {
					return err
				}
				if !done {
					continue
				}
				if err := note(got.Port.MAC, got.Port.ID); err != nil {
					return err
				}
				if n%3 == 0 {
					if done, err = c.ask(t.Context(), "DELETE", "ports/"+got.Port.ID, "", nil); err != nil {
						return err
					}
					mu.Lock()
					deleted[got.Port.ID] = done
					mu.Unlock()
				}
			}
			return nil
		})
	}
	more := func(answers *atomic.Int64, n int64) {
		t.Helper()
		for want := answers.Load() + n; answers.Load() < want && t.Context().Err() == nil; {
			time.Sleep(time.Millisecond)
		}
	}
	for range 2 {
		more(&c.done, 50)
		if err := server.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		more(&c.notNow, 20)
		server = launch()
	}
	more(&c.done, 100)
	stop()
	if err := work.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d requests done, %d told to come again, %d addresses confirmed", c.done.Load(), c.notNow.Load(), len(confirmed))

	owner, ofDevice := map[string]string{}, map[string]int{}
	for _, line := range strings.Fields(l.rows("address,port_id,device_id", "mac", "list", "--state", "active")) {
		parts := strings.Split(line, ",")
		owner[parts[0]] = parts[1] + parts[2]
		if parts[1] == "" {
			ofDevice[parts[2]]++
		}
	}
	for device, n := range ofDevice {
		if n != bulk {
			t.Errorf("%s has %d addresses, want %d: a request was done in part", device, n, bulk)
		}
	}
	var list struct{ Ports []port }
	l.call("GET", "ports", nil, &list)
	there := map[string]bool{}
	for _, p := range list.Ports {
		there[p.ID] = true
		if owner[p.MAC] != p.ID || len(p.IPs) != 1 {
			t.Errorf("port %s with %d addresses has MAC %s, which is that of %q", p.ID, len(p.IPs), p.MAC, owner[p.MAC])
		}
	}
	for address, to := range confirmed {
		switch sure, asked := deleted[to]; {
		case asked && sure && there[to]:
			t.Errorf("port %s is there after its delete was confirmed", to)
		case asked && !there[to]:
			if owner[address] != "" {
				t.Errorf("%s of the deleted port %s is that of %s", address, to, owner[address])
			}
		case owner[address] != to:
			t.Errorf("%s was confirmed to %s and is that of %q", address, to, owner[address])
		}
	}
}
