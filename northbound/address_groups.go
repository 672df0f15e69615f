package northbound

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"

	"github.com/go-chi/chi/v5"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/store"
)

const maxGroupAddresses = 4096 // a rule stands for as many flows

func addressGroups(st *store.Store) *collection[intent.AddressGroup] {
	meta := func(g *intent.AddressGroup) *intent.Meta { return &g.Meta }
	c := &collection[intent.AddressGroup]{
		single: "address_group", plural: "address_groups", path: "address-groups",
		doc: "An address group is a named set of IP prefixes that security group rules refer to by `remote_address_group_id`: who changes it changes them all. " +
			"`PUT …/add_addresses` and `…/remove_addresses` take `{\"addresses\": […]}`.",
		attributes: standard(meta,
			name(meta),
			stored("addresses", list(cidr, maxGroupAddresses), func(g *intent.AddressGroup) *[]netip.Prefix { return &g.Addresses }, access{post: optional},
				"The prefixes; a single address is one of its full length: `192.0.2.1/32`. Host bits are taken off."),
			derived("shared", boolean, func(g *intent.AddressGroup) bool { return g.Shared }, access{}, "Whether an RBAC policy shares it with the caller."),
		),
		meta: meta, coy: true, // Neutron's policy does not look at how they are shared
		backend: backend[intent.AddressGroup]{st.AddressGroups, st.AddressGroup, st.CreateAddressGroups, st.UpdateAddressGroup, st.DeleteAddressGroup},
	}
	addresses := list(addressOrPrefix, maxGroupAddresses)
	c.actions = []action{
		memberAction(c, "addresses", addresses, nil, "add_addresses", "Puts prefixes into the group that are not in it, and answers the group.", st.AddAddresses),
		memberAction(c, "addresses", addresses, nil, "remove_addresses", "Takes prefixes out of the group that are in it, and answers the group.", st.RemoveAddresses),
	}
	return c
}

// memberAction is PUT …/{id}/WORD, whose body has the list of one key, beside
// or under the name of the resource. Its answer is the object, or with bare the list alone.
func memberAction[E, V any](c *collection[E], key string, t valueType[[]V], bare func(*E) []V, word, doc string, do func(context.Context, store.Scope, string, []V) (E, error)) action {
	serve := func(w http.ResponseWriter, r *http.Request) error {
		p := principalOf(r.Context())
		text, err := readText(r)
		if err != nil {
			return err
		}
		body, err := parseRoot(text)
		if err != nil {
			return err
		}
		if inner, ok := body.get(c.single); ok && len(body) == 1 {
			if body, ok = inner.(object); !ok {
				return badRequest("Body contains invalid data: '%s' is not an object", c.single)
			}
		}
		value, ok := body.get(key)
		if !ok {
			return badRequest("Failed to parse request. Required attribute '%s' not specified", key)
		}
		if err := alone(body, key); err != nil {
			return err
		}
		members, err := t.parse(value)
		if err == nil && len(members) == 0 {
			err = fmt.Errorf("the list is empty")
		}
		if err != nil {
			return invalidValue(key, "%v", err)
		}
		id, err := c.key(p, chi.URLParam(r, "id"))
		if err != nil {
			return err
		}
		if !p.writer {
			return c.refuse(r, p, id, word)
		}
		e, err := do(conditional(r, id), p.scope(), id, members)
		if err != nil {
			return c.denied(err, "update")
		}
		if bare != nil {
			b := append(appendString([]byte{'{'}, key), ':')
			writeJSON(w, http.StatusOK, append(t.append(b, bare(&e)), '}'))
			return nil
		}
		c.answer(w, http.StatusOK, c.attributes.visible(p, nil), &e)
		return nil
	}
	gives := under(c.single, ref(c.single+"_whole"))
	if bare != nil {
		gives = under(key, t.shows)
	}
	return action{
		method: http.MethodPut, path: "/{id}/" + word, doc: doc,
		takes: asJSON(under(key, t.takes.with(schema{"type": "array", "minItems": 1})).closed()), gives: asJSON(gives),
		serve: serve,
	}
}

// addressOrPrefix is an IP prefix, or an address, which is one of its full length.
var addressOrPrefix = valueType[netip.Prefix]{
	name:  "IP prefix or address",
	shows: prefixSchema,
	takes: anyOf(prefixSchema, ipSchema),
	parse: func(v any) (netip.Prefix, error) {
		if a, err := readIP(v); err == nil {
			return netip.PrefixFrom(a, a.BitLen()), nil
		}
		return cidr.parse(v)
	},
	append: appendPrefix,
}
