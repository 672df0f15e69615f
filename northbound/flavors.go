package northbound

import (
	"net/http"
	"net/url"
	"slices"

	"github.com/go-chi/chi/v5"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/store"
)

const (
	maxProfiles = 64
	maxMetaInfo = 4096
)

// operators returns the attributes of a record of the operator.
func operators[E any](meta func(*E) *intent.Meta, own ...attribute[E]) table[E] {
	t := table[E]{
		derived("id", id, func(e *E) string { return meta(e).ID }, access{filter: true, sort: true}, "Identifies the object; made by the server."),
		description(meta),
	}
	return append(append(t, own...), history(meta)...)
}

func serviceProfiles(st *store.Store) *collection[intent.ServiceProfile] {
	type profile = intent.ServiceProfile
	may := access{post: optional, put: true, def: `""`, filter: true, sort: true}
	return &collection[profile]{
		single: "service_profile", plural: "service_profiles", path: "service_profiles",
		doc: "A service profile says how a service may be had. It is a record only.",
		attributes: operators(func(p *profile) *intent.Meta { return &p.Meta },
			stored("driver", text(1024), func(p *profile) *string { return &p.Driver }, may, "What provides the service; it or `metainfo` is given."),
			stored("metainfo", text(maxMetaInfo), func(p *profile) *string { return &p.MetaInfo }, may, "What the driver is told."),
			stored("enabled", boolean, func(p *profile) *bool { return &p.Enabled }, access{post: optional, put: true, def: "true", filter: true, sort: true}, "Whether it may be used."),
		),
		public:    true,
		ownerless: true,
		readBy:    admins,
		writeBy:   admins,
		check: func(_, p *profile, _ given) error {
			if p.Driver == "" && p.MetaInfo == "" {
				return invalid("ServiceProfileEmpty", "Service Profile needs either a driver or metainfo.")
			}
			return nil
		},
		backend: backend[profile]{st.ServiceProfiles, st.ServiceProfile, st.CreateServiceProfiles, st.UpdateServiceProfile, st.DeleteServiceProfile},
	}
}

func flavors(st *store.Store) *collection[intent.Flavor] {
	type flavor = intent.Flavor
	meta := func(f *flavor) *intent.Meta { return &f.Meta }
	c := &collection[flavor]{
		single: "flavor", plural: "flavors", path: "flavors",
		doc: "A flavor is a kind of a service that tenants may choose. It is a record only: no service takes one yet.",
		attributes: operators(meta,
			name(meta),
			stored("service_type", filled(255), func(f *flavor) *string { return &f.ServiceType }, access{post: required, filter: true, sort: true}, "The service, such as `L3_ROUTER_NAT`."),
			stored("enabled", boolean, func(f *flavor) *bool { return &f.Enabled }, access{post: optional, put: true, def: "true", filter: true, sort: true}, "Whether it may be chosen."),
			stored("service_profiles", list(id, maxProfiles), func(f *flavor) *[]string { return &f.Profiles }, access{post: optional, put: true}, "Ids of the profiles by which it may be had."),
		),
		public:    true,
		ownerless: true,
		writeBy:   admins,
		backend:   backend[flavor]{st.Flavors, st.Flavor, st.CreateFlavors, st.UpdateFlavor, st.DeleteFlavor},
	}
	named := under("service_profile", objectOf(map[string]schema{"id": uuidSchema}))
	c.actions = []action{
		{
			method: http.MethodPost, path: "/{id}/service_profiles", doc: "Gives the flavor a service profile.", takes: asJSON(named), gives: asJSON(named), code: http.StatusCreated,
			serve: func(w http.ResponseWriter, r *http.Request) error { return c.addProfile(w, r, st) },
		},
		{
			method: http.MethodDelete, path: "/{id}/service_profiles/{profile}", doc: "Takes a service profile from the flavor.", code: http.StatusNoContent,
			serve: func(w http.ResponseWriter, r *http.Request) error { return c.removeProfile(w, r, st) },
		},
	}
	return c
}

// addProfile serves the request to give a flavor a profile.
func (c *collection[E]) addProfile(w http.ResponseWriter, r *http.Request, st *store.Store) error {
	text, err := readText(r)
	if err != nil {
		return err
	}
	root, err := parseRoot(text)
	if err != nil {
		return err
	}
	value, ok := root.get("service_profile")
	if !ok {
		return badRequest("Unable to find 'service_profile' in request body")
	}
	body, ok := value.(object)
	if !ok {
		return badRequest("Body contains invalid data: 'service_profile' is not an object")
	}
	given, ok := body.get("id")
	if !ok {
		return badRequest("Failed to parse request. Required attribute 'id' not specified")
	}
	profile, err := readUUID(given)
	if err != nil {
		return invalidValue("id", "%v", err)
	}
	err = c.changeProfiles(r, st, "create_flavor_service_profile", func(f *intent.Flavor) error {
		if slices.Contains(f.Profiles, profile) {
			return conflict("FlavorServiceProfileBindingExists", "Service Profile %s is already associated with flavor %s.", profile, f.ID)
		}
		f.Profiles = append(slices.Clone(f.Profiles), profile)
		return nil
	})
	if err != nil {
		return err
	}
	b := appendString([]byte(`{"service_profile":{"id":`), profile)
	writeJSON(w, http.StatusCreated, append(b, "}}"...))
	return nil
}

// removeProfile serves the request to take a profile from a flavor.
func (c *collection[E]) removeProfile(w http.ResponseWriter, r *http.Request, st *store.Store) error {
	name, err := url.PathUnescape(chi.URLParam(r, "profile"))
	if err != nil {
		return errNoResource
	}
	err = c.changeProfiles(r, st, "delete_flavor_service_profile", func(f *intent.Flavor) error {
		profile, err := readUUID(name)
		if err != nil || !slices.Contains(f.Profiles, profile) {
			return &apiError{http.StatusNotFound, "FlavorServiceProfileBindingNotFound", "Service Profile " + clip(name) + " is not associated with flavor " + f.ID + "."}
		}
		f.Profiles = slices.DeleteFunc(slices.Clone(f.Profiles), func(id string) bool { return id == profile })
		return nil
	})
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (c *collection[E]) changeProfiles(r *http.Request, st *store.Store, rule string, change func(*intent.Flavor) error) error {
	p := principalOf(r.Context())
	key, err := c.key(p, chi.URLParam(r, "id"))
	if err != nil {
		return err
	}
	if !p.writer || !p.admin {
		return c.refuse(r, p, key, rule)
	}
	_, err = st.UpdateFlavor(r.Context(), p.scope(), key, change)
	return err
}
