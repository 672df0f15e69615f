package northbound

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"

	"github.com/go-chi/chi/v5"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/store"
)

// projectActions are tenants in the words of the identity service. Clients that
// are given an endpoint and a token, and no Keystone, look there for whatever
// project a command names.
func (s *server) projectActions() group {
	shown := objectOf(map[string]schema{
		"id": {"type": "string"}, "name": {"type": "string"}, "description": {"type": "string"}, "enabled": {"type": "boolean"},
		"domain_id": {"type": "string"}, "is_domain": {"type": "boolean"},
	})
	return group{"projects", "Tenants in the words of the Identity API v3, for clients that have no Keystone to ask which project a name means.", []action{
		{method: http.MethodGet, path: "/projects", serve: s.serveProjects, doc: "The tenants that are known here; members see their own.",
			query: []parameter{{"name", "Only those of this name.", nil, false}}, gives: asJSON(under("projects", arrayOf(shown, 0)))},
		{method: http.MethodGet, path: "/projects/{project}", serve: s.serveProject,
			doc: "The tenant of an id. To administrators every id is one that is not the name of another: a tenant appears when something is first made for it.", gives: asJSON(under("project", shown))},
	}}
}

// project is how a tenant is shown as a project.
type project struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Description string `json:"description"`
	Enabled     bool   `json:"enabled"`
	Domain      string `json:"domain_id"`
	IsDomain    bool   `json:"is_domain"`
}

func asProject(t *intent.Tenant) project {
	p := project{ID: t.ID, Name: t.Name, Description: t.Description, Enabled: !t.Disabled, Domain: "default"}
	if p.Name == "" {
		p.Name = t.ID
	}
	return p
}

func writeProjects(w http.ResponseWriter, key string, projects any) error {
	text, err := json.Marshal(map[string]any{key: projects})
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, text)
	return nil
}

func (s *server) serveProjects(w http.ResponseWriter, r *http.Request) error {
	list, err := s.store.Tenants(r.Context(), principalOf(r.Context()).scope(), store.Query{})
	if err != nil {
		return err
	}
	names, named := r.URL.Query()["name"]
	all := []project{}
	for i := range list {
		if p := asProject(&list[i]); !named || p.Name == names[0] {
			all = append(all, p)
		}
	}
	return writeProjects(w, "projects", all)
}

func (s *server) serveProject(w http.ResponseWriter, r *http.Request) error {
	name := chi.URLParam(r, "project")
	id, err := url.PathUnescape(name)
	if err != nil || !storable(id) {
		return missing(store.KindTenant, name)
	}
	if _, err := filled(255).parse(id); err != nil {
		return missing(store.KindTenant, name)
	}
	p := principalOf(r.Context())
	if !p.admin && id != p.tenantID {
		return forbidden("identity:get_project")
	}
	t, err := s.store.Tenant(r.Context(), p.scope(), id)
	if unknown := (*store.NotFound)(nil); errors.As(err, &unknown) {
		t, err = intent.Tenant{Meta: intent.Meta{ID: id}}, nil
		if p.admin {
			err = s.refuseName(r, id)
		}
	}
	if err != nil {
		return err
	}
	return writeProjects(w, "project", asProject(&t))
}

// refuseName refuses the name of a tenant as an id: the client then looks for
// it in the list.
func (s *server) refuseName(r *http.Request, name string) error {
	named, err := s.store.Tenants(r.Context(), principalOf(r.Context()).scope(), store.Query{Filter: map[string][]string{"name": {name}}, Limit: 1})
	if err == nil && len(named) > 0 {
		return missing(store.KindTenant, name)
	}
	return err
}
