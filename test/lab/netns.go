package lab

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// netnsDir is where iproute2 keeps named network namespaces.
const netnsDir = "/var/run/netns/"

// inNamespace calls f on a thread that has entered the network namespace ns.
// A socket belongs for ever to the namespace that its maker was in, so it is
// enough that f makes the sockets. f must not start goroutines that make some.
//
// The thread returns to its own namespace afterwards and lives on: if it ended,
// the kernel would kill the processes that it started (Pdeathsig).
func inNamespace(ns string, f func() error) (err error) {
	target, err := os.Open(netnsDir + ns)
	if err != nil {
		return fmt.Errorf("entering network namespace %s: %w", ns, err)
	}
	defer target.Close()

	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		home, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			runtime.UnlockOSThread()
			done <- err
			return
		}
		defer home.Close()
		if err := unix.Setns(int(target.Fd()), unix.CLONE_NEWNET); err != nil {
			runtime.UnlockOSThread()
			done <- fmt.Errorf("entering network namespace %s: %w", ns, err)
			return
		}
		err = f()
		if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
			// Still locked, the thread ends with this goroutine and cannot
			// carry other goroutines into the wrong namespace.
			done <- fmt.Errorf("leaving network namespace %s: %w", ns, back)
			return
		}
		runtime.UnlockOSThread()
		done <- err
	}()
	return <-done
}
