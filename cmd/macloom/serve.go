package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/macloom/macloom/controller"
	"github.com/macloom/macloom/controller/hypervisor"
	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/store"
	"github.com/macloom/macloom/northbound"
	"github.com/macloom/macloom/southbound/listen"
)

// Time to end in: the server's parts first, then the private database.
const (
	drainTime        = 2 * time.Second
	databaseStopTime = 2500 * time.Millisecond
)

func newServe() *cobra.Command {
	var cfg config
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the controller",
		Long: `Run the controller until SIGTERM or SIGINT.

Every flag can also be given as an environment variable (--database-url as
MACLOOM_DATABASE_URL) and as a key of the file named by --config.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := cfg.load(cmd); err != nil {
				return err
			}
			return serve(cmd.Context(), cmd.OutOrStdout(), &cfg)
		},
	}
	cfg.databaseFlags(cmd.Flags())
	cfg.serverFlags(cmd.Flags())
	return cmd
}

func serve(ctx context.Context, out io.Writer, cfg *config) (err error) {
	log, err := cfg.logger()
	if err != nil {
		return err
	}
	defer func() { _ = log.Sync() }() // fails on a terminal, harmlessly

	unlock, err := lockDataDir(cfg.DataDir)
	if err != nil {
		return err
	}
	defer unlock()

	security, httpSecurity, err := loadTLS(cfg, log)
	if err != nil {
		return err
	}
	keystone, err := loadKeystone(cfg, log)
	if err != nil {
		return err
	}
	// Listeners come first: a taken address is the likeliest mistake and the quickest to find.
	listeners := map[string]net.Listener{}
	for name, address := range map[string]string{"openflow": cfg.OpenFlow, "ovsdb": cfg.OVSDB, "http": cfg.HTTP} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		defer l.Close()
		secured := security
		if name == "http" {
			secured = httpSecurity
		}
		if secured != nil {
			l = tls.NewListener(l, secured)
		}
		listeners[name] = l
	}

	db, err := openDatabase(ctx, cfg, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.close()) }()
	if err := db.Migrate(ctx); err != nil {
		return err
	}

	limits, err := store.ParseQuotas(cfg.Quota)
	if err != nil {
		return err
	}
	db.LimitTenants(limits)

	guard, err := cfg.Guard.config()
	if err != nil {
		return err
	}
	tokens, tokenNote, err := loadTokens(cfg, log)
	if err != nil {
		return err
	}
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	ctl := controller.New(controller.Config{
		Store: db.Store, OpenFlow: listeners["openflow"], OVSDB: listeners["ovsdb"],
		OVSDBTargets: cfg.ovsdbTargets(), OVSDBTLS: asClient(security),
		Unmanaged: intent.Unmanaged(cfg.Unmanaged), MaxMACs: cfg.MaxMACs, Guard: guard, Admit: cfg.Admit, AuditKeep: cfg.AuditKeep, DHCPLease: cfg.DHCPLease,
		Hypervisors: hypervisor.Config{Bridge: cfg.Bridge, DatapathType: cfg.DatapathType, Advertise: cfg.Advertise, TLS: cfg.TLSCert != ""},
		MACs:        store.MACUpkeep{Retention: cfg.LineageRetention},
		Log:         log, Metrics: metrics,
	})
	api := northbound.New(northbound.Options{
		Store: db.Store, Tokens: tokens, Keystone: keystone, RateLimit: cfg.RateLimit, Log: log, Metrics: metrics, Ready: ctl.Ready, Explainer: ctl,
	})

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return db.lost(ctx) })
	g.Go(func() error { return ctl.Run(ctx) })
	g.Go(func() error { return northbound.Serve(ctx, listeners["http"], api, log) })
	announce(out, cfg, log, listeners, tokenNote)

	done := make(chan error, 1)
	go func() { done <- g.Wait() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	log.Info("stopping")
	select {
	case err := <-done:
		return err
	case <-time.After(drainTime):
		return fmt.Errorf("did not end within %v of being asked", drainTime)
	}
}

// loadTLS returns how OpenFlow and OVSDB are secured, and how the REST API is;
// nil: not at all.
func loadTLS(cfg *config, log *zap.Logger) (southbound, api *tls.Config, err error) {
	if cfg.TLSCert != "" {
		if southbound, err = listen.TLSConfig(cfg.TLSCert, cfg.TLSKey, cfg.TLSCA, log.Named("tls")); err != nil {
			return nil, nil, err
		}
	}
	if cfg.HTTPTLSCert != "" {
		api, err = listen.ServerTLSConfig(cfg.HTTPTLSCert, cfg.HTTPTLSKey, []string{"h2", "http/1.1"}, log.Named("http-tls"))
	}
	return southbound, api, err
}

// loadKeystone returns who knows the callers that the tokens file does not;
// nil: nobody.
func loadKeystone(cfg *config, log *zap.Logger) (*northbound.Keystone, error) {
	if cfg.Keystone.URL == "" {
		return nil, nil
	}
	o := cfg.Keystone
	o.Log = log
	return northbound.NewKeystone(o)
}

// asClient is for connections that we open: the same certificate, and the same
// CA for the other side's.
func asClient(server *tls.Config) *tls.Config {
	if server == nil {
		return nil
	}
	return &tls.Config{MinVersion: server.MinVersion, Certificates: server.Certificates, RootCAs: server.ClientCAs}
}

func loadTokens(cfg *config, log *zap.Logger) (tokens *northbound.Tokens, note string, err error) {
	if cfg.Tokens != "" {
		tokens, err = northbound.LoadTokens(cfg.Tokens, log.Named("tokens"))
		return tokens, "those of " + cfg.Tokens, err
	}
	path, tokens, err := northbound.EnsureAdminToken(cfg.DataDir)
	return tokens, "in " + path, err
}

// announce tells a person where everything is and what to do next; in the JSON
// log it is one line.
func announce(out io.Writer, cfg *config, log *zap.Logger, listeners map[string]net.Listener, tokenNote string) {
	address := func(name string) string { return listeners[name].Addr().String() }
	scheme := "http"
	if cfg.HTTPTLSCert != "" {
		scheme = "https"
	}
	if cfg.Keystone.URL != "" {
		tokenNote += ", and those of " + cfg.Keystone.URL
	}
	if cfg.LogFormat == "json" {
		log.Info("macloom is up", zap.String("version", versionText()), zap.String("http", address("http")),
			zap.String("openflow", address("openflow")), zap.String("ovsdb", address("ovsdb")), zap.String("token", tokenNote))
		return
	}
	fmt.Fprintf(out, `
macloom %s is up
  REST API   %s://%s/v2.0/
  token      %s
  OpenFlow   %s    OVSDB   %s

%s
`, versionText(), scheme, address("http"), tokenNote, address("openflow"), address("ovsdb"), howToConnect(cfg, reachable(address("openflow")), reachable(address("ovsdb"))))
}

// reachable is an address to connect to: one that listens on all addresses of the machine
// names none.
func reachable(listening string) string {
	at, err := netip.ParseAddrPort(listening)
	if err != nil || !at.Addr().IsUnspecified() {
		return listening
	}
	return fmt.Sprintf("ADDRESS:%d", at.Port())
}

// howToConnect says what to type on a host.
func howToConnect(cfg *config, openflow, ovsdb string) string {
	scheme, before := "tcp", ""
	if cfg.TLSCert != "" {
		scheme, before = "ssl", "  ovs-vsctl set-ssl KEY CERTIFICATE CA\n"
	}
	if cfg.Bridge == "" {
		return fmt.Sprintf(`Put a bridge under control:
%s  ovs-vsctl set-fail-mode BRIDGE secure
  ovs-vsctl set bridge BRIDGE protocols=OpenFlow13
  ovs-vsctl set-controller BRIDGE %s:%s
`, before, scheme, openflow)
	}
	return fmt.Sprintf(`Put a host with its bridge %s under control:
%s  ovs-vsctl set-manager %s:%s
`, cfg.Bridge, before, scheme, ovsdb)
}
