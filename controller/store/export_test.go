package store

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5"
)

// ExplainPorts is the plan of a list of ports as the server makes it for any
// values.
func (s *Store) ExplainPorts(ctx context.Context, sc Scope, query Query) (string, error) {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return "", err
	}
	defer conn.Release()
	sql, a, err := ports.selection(ctx, conn, sc, query)
	if err != nil {
		return "", err
	}
	if _, err := conn.Exec(ctx, "PREPARE list AS "+sql); err != nil {
		return "", err
	}
	explain := "EXPLAIN (COSTS OFF) EXECUTE list"
	if len(a) > 0 {
		explain += "(" + strings.TrimSuffix(strings.Repeat("NULL, ", len(a)), ", ") + ")"
	}
	rows, err := conn.Query(ctx, explain, pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		return "", err
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return "", err
	}
	_, err = conn.Exec(ctx, "DEALLOCATE list")
	return strings.Join(lines, "\n"), err
}
