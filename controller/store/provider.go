package store

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
)

// lastID is the highest segmentation id of a type of network; 0: it has none.
func lastID(t intent.NetworkType) uint32 {
	switch t {
	case intent.NetworkVXLAN, intent.NetworkGENEVE:
		return intent.MaxVNI
	case intent.NetworkGRE:
		return 1<<31 - 1
	case intent.NetworkVLAN:
		return 4094
	}
	return 0
}

// checkProvider says what does not go together in the provider attributes of a
// new network, in Neutron's words.
func checkProvider(p intent.Provider) error {
	refuse := func(attr, format string, args ...any) error {
		return &Invalid{"provider:" + attr, "provider:" + fmt.Sprintf(format, args...)}
	}
	last := lastID(p.Type)
	physical := p.Type == intent.NetworkVLAN || p.Type == intent.NetworkFlat
	switch {
	case p.Physical == "" && physical:
		return refuse("physical_network", "physical_network required for %s provider network", p.Type)
	case p.Physical != "" && !physical:
		return refuse("physical_network", "physical_network prohibited for %s provider network", p.Type)
	case p.ID != 0 && last == 0:
		return refuse("segmentation_id", "segmentation_id prohibited for %s provider network", p.Type)
	case p.ID > last:
		return refuse("segmentation_id", "segmentation_id %d out of range (1 through %d)", p.ID, last)
	}
	return nil
}

// checkProviderChange lets only VLAN ids change: any other segment is another
// network to all who are on it.
func checkProviderChange(now, old intent.Provider) error {
	if now == old {
		return nil
	}
	if now.Type != old.Type || now.Physical != old.Physical {
		return &Invalid{"provider:network_type", "Plugin does not support updating the following provider network attributes: provider:network_type, provider:physical_network"}
	}
	if old.Type != intent.NetworkVLAN {
		return &Invalid{"provider:segmentation_id", "Only VLAN networks can be updated with another provider:segmentation_id"}
	}
	return checkProvider(now)
}

// freeID picks a segmentation id: of a VLAN, which has few, one that is free,
// else any.
func freeID(ctx context.Context, tx *writeTx, p intent.Provider, last uint32) (uint32, error) {
	if p.Type != intent.NetworkVLAN {
		return 1 + rand.Uint32N(last), nil
	}
	rows, err := tx.Query(ctx, `
		SELECT vlan FROM generate_series(1, $2::integer) AS vlan
		WHERE NOT EXISTS (SELECT FROM networks WHERE network_type = 'vlan' AND physical_network = $1 AND segmentation_id = vlan)
		ORDER BY random() LIMIT 1`, p.Physical, last)
	id, found, err := one(rows, err, pgx.RowTo[int32])
	if err == nil && !found {
		err = &Conflict{"NoNetworkAvailable", "provider:segmentation_id", fmt.Sprintf("no VLAN of provider:physical_network %s is free", p.Physical)}
	}
	return uint32(id), err
}
