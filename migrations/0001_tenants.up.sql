-- Exclusion constraints that join equality with overlap need it everywhere below.
CREATE EXTENSION IF NOT EXISTS btree_gist;

CREATE TABLE tenants (
    id          text        NOT NULL,
    name        text        NOT NULL DEFAULT '',
    description text        NOT NULL DEFAULT '',
    revision    bigint      NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT tenants_pkey PRIMARY KEY (id),
    CONSTRAINT tenants_id_length CHECK (length(id) BETWEEN 1 AND 255),
    CONSTRAINT tenants_name_length CHECK (length(name) <= 255),
    CONSTRAINT tenants_description_length CHECK (length(description) <= 255)
);
COMMENT ON TABLE tenants IS 'Projects. A row appears when a tenant first owns something; its id is whatever the identity service uses.';
