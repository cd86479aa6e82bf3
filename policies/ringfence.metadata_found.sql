-- A document that was found can hold secrets of handlers; only the owner may read it.
alter table ringfence.metadata_found enable row level security;
