package cli

import (
	"encoding/json"
	"strings"
)

var affinityPoolResource = resource{
	collection: affinityPools, use: "affinity-pool", short: "Balance clients of a virtual address so that they stay where they are", word: nameWord,
	columns: []string{"id", "name", "vip_address", "protocol", "protocol_port", "affinity", "status", "status_reason"},
	options: []option{
		renamed, describedAs, ofTenant, onNetwork, adminUp,
		nameOption(onCreate, "subnet", "subnet_id", subnets, "the subnet that the virtual address is of"),
		textOption(onCreate, "ip", "vip_address", "the virtual address; without it one is chosen"),
		nameOption(onCreate|onList, "vip-port", "vip_port_id", ports, "the port whose address is balanced, rather than one that is made"),
		choiceOption(onCreate|onList, "protocol", "protocol", "of the connections", "tcp", "udp"),
		numberOption(onCreate|onList, "port", "protocol_port", "the port of the virtual address"),
		choiceOption(onAll, "affinity", "affinity", "what of a client is remembered", "source_mac", "source_ip", "source_mac_ip", "none"),
		numberOption(onWrite, "timeout", "timeout", "seconds without a packet after which a client is forgotten"),
		{flag: "monitor", attribute: "health_monitor", on: onWrite, read: readMonitor, doc: "how backends are probed: none, or tcp, http or ping and what is to be other than usual, as in \"http delay=5 url_path=/healthz\""},
	},
	examples: map[string]string{
		"create": "  macloom affinity-pool create web --network front --protocol tcp --port 80 --monitor \"http url_path=/healthz\"",
		"set":    "  macloom affinity-pool set web --monitor \"tcp delay=2 timeout=1 fall=2\"",
	},
}

var affinityBackendResource = resource{
	collection: affinityBackends, use: "affinity-backend", short: "Say who serves the clients of affinity pools",
	columns: []string{"id", "name", "pool_id", "port_id", "address", "protocol_port", "weight", "admin_state", "health", "operating_status", "status"},
	word:    &option{flag: "pool", attribute: "pool_id", read: func(c *call, text string) (any, error) { return affinityPools.find(c, text) }}, wordNeeded: true,
	options: []option{
		textOption(onAll, "name", "name", "the name"),
		nameOption(onList, "pool", "pool_id", affinityPools, "only those of this pool"),
		nameOption(onCreate|onList, "instance-port", "port_id", ports, "the port that serves"),
		textOption(onCreate, "ip", "address", "the address that serves, of whichever port has it"),
		numberOption(onCreate|onList, "port", "protocol_port", "where it listens"),
		numberOption(onAll, "weight", "weight", "its share of new clients beside those of the others"),
		choiceOption(onAll, "state", "admin_state", "drain keeps the clients that it has, down gives them to others", "up", "drain", "down"),
		choiceOption(onAll, "health", "health", "what a checker of your own has found", "unknown", "up", "down"),
		choiceOption(onList, "operating-status", "operating_status", "what probes have found", "ONLINE", "OFFLINE", "UNKNOWN", "NO_MONITOR"),
		textOption(onWrite, "diagnosis", "diagnosis", "what the checker has to say of that"),
	},
	examples: map[string]string{
		"create": "  macloom affinity-backend create web --instance-port 02:00:05:00:00:0b --port 8080 --weight 2",
		"set":    "  macloom affinity-backend set 7e0d5d5e-9f3c-4b8f-8f0e-3f5f1f0a2b11 --state drain",
	},
}

// readMonitor reads a health monitor: its type, and then what it has as NAME=VALUE.
func readMonitor(_ *call, text string) (any, error) {
	words := strings.Fields(text)
	if len(words) == 0 {
		return nil, usage("--monitor: the type is missing: none, tcp, http or ping")
	}
	if words[0] == "none" && len(words) == 1 {
		return nil, nil
	}
	monitor := map[string]any{"type": words[0]}
	for _, word := range words[1:] {
		name, value, ok := strings.Cut(word, "=")
		if !ok || name == "" {
			return nil, usage("--monitor: %q is not NAME=VALUE, such as delay=5", word)
		}
		switch name {
		case "delay", "timeout", "rise", "fall", "port":
			monitor[name] = json.Number(value)
			if !json.Valid([]byte(value)) {
				return nil, usage("--monitor: %s=%s is no whole number", name, value)
			}
		default:
			monitor[name] = value
		}
	}
	return monitor, nil
}
