package ovsdb

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// defaultPort is the one that IANA gave OVSDB.
const defaultPort = "6640"

// target is an active OVSDB connection method (ovsdb(7)).
type target struct {
	network, address string // for net.Dial
	host             string
	tls              bool
}

// parseTarget reads tcp:HOST[:PORT], ssl:HOST[:PORT] or unix:PATH. An IPv6
// address stands in brackets.
func parseTarget(text string) (target, error) {
	method, rest, _ := strings.Cut(text, ":")
	switch method {
	case "unix":
		if rest == "" {
			return target{}, fmt.Errorf("ovsdb: target %q: no path", text)
		}
		return target{network: "unix", address: rest}, nil
	case "tcp", "ssl":
		host, port, err := net.SplitHostPort(rest)
		if err != nil {
			host, port, err = net.SplitHostPort(rest + ":" + defaultPort)
		}
		if err != nil || host == "" {
			return target{}, fmt.Errorf("ovsdb: target %q: not %s:HOST:PORT", text, method)
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return target{}, fmt.Errorf("ovsdb: target %q: not a port: %s", text, port)
		}
		return target{network: "tcp", address: net.JoinHostPort(host, port), host: host, tls: method == "ssl"}, nil
	}
	return target{}, fmt.Errorf("ovsdb: target %q: neither tcp, ssl nor unix", text)
}
