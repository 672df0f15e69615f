package test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// troubled is a package, of which PACKAGE is the name, whose tests fail as the environment says.
const troubled = `package PACKAGE

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// fails notes a try, and says whether it is one that is to fail.
func fails(t *testing.T) bool {
	name, tries := "PACKAGE." + strings.TrimPrefix(t.Name(), "Test"), 0
	if _, after, is := strings.Cut(os.Getenv("FAILS"), name+"="); is {
		fmt.Sscan(after, &tries)
	}
	file := os.Getenv("NOTES") + "/" + name
	before, _ := os.ReadFile(file)
	if err := os.WriteFile(file, append(before, '.'), 0o600); err != nil {
		panic(err)
	}
	return len(before) < tries
}

func try(t *testing.T) {
	if fails(t) {
		t.Error("as it was told")
	}
}

func TestOne(t *testing.T) { try(t) }
func TestTwo(t *testing.T) { try(t) }

func TestPanic(t *testing.T) {
	if fails(t) {
		go panic("as it was told") // this test does not fail: there is no time for that
		select {}
	}
}

func TestExit(t *testing.T) {
	if fails(t) {
		os.Exit(1)
	}
}

func TestLog(t *testing.T) {
	if fails(t) {
		t.Error("lab: the controller's log has \"panic: \":")
	}
}
`

// A few tests that fail have a second try, alone; and it hides no other trouble.
func TestAgainTriesTwiceWhatMayBeTriedTwice(t *testing.T) {
	t.Parallel()
	again, err := filepath.Abs("again")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module github.com/macloom/troubled\n\ngo 1.26\n")
	for _, name := range []string{"a", "z"} {
		write(name+"/"+name+"_test.go", strings.ReplaceAll(troubled, "PACKAGE", name))
	}
	for _, c := range []struct {
		fails  string // so many tries of tests
		passes bool
		tries  string
	}{
		{"a.One=1", true, "a.One=2 a.Two=1 z.One=1"},
		{"a.One=2", false, "a.One=2 a.Two=1"},
		{"a.One=1 a.Two=1 z.Two=1", true, "a.One=2 a.Two=2 z.One=1 z.Two=2"},
		{"a.One=1 z.One=2", false, "a.One=2 z.One=2"},
		{"a.One=1 a.Two=1 z.One=1 z.Two=1", false, "a.One=1 z.Two=1"},
		{"a.One=1 a.Panic=1", false, "a.One=1 a.Panic=1"},
		{"a.One=1 z.Panic=1", false, "a.One=1 z.Panic=1"},
		{"a.One=1 a.Exit=1", false, "a.One=1 a.Exit=1"},
		{"a.One=1 z.Log=1", false, "a.One=1 z.Log=1"},
	} {
		t.Run(c.fails, func(t *testing.T) {
			t.Parallel()
			notes := t.TempDir()
			cmd := exec.Command(again, "-trimpath", "-vet=off", "-count=1", "./...")
			cmd.Dir, cmd.Env = dir, append(os.Environ(), "FAILS="+c.fails, "NOTES="+notes)
			out, err := cmd.CombinedOutput()
			if (err == nil) != c.passes {
				t.Errorf("%v; want it to pass: %v", err, c.passes)
			}
			for want := range strings.FieldsSeq(c.tries) {
				name, _, _ := strings.Cut(want, "=")
				tries, err := os.ReadFile(filepath.Join(notes, name))
				if got := fmt.Sprint(name, "=", len(tries)); err != nil || got != want {
					t.Errorf("tries: %s, want %s (%v)", got, want, err)
				}
			}
			if t.Failed() {
				t.Logf("%s", out)
			}
		})
	}
}
