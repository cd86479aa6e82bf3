-- The document can hold secrets of handlers and URLs of databases; only the owner may read it.
alter table hdb_catalog.hdb_metadata enable row level security;
