-- Metadata, kept where Hasura v2 keeps it, so that an installation of it is
-- taken over as it is.

create schema if not exists hdb_catalog;

create table if not exists hdb_catalog.hdb_metadata (
  id               integer primary key,
  metadata         json not null,
  resource_version integer not null default 1 unique
);

-- What Hasura's CLI and console remember.
create table if not exists hdb_catalog.hdb_version (
  hasura_uuid   uuid primary key default gen_random_uuid(),
  version       text not null,
  upgraded_on   timestamptz not null,
  cli_state     jsonb not null default '{}'::jsonb,
  console_state jsonb not null default '{}'::jsonb
);
insert into hdb_catalog.hdb_version (version, upgraded_on)
select '48', pg_catalog.now() where not exists (select from hdb_catalog.hdb_version);

-- The metadata as it was found, before anything of ours wrote it.
create table ringfence.metadata_found (
  taken_at         timestamptz not null default pg_catalog.now(),
  resource_version integer not null,
  metadata         json not null
);
comment on table ringfence.metadata_found is 'The metadata of hdb_catalog as the server found it';
insert into ringfence.metadata_found (resource_version, metadata)
select resource_version, metadata from hdb_catalog.hdb_metadata;
