package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.yaml.in/yaml/v3"

	"github.com/macloom/macloom/controller"
	"github.com/macloom/macloom/controller/hypervisor"
	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/respond"
	"github.com/macloom/macloom/controller/store"
	"github.com/macloom/macloom/northbound"
)

// config holds the settings of the server. Each is a flag, an environment
// variable and a key of the configuration file; the flag wins over the
// variable, the variable over the file.
type config struct {
	OpenFlow     string
	OVSDB        string
	OVSDBConnect string
	HTTP         string
	DatabaseURL  string
	DataDir      string
	Tokens       string
	Unmanaged    string
	MaxMACs      int
	Guard        guardFlags
	Admit        string
	Quota        string
	Bridge       string
	DatapathType string
	Advertise    string
	AuditKeep    time.Duration
	DHCPLease    time.Duration
	TLSCert      string
	TLSKey       string
	TLSCA        string
	HTTPTLSCert  string
	HTTPTLSKey   string
	RateLimit    int
	Keystone     northbound.KeystoneOptions
	LogFormat    string
	LogLevel     string

	LineageRetention time.Duration
}

const (
	envPrefix  = "MACLOOM_"
	configFlag = "config"
)

// databaseFlags declares the settings that every command with a database needs.
func (c *config) databaseFlags(f *pflag.FlagSet) {
	f.String(configFlag, "", "YAML file with any of these settings as keys")
	f.StringVar(&c.DatabaseURL, "database-url", "", "PostgreSQL 14 or later to use; empty: a private server under the data directory")
	f.StringVar(&c.DataDir, "data-dir", defaultDataDir(), "directory for the private database, the admin token and the lock")
	f.StringVar(&c.LogFormat, "log-format", "console", "console or json")
	f.StringVar(&c.LogLevel, "log-level", "info", "debug, info, warn or error")
}

// serverFlags declares the settings of serve.
func (c *config) serverFlags(f *pflag.FlagSet) {
	f.StringVar(&c.OpenFlow, "openflow", "127.0.0.1:6653", "address where switches connect by OpenFlow")
	f.StringVar(&c.OVSDB, "ovsdb", "127.0.0.1:6640", "address where ovsdb-server connects as its manager")
	f.StringVar(&c.OVSDBConnect, "ovsdb-connect", "", "ovsdb-servers to connect to, such as unix:/run/openvswitch/db.sock, separated by commas")
	f.StringVar(&c.HTTP, "http", "127.0.0.1:9696", "address of the REST API")
	f.StringVar(&c.HTTPTLSCert, "http-tls-cert", "", "PEM file with the certificate for the REST API; empty: no TLS")
	f.StringVar(&c.HTTPTLSKey, "http-tls-key", "", "PEM file with the key of that certificate")
	f.StringVar(&c.Tokens, "tokens", "", "YAML file of API tokens; empty: an admin token is made in the data directory")
	f.IntVar(&c.RateLimit, "rate-limit", 0, "requests per second that one token may send to the REST API; 0: no limit")
	f.StringVar(&c.Keystone.URL, "keystone-url", "", "Keystone (Identity API v3) that knows the callers of other tokens; empty: there are no others")
	f.StringVar(&c.Keystone.CACert, "keystone-cacert", "", "PEM file of the authorities to trust for Keystone; empty: those of the system")
	f.StringVar(&c.Keystone.Token, "keystone-token", "", "token by which Keystone is asked (better as variable or in the file: others see flags)")
	f.StringVar(&c.Keystone.User, "keystone-user", "", "user by whom Keystone is asked, instead of a token")
	f.StringVar(&c.Keystone.Password, "keystone-password", "", "password of that user (better as variable or in the file)")
	f.StringVar(&c.Keystone.Project, "keystone-project", "service", "project of that user, by name")
	f.StringVar(&c.Keystone.Domain, "keystone-domain", "Default", "domain of that user and project, by name")
	f.StringVar(&c.Unmanaged, "unmanaged", string(intent.UnmanagedLearn),
		"switch ports that no tenant port is bound to: learn (one learning domain) or drop")
	f.IntVar(&c.MaxMACs, "max-macs", 1000, "stations that are learned at a switch port without a tenant port that leads to no other switch; 0: no limit")
	c.Guard.declare(f)
	f.StringVar(&c.Admit, "admit", controller.AdmitAuto, "switches that nobody has decided on: auto (let them in) or listed (turn them away)")
	f.StringVar(&c.Quota, "quota", "", "what a tenant without a quota of its own may have, such as port=500,network=100; neutron: as Neutron; empty: any number")
	f.StringVar(&c.Bridge, "bridge", "br-int", "integration bridge that is set up on hosts that connect by OVSDB; empty: none")
	f.StringVar(&c.DatapathType, "datapath-type", hypervisor.DatapathAuto,
		"datapath of bridges that are made: auto (of the kernel, where it has one), system (of the kernel) or netdev (userspace)")
	f.StringVar(&c.Advertise, "advertise", "", "host name or address at which bridges reach this controller; empty: where their host has reached it by OVSDB")
	f.DurationVar(&c.AuditKeep, "audit-retention", 365*24*time.Hour, "how long the audit log is kept, in whole months; 0: for ever")
	f.DurationVar(&c.DHCPLease, "dhcp-lease", respond.DefaultLease, "how long an address is given for by DHCP; 0: the default")
	f.DurationVar(&c.LineageRetention, "lineage-retention", 0,
		"how long the lineage of MAC addresses, resolved conflicts and records of imports are kept, such as 8760h; 0: for ever")
	f.StringVar(&c.TLSCert, "tls-cert", "", "PEM file with the certificate for OpenFlow and OVSDB; empty: no TLS")
	f.StringVar(&c.TLSKey, "tls-key", "", "PEM file with the key of the certificate")
	f.StringVar(&c.TLSCA, "tls-ca", "", "PEM file with the CA whose certificates switches must show")
}

