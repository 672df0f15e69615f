package northbound

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/macloom/macloom/controller/intent"
)

// monitorTable is what a health monitor has. Those of HTTP go with type http alone.
var monitorTable = table[intent.Monitor]{
	stored("type", oneOf(intent.MonitorTCP, intent.MonitorHTTP, intent.MonitorPing), func(m *intent.Monitor) *intent.MonitorKind { return &m.Kind }, access{post: required}, ""),
	stored("delay", number[int](1, 3600), func(m *intent.Monitor) *int { return &m.Delay }, access{post: optional, def: "5"}, ""),
	stored("timeout", number[int](1, 3600), func(m *intent.Monitor) *int { return &m.Timeout }, access{post: optional, def: "2"}, ""),
	stored("rise", number[int](1, 10), func(m *intent.Monitor) *int { return &m.Rise }, access{post: optional, def: "2"}, ""),
	stored("fall", number[int](1, 10), func(m *intent.Monitor) *int { return &m.Fall }, access{post: optional, def: "3"}, ""),
	mapped("port", orNull(number[int](1, 65535)), func(m *intent.Monitor) int { return int(m.Port) }, func(m *intent.Monitor, n int) { m.Port = uint16(n) }, access{post: optional}, ""),
	stored("http_method", orNull(oneOf("GET", "HEAD", "OPTIONS")), func(m *intent.Monitor) *string { return &m.Method }, access{post: optional}, ""),
	stored("url_path", orNull(urlPath), func(m *intent.Monitor) *string { return &m.Path }, access{post: optional}, ""),
	stored("expected_codes", orNull(statusCodes), func(m *intent.Monitor) *string { return &m.Codes }, access{post: optional}, ""),
}

var ofHTTP = []string{"http_method", "url_path", "expected_codes"}

// urlPath is what follows the host in a URL: printable ASCII without blanks.
var urlPath = func() valueType[string] {
	const pattern = `^/[!-~]*$`
	right := regexp.MustCompile(pattern)
	t := text(255)
	t.name = "path of a URL, at most 255 characters"
	t.shows = matching(pattern).with(schema{"maxLength": 255, "examples": []any{"/healthz"}})
	read := t.parse
	t.parse = func(v any) (string, error) {
		s, err := read(v)
		if err == nil && !right.MatchString(s) {
			err = fmt.Errorf("%s is not a path such as /healthz, of printable ASCII characters without blanks", show(v))
		}
		return s, err
	}
	return t
}()

// statusCodes are codes of HTTP and ranges of them.
var statusCodes = func() valueType[string] {
	const code = `[1-5][0-9]{2}`
	t := text(64)
	t.name = "HTTP status codes and ranges of them, as 200,202 or 200-399"
	t.shows = matching(`^` + code + `(-` + code + `)?(,` + code + `(-` + code + `)?)*$`).with(schema{"maxLength": 64, "examples": []any{"200", "200-299,401"}})
	read := t.parse
	t.parse = func(v any) (string, error) {
		s, err := read(v)
		if err != nil {
			return "", err
		}
		if _, err := intent.ParseStatusCodes(s); err != nil {
			return "", fmt.Errorf("%s", strings.TrimPrefix(err.Error(), "intent: "))
		}
		return s, nil
	}
	return t
}()

// healthMonitor is an object, or null: the backends are not probed.
var healthMonitor = orNull(valueType[intent.Monitor]{
	name:   `{"type": "tcp", "http" or "ping", "delay", "timeout", "rise", "fall", "port", "http_method", "url_path", "expected_codes"}`,
	shows:  monitorShown(),
	takes:  monitorTaken(),
	parse:  readMonitor,
	append: func(b []byte, m intent.Monitor) []byte { return monitorTable.append(b, &m) },
})

func monitorShown() schema {
	properties := map[string]schema{}
	for _, a := range monitorTable {
		properties[a.name] = a.shows
	}
	return objectOf(properties)
}

// monitorTaken is a schema for each type, as they do not have the same members.
func monitorTaken() schema {
	var kinds []schema
	for _, kind := range []intent.MonitorKind{intent.MonitorTCP, intent.MonitorHTTP, intent.MonitorPing} {
		properties := map[string]schema{"type": {"const": kind}}
		for _, a := range monitorTable[1:] {
			if (kind == intent.MonitorHTTP || !slices.Contains(ofHTTP, a.name)) && (kind != intent.MonitorPing || a.name != "port") {
				properties[a.name+"?"] = a.takes
			}
		}
		kinds = append(kinds, objectOf(properties).closed())
	}
	return anyOf(kinds...).with(schema{"examples": []any{map[string]any{"type": "http", "delay": 5, "url_path": "/healthz"}}})
}

func readMonitor(v any) (m intent.Monitor, err error) {
	o, ok := v.(object)
	if !ok {
		return m, fmt.Errorf("%s is not an object with type and, if they are to be other than usual, delay, timeout, rise, fall and the like", show(v))
	}
	for i := range monitorTable {
		if preset := monitorTable[i].preset; preset != nil {
			preset(&m)
		}
	}
	for _, member := range o {
		a := monitorTable.find(member.key)
		if a == nil {
			return m, fmt.Errorf("unexpected key '%s'; the keys are %s", clip(member.key), monitorKeys())
		}
		put, err := a.parse(member.value)
		if err != nil {
			return m, fmt.Errorf("%s: %w", a.name, err)
		}
		put(&m)
	}
	switch {
	case m.Kind == "":
		return m, fmt.Errorf("type is missing; it is one of tcp, http and ping")
	case m.Timeout > m.Delay:
		return m, fmt.Errorf("timeout %d is longer than delay %d; a probe ends before the next one begins", m.Timeout, m.Delay)
	case m.Kind == intent.MonitorPing && m.Port != 0:
		return m, fmt.Errorf("port goes with type tcp or http; a ping has none")
	case m.Kind != intent.MonitorHTTP:
		if m.Method+m.Path+m.Codes != "" {
			return m, fmt.Errorf("%s go with type http, and type is %s", strings.Join(ofHTTP, ", "), m.Kind)
		}
		return m, nil
	}
	for _, preset := range []struct {
		at    *string
		value string
	}{{&m.Method, "GET"}, {&m.Path, "/"}, {&m.Codes, "200-399"}} {
		if *preset.at == "" {
			*preset.at = preset.value
		}
	}
	return m, nil
}

func monitorKeys() string {
	var names []string
	for _, a := range monitorTable {
		names = append(names, a.name)
	}
	return strings.Join(names, ", ")
}
