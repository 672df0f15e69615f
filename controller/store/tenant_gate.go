package store

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
)

// gateTrust is how long it may take until a tenant that was disabled by
// another process is refused by this one.
const (
	gateTrust = time.Second
	gateRoom  = 10_000
)

// tenantGate remembers for a moment which tenants are enabled, so that not
// every request asks the database. A change by this process counts at once.
type tenantGate struct {
	mu      sync.Mutex
	known   map[string]gateEntry
	changes int // of tenants by this process: what was read before one is not kept
}

type gateEntry struct {
	enabled bool
	until   time.Time
}

// TenantEnabled says whether a tenant's tokens are to be accepted. One that is
// not known is.
func (s *Store) TenantEnabled(ctx context.Context, id string) (bool, error) {
	g := &s.gate
	g.mu.Lock()
	entry, known := g.known[id]
	changes := g.changes
	g.mu.Unlock()
	now := time.Now()
	if known && now.Before(entry.until) {
		return entry.enabled, nil
	}
	entry = gateEntry{enabled: true, until: now.Add(gateTrust)}
	err := s.read(ctx, func(q querier) error {
		err := q.QueryRow(ctx, `SELECT enabled FROM tenants WHERE id = $1`, id).Scan(&entry.enabled)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		return err
	})
	if err != nil {
		return false, err
	}
	g.keep(id, entry, changes)
	return entry.enabled, nil
}

func (g *tenantGate) keep(id string, entry gateEntry, changes int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if changes != g.changes {
		return
	}
	if g.known == nil || len(g.known) >= gateRoom {
		g.known = map[string]gateEntry{}
	}
	g.known[id] = entry
}

// forget runs when a transaction on tenants has ended in whatever way.
func (g *tenantGate) forget(bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.known = nil
	g.changes++
}

// refuseLockout keeps a caller from disabling the tenant by which he calls: he
// could not take it back.
func refuseLockout(sc Scope, t *intent.Tenant) error {
	if !t.Disabled || t.ID != sc.TenantID {
		return nil
	}
	return &Conflict{"TenantInUse", "enabled", "Tenant " + t.ID + " is that of the caller, who would lock himself out by disabling it."}
}
