package northbound

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/go-chi/chi/v5"

	"github.com/macloom/macloom/controller/store"
)

// maxQuota is the most that a tenant may be granted: as in Neutron, but of MAC addresses
// and segments as many as there are.
func maxQuota(kind store.Kind) int64 {
	switch kind {
	case store.KindSegment, store.KindMACAddress:
		return 1 << 48
	}
	return 1<<31 - 1
}

func (s *server) quotaActions() group {
	limits, changes, details := map[string]schema{}, map[string]schema{}, map[string]schema{}
	for _, kind := range store.QuotaResources {
		limit := between(-1, maxQuota(kind))
		limits[string(kind)], changes[string(kind)+"?"] = limit, limit
		details[string(kind)] = objectOf(map[string]schema{"limit": limit, "used": whole, "reserved": whole})
	}
	changes["force?"], changes["check_limit?"] = boolean.taken(), boolean.taken()
	shown := asJSON(under("quota", objectOf(limits)))
	listed := maps.Clone(limits)
	listed["tenant_id"], listed["project_id"] = schema{"type": "string"}, schema{"type": "string"}
	return group{"quotas", "How many of each a tenant may have; -1: any number. Members see their own.", []action{
		{method: http.MethodGet, path: "/quotas", serve: s.serveQuotas, doc: "The limits of every tenant that has some of its own. For administrators only.",
			gives: asJSON(under("quotas", arrayOf(objectOf(listed), 0)))},
		{method: http.MethodGet, path: "/quotas/tenant", name: "get_quota_caller", serve: serveQuotaCaller, doc: "Whose quotas a client of Neutron shows that is not told: the caller's own tenant.",
			gives: asJSON(under("tenant", objectOf(map[string]schema{"tenant_id": {"type": "string"}, "project_id": {"type": "string"}})))},
		{method: http.MethodGet, path: "/quotas/{tenant}", serve: s.serveQuota, doc: "The limits of a tenant.", gives: shown},
		{method: http.MethodGet, path: "/quotas/{tenant}/default", serve: s.serveDefaultQuota, doc: "The limits of a tenant that has none of its own.", gives: shown},
		{method: http.MethodGet, path: "/quotas/{tenant}/details", serve: s.serveQuotaDetails, doc: "The limits of a tenant, with what it uses.", gives: asJSON(under("quota", objectOf(details)))},
		{method: http.MethodPut, path: "/quotas/{tenant}", serve: s.serveSetQuota, doc: "Sets the limits that are named, also below what is used already, unless `check_limit` is true; `force`, of clients that say so, changes nothing. For administrators only.",
			takes: asJSON(under("quota", objectOf(changes).closed()).closed()), gives: shown},
		{method: http.MethodDelete, path: "/quotas/{tenant}", serve: s.serveLiftQuota, doc: "Gives the tenant the default limits again. For administrators only.", code: http.StatusNoContent},
	}}
}

// quotaTenant is the tenant that a URL names.
func quotaTenant(r *http.Request) (string, error) {
	name := chi.URLParam(r, "tenant")
	tenant, err := url.PathUnescape(name)
	if err != nil || !storable(tenant) {
		return "", missing(store.KindTenant, name)
	}
	if _, err := filled(255).parse(tenant); err != nil {
		return "", invalidValue("tenant_id", "%v", err)
	}
	return tenant, nil
}

// mayReadQuota refuses to show the quotas of others.
func mayReadQuota(p principal, tenant string) error {
	if !p.admin && tenant != p.tenantID {
		return forbidden("get_quota")
	}
	return nil
}

func (s *server) serveQuotas(w http.ResponseWriter, r *http.Request) error {
	if !principalOf(r.Context()).admin {
		return forbidden("get_quota")
	}
	all, err := s.store.AllQuotas(r.Context())
	if err != nil {
		return err
	}
	b := []byte(`{"quotas":[`)
	for i, t := range all {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '{')
		b = appendQuotas(b, t.Quotas, appendLimit)
		b = append(b, `,"tenant_id":`...)
		b = appendString(b, t.TenantID)
		b = append(b, `,"project_id":`...)
		b = appendString(b, t.TenantID)
		b = append(b, '}')
	}
	writeJSON(w, http.StatusOK, append(b, "]}"...))
	return nil
}

// serveQuotaCaller tells the caller its tenant.
func serveQuotaCaller(w http.ResponseWriter, r *http.Request) error {
	tenant := principalOf(r.Context()).tenantID
	b := appendString([]byte(`{"tenant":{"tenant_id":`), tenant)
	b = appendString(append(b, `,"project_id":`...), tenant)
	writeJSON(w, http.StatusOK, append(b, "}}"...))
	return nil
}

func (s *server) serveQuota(w http.ResponseWriter, r *http.Request) error {
	tenant, err := quotaTenant(r)
	if err != nil {
		return err
	}
	return s.answerQuota(w, r, tenant)
}