func defaultDataDir() string {
	if os.Geteuid() == 0 {
		return "/var/lib/macloom"
	}
	if state := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(state) {
		return filepath.Join(state, "macloom")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "macloom-data"
	}
	return filepath.Join(home, ".local", "state", "macloom")
}

// load completes the flags of cmd from the environment and the configuration
// file, and checks what can be checked without doing anything.
func (c *config) load(cmd *cobra.Command) error {
	flags := cmd.Flags()
	fromEnv := func(f *pflag.Flag) (string, bool) {
		return os.LookupEnv(envPrefix + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_")))
	}
	path := flags.Lookup(configFlag)
	if v, ok := fromEnv(path); ok && !path.Changed {
		if err := flags.Set(configFlag, v); err != nil {
			return err
		}
	}
	fromFile := map[string]string{}
	if name := path.Value.String(); name != "" {
		file, err := os.Open(name)
		if err != nil {
			return fmt.Errorf("configuration file: %w", err)
		}
		defer file.Close()
		if fromFile, err = readConfig(file); err != nil {
			return fmt.Errorf("configuration file %s: %w", name, err)
		}
	}
	var errs []error
	flags.VisitAll(func(f *pflag.Flag) {
		value, source := "", ""
		if v, ok := fromFile[f.Name]; ok {
			value, source = v, "key "+f.Name
		}
		if v, ok := fromEnv(f); ok {
			value, source = v, "variable "+envPrefix+strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		}
		if source == "" || f.Changed {
			return
		}
		if err := flags.Set(f.Name, value); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", source, err))
		}
	})
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return c.check()
}

// readConfig reads the keys of a configuration file. A key that is no setting
// of any command is an error: it would be ignored in silence otherwise.
func readConfig(r io.Reader) (map[string]string, error) {
	var values map[string]string
	if err := yaml.NewDecoder(r).Decode(&values); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	var c config
	known := pflag.NewFlagSet("", pflag.ContinueOnError)
	c.databaseFlags(known)
	c.serverFlags(known)
	for key := range values {
		if known.Lookup(key) == nil || key == configFlag {
			var names []string
			known.VisitAll(func(f *pflag.Flag) {
				if f.Name != configFlag {
					names = append(names, f.Name)
				}
			})
			return nil, fmt.Errorf("unknown key %q; the keys are %s", key, strings.Join(names, ", "))
		}
	}
	return values, nil
}

