package northbound

import (
	"context"

	"github.com/macloom/macloom/controller/store"
)

// resources declares everything under /v2.0/.
func resources(st *store.Store) []resource {
	all := []resource{
		tenants(st),
		macSegments(st),
		macAddresses(st),
		macAllowLists(st),
		macConflicts(st),
		macImports(st),
		networks(st),
		subnets(st),
		ports(st),
		securityGroups(st),
		securityGroupRules(st),
		addressGroups(st),
		addressScopes(st),
		subnetPools(st),
		rbacPolicies(st),
		switches(st),
		fabricLinks(st),
		macMoves(st),
		guardBlocks(st),
		macGuards(st),
		fabricHosts(st),
		happenings(st),
		trunks(st),
		availabilities(st),
		agents(st),
		zones(st),
		meteringLabels(st),
		meteringRules(st),
		flavors(st),
		serviceProfiles(st),
		qosRuleTypes(),
		qosPolicies(st),
		affinityPools(st),
	}
	inPool, alone := affinityBackends(st)
	all = append(all, inPool, alone)
	for _, k := range qosRuleKinds {
		inPolicy, alias := qosRules(st, k)
		all = append(all, inPolicy, alias)
	}
	return append(all, auditLog(st, all))
}

// backend is the functions of the store for one kind of object, with its
// values wrapped in an E where the API needs to hold more than the store.
type backend[E any] struct {
	list   func(context.Context, store.Scope, store.Query) ([]E, error)
	get    func(context.Context, store.Scope, string) (E, error)
	create func(context.Context, store.Scope, []E) ([]E, error)
	update func(context.Context, store.Scope, string, func(*E) error) (E, error)
	remove func(context.Context, store.Scope, string) error
}

// wrapped adapts a backend of values V (New when they are made) to an E.
func wrapped[E, V, New any](
	wrap func(V) E, asNew func(E) New, asOld func(E) V,
	list func(context.Context, store.Scope, store.Query) ([]V, error),
	get func(context.Context, store.Scope, string) (V, error),
	create func(context.Context, store.Scope, []New) ([]V, error),
	update func(context.Context, store.Scope, string, func(*V) error) (V, error),
	remove func(context.Context, store.Scope, string) error,
) backend[E] {
	return backend[E]{
		list: func(ctx context.Context, sc store.Scope, q store.Query) ([]E, error) {
			values, err := list(ctx, sc, q)
			return each(values, wrap), err
		},
		get: func(ctx context.Context, sc store.Scope, id string) (E, error) {
			v, err := get(ctx, sc, id)
			return wrap(v), err
		},
		create: func(ctx context.Context, sc store.Scope, in []E) ([]E, error) {
			values, err := create(ctx, sc, each(in, asNew))
			return each(values, wrap), err
		},
		update: func(ctx context.Context, sc store.Scope, id string, change func(*E) error) (E, error) {
			v, err := update(ctx, sc, id, func(v *V) error {
				e := wrap(*v)
				if err := change(&e); err != nil {
					return err
				}
				*v = asOld(e)
				return nil
			})
			return wrap(v), err
		},
		remove: remove,
	}
}

// streamed adapts a stream of values V to an E.
func streamed[E, V any](wrap func(V) E, stream func(context.Context, store.Scope, store.Query, func(*V) error) error) func(context.Context, store.Scope, store.Query, func(*E) error) error {
	return func(ctx context.Context, sc store.Scope, q store.Query, visit func(*E) error) error {
		var e E // one for all, as visit does not keep it
		return stream(ctx, sc, q, func(v *V) error {
			e = wrap(*v)
			return visit(&e)
		})
	}
}

func each[A, B any](in []A, f func(A) B) []B {
	out := make([]B, len(in))
	for i := range in {
		out[i] = f(in[i])
	}
	return out
}
