-- What ran of this folder; only the owner may read or change it.
alter table ringfence.policies enable row level security;
