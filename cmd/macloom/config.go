package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.yaml.in/yaml/v3"

	"github.com/macloom/macloom/controller/intent"
)

// config holds the settings of the server. Each is a flag, an environment
// variable and a key of the configuration file; the flag wins over the
// variable, the variable over the file.
type config struct {
	OpenFlow    string
	OVSDB       string
	HTTP        string
	DatabaseURL string
	DataDir     string
	Tokens      string
	Unmanaged   string
	LogFormat   string
	LogLevel    string
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
	f.StringVar(&c.HTTP, "http", "127.0.0.1:9696", "address of the REST API")
	f.StringVar(&c.Tokens, "tokens", "", "YAML file of API tokens; empty: an admin token is made in the data directory")
	f.StringVar(&c.Unmanaged, "unmanaged", string(intent.UnmanagedLearn),
		"switch ports that no tenant port is bound to: learn (one learning domain) or drop")
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
