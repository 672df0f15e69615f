// Package store keeps intent and facts in PostgreSQL. It is the only place
// that speaks SQL; every statement stands beside the function that runs it.
//
// Locks are taken in one order: tenants, quotas, networks, subnets, security groups,
// the segment tree, switches, ports, attachments, addresses; rows of one table by id. A port that is
// being made holds its network and subnets with FOR KEY SHARE, so whoever
// deletes or redefines those takes them FOR UPDATE and so waits for it.
package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
)

// defaultConns is how many connections are opened at most unless the URL has
// its own pool_max_conns.
const defaultConns = 16

// MinServerVersion is the oldest PostgreSQL that will do.
const MinServerVersion = 14

// Scope says whose objects a caller may see and touch.
type Scope struct {
	TenantID string // owner of what is created without one
	Admin    bool   // sees and may create for every tenant
}

// NewPort is a port to create, with what is to be chosen for it.
//
// A MAC of 0 is allocated. An entry of FixedIPs may have only a SubnetID (an
// address of it is chosen) or only an Addr (its subnet is found).
type NewPort struct {
	intent.Port
	AutoIPs      bool // choose one address of each family's first subnet that has one left; FixedIPs must be empty
	DefaultGroup bool // subscribe to the tenant's default security group, unless there is no port security; SecurityGroups must be empty

	// Security decides on port security; nil: as the network does.
	Security *bool

	request string // that it is asked for by, where that is not the one of the transaction
}

// NewSubnet is a subnet to create, with what is to be chosen for it.
//
// One with a PoolID is cut out of that subnet pool, or out of the default one
// of its family if that is DefaultPool: its CIDR, or a free prefix if it has
// none.
type NewSubnet struct {
	intent.Subnet
	IPVersion   int  // 4 or 6; of a subnet of a pool
	PrefixLen   int  // of the prefix to cut; 0: what the pool says
	AutoGateway bool // the gateway becomes intent.DefaultGateway; Gateway must be invalid
}

// PortState is the realized state of a port.
type PortState struct {
	ID     string
	Status intent.PortStatus
	Reason string
}

// Kind names a kind of object in changes and errors.
type Kind string

// The kinds, in the words of the API.
const (
	KindTenant         Kind = "tenant"
	KindSegment        Kind = "mac_segment"
	KindNetwork        Kind = "network"
	KindSubnet         Kind = "subnet"
	KindPort           Kind = "port"
	KindSecurityGroup  Kind = "security_group"
	KindRule           Kind = "security_group_rule" // its group changes with it
	KindSwitch         Kind = "switch"              // in a Change: whether it may connect; all else of it is fact
	KindMACAddress     Kind = "mac_address"         // never in a Change: its lineage tells of it
	KindMACConflict    Kind = "mac_conflict"        // never in a Change: a fact
	KindMACImport      Kind = "mac_import"          // never in a Change: a fact
	KindAuditEntry     Kind = "audit_entry"         // never in a Change: it tells of one
	KindEvent          Kind = "event"               // in a Change: one that is about no other object; see Change.Event
	KindQoSPolicy      Kind = "qos_policy"
	KindQoSRule        Kind = "qos_rule" // its policy changes with it
	KindTrunk          Kind = "trunk"
	KindQuota          Kind = "quota"    // by its tenant
	KindSubPort        Kind = "sub_port" // never in a Change: its trunk is what changes
	KindAddressGroup   Kind = "address_group"
	KindAddresses      Kind = "addresses" // of an address group; never in a Change
	KindAddressScope   Kind = "address_scope"
	KindSubnetPool     Kind = "subnetpool"
	KindMeteringLabel  Kind = "metering_label"
	KindMeteringRule   Kind = "metering_label_rule" // its label changes with it
	KindFlavor         Kind = "flavor"
	KindServiceProfile Kind = "service_profile"
	KindRBACPolicy     Kind = "rbac_policy"
	KindMACAllowList   Kind = "mac_allow_list"
	KindBlock          Kind = "block"
	KindMACGuard       Kind = "mac_guard"
	KindMACMove        Kind = "mac_move" // never in a Change: a fact
	KindAffinityPool   Kind = "affinity_pool"
	KindPoolBackend    Kind = "affinity_backend" // its pool changes with it
)

