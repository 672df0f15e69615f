package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSegmentsOfAControllerAreMadeListedAndDeleted(t *testing.T) {
	t.Parallel()
	l := startLive(t)
	l.run("segment", "create", "0200.0500.0000/24", "--name", "root", "--description", "all")
	l.run("segment", "create", "02:00:05:01:00:00/32", "--name", "demo", "--tenant", "demo")
	l.run("segment", "create", "02:00:06:00:00:00/32", "--shared", "--name", "shared")
	const before, after = "locally administered,02:00:00:00:00:00/8,\n", "\ndefault,02:ff:00:00:00:00/16," // every controller has them
	list := func(args ...string) string {
		return l.run(append([]string{"segment", "list", "-o", "csv", "--columns", "name,block,tenant_id", "--no-headers"}, args...)...)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, before + "root,02:00:05:00:00:00/24,\ndemo,02:00:05:01:00:00/32,demo\nshared,02:00:06:00:00:00/32," + after},
		{[]string{"--parent", "root"}, "demo,02:00:05:01:00:00/32,demo"},
		{[]string{"--tenant", "demo,other"}, "demo,02:00:05:01:00:00/32,demo"},
		{[]string{"--tenant", "", "--shared=false"}, before + "root,02:00:05:00:00:00/24,"},
		{[]string{"--name", "none"}, ""},
	} {
		if diff := cmp.Diff(c.want, list(c.args...)); diff != "" {
			t.Errorf("list %v (-want +got):\n%s", c.args, diff)
		}
	}
	l.run("segment", "set", "root", "--name", "top")
	if got := l.run("segment", "show", "02:00:05:00:00:00/24", "--columns", "name,block", "--no-headers"); got != "name   top\nblock  02:00:05:00:00:00/24" {
		t.Errorf("shown: %q", got)
	}
	l.refused(map[string]string{
		"segment create 02:00:05:01:80:00/33 --name in-demo --tenant other": "MacSegment",
		"segment delete top":                 "MacSegmentInUse: ",
		"segment show nothing":               `there is no mac segment "nothing"`,
		"segment list --network nothing":     `there is no network "nothing"`,
		"segment create 02:00:05:00:00:00/4": "prefix length 4",
	})
	l.run("segment", "delete", "demo", "top", "shared")
	if got := list(); got != strings.TrimSpace(before)+after {
		t.Errorf("after all were deleted: %q", got)
	}
}

// refused says that commands fail, each with a part of the message.
func (l *live) refused(commands map[string]string) {
	l.t.Helper()
	for words, want := range commands {
		if _, err := l.try(strings.Fields(words)...); err == nil || !strings.Contains(err.Error(), want) {
			l.t.Errorf("%s: %v, want an error with %q", words, err, want)
		}
	}
}

// rows are the lines of a command's table without a header.
func (l *live) rows(columns string, args ...string) string {
	l.t.Helper()
	return l.run(append(args, "-o", "csv", "--columns", columns, "--no-headers")...)
}

// post makes an object that has no command of its own and returns it.
func (l *live) post(collection, single string, body map[string]any) map[string]any {
	l.t.Helper()
	var answer map[string]map[string]any
	l.call(http.MethodPost, collection, map[string]any{single: body}, &answer)
	return answer[single]
}
