package lab

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// Process is a background process of a lab.
type Process struct {
	name   string
	cmd    *exec.Cmd
	output lockedBuffer
	done   chan struct{}
	err    error // of Wait; read it after done
}

func newProcess(cmd *exec.Cmd, name string) *Process {
	return &Process{name: name, cmd: cmd, done: make(chan struct{})}
}

// begin starts the process and hands it to the lab for cleaning up.
func (p *Process) begin(l *Lab) error {
	if err := p.cmd.Start(); err != nil {
		return err
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	l.mu.Lock()
	l.processes = append(l.processes, p)
	l.mu.Unlock()
	return nil
}

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Output is what the process has printed so far.
func (p *Process) Output() string { return p.output.String() }

// Signal sends a signal to the process.
func (p *Process) Signal(sig os.Signal) error { return p.cmd.Process.Signal(sig) }

// Stop asks the process to end by SIGTERM, waits up to the given time, and
// reports how it ended: nil for exit code 0. A process that stays is killed,
// which is an error too.
func (p *Process) Stop(within time.Duration) error {
	if err := p.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("lab: stopping %s: %w", p.name, err)
	}
	select {
	case <-p.done:
		return p.err
	case <-time.After(within):
		p.kill()
		return fmt.Errorf("lab: %s did not end within %v of SIGTERM and was killed", p.name, within)
	}
}

// kill ends the process at once and waits until it is gone.
func (p *Process) kill() {
	_ = p.cmd.Process.Kill() // an error means that it has ended already
	<-p.done
}

// end is for cleaning up: how the process ends does not matter any more.
func (p *Process) end() {
	select {
	case <-p.done:
	default:
		_ = p.Stop(3 * time.Second) // it is killed if it stays
	}
}

// lockedBuffer collects the output of a process while others read it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
