package northbound

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the generated parts of docs/api.md")

const apiDocument = "../docs/api.md"

// reference is what the document of the API says about a resource.
type reference struct {
	single, plural, path, doc string
	verbs                     []string
	adminRead, adminWrite     bool
	rows                      []attributeRow
}

func (c *collection[E]) reference() reference {
	ref := reference{
		single: c.single, plural: c.plural, path: c.path, doc: c.doc,
		adminRead: c.readBy == admins, adminWrite: c.writeBy == admins,
		verbs: []string{"GET (list)", "GET (show)"},
	}
	if c.create != nil {
		ref.verbs = append(ref.verbs, "POST")
	}
	if c.update != nil {
		ref.verbs = append(ref.verbs, "PUT")
	}
	if c.remove != nil {
		ref.verbs = append(ref.verbs, "DELETE")
	}
	for _, a := range c.attributes {
		ref.rows = append(ref.rows, a.row())
	}
	return ref
}

// markdown is the generated part of a resource's chapter.
func (ref reference) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n`/v2.0/%s`, `{\"%s\": {…}}`, `{\"%s\": […]}`: %s.", ref.doc, ref.path, ref.single, ref.plural, strings.Join(ref.verbs, ", "))
	switch {
	case ref.adminRead:
		b.WriteString(" For administrators only.")
	case ref.adminWrite:
		b.WriteString(" Only administrators write.")
	}
	b.WriteString("\n\n| attribute | value | POST | PUT | default | lists | |\n|---|---|---|---|---|---|---|\n")
	for _, row := range ref.rows {
		def := ""
		if row.Default != "" {
			def = "`" + row.Default + "`"
		}
		fmt.Fprintf(&b, "| %s |\n", strings.Join([]string{"`" + row.Name + "`", row.Value, row.Post, row.Put, def, row.Lists, row.Doc}, " | "))
	}
	return b.String()
}

func TestReferenceIsUpToDate(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(apiDocument)
	if err != nil {
		t.Fatal(err)
	}
	want := string(text)
	for _, r := range resources(nil) {
		ref := r.(interface{ reference() reference }).reference()
		start := "<!-- reference: " + ref.path + " -->\n"
		before, rest, found := strings.Cut(want, start)
		_, after, ended := strings.Cut(rest, "<!-- end -->")
		if !found || !ended {
			t.Errorf("%s has no chapter for %s", apiDocument, ref.path)
			continue
		}
		want = before + start + ref.markdown() + "<!-- end -->" + after
	}
	if *update {
		if err := os.WriteFile(apiDocument, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Errorf("%s is stale: run go test ./northbound -run Reference -update (-want +got):\n%s", apiDocument, diff)
	}
}

var shellBlock = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")

// The examples run as they stand, in their order, in one shell.
func TestExamplesOfTheReferenceRun(t *testing.T) {
	t.Parallel()
	a, _ := explaining(t)
	text, err := os.ReadFile(apiDocument)
	if err != nil {
		t.Fatal(err)
	}
	auth, err := os.ReadFile("../docs/auth.md")
	if err != nil {
		t.Fatal(err)
	}
	script := "set -eux\n"
	for _, block := range shellBlock.FindAllStringSubmatch(string(text), -1) {
		script += block[1]
	}
	for _, block := range shellBlock.FindAllStringSubmatch(string(auth), -1) {
		if strings.HasPrefix(block[1], "curl ") { // the others are of the command line
			script += block[1]
		}
	}
	cmd := exec.Command("sh", "-c", script)
	cmd.Env = append(os.Environ(), "API="+a.url, "TOKEN=admin", "no_proxy=*")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v (curl and python3 are needed):\n%s", err, out)
	}
	if got := a.want(200, "GET", "/v2.0/ports?tenant_id=demo", "admin", "").list(t); len(got) != 3 {
		t.Errorf("the examples made %d ports, want 3", len(got))
	}
}
