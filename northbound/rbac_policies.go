package northbound

import (
	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/store"
)

func rbacPolicies(st *store.Store) *collection[intent.RBACPolicy] {
	type policy = intent.RBACPolicy
	meta := func(p *policy) *intent.Meta { return &p.Meta }
	must := access{post: required, filter: true, sort: true}
	target := access{post: optional, put: true, filter: true, sort: true}
	unseen := target
	unseen.seen, unseen.sort = nobody, false
	attributes := standard(meta,
		stored("object_type", oneOf("network", "qos_policy", "security_group", "address_scope", "subnetpool", "address_group"),
			func(p *policy) *string { return &p.ObjectType }, must, "What kind of object it is."),
		stored("object_id", id, func(p *policy) *string { return &p.ObjectID }, must, "The object; a member shares its own."),
		stored("action", oneOf(intent.AccessAsShared, intent.AccessAsExternal), func(p *policy) *intent.RBACAction { return &p.Action }, must,
			"`access_as_shared`: the target sees and uses the object; `access_as_external`, of a network: the target sees it as a way out."),
		stored("target_tenant", filled(255), func(p *policy) *string { return &p.Target }, target,
			"The tenant that the object is shared with; `*`: all of them, which only an administrator may say. Required."),
		stored("target_project", filled(255), func(p *policy) *string { return &p.Target }, unseen, "The same as `target_tenant`, in newer words; answers have the older one."),
	)
	return &collection[policy]{
		single: "rbac_policy", plural: "rbac_policies", path: "rbac-policies",
		doc: "An RBAC policy shares an object with another tenant, or with all. Who an object is shared with shows it as `shared`, finds it in lists and refers to it; " +
			"he cannot change it (403; an address group: 404). A policy cannot be withdrawn or given another target while its target uses the object, unless another policy lets him. The use of the owner counts for what is shared with all, unless it is a network.",
		attributes: attributes.without("description", "created_at", "updated_at", "revision_number"),
		meta:       meta,
		check: func(before, p *policy, given given) error {
			if before == nil && !given["target_tenant"] && !given["target_project"] {
				return badRequest("Failed to parse request. Required attribute 'target_tenant' not specified")
			}
			return nil
		},
		backend: backend[policy]{st.RBACPolicies, st.RBACPolicy, st.CreateRBACPolicies, st.UpdateRBACPolicy, st.DeleteRBACPolicy},
	}
}
