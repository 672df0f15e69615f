// Package lab gives a test its own small network: a namespace with an Open
// vSwitch of its own, namespaces with hosts, and a macloom that serves them.
//
// Every lab has its own network namespaces, so ports such as 127.0.0.1:6653
// are private to it and any number of labs may run at once. Open vSwitch runs
// with the userspace ("netdev") datapath, because it needs no kernel module, or
// with the kernel's ("system") where MACLOOM_TEST_DATAPATH says so, as it does
// in test/kernellab.
//
// All that a lab starts or makes is taken away again in t.Cleanup, also when
// the test fails. Should the test process be killed, its children die with it
// and the next lab on the machine sweeps away what is left.
//
// A lab needs root, for it makes network namespaces.
package lab

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// commandLimit bounds every short command that the lab runs.
const commandLimit = 60 * time.Second

// Kinds of datapath (Open_vSwitch schema, Bridge:datapath_type).
const (
	Userspace = "netdev"
	Kernel    = "system"
)

// Datapath is the kind that the bridges of labs have.
var Datapath = cmp.Or(os.Getenv("MACLOOM_TEST_DATAPATH"), Userspace)

// Lab is one private network with its own Open vSwitch.
type Lab struct {
	t      testing.TB
	id     string // unique among all labs of the machine
	dir    string // all files of the lab; short, as unix socket paths are bounded
	ns     string // the namespace of the switch and of the controller
	ovsDir string

	mu         sync.Mutex
	namespaces []string
	bridges    map[string]*Bridge // by name
	processes  []*Process

	vswitchd *Process
}

// New makes a lab with a running Open vSwitch and no bridges. It fails the
// test if it is not root or a program is missing.
func New(t testing.TB) *Lab {
	t.Helper()
	if err := checkMachine(); err != nil {
		t.Fatalf("lab: %v", err)
	}
	if err := sweep(); err != nil {
		t.Fatalf("lab: sweeping what earlier runs left: %v", err)
	}
	var b [3]byte
	if _, err := rand.Read(b[:]); err != nil {
		t.Fatalf("lab: drawing a name: %v", err)
	}
	l := &Lab{t: t, id: hex.EncodeToString(b[:]), bridges: map[string]*Bridge{}}
	hold, err := claim(l.id)
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	// Cleanups run last in, first out: the claim is given up when all else is gone.
	t.Cleanup(func() {
		if err := hold.release(); err != nil {
			t.Errorf("lab: %v", err)
		}
	})
	l.dir = hold.dir
	l.ovsDir = filepath.Join(l.dir, "ovs")
	if err := os.Mkdir(l.ovsDir, 0o755); err != nil {
		t.Fatalf("lab: making the directory of Open vSwitch: %v", err)
	}
	t.Cleanup(l.close)
	l.ns = l.namespace("sw")
	l.startOVS()
	return l
}

// Dir is a directory of the lab that any account may enter; it is removed with
// the lab.
func (l *Lab) Dir() string { return l.dir }

// Namespace is the name of the network namespace of switch and controller.
func (l *Lab) Namespace() string { return l.ns }

// namespace makes a network namespace with loopback up and IPv6 off. IPv6 is
// off because the kernel would send router solicitations and duplicate address
// detection into every link, which no test asked for.
func (l *Lab) namespace(suffix string) string {
	l.t.Helper()
	name := namePrefix + l.id + "-" + suffix
	if out, err := exec.Command("ip", "netns", "add", name).CombinedOutput(); err != nil {
		l.t.Fatalf("lab: making network namespace %s: %v: %s", name, err, out)
	}
	l.mu.Lock()
	l.namespaces = append(l.namespaces, name)
	l.mu.Unlock()
	l.must(l.run(context.Background(), name, "sh", "-ec",
		"sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1; ip link set lo up"))
	return name
}

// close ends every process of the lab and takes its namespaces away.
func (l *Lab) close() {
	if l.t.Failed() {
		l.showLogs()
	}
	l.mu.Lock()
	processes, namespaces := l.processes, l.namespaces
	l.mu.Unlock()
	// Newest first: the switch outlives the hosts and controllers on it.
	for i := len(processes) - 1; i >= 0; i-- {
		processes[i].end()
	}
	for _, ns := range namespaces {
		if err := removeNamespace(ns); err != nil {
			l.t.Errorf("lab: %v", err)
		}
	}
}

// showLogs prints the end of every log, so that a failed run can be understood
// although its files are gone.
func (l *Lab) showLogs() {
	logs, err := filepath.Glob(filepath.Join(l.dir, "*", "*.log"))
	if err != nil {
		l.t.Errorf("lab: looking for logs: %v", err)
	}
	for _, path := range logs {
		text, err := os.ReadFile(path)
		if err != nil {
			l.t.Errorf("lab: reading a log: %v", err)
			continue
		}
		shown := string(text)
		if filepath.Dir(path) == l.ovsDir {
			shown = keep(shown, tellingOfOVS)
		} else {
			shown = keep(shown, tellingOfController)
		}
		if shown != "" {
			l.t.Logf("---- end of %s\n%s", filepath.Base(path), tail(shown, 60))
		}
	}
}

// tellingOfOVS says no to the lines that Open vSwitch logs in every run.
func tellingOfOVS(line string) bool {
	return !strings.Contains(line, "|INFO|") || strings.Contains(line, "|rconn|") || strings.Contains(line, "flow_mods")
}

// tellingOfController says no to API requests that went well.
func tellingOfController(line string) bool {
	return !strings.Contains(line, `"code": 2`) && !strings.Contains(line, "/readyz")
}

