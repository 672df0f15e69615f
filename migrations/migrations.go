// Package migrations holds the database schema as numbered steps, each with
// its way back. Package store runs them.
package migrations

import "embed"

// Files are the steps, named NNNN_what.up.sql and NNNN_what.down.sql.
//
//go:embed *.sql
var Files embed.FS
