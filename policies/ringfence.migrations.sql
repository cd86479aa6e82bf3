-- What ran of sql/; only the owner may read or change it.
alter table ringfence.migrations enable row level security;
