package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/macloom/macloom/test/lab"
)

// A client that watches ports need not ask again and again whether the switch
// has confirmed their flows.
func TestAWatchOfPortsTellsWhenTheSwitchHasConfirmedThem(t *testing.T) {
	t.Parallel()
	c := newCloud(t, lab.ControllerOptions{})
	network := c.network("acme", "n", "10.1.0.0/24")
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.ctl.URL+"/v2.0/ports?watch=true&fields=id&fields=status", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Auth-Token", c.ctl.Token())
	resp, err := c.ctl.API().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	i := c.instance("vm1", "acme", network, "10.1.0.5", nil)

	var told []string // what happened and the status after it
	kind := ""
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch name {
		case "event":
			kind = value
		case "data":
			var data struct{ Port struct{ ID, Status string } }
			if err := json.Unmarshal([]byte(value), &data); err != nil || data.Port.ID != i.portID() {
				continue
			}
			told = append(told, kind+" "+data.Port.Status)
			if kind == "update" && data.Port.Status == "ACTIVE" {
				return
			}
		}
	}
	t.Errorf("told of the port: %q, and never of an update to ACTIVE", told)
}
