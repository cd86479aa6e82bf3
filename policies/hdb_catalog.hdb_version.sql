-- What Hasura's CLI and console remember; only the owner may read it.
alter table hdb_catalog.hdb_version enable row level security;