// Op is what happened to an object.
type Op string

// The operations.
const (
	OpCreate Op = "create"
	OpUpdate Op = "update"
	OpDelete Op = "delete"
)

// Store is the connection to the database. It is safe for concurrent use.
type Store struct {
	pool *pgxpool.Pool
	log  *zap.Logger
	feed *publisher

	describer atomic.Pointer[Describer]
	quotas    map[Kind]int64 // of tenants that have none of their own

	leases  *lessor
	singles singles
	streams chan struct{} // a place for each list that is being read
	gate    tenantGate

	// Addresses that transactions of this process are about to insert, so that
	// they do not run into each other. Only a hint: the constraints decide.
	macs inFlight[mac.Addr]
	ips  inFlight[subnetAddr]

	single gathering // ports that are asked for one at a time
}

// Open connects to the database at a PostgreSQL URL or connection string. The
// schema is not touched: see Migrate.
func Open(ctx context.Context, url string, log *zap.Logger) (*Store, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		// The cause may quote the URL, and with it a password.
		return nil, errors.New("store: the database URL is not of the form postgres://user:password@host:port/name")
	}
	cfg.ConnConfig.RuntimeParams["application_name"] = "macloom"
	// No statement of ours waits for people; one that hangs must not hold its locks for ever.
	cfg.ConnConfig.RuntimeParams["idle_in_transaction_session_timeout"] = "60000"
	// The statements are prepared and their plans do not hang on the values;
	// planning them anew for every value costs as much as running them.
	cfg.ConnConfig.RuntimeParams["plan_cache_mode"] = "force_generic_plan"
	if cfg.ConnConfig.ConnectTimeout == 0 {
		cfg.ConnConfig.ConnectTimeout = 5 * time.Second
	}
	if !strings.Contains(url, "pool_max_conns") {
		cfg.MaxConns = defaultConns
	}
	cfg.AfterConnect = stringUUIDs
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("store: opening the database: %w", err)
	}
	s := &Store{pool: pool, log: log, streams: make(chan struct{}, max(1, cfg.MaxConns/2))}
	if err := s.checkServer(ctx); err != nil {
		pool.Close()
		return nil, err
	}
	if s.leases, err = newLessor(cfg, log); err != nil {
		pool.Close()
		return nil, err
	}
	s.feed = startPublisher(pool, log)
	return s, nil
}

func (s *Store) checkServer(ctx context.Context) error {
	var num string
	if err := s.pool.QueryRow(ctx, `SELECT current_setting('server_version_num')`).Scan(&num); err != nil {
		return fmt.Errorf("store: opening the database: %w", unavailable(err))
	}
	n, err := strconv.Atoi(num)
	if err != nil || n/10000 < MinServerVersion {
		return fmt.Errorf("store: the server is PostgreSQL %d, need %d or newer", n/10000, MinServerVersion)
	}
	return nil
}

// Close ends all connections; calls under way fail.
func (s *Store) Close() {
	s.leases.stop()
	s.feed.stop()
	s.pool.Close()
}

// Ping says whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	return unavailable(s.pool.Ping(ctx))
}

// inFlight is a set that several goroutines claim members of.
type inFlight[K comparable] struct {
	mu   sync.Mutex
	held map[K]struct{}
}

// claim takes k unless somebody has it.
func (f *inFlight[K]) claim(k K) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, taken := f.held[k]; taken {
		return false
	}
	if f.held == nil {
		f.held = map[K]struct{}{}
	}
	f.held[k] = struct{}{}
	return true
}

func (f *inFlight[K]) release(keys ...K) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, k := range keys {
		delete(f.held, k)
	}
}

func (f *inFlight[K]) size() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.held)
}

// querier is what a statement needs: a pool, a connection or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}
