-- Passwords of the logins; only the owner may read them.
alter table ringfence.logins enable row level security;
