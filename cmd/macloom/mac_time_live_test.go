package main

import (
	"strings"
	"testing"
	"time"
)

// eventually waits for a condition that the upkeep of the controller brings
// about; what says, at the end of patience, how things are.
func eventually(t *testing.T, condition func() bool, what func() string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !condition(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(what())
		}
	}
}

func TestAManagedPortThatConflictsGetsAnotherAddressAfterTheDelay(t *testing.T) {
	t.Parallel()
	l := startLive(t)
	l.post("tenants", "tenant", map[string]any{"id": "demo"})
	l.run("segment", "create", "02:00:05:00:00:00/40", "--tenant", "demo", "--conflict-policy", "reassign", "--conflict-delay", "1s", "--strategy", "sequential")
	network := l.post("networks", "network", map[string]any{"tenant_id": "demo"})["id"]
	port := l.post("ports", "port", map[string]any{"network_id": network, "tenant_id": "demo", "device_id": "web-1", "mac_address": "02:00:05:00:00:09"})["id"].(string)
	revision := func() (address string, revision float64) {
		var answer struct{ Port map[string]any }
		l.call("GET", "ports/"+port, nil, &answer)
		return answer.Port["mac_address"].(string), answer.Port["revision_number"].(float64)
	}
	_, before := revision()
	l.run("mac", "import", l.file("esx.csv", "02:00:05:00:00:09,vm-9\n"), "--source", "esx", "--tenant", "demo")
	conflict := l.rows("status,policy,port_id,external_id,reassigned", "mac", "conflicts")
	if want := "open,reassign," + port + ",vm-9,"; conflict != want {
		// The delay may be over already.
		if !strings.HasPrefix(conflict, "resolved,reassign,"+port+",vm-9,02:00:05:") {
			t.Errorf("found: %q, want %q", conflict, want)
		}
	}
	var now string
	var after float64
	eventually(t, func() bool { now, after = revision(); return now != "02:00:05:00:00:09" }, func() string { return "the port keeps its address" })
	if now != "02:00:05:00:00:00" || after <= before {
		t.Errorf("the port has %s in revision %v, want 02:00:05:00:00:00 and one after %v", now, after, before)
	}
	if got := l.rows("status,resolution,reassigned", "mac", "conflicts"); got != "resolved,the port got another address,"+now {
		t.Errorf("the conflict: %q", got)
	}
	if got := l.rows("state,origin,port_id", "mac", "show", "02:00:05:00:00:09"); got != "reserved,import," {
		t.Errorf("the address of both: %q", got)
	}
	for address, want := range map[string]string{
		"02:00:05:00:00:09": "reassign conflict allocate",
		now:                 "allocate",
	} {
		events := strings.Fields(l.rows("event", "mac", "lineage", address))
		// Released by the port, and held for the other party, in one transaction.
		if got := strings.ReplaceAll(strings.Join(events, " "), "reassign release", "reassign"); got != want {
			t.Errorf("lineage of %s: %q, want %q", address, got, want)
		}
	}
}

func TestAReservationEndsByItself(t *testing.T) {
	t.Parallel()
	l := startLive(t)
	l.run("segment", "create", "02:00:05:00:00:00/40", "--shared", "--quarantine", "1s", "--name", "shared")
	until := time.Now().Add(2 * time.Second).UTC().Format(time.RFC3339)
	l.run("mac", "reserve", "02:00:05:00:00:01", "--device", "web-1", "--expires", until)
	if got := l.rows("state,expires_at", "mac", "show", "02:00:05:00:00:01"); got != "reserved,"+until {
		t.Errorf("held: %q, want reserved until %s", got, until)
	}
	events := func() string {
		return strings.Join(strings.Fields(l.rows("event", "mac", "lineage", "02:00:05:00:00:01")), " ")
	}
	eventually(t, func() bool { return events() == "expire reserve" }, func() string { return "its lineage is " + events() })
	if at := l.rows("at", "mac", "lineage", "02:00:05:00:00:01", "--limit", "1"); at < until[:len(until)-1] {
		t.Errorf("ended at %s, before %s", at, until)
	}
	gone := func() bool {
		_, err := l.try("mac", "show", "02:00:05:00:00:01")
		return err != nil && strings.HasPrefix(err.Error(), "MacAddressNotFound: ")
	}
	eventually(t, gone, func() string { return "after its quarantine it is still shown" })
	if got := l.rows("utilisation.active,utilisation.reserved,utilisation.quarantined", "segment", "show", "shared"); got != "0,0,0" {
		t.Errorf("utilisation: %q", got)
	}
	l.run("mac", "create", "02:00:05:00:00:01")
}
