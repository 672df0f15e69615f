package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// command returns a command with the flags of serve, and where they end up.
func command() (*cobra.Command, *config) {
	var c config
	cmd := &cobra.Command{}
	c.databaseFlags(cmd.Flags())
	c.serverFlags(cmd.Flags())
	return cmd, &c
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "macloom.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTheReferenceFileNamesEverySettingWithItsDefault(t *testing.T) {
	t.Parallel()
	file, err := os.Open("../../docs/macloom.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	got, err := readConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	cmd, _ := command()
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Name != configFlag {
			want[f.Name] = f.DefValue
		}
	})
	want["data-dir"] = "/var/lib/macloom" // the default depends on the account
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/macloom.yaml (-flags +file):\n%s", diff)
	}
}

func TestFlagsWinOverVariablesWinOverTheFile(t *testing.T) {
	path := writeFile(t, "openflow: 127.0.0.1:1\novsdb: 127.0.0.1:2\nhttp: 127.0.0.1:3\nunmanaged: drop\n")
	t.Setenv("MACLOOM_CONFIG", path)
	t.Setenv("MACLOOM_OVSDB", "127.0.0.1:20")
	t.Setenv("MACLOOM_HTTP", "127.0.0.1:30")
	cmd, c := command()
	if err := cmd.ParseFlags([]string{"--http=127.0.0.1:300", "--data-dir=" + t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	if err := c.load(cmd); err != nil {
		t.Fatal(err)
	}
	got := []string{c.OpenFlow, c.OVSDB, c.HTTP, c.Unmanaged, c.LogFormat}
	want := []string{"127.0.0.1:1", "127.0.0.1:20", "127.0.0.1:300", "drop", "console"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
}

func TestABadSettingIsNamed(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]string{
		"listen: 127.0.0.1:1":     `unknown key "listen"`,
		"config: other.yaml":      `unknown key "config"`,
		"unmanaged: flood":        "unmanaged:",
		"lineage-retention: -1h":  "lineage-retention:",
		"lineage-retention: long": "lineage-retention:",
		"admit: some":             "admit:",
		"dhcp-lease: 1s":          "dhcp-lease:",
		"datapath-type: dpdk":     "datapath-type:",
		"bridge: a/b":             "bridge:",
		"advertise: h/1":          "advertise:",
		"tls-cert: x.pem":         "tls-cert, tls-key, tls-ca:",
		"http-tls-key: x.pem":     "http-tls-cert, http-tls-key:",
		"rate-limit: -1":          "rate-limit:",
		"rate-limit: many":        "key rate-limit:",
		"keystone-user: u":        "keystone-url:",
		"ovsdb-connect: here":     "ovsdb-connect:",
		"log-format: xml":         "log-format:",
		"log-level: loud":         "log-level:",
		"data-dir: ''":            "data-dir:",
		"openflow: [1, 2]":        "cannot unmarshal",
	} {
		cmd, c := command()
		if err := cmd.ParseFlags([]string{"--config", writeFile(t, file)}); err != nil {
			t.Fatal(err)
		}
		err := c.load(cmd)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", file, err, want)
		}
	}
}

func TestASecondInstanceOnADataDirectoryIsRefusedByPid(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	unlock, err := lockDataDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = lockDataDir(dir)
	if err == nil || !strings.Contains(err.Error(), "another macloom (pid ") {
		t.Errorf("second lock: %v", err)
	}
	unlock()
	again, err := lockDataDir(dir)
	if err != nil {
		t.Fatalf("lock after the first ended: %v", err)
	}
	again()
}

// What a person is told to type has an address that can be connected to.
func TestNobodyIsToldToConnectToAllAddresses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ listening, want string }{
		{"[::]:6640", "ADDRESS:6640"},
		{"0.0.0.0:6640", "ADDRESS:6640"},
		{"127.0.0.1:6640", "127.0.0.1:6640"},
		{"[2001:db8::1]:6640", "[2001:db8::1]:6640"},
	} {
		if got, want := howToConnect(&config{Bridge: "br-int"}, "", reachable(c.listening)), "  ovs-vsctl set-manager tcp:"+c.want+"\n"; !strings.HasSuffix(got, want) {
			t.Errorf("listening on %s: %q, want %q at its end", c.listening, got, want)
		}
	}
}
