package northbound

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"github.com/go-chi/chi/v5"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/store"
)

// maxSubPorts is how many VLANs there are.
const maxSubPorts = 4094

func trunks(st *store.Store) *collection[intent.Trunk] {
	type trunk = intent.Trunk
	meta := func(t *trunk) *intent.Meta { return &t.Meta }
	c := &collection[trunk]{
		single: "trunk", plural: "trunks", path: "trunks", tags: "trunks",
		doc: "A trunk lets a port carry the packets of other ports, its sub-ports, told apart by VLAN tags. A port is in one trunk at most and cannot be deleted while it is. " +
			"Sub-ports are bound where the parent is.",
		attributes: tagged(meta, access{}, standard(meta,
			name(meta),
			stored("port_id", id, func(t *trunk) *string { return &t.PortID }, access{post: required, filter: true, sort: true}, "The port whose packets without a tag are its own: the parent."),
			stored("admin_state_up", boolean, func(t *trunk) *bool { return &t.AdminUp }, access{post: optional, put: true, def: "true", filter: true, sort: true},
				"Whether the trunk carries the traffic of its sub-ports. While it is false, sub-ports are not changed and the trunk is not deleted."),
			derived("status", oneOf(intent.TrunkDown, intent.TrunkBuild, intent.TrunkActive, intent.TrunkDegraded, intent.TrunkError), func(t *trunk) intent.TrunkStatus { return t.Status },
				access{filter: true, sort: true},
				"`ACTIVE`: the switch has confirmed the flows of all its ports; `BUILD`: not yet of all; `DOWN`: the parent is not bound, or the trunk is administratively down; `DEGRADED`: a sub-port is in `ERROR`; `ERROR`: the parent is."),
			stored("sub_ports", list(subPort, maxSubPorts), func(t *trunk) *[]intent.SubPort { return &t.SubPorts }, access{post: optional},
				"Its sub-ports. `segmentation_type` `inherit` takes the VLAN of the network of the port; it is shown as `vlan`."),
		)),
		meta:    meta,
		check:   func(_, t *trunk, _ given) error { return differentVLANs(t.SubPorts) },
		backend: backend[trunk]{st.Trunks, st.Trunk, st.CreateTrunks, st.UpdateTrunk, st.DeleteTrunk},
	}
	shown, _ := c.attributes.shownSchema()
	change := func(what, doc string, takes schema, do func(ctx context.Context, sc store.Scope, id string, body object) (trunk, error)) action {
		return action{
			method: http.MethodPut, path: "/{id}/" + what, doc: doc, takes: asJSON(under("sub_ports", arrayOf(takes, maxSubPorts))), gives: asJSON(shown),
			serve: func(w http.ResponseWriter, r *http.Request) error { return c.changeSubPorts(w, r, what, do) },
		}
	}
	c.actions = []action{
		change("add_subports", "Puts ports on the trunk, all or none.", subPort.takes, func(ctx context.Context, sc store.Scope, id string, body object) (trunk, error) {
			subs, err := readSubPorts(body, subPort.parse)
			if err == nil {
				err = differentVLANs(subs)
			}
			if err != nil {
				return trunk{}, err
			}
			return st.AddSubPorts(ctx, sc, id, subs)
		}),
		change("remove_subports", "Takes ports from the trunk, all or none.", objectOf(map[string]schema{"port_id": uuidSchema}), func(ctx context.Context, sc store.Scope, id string, body object) (trunk, error) {
			ids, err := readSubPorts(body, leavingPort)
			if err != nil {
				return trunk{}, err
			}
			return st.RemoveSubPorts(ctx, sc, id, ids)
		}),
		{
			method: http.MethodGet, path: "/{id}/get_subports", doc: "The sub-ports of the trunk.", gives: asJSON(under("sub_ports", arrayOf(subPort.shows, 0))),
			serve: func(w http.ResponseWriter, r *http.Request) error {
				t, err := c.seek(r, principalOf(r.Context()))
				if err != nil {
					return err
				}
				b := list(subPort, 0).append([]byte(`{"sub_ports":`), t.SubPorts)
				writeJSON(w, http.StatusOK, append(b, '}'))
				return nil
			},
		},
	}
	return c
}

