-- Which text of policies/*.sql ran last.
create table ringfence.policies (
  file text primary key,
  sql text not null,
  applied_at timestamptz not null default now()
);
comment on table ringfence.policies is 'The text of each file of policies/ that ran last';
