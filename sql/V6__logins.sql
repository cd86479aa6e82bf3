-- Roles belong to the whole cluster, so a copy of this database (TEMPLATE, or a dump that is
-- restored) carries the names of logins that are another database's. The number of the
-- database beside each login tells whose it is. Names of further databases end with theirs.
alter table ringfence.logins add column database oid;
update ringfence.logins set database = coalesce(
  pg_catalog.substring(role::text, '_([0-9]{1,10})$')::oid,
  (select oid from pg_catalog.pg_database where datname = pg_catalog.current_database()));
alter table ringfence.logins alter column database set not null;
comment on column ringfence.logins.database is 'The database that the login was made for; in a copy it is that of the original';
