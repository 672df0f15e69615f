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
	"encoding/json"
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

//go:embed drive.py
var driveScript []byte

// Controller is what mn is told: the macloom in the namespace of the lab.
const Controller = "remote,ip=127.0.0.1,port=6653"

// Options says what to run.
type Options struct {
	// Topology is what mn --topo takes, such as "tree,2", and "ring,4" (a host at each of so
	// many switches) and "fattree,4" (of switches with so many ports).
	Topology string
	// Controller is what mn --controller takes; Controller of this package when empty.
	Controller string
	// Args are further arguments of mn, such as "--mac".
	Args []string
}

// Network is a running topology.
type Network struct {
	t     testing.TB
	lab   *lab.Lab
	drive *driver
}

// Round is the outcome of one pingall.
type Round struct {
	Dropped        float64 // percent
	Received, Sent int
}

// Outage is what became of the echo requests between all pairs of hosts while they
// were watched.
type Outage struct {
	Rounds  int    // of one request for each pair, ten in a second
	Sent    int    // requests in all
	Lost    int    // of them, without an answer
	Longest int    // requests of one pair in a row without an answer
	Pair    string // that pair
}

// limit bounds one run of mn.
const limit = 4 * time.Minute

// Start starts a topology on the lab's Open vSwitch. It ends with the test.
func Start(t testing.TB, l *lab.Lab, o Options) *Network {
	t.Helper()
	for program, pkg := range map[string]string{"mn": "mininet", "unshare": "util-linux", "mount": "mount"} {
		if err := lab.Need(program, pkg); err != nil {
			t.Fatalf("mininet: %v", err)
		}
	}
	if o.Controller == "" {
		o.Controller = Controller
	}
	if err := os.WriteFile(filepath.Join(l.Dir(), "ovs", "drive.py"), driveScript, 0o644); err != nil {
		t.Fatalf("mininet: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	// The sockets of Open vSwitch lie below /tmp: they are bound to another
	// place before the private /tmp hides them.
	contained := `mount --make-rprivate /; mount --bind "$OVS_RUNDIR" /mnt; mount -t tmpfs tmpfs /tmp; cd /
OVS_RUNDIR=/mnt OVS_DBDIR=/mnt exec "$@"`
	cmd := l.Command(ctx, "unshare", append([]string{"--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
		"sh", "-ec", contained, "sh",
		"mn", "--controller", o.Controller, "--switch", "ovsk,datapath=user,protocols=OpenFlow13",
		"--topo", o.Topology, "--custom", "/mnt/drive.py", "--test", "drive"}, o.Args...)...)
	d, err := newDriver(cmd)
	if err != nil {
		cancel()
		t.Fatalf("mininet: %s: %v", o.Topology, err)
	}
	n := &Network{t: t, lab: l, drive: d}
	t.Cleanup(func() {
		// What mn would take down, one thing after the other, goes with the lab.
		cancel()
		d.wait()
	})
	return n
}

// ask carries out a command. It fails the test if mn ends.
func (n *Network) ask(answer any, command ...string) {
	n.t.Helper()
	if err := n.drive.ask(answer, command...); err != nil {
		n.t.Fatalf("mininet: %s: %v\n%s", strings.Join(command, " "), err, n.drive.said.String())
	}
}

// PingAll lets every host ping every other, once.
func (n *Network) PingAll() Round {
	n.t.Helper()
	n.ask(nil, "pingall")
	return n.drive.last
}

// Broadcast has every host send a frame for everybody. It returns who saw one of them more
// or less often than once, and how many pairs of hosts there are.
func (n *Network) Broadcast() (wrong []string, pairs int) {
	n.t.Helper()
	var seen struct {
		Wrong []string
		Pairs int
	}
	n.ask(&seen, "broadcast")
	return seen.Wrong, seen.Pairs
}

// Watch begins to send echo requests between all pairs of hosts, each every 100 ms.
func (n *Network) Watch() {
	n.t.Helper()
	n.ask(nil, "watch")
}

// AwaitRounds waits until so many more requests were sent between each pair.
func (n *Network) AwaitRounds(more int) {
	n.t.Helper()
	var first, now int
	n.ask(&first, "rounds")
	lab.Wait(n.t, "echo requests", time.Minute, func() error {
		if n.ask(&now, "rounds"); now < first+more {
			return fmt.Errorf("%d of %d", now-first, more)
		}
		return nil
	})
}

// Unwatch ends what Watch began.
func (n *Network) Unwatch() (o Outage) {
	n.t.Helper()
	n.ask(&o, "unwatch")
	return o
}

// Links returns the pairs of switches that are linked.
func (n *Network) Links() (links [][2]string) {
	n.t.Helper()
	n.ask(&links, "links")
	return links
}

// Cut takes the carrier of a link, and Restore gives it back.
func (n *Network) Cut(link [2]string) {
	n.t.Helper()
	n.ask(nil, "down", link[0], link[1])
}

// Restore gives a link its carrier again.
func (n *Network) Restore(link [2]string) {
	n.t.Helper()
	n.ask(nil, "up", link[0], link[1])
}

// Join plugs in a link between two switches.
func (n *Network) Join(a, b string) {
	n.t.Helper()
	n.ask(nil, "join", a, b)
}

// Carried is how many frames the switches have sent by all their ports.
func (n *Network) Carried() (frames uint64) {
	n.t.Helper()
	out, err := n.lab.Exec(context.Background(), "ip", "-stats", "-json", "link", "show", "type", "veth")
	if err != nil {
		n.t.Fatalf("mininet: %v", err)
	}
	var all []struct {
		Stats struct {
			TX struct {
				Packets uint64 `json:"packets"`
			} `json:"tx"`
		} `json:"stats64"`
	}
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		n.t.Fatalf("mininet: counting frames: %v", err)
	}
	for _, i := range all {
		frames += i.Stats.TX.Packets
	}
	return frames
}

// driver talks to drive.py.
type driver struct {
	in    io.Writer
	lines *bufio.Scanner
	said  strings.Builder // all that mn has printed
	last  Round           // what pingall has printed last
	wait  func()
}

var results = regexp.MustCompile(`\*\*\* Results: ([0-9.]+)% dropped \(([0-9]+)/([0-9]+) received\)`)

// newDriver starts mn and waits for drive.py.
func newDriver(cmd *exec.Cmd) (*driver, error) {
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	reader, writer := io.Pipe()
	cmd.Stdout, cmd.Stderr = writer, writer
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		err := cmd.Wait()
		if err == nil {
			err = errors.New("mn has ended")
		}
		writer.CloseWithError(err)
	}()
	d := &driver{in: in, lines: bufio.NewScanner(reader), wait: func() {
		_ = reader.Close() // nobody reads any more
		<-ended
	}}
	if err := d.answer(nil); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, d.said.String())
	}
	return d, nil
}

func (d *driver) ask(answer any, command ...string) error {
	if _, err := io.WriteString(d.in, strings.Join(command, " ")+"\n"); err != nil {
		return err
	}
	return d.answer(answer)
}

// answer reads until there is one. The prompt of a shell may stand before it.
func (d *driver) answer(into any) error {
	for d.lines.Scan() {
		line := d.lines.Text()
		d.said.WriteString(line + "\n")
		if m := results.FindStringSubmatch(line); m != nil {
			r, err := parse(m)
			if err != nil {
				return err
			}
			d.last = r
		}
		if _, value, is := strings.Cut(line, "macloom: "); is {
			if into == nil {
				return nil
			}
			return json.Unmarshal([]byte(value), into)
		}
	}
	return errors.Join(errors.New("no answer"), d.lines.Err())
}

// parse reads "N% dropped (R/S received)".
func parse(m []string) (Round, error) {
	dropped, err1 := strconv.ParseFloat(m[1], 64)
	received, err2 := strconv.Atoi(m[2])
	sent, err3 := strconv.Atoi(m[3])
	return Round{Dropped: dropped, Received: received, Sent: sent}, errors.Join(err1, err2, err3)
}
