package mininet

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAnswersOfMininetAreRead(t *testing.T) {
	t.Parallel()
	script := `echo '*** Starting'; echo 'macloom: "ready"'
read line; test "$line" = pingall; echo '*** Results: 16% dropped (10/12 received)'; echo 'macloom: null'
read line; test "$line" = 'a b'; echo 'mininet> macloom: [1, 2]'
read line`
	d, err := newDriver(exec.Command("sh", "-ec", script))
	if err != nil {
		t.Fatal(err)
	}
	defer d.wait()
	if err := d.ask(nil, "pingall"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Round{Dropped: 16, Received: 10, Sent: 12}, d.last); diff != "" {
		t.Errorf("round (-want +got):\n%s", diff)
	}
	var got []int
	if err := d.ask(&got, "a", "b"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{1, 2}, got); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
	if err := d.ask(nil, "more"); err == nil || !strings.Contains(err.Error(), "mn has ended") {
		t.Errorf("after its end: %v", err)
	}
}

func TestMininetThatDoesNotStartIsAnError(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]string{
		"echo no answers":              "mn has ended",
		"echo 'no such thing'; exit 3": "exit status 3",
	} {
		_, err := newDriver(exec.Command("sh", "-c", script))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "no") {
			t.Errorf("%s: want an error with %q, got %v", script, want, err)
		}
	}
}
