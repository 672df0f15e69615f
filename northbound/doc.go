// Package northbound is the REST API: resources under /v2.0/ that answer as
// OpenStack Networking does, and macloom's own resources in the same style.
//
// A resource is declared once, as a table of attributes (attributes.go): name,
// type, default, who may write and who may see it, what it filters by. The
// checks of a body, the policy, the filters of a list, the answers, the OpenAPI
// document (openapi.go), the page /docs and the reference in docs/api.md all
// come from that table; a file per resource adds only what ties attributes to
// each other. The handlers are generic (collection.go). A type of values has its
// JSON Schema beside its parser (values.go), and tests hold the two, and every
// answer that any test gets, against each other.
//
// The package writes intent to the store and nothing else; switches never
// appear here but as facts that the store holds.
package northbound
