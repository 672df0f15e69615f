// Package mininet runs Mininet topologies against a controller in a lab.
//
// Mininet cleans up by name across the whole machine when it fails, so mn runs
// in process and mount namespaces of its own, where it finds only itself, and
// with a private /tmp.
package mininet

import (
	"bufio"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/macloom/macloom/test/lab"
)

//go:embed rounds.py
var roundsScript []byte

// Controller is what mn is told: the macloom in the namespace of the lab.
const Controller = "remote,ip=127.0.0.1,port=6653"

// Options says what to run.
type Options struct {
	// Topology is what mn --topo takes, such as "tree,2".
	Topology string
	// Controller is what mn --controller takes; Controller of this package when empty.
	Controller string
	// Rounds is how often every host pings every other; 1 when 0.
	Rounds int
	// After is called after each round but the last, while the network stands.
	After func(round int)
	// Args are further arguments of mn, such as "--mac".
	Args []string
}

// Round is the outcome of one pingall.
type Round struct {
	Dropped        float64 // percent
	Received, Sent int
}

// limit bounds one run of mn.
const limit = 3 * time.Minute

var (
	results = regexp.MustCompile(`\*\*\* Results: ([0-9.]+)% dropped \(([0-9]+)/([0-9]+) received\)`)
	// paused is what rounds.py prints; the test's prompt may stand before it.
	paused = "macloom: pause"
)

// PingAll starts a topology on the lab's Open vSwitch and lets all hosts ping
// each other, once for every round. It fails the test if mn does not run.
func PingAll(t testing.TB, l *lab.Lab, o Options) []Round {
	t.Helper()
	for program, pkg := range map[string]string{"mn": "mininet", "unshare": "util-linux", "mount": "mount"} {
		if err := lab.Need(program, pkg); err != nil {
			t.Fatalf("mininet: %v", err)
		}
	}
	rounds, out, err := pingAll(l, o)
	if err != nil {
		t.Fatalf("mininet: %s: %v\n%s", o.Topology, err, out)
	}
	return rounds
}

func pingAll(l *lab.Lab, o Options) (rounds []Round, out string, err error) {
	if o.Rounds == 0 {
		o.Rounds = 1
	}
	if o.Controller == "" {
		o.Controller = Controller
	}
	script := filepath.Join(l.Dir(), "ovs", "rounds.py")
	if err := os.WriteFile(script, roundsScript, 0o644); err != nil {
		return nil, "", err
	}
	test := "pingall" + strings.Repeat("+pause+pingall", o.Rounds-1)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	// The sockets of Open vSwitch lie below /tmp: they are bound to another
	// place before the private /tmp hides them.
	contained := `mount --make-rprivate /; mount --bind "$OVS_RUNDIR" /mnt; mount -t tmpfs tmpfs /tmp; cd /
OVS_RUNDIR=/mnt OVS_DBDIR=/mnt exec "$@"`
	cmd := l.Command(ctx, "unshare", append([]string{"--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
		"sh", "-ec", contained, "sh",
		"mn", "--controller", o.Controller, "--switch", "ovsk,datapath=user,protocols=OpenFlow13",
		"--topo", o.Topology, "--custom", "/mnt/rounds.py", "--test", test}, o.Args...)...)
	return follow(cmd, o)
}

// follow runs mn, reads its output and answers its pauses.
func follow(cmd *exec.Cmd, o Options) (rounds []Round, out string, err error) {
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, "", err
	}
	reader, writer := io.Pipe()
	cmd.Stdout, cmd.Stderr = writer, writer
	if err := cmd.Start(); err != nil {
		return nil, "", err
	}
	ended := make(chan error, 1)
	go func() {
		err := cmd.Wait()
		ended <- errors.Join(err, writer.Close())
	}()
	var all strings.Builder
	for lines := bufio.NewScanner(reader); lines.Scan(); {
		line := lines.Text()
		all.WriteString(line + "\n")
		if m := results.FindStringSubmatch(line); m != nil {
			r, err := parse(m)
			if err != nil {
				return rounds, all.String(), err
			}
			rounds = append(rounds, r)
		}
		if strings.Contains(line, paused) {
			if o.After != nil {
				o.After(len(rounds))
			}
			if _, err := io.WriteString(stdin, "\n"); err != nil {
				return rounds, all.String(), errors.Join(err, <-ended)
			}
		}
	}
	if err := <-ended; err != nil {
		return rounds, all.String(), err
	}
	if len(rounds) != o.Rounds {
		return rounds, all.String(), fmt.Errorf("%d of %d rounds have a result", len(rounds), o.Rounds)
	}
	return rounds, all.String(), nil
}

// parse reads "N% dropped (R/S received)".
func parse(m []string) (Round, error) {
	dropped, err1 := strconv.ParseFloat(m[1], 64)
	received, err2 := strconv.Atoi(m[2])
	sent, err3 := strconv.Atoi(m[3])
	return Round{Dropped: dropped, Received: received, Sent: sent}, errors.Join(err1, err2, err3)
}