// keep returns the lines for which telling says yes.
func keep(text string, telling func(line string) bool) string {
	var kept strings.Builder
	for line := range strings.Lines(text) {
		if telling(line) {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// must fails the test when a command of the harness itself failed.
func (l *Lab) must(out string, err error) string {
	l.t.Helper()
	if err != nil {
		l.t.Fatalf("lab: %v", err)
	}
	return out
}

// env is the environment of every process of the lab: that of the test, less
// settings that would lead a program out of the lab.
func (l *Lab) env() []string {
	env := make([]string, 0, 32)
	for _, kv := range os.Environ() {
		if strings.HasPrefix(kv, "OVS_") || strings.HasPrefix(kv, "MACLOOM_") || strings.HasPrefix(kv, "PG") {
			continue
		}
		env = append(env, kv)
	}
	return append(env, "LC_ALL=C",
		"OVS_RUNDIR="+l.ovsDir, "OVS_DBDIR="+l.ovsDir, "OVS_LOGDIR="+l.ovsDir, "OVS_SYSCONFDIR="+l.ovsDir)
}

// Command prepares a command that runs in the namespace of the switch, with
// the lab's own Open vSwitch as the one that ovs-vsctl and the others speak to.
func (l *Lab) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return l.command(ctx, l.ns, name, args...)
}

// command prepares a command in a namespace; ns "" is the namespace of the test.
func (l *Lab) command(ctx context.Context, ns, name string, args ...string) *exec.Cmd {
	if ns != "" {
		args = append([]string{"netns", "exec", ns, name}, args...)
		name = "ip"
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = l.env()
	cmd.Dir = l.dir
	// A killed test must not leave daemons behind.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = time.Second
	return cmd
}

// run runs a short command and returns what it printed.
func (l *Lab) run(ctx context.Context, ns, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	cmd := l.command(ctx, ns, name, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err,
			strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// Exec runs a command in the namespace of the switch and returns what it
// printed on its standard output.
func (l *Lab) Exec(ctx context.Context, name string, args ...string) (string, error) {
	return l.run(ctx, l.ns, name, args...)
}

// Start starts a background process in the namespace of the switch. It is
// ended with the lab if not before.
func (l *Lab) Start(name string, args ...string) *Process {
	l.t.Helper()
	return l.start(l.ns, name, args...)
}

func (l *Lab) start(ns, name string, args ...string) *Process {
	l.t.Helper()
	p := newProcess(l.command(context.Background(), ns, name, args...), name)
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	if err := p.begin(l); err != nil {
		l.t.Fatalf("lab: starting %s: %v", name, err)
	}
	return p
}

// Wait calls ok until it returns nil, and fails the test with its last error
// if that takes longer than the given time. It is the one way in which tests
// wait for a state.
func Wait(t testing.TB, what string, within time.Duration, ok func() error) {
	t.Helper()
	deadline := time.Now().Add(within)
	for pause := 2 * time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s: %v", within, what, err)
		}
		time.Sleep(pause)
	}
}

// programs says which Debian package holds each program that a lab runs.
var programs = []struct{ name, pkg string }{
	{"ip", "iproute2"},
	{"sysctl", "procps"},
	{"ethtool", "ethtool"},
	{"ovsdb-tool", "openvswitch-common"},
	{"ovsdb-server", "openvswitch-common"},
	{"ovs-vswitchd", "openvswitch-switch"},
	{"ovs-vsctl", "openvswitch-switch"},
	{"ovs-ofctl", "openvswitch-common"},
	{"ovs-appctl", "openvswitch-common"},
}

// checkMachine says what a lab misses on this machine.
func checkMachine() error {
	if os.Geteuid() != 0 {
		return errors.New("needs root to make network namespaces: run the tests as root, or with: go test -exec 'sudo -E'")
	}
	var missing []string
	for _, p := range programs {
		if err := Need(p.name, p.pkg); err != nil {
			missing = append(missing, err.Error())
		}
	}
	if missing != nil {
		return errors.New(strings.Join(missing, "; "))
	}
	return nil
}

// Need says which Debian package to install if a program is missing.
func Need(program, pkg string) error {
	if _, err := exec.LookPath(program); err != nil {
		return fmt.Errorf("%s is not installed: it is in the Debian package %s (apt-get install %s)", program, pkg, pkg)
	}
	return nil
}

// pidsIn lists the processes whose network namespace is ns.
func pidsIn(ns string) []int {
	out, err := exec.Command("ip", "netns", "pids", ns).Output()
	if err != nil {
		return nil
	}
	var pids []int
	for _, field := range strings.Fields(string(out)) {
		if pid, err := strconv.Atoi(field); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// removeNamespace ends all processes in a namespace of a lab and deletes it.
// Processes get SIGTERM first: a PostgreSQL that a killed controller left
// behind frees its shared memory then.
func removeNamespace(ns string) error {
	steps := []struct {
		signal syscall.Signal
		wait   time.Duration
	}{{syscall.SIGTERM, 2 * time.Second}, {syscall.SIGQUIT, 2 * time.Second}, {syscall.SIGKILL, 5 * time.Second}}
	for _, step := range steps {
		pids := pidsIn(ns)
		for _, pid := range pids {
			_ = syscall.Kill(pid, step.signal) // it may be gone by now
		}
		for deadline := time.Now().Add(step.wait); len(pids) > 0 && time.Now().Before(deadline); pids = pidsIn(ns) {
			time.Sleep(10 * time.Millisecond)
		}
		if len(pids) == 0 {
			break
		}
	}
	if out, err := exec.Command("ip", "netns", "del", ns).CombinedOutput(); err != nil {
		return fmt.Errorf("deleting network namespace %s: %w: %s", ns, err, out)
	}
	return nil
}
