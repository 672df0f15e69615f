package northbound

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/go-chi/chi/v5"

	"github.com/macloom/macloom/controller/store"
)

// maxQuota is more than there are addresses.
const maxQuota = 1 << 48

// limited are the resources that have quotas, in the order of answers.
var limited = []store.Kind{store.KindSegment, store.KindMACAddress}

func (s *server) quotaActions() group {
	limits, changes, details := map[string]schema{}, map[string]schema{}, map[string]schema{}
	limit := between(-1, maxQuota)
	for _, kind := range limited {
		limits[string(kind)], changes[string(kind)+"?"] = limit, limit
		details[string(kind)] = objectOf(map[string]schema{"limit": limit, "used": whole, "reserved": whole})
	}
	shown := asJSON(under("quota", objectOf(limits)))
	return group{"quotas", "How many of each a tenant may have; -1: any number. Members see their own.", []action{
		{method: http.MethodGet, path: "/quotas/{tenant}", serve: s.serveQuota, doc: "The limits of a tenant.", gives: shown},
		{method: http.MethodGet, path: "/quotas/{tenant}/details", serve: s.serveQuotaDetails, doc: "The limits of a tenant, with what it uses.", gives: asJSON(under("quota", objectOf(details)))},
		{method: http.MethodPut, path: "/quotas/{tenant}", serve: s.serveSetQuota, doc: "Sets the limits that are named. For administrators only.",
			takes: asJSON(under("quota", objectOf(changes).closed()).closed()), gives: shown},
		{method: http.MethodDelete, path: "/quotas/{tenant}", serve: s.serveLiftQuota, doc: "Takes the limits away. For administrators only.", code: http.StatusNoContent},
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

// quotas reads the quotas of a tenant that the caller may see.
func (s *server) quotas(ctx context.Context, p principal, tenant string) ([]store.Quota, error) {
	if !p.admin && tenant != p.tenantID {
		return nil, forbidden("get_quota")
	}
	found, err := s.store.Quotas(ctx, p.scope(), tenant)
	slices.SortFunc(found, func(a, b store.Quota) int {
		return slices.Index(limited, a.Resource) - slices.Index(limited, b.Resource)
	})
	return found, err
}

func (s *server) serveQuota(w http.ResponseWriter, r *http.Request) error {
	tenant, err := quotaTenant(r)
	if err != nil {
		return err
	}
	return s.answerQuota(w, r, tenant)
}

func (s *server) answerQuota(w http.ResponseWriter, r *http.Request, tenant string) error {
	found, err := s.quotas(r.Context(), principalOf(r.Context()), tenant)
	if err != nil {
		return err
	}
	writeQuotas(w, found, func(b []byte, q store.Quota) []byte { return strconv.AppendInt(b, q.Limit, 10) })
	return nil
}

func (s *server) serveQuotaDetails(w http.ResponseWriter, r *http.Request) error {
	tenant, err := quotaTenant(r)
	if err != nil {
		return err
	}
	found, err := s.quotas(r.Context(), principalOf(r.Context()), tenant)
	if err != nil {
		return err
	}
	writeQuotas(w, found, func(b []byte, q store.Quota) []byte {
		b = append(b, `{"limit":`...)
		b = strconv.AppendInt(b, q.Limit, 10)
		b = append(b, `,"used":`...)
		b = strconv.AppendInt(b, q.Used, 10)
		// What is being made is counted when it is there: whoever makes something
		// holds the quota until then.
		return append(b, `,"reserved":0}`...)
	})
	return nil
}

func writeQuotas(w http.ResponseWriter, list []store.Quota, value func([]byte, store.Quota) []byte) {
	b := append([]byte(nil), `{"quota":{`...)
	for i, q := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, string(q.Resource))
		b = append(b, ':')
		b = value(b, q)
	}
	writeJSON(w, http.StatusOK, append(b, "}}"...))
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
	for _, m := range body {
		if !slices.Contains(limited, store.Kind(m.key)) {
			return badRequest("Unrecognized attribute(s) '%s'; there are quotas of mac_segment and mac_address", clip(m.key))
		}
		if limits[store.Kind(m.key)], err = readInt(m.value, -1, maxQuota); err != nil {
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
	if err := s.store.SetQuotas(r.Context(), p.scope(), tenant, limits); err != nil {
		return err
	}
	return s.answerQuota(w, r, tenant)
}

// serveLiftQuota takes the limits of a tenant away.
func (s *server) serveLiftQuota(w http.ResponseWriter, r *http.Request) error {
	tenant, err := quotaTenant(r)
	if err != nil {
		return err
	}
	p := principalOf(r.Context())
	if !p.admin {
		return forbidden("delete_quota")
	}
	limits := make(map[store.Kind]int64, len(limited))
	for _, resource := range limited {
		limits[resource] = -1
	}
	if err := s.store.SetQuotas(r.Context(), p.scope(), tenant, limits); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