// changeSubPorts serves an action on a trunk, which is answered bare, without
// a root key.
func (c *collection[E]) changeSubPorts(w http.ResponseWriter, r *http.Request, what string, do func(context.Context, store.Scope, string, object) (E, error)) error {
	p := principalOf(r.Context())
	text, err := readText(r)
	if err != nil {
		return err
	}
	body, err := parseRoot(text)
	if err != nil {
		return err
	}
	key, err := c.key(p, chi.URLParam(r, "id"))
	if err != nil {
		return err
	}
	if !p.writer {
		return c.refuse(r, p, key, what)
	}
	e, err := do(r.Context(), p.scope(), key, body)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, c.attributes.visible(p, nil).append(nil, &e))
	return nil
}

// readSubPorts reads the list of a body that changes the sub-ports of a trunk.
func readSubPorts[V any](body object, parse func(any) (V, error)) ([]V, error) {
	value, ok := body.get("sub_ports")
	if !ok {
		return nil, badRequest("Unable to find 'sub_ports' in request body")
	}
	if err := alone(body, "sub_ports"); err != nil {
		return nil, err
	}
	values, err := list(valueType[V]{parse: parse}, maxSubPorts).parse(value)
	if err != nil {
		return nil, invalidValue("sub_ports", "%v", err)
	}
	return values, nil
}

// differentVLANs refuses sub-ports of one request that have the same tag.
func differentVLANs(subs []intent.SubPort) error {
	seen := map[int]bool{}
	for _, s := range subs {
		if s.VLAN != 0 && seen[s.VLAN] { // 0: that of its network, which is not known yet
			return invalid("InvalidInput", "Invalid input for operation: segmentation_id %d is given twice in sub_ports.", s.VLAN)
		}
		seen[s.VLAN] = true
	}
	return nil
}

// leavingPort reads which port is to leave a trunk; what else is said of it
// does not matter, as in Neutron.
func leavingPort(v any) (string, error) {
	o, ok := v.(object)
	if !ok {
		return "", fmt.Errorf("%s is not an object with port_id", show(v))
	}
	port, ok := o.get("port_id")
	if !ok {
		return "", fmt.Errorf("port_id is missing")
	}
	return readUUID(port)
}

var vlanID = number[int](1, maxSubPorts)

// subPort is {"port_id": id, "segmentation_type": "vlan", "segmentation_id":
// number}, or with the type "inherit" and no number.
var subPort = valueType[intent.SubPort]{
	name:  `{"port_id": UUID, "segmentation_type": "vlan" or "inherit", "segmentation_id": integer, 1 to 4094}`,
	shows: objectOf(map[string]schema{"port_id": uuidSchema, "segmentation_type": {"const": "vlan"}, "segmentation_id": vlanID.shows}),
	takes: anyOf(
		objectOf(map[string]schema{"port_id": uuidSchema, "segmentation_type": {"const": "vlan"}, "segmentation_id": vlanID.shows}).closed(),
		objectOf(map[string]schema{"port_id": uuidSchema, "segmentation_type": {"const": "inherit"}}).closed()),
	parse: func(v any) (s intent.SubPort, err error) {
		o, ok := v.(object)
		if !ok {
			return s, fmt.Errorf("%s is not an object with port_id, segmentation_type and segmentation_id", show(v))
		}
		var kind string
		for _, m := range o {
			switch m.key {
			case "port_id":
				s.PortID, err = readUUID(m.value)
			case "segmentation_type":
				kind, err = oneOf("vlan", "inherit").parse(m.value)
			case "segmentation_id":
				s.VLAN, err = vlanID.parse(m.value)
			default:
				err = fmt.Errorf("unexpected key; the keys are port_id, segmentation_type and segmentation_id")
			}
			if err != nil {
				return s, fmt.Errorf("%s: %w", clip(m.key), err)
			}
		}
		switch {
		case s.PortID == "":
			err = fmt.Errorf("port_id is missing")
		case kind == "":
			err = fmt.Errorf("segmentation_type is missing; it is vlan, or inherit without a segmentation_id")
		case kind == "vlan" && s.VLAN == 0:
			err = fmt.Errorf("segmentation_id is missing")
		case kind == "inherit" && s.VLAN != 0:
			err = fmt.Errorf("segmentation_id cannot be given where it is inherited")
		}
		return s, err
	},
	append: func(b []byte, s intent.SubPort) []byte {
		b = append(b, `{"segmentation_id":`...)
		b = strconv.AppendInt(b, int64(s.VLAN), 10)
		b = append(b, `,"segmentation_type":"vlan","port_id":`...)
		b = appendString(b, s.PortID)
		return append(b, '}')
	},
}
