package test

import (
	"bytes"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// compose is the part of the Compose specification that our file uses; any
// other key is a mistake.
type compose struct {
	Name     string
	Services map[string]struct {
		Image, Build, Restart string
		Environment           map[string]string
		Ports, Volumes        []string
		DependsOn             map[string]struct{ Condition string } `yaml:"depends_on"`
		Healthcheck           struct {
			Test              []string
			Interval, Timeout string
			StartPeriod       string `yaml:"start_period"`
			Retries           int
		}
		ReadOnly    bool     `yaml:"read_only"`
		CapDrop     []string `yaml:"cap_drop"`
		SecurityOpt []string `yaml:"security_opt"`
	}
	Volumes map[string]*struct{}
}

func readCompose(t *testing.T) compose {
	t.Helper()
	text, err := os.ReadFile("../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	var c compose
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&c); err != nil {
		t.Fatalf("docker-compose.yml: %v", err)
	}
	return c
}

func TestComposeFileStartsDatabaseAndController(t *testing.T) {
	t.Parallel()
	c := readCompose(t)
	if len(c.Services) != 2 {
		t.Fatalf("services: want 2, got %d", len(c.Services))
	}
	controller, postgres := c.Services["controller"], c.Services["postgres"]

	bind := "${MACLOOM_BIND:-127.0.0.1}:"
	if d := cmp.Diff([]string{bind + "6653:6653", bind + "6640:6640", bind + "9696:9696"}, controller.Ports); d != "" {
		t.Errorf("ports of the controller (-want +got):\n%s", d)
	}
	if len(postgres.Ports) != 0 {
		t.Errorf("the database is open to the network: %v", postgres.Ports)
	}
	if controller.Build != "." || postgres.Image == "" {
		t.Errorf("the controller is built from %q, the database is image %q", controller.Build, postgres.Image)
	}
	if got := controller.DependsOn["postgres"].Condition; got != "service_healthy" {
		t.Errorf("the controller waits for postgres to be %q, want service_healthy", got)
	}
	if d := cmp.Diff([]string{"CMD", "macloom", "health", "--http", "127.0.0.1:9696"}, controller.Healthcheck.Test); d != "" {
		t.Errorf("health check of the controller (-want +got):\n%s", d)
	}
	if test := postgres.Healthcheck.Test; len(test) < 2 || test[1] != "pg_isready" {
		t.Errorf("health check of postgres: %v", test)
	}
	if got, want := controller.Environment["MACLOOM_DATABASE_URL"], "@postgres:5432/"+postgres.Environment["POSTGRES_DB"]; !strings.HasSuffix(got, want) {
		t.Errorf("database URL: want one that ends with %s, got %s", want, got)
	}
}

func TestComposeFileKeepsStateInNamedVolumes(t *testing.T) {
	t.Parallel()
	c := readCompose(t)
	for name, service := range c.Services {
		if len(service.Volumes) != 1 {
			t.Errorf("%s has %d volumes, want 1", name, len(service.Volumes))
			continue
		}
		volume, _, _ := strings.Cut(service.Volumes[0], ":")
		if _, ok := c.Volumes[volume]; !ok {
			t.Errorf("volume %s of %s is not declared", volume, name)
		}
	}
}

func TestComposeFileHoldsNoPassword(t *testing.T) {
	t.Parallel()
	required := regexp.MustCompile(`^\$\{MACLOOM_DB_PASSWORD:\?[^}]+\}$`)
	for name, service := range readCompose(t).Services {
		for key, value := range service.Environment {
			if strings.Contains(key, "PASSWORD") && !required.MatchString(value) {
				t.Errorf("%s of %s is not taken from a required variable: %s", key, name, value)
			}
			if regexp.MustCompile(`://[^/@]*:[^/@]*@`).MatchString(value) {
				t.Errorf("%s of %s has a password in it", key, name)
			}
		}
	}
}

func TestImageRunsAsAnUnprivilegedUserAndChecksItsHealth(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	var stages, users []string
	joined := strings.ReplaceAll(string(text), "\\\n", " ")
	for line := range strings.Lines(joined) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch word {
		case "FROM":
			stages, users = append(stages, rest), nil
		case "USER":
			users = append(users, rest)
		}
	}
	if len(stages) != 2 || !strings.HasPrefix(stages[0], "golang:") || !strings.HasPrefix(stages[1], "debian:") {
		t.Errorf("stages: want golang and debian, got %v", stages)
	}
	if len(users) != 1 || slices.Contains([]string{"root", "0"}, users[0]) {
		t.Errorf("users of the last stage: %v", users)
	}
	for _, want := range []string{"HEALTHCHECK", "EXPOSE 6653 6640 9696", `"macloom", "health"`} {
		if !strings.Contains(joined, want) {
			t.Errorf("the Dockerfile has no %s", want)
		}
	}
}
