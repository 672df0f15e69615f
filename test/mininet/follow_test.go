package mininet

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestResultsOfMininetAreRead(t *testing.T) {
	t.Parallel()
	script := `echo '*** Results: 16% dropped (10/12 received)'
echo 'mininet> macloom: pause'
read line
echo '*** Results: 0% dropped (12/12 received)'`
	var after []int
	got, _, err := follow(exec.Command("sh", "-c", script), Options{Rounds: 2, After: func(n int) { after = append(after, n) }})
	if err != nil {
		t.Fatal(err)
	}
	want := []Round{{Dropped: 16, Received: 10, Sent: 12}, {Received: 12, Sent: 12}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("rounds (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]int{1}, after); d != "" {
		t.Errorf("pauses (-want +got):\n%s", d)
	}
}

func TestMininetThatEndsEarlyIsAnError(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]string{
		"echo no results": "0 of 1 rounds have a result",
		"exit 3":          "exit status 3",
	} {
		_, _, err := follow(exec.Command("sh", "-c", script), Options{Rounds: 1})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: want an error with %q, got %v", script, want, err)
		}
	}
}
