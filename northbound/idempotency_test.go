package northbound

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
)

// post sends a POST with an Idempotency-Key.
func (a *api) post(path, token, key, body string) answer {
	a.t.Helper()
	req, err := http.NewRequest(http.MethodPost, a.url+"/v2.0/"+path, strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	req.Header.Set("X-Auth-Token", token)
	req.Header.Set(keyHeader, key)
	return a.send(req)
}

func wantReplay(t testing.TB, first, second answer) {
	t.Helper()
	if first.code != second.code || first.text != second.text || first.header.Get("Content-Type") != second.header.Get("Content-Type") {
		t.Errorf("answered %d %s\nthen %d %s", first.code, first.text, second.code, second.text)
	}
	if first.header.Get(replayHeader) != "" || second.header.Get(replayHeader) != "true" {
		t.Errorf("%s: %q, then %q", replayHeader, first.header.Get(replayHeader), second.header.Get(replayHeader))
	}
	if id := "X-Openstack-Request-Id"; first.header.Get(id) == second.header.Get(id) {
		t.Error("two requests have one id")
	}
}

func TestEveryPOSTWithAKeyIsDoneOnce(t *testing.T) {
	t.Parallel()
	objects := func(twice bool) map[string]int {
		a := setup(t)
		a.twice = twice
		_, bodies := owned(a)
		count := map[string]int{}
		for _, path := range slices.Sorted(maps.Keys(bodies)) { // a list of groups may make a tenant
			count[path] = len(a.want(200, "GET", "/v2.0/"+a.place(path), "admin", "").list(t))
		}
		count["audit-log"] = len(a.want(200, "GET", "/v2.0/audit-log?limit=10000", "admin", "").objectsOf(t, "audit_log"))
		return count
	}
	if diff := cmp.Diff(objects(false), objects(true)); diff != "" {
		t.Errorf("(-once +twice)\n%s", diff)
	}
}

// objectsOf is a list that has links beside it.
func (r answer) objectsOf(t *testing.T, plural string) []any {
	t.Helper()
	var root map[string][]any
	if err := json.Unmarshal([]byte(r.text), &root); err != nil {
		t.Fatal(err)
	}
	return root[plural]
}

func TestAKeyStandsForOneRequestOfOneCaller(t *testing.T) {
	t.Parallel()
	a := setup(t)
	body := `{"network": {"name": "n"}}`
	first := a.post("networks", "red", "k-1", body)
	wantReplay(t, first, a.post("networks", "red", "k-1", body))
	wantReplay(t, first, a.post("networks.json", "red", "k-1", body))
	for what, got := range map[string]answer{
		"another body":  a.post("networks", "red", "k-1", `{"network": {"name": "m"}}`),
		"another path":  a.post("security-groups", "red", "k-1", body),
		"another query": a.post("networks?x=y", "red", "k-1", body),
	} {
		if kind, _ := got.message(t); got.code != http.StatusUnprocessableEntity || kind != "IdempotencyKeyReused" {
			t.Errorf("%s: %d %s", what, got.code, got.text)
		}
	}
	for what, got := range map[string]answer{
		"another key":          a.post("networks", "red", "k-2", body),
		"another tenant":       a.post("networks", "blue", "k-1", body),
		"an administrator":     a.post("networks", "admin", "k-1", body),
		"without any key":      a.want(201, "POST", "/v2.0/networks", "red", body),
		"another with no keys": a.want(201, "POST", "/v2.0/networks", "red", body),
	} {
		if got.code != http.StatusCreated || got.text == first.text || got.header.Get(replayHeader) != "" {
			t.Errorf("%s: %d %s", what, got.code, got.text)
		}
	}
	if got := a.want(200, "GET", "/v2.0/networks", "admin", "").list(t); len(got) != 6 {
		t.Errorf("%d networks, want 6", len(got))
	}
	for _, key := range []string{"", strings.Repeat("k", 256), "\u00fc"} {
		if got := a.post("networks", "red", key, body); got.code != 400 || !strings.Contains(got.text, keyHeader) {
			t.Errorf("key %q: %d %s", key, got.code, got.text)
		}
	}
	if got := a.post("mac-imports?source=x", "admin", "k", "x"); got.code != 400 || !strings.Contains(got.text, keyHeader) {
		t.Errorf("an import: %d %s", got.code, got.text)
	}
}

func TestARefusalIsReplayedUnlessItIsOfTheMomentOrTheCaller(t *testing.T) {
	t.Parallel()
	a := setup(t)
	missing := `{"port": {"network_id": "00000000-0000-0000-0000-00000000abcd"}}`
	first := a.post("ports", "red", "a", missing)
	if first.code != 404 {
		t.Fatalf("%d %s", first.code, first.text)
	}
	wantReplay(t, first, a.post("ports", "red", "a", missing))

	a.want(200, "PUT", "/v2.0/quotas/red", "admin", `{"quota": {"network": 0}}`)
	full := a.post("networks", "red", "b", `{"networks": [{}, {}]}`)
	if kind, _ := full.message(t); full.code != 409 || kind != "OverQuota" {
		t.Errorf("over quota: %d %s", full.code, full.text)
	}
	a.want(204, "DELETE", "/v2.0/quotas/red", "admin", "")
	wantReplay(t, full, a.post("networks", "red", "b", `{"networks": [{}, {}]}`))

	for range 2 {
		if got := a.post("networks", "red-reader", "c", `{"network": {}}`); got.code != 403 || got.header.Get(replayHeader) != "" {
			t.Errorf("a reader: %d %s", got.code, got.text)
		}
	}
	if got := a.want(200, "GET", "/v2.0/networks", "admin", "").list(t); len(got) != 0 {
		t.Errorf("there are networks: %v", got)
	}
}

func TestARequestWhoseLikeIsUnderWayIsToldSo(t *testing.T) {
	t.Parallel()
	a := setup(t)
	network := idOf(a.make("/v2.0/networks", "red", `{"network": {}}`))
	body := `{"port": {"network_id": "` + network + `"}}`
	conn, err := pgx.Connect(t.Context(), a.pg)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	if _, err := conn.Exec(t.Context(), `BEGIN; SELECT FROM networks FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	first := make(chan answer, 1)
	go func() { first <- a.post("ports", "red", "k", body) }()
	// Until the first one waits for the network. What a transaction sees of pg_stat_activity does not change.
	for waiting := false; !waiting; {
		err := conn.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND $1 = ANY(pg_blocking_pids(pid)))`, conn.PgConn().PID()).Scan(&waiting)
		if err != nil {
			t.Fatal(err)
		}
	}
	busy := a.post("ports", "red", "k", body)
	if kind, _ := busy.message(t); busy.code != 409 || kind != "IdempotencyKeyInUse" || busy.header.Get("Retry-After") == "" {
		t.Errorf("the second is answered %d %s", busy.code, busy.text)
	}
	if _, err := conn.Exec(t.Context(), `COMMIT`); err != nil {
		t.Fatal(err)
	}
	made := <-first
	if made.code != 201 {
		t.Fatalf("%d %s", made.code, made.text)
	}
	wantReplay(t, made, a.post("ports", "red", "k", body))
}