func (s *server) answerQuota(w http.ResponseWriter, r *http.Request, tenant string) error {
	p := principalOf(r.Context())
	if err := mayReadQuota(p, tenant); err != nil {
		return err
	}
	found, err := s.store.QuotaLimits(r.Context(), p.scope(), tenant)
	if err != nil {
		return err
	}
	writeQuota(w, found, appendLimit)
	return nil
}

func (s *server) serveDefaultQuota(w http.ResponseWriter, r *http.Request) error {
	tenant, err := quotaTenant(r)
	if err != nil {
		return err
	}
	if err := mayReadQuota(principalOf(r.Context()), tenant); err != nil {
		return err
	}
	writeQuota(w, s.store.QuotaDefaults(), appendLimit)
	return nil
}

func (s *server) serveQuotaDetails(w http.ResponseWriter, r *http.Request) error {
	tenant, err := quotaTenant(r)
	if err != nil {
		return err
	}
	p := principalOf(r.Context())
	if err := mayReadQuota(p, tenant); err != nil {
		return err
	}
	found, err := s.store.Quotas(r.Context(), p.scope(), tenant)
	if err != nil {
		return err
	}
	writeQuota(w, found, func(b []byte, q store.Quota) []byte {
		b = append(b, `{"limit":`...)
		b = strconv.AppendInt(b, q.Limit, 10)
		b = append(b, `,"used":`...)
		b = strconv.AppendInt(b, q.Used, 10)
		// What is being made is counted when it is there: whoever makes something
		// that is limited waits for others that do until then.
		return append(b, `,"reserved":0}`...)
	})
	return nil
}

func appendLimit(b []byte, q store.Quota) []byte { return strconv.AppendInt(b, q.Limit, 10) }

func appendQuotas(b []byte, list []store.Quota, value func([]byte, store.Quota) []byte) []byte {
	for i, q := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, string(q.Resource))
		b = append(b, ':')
		b = value(b, q)
	}
	return b
}

func writeQuota(w http.ResponseWriter, list []store.Quota, value func([]byte, store.Quota) []byte) {
	writeJSON(w, http.StatusOK, append(appendQuotas([]byte(`{"quota":{`), list, value), "}}"...))
}

// serveSetQuota changes the quotas that the body names.
func (s *server) serveSetQuota(w http.ResponseWriter, r *http.Request) error {
	text, err := readText(r)
	if err != nil {
		return err
	}
	root, err := parseRoot(text)
	if err != nil {
		return err
	}
	value, ok := root.get("quota")
	if !ok {
		return badRequest("Unable to find 'quota' in request body")
	}
	if err := alone(root, "quota"); err != nil {
		return err
	}
	body, ok := value.(object)
	if !ok {
		return badRequest("Body contains invalid data: 'quota' is not an object")
	}
	limits := make(map[store.Kind]int64, len(body))
	var checks bool
	for _, m := range body {
		switch m.key {
		case "force", "check_limit":
			yes, err := boolean.parse(m.value)
			if err != nil {
				return invalidValue(m.key, "%v", err)
			}
			checks = checks || yes && m.key == "check_limit"
			continue
		}
		kind := store.Kind(m.key)
		if !slices.Contains(store.QuotaResources, kind) {
			return badRequest("Unrecognized attribute(s) '%s'", clip(m.key))
		}
		if limits[kind], err = readInt(m.value, -1, maxQuota(kind)); err != nil {
			return invalidValue(m.key, "%v; -1 is without limit", err)
		}
	}
	tenant, err := quotaTenant(r)
	if err != nil {
		return err
	}
	p := principalOf(r.Context())
	if !p.admin {
		return forbidden("update_quota")
	}
	if checks {
		if err := s.refuseLessThanUsed(r.Context(), p, tenant, limits); err != nil {
			return err
		}
	}
	if err := s.store.SetQuotas(r.Context(), p.scope(), tenant, limits); err != nil {
		return err
	}
	return s.answerQuota(w, r, tenant)
}

// refuseLessThanUsed refuses limits that a tenant is above already.
func (s *server) refuseLessThanUsed(ctx context.Context, p principal, tenant string, limits map[store.Kind]int64) error {
	now, err := s.store.Quotas(ctx, p.scope(), tenant)
	if err != nil {
		return err
	}
	for _, q := range now {
		if limit, named := limits[q.Resource]; named && limit >= 0 && q.Used > limit {
			return badRequest("Quota limit %d for %s must be greater than or equal to already used %d", limit, q.Resource, q.Used)
		}
	}
	return nil
}

// serveLiftQuota gives a tenant the defaults again.
func (s *server) serveLiftQuota(w http.ResponseWriter, r *http.Request) error {
	tenant, err := quotaTenant(r)
	if err != nil {
		return err
	}
	p := principalOf(r.Context())
	if !p.admin {
		return forbidden("delete_quota")
	}
	if err := s.store.ResetQuotas(r.Context(), p.scope(), tenant); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
