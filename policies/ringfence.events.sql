-- The outbox holds rows of all tenants; only the owner, who delivers them, may read it.
alter table ringfence.events enable row level security;