func (c *config) check() error {
	modes := []string{string(intent.UnmanagedLearn), string(intent.UnmanagedDrop)}
	if c.Unmanaged != "" && !slices.Contains(modes, c.Unmanaged) {
		return fmt.Errorf("unmanaged: %q is neither learn nor drop", c.Unmanaged)
	}
	if c.MaxMACs < 0 {
		return fmt.Errorf("max-macs: %d is less than nothing; 0 is no limit", c.MaxMACs)
	}
	if _, err := c.Guard.config(); err != nil {
		return err
	}
	if c.Admit != "" && c.Admit != controller.AdmitAuto && c.Admit != controller.AdmitListed {
		return fmt.Errorf("admit: %q is neither auto nor listed", c.Admit)
	}
	if c.AuditKeep < 0 {
		return fmt.Errorf("audit-retention: %s is less than nothing; 0 is for ever", c.AuditKeep)
	}
	if c.DHCPLease != 0 && (c.DHCPLease < minLease || c.DHCPLease > maxLease) { // 0: not a flag of the command, or the default
		return fmt.Errorf("dhcp-lease: %s is not between %s and %s", c.DHCPLease, minLease, maxLease)
	}
	if _, err := store.ParseQuotas(c.Quota); err != nil {
		return fmt.Errorf("quota: %w", err)
	}
	kinds := []string{"", hypervisor.DatapathAuto, hypervisor.DatapathSystem, hypervisor.DatapathNetdev}
	if !slices.Contains(kinds, c.DatapathType) {
		return fmt.Errorf("datapath-type: %q is none of auto, system, netdev", c.DatapathType)
	}
	if len(c.Bridge) > maxInterfaceName || strings.ContainsAny(c.Bridge, "/ \t\n") {
		return fmt.Errorf("bridge: %q cannot be the name of an interface: up to %d characters without slash or space", c.Bridge, maxInterfaceName)
	}
	if strings.ContainsAny(c.Advertise, "/ []") {
		return fmt.Errorf("advertise: %q is neither a host name nor an address (without port)", c.Advertise)
	}
	for _, target := range c.ovsdbTargets() {
		if scheme, rest, _ := strings.Cut(target, ":"); rest == "" || !slices.Contains([]string{"unix", "tcp", "ssl"}, scheme) {
			return fmt.Errorf("ovsdb-connect: %q is not of the form unix:FILE, tcp:ADDRESS:PORT or ssl:ADDRESS:PORT", target)
		}
	}
	if set := len(c.TLSCert) > 0; set != (len(c.TLSKey) > 0) || set != (len(c.TLSCA) > 0) {
		return errors.New("tls-cert, tls-key, tls-ca: give all three or none")
	}
	if (c.HTTPTLSCert == "") != (c.HTTPTLSKey == "") {
		return errors.New("http-tls-cert, http-tls-key: give both or none")
	}
	if c.RateLimit < 0 || c.RateLimit > maxRateLimit {
		return fmt.Errorf("rate-limit: %d is not between 0 and %d", c.RateLimit, maxRateLimit)
	}
	if c.Keystone.URL == "" && (c.Keystone.Token != "" || c.Keystone.User != "" || c.Keystone.Password != "") {
		return errors.New("keystone-url: it is missing, though it is said how to ask Keystone")
	}
	if c.LineageRetention < 0 {
		return fmt.Errorf("lineage-retention: %s is negative; 0 is for ever", c.LineageRetention)
	}
	if c.LogFormat != "console" && c.LogFormat != "json" {
		return fmt.Errorf("log-format: %q is neither console nor json", c.LogFormat)
	}
	if _, err := zapcore.ParseLevel(c.LogLevel); err != nil {
		return fmt.Errorf("log-level: %q is none of debug, info, warn, error", c.LogLevel)
	}
	if c.DataDir == "" {
		return errors.New("data-dir: must not be empty")
	}
	dir, err := filepath.Abs(c.DataDir)
	c.DataDir = dir
	return err
}

// Bounds of a lease: clients renew at half of it, and its seconds have 32 bits of
// which all set stand for ever.
const (
	minLease = 10 * time.Second
	maxLease = 10 * 365 * 24 * time.Hour
)

// maxRateLimit is more than a controller answers.
const maxRateLimit = 1_000_000

// maxInterfaceName is IFNAMSIZ of Linux, less the final zero.
const maxInterfaceName = 15

// ovsdbTargets are the ovsdb-servers to connect to.
func (c *config) ovsdbTargets() []string {
	return strings.FieldsFunc(c.OVSDBConnect, func(r rune) bool { return r == ',' || r == ' ' })
}

func (c *config) logger() (*zap.Logger, error) {
	level, err := zapcore.ParseLevel(c.LogLevel)
	if err != nil {
		return nil, err
	}
	cfg := zap.NewProductionConfig()
	cfg.EncoderConfig.EncodeTime = zapcore.ISO8601TimeEncoder
	if c.LogFormat == "console" {
		cfg = zap.NewDevelopmentConfig()
		cfg.EncoderConfig.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
		cfg.Development = false
		cfg.DisableCaller = true
	}
	cfg.Level = zap.NewAtomicLevelAt(level)
	cfg.DisableStacktrace = true
	return cfg.Build()
}
