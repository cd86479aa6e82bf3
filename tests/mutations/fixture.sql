-- A library without row-level security, as Hasura finds it, and a shelf with it.
create type mood as enum ('calm', 'busy');
create type address as (street text, zip int);
create domain positive as int check (value > 0);

create table colors (value text primary key, comment text);
insert into colors values ('red', 'warm'), ('blue', 'cold');

create table authors (
  id serial primary key,
  name text unique,
  bio text,
  registered boolean not null default false,
  prefs jsonb not null default '{}',
  favourite text references colors
);
create table details (
  id int primary key references authors,
  phone text not null
);
create table books (
  id serial primary key,
  title text not null,
  author_id int references authors,
  published boolean not null default false,
  price numeric(8, 2) check (price >= 0),
  tags text[],
  updated_by int,
  unique (author_id, title)
);
create table reviews (
  id serial primary key,
  book_id int not null references books on delete cascade,
  stars int not null,
  body text
);
create table kinds (
  id int primary key,
  "small" smallint, "big" bigint, "exact" numeric(20, 6), "single" real, "double" double precision,
  "flag" boolean, "label" varchar(20), "fixed" char(5), "raw" bytea,
  "day" date, "moment" timestamptz, "local" timestamp, "clock" time, "span" interval,
  "doc" json, "docb" jsonb, "numbers" int[], "words" text[], "state" mood, "states" mood[],
  "net" inet, "spot" point, "period" int4range, "bits" bit varying(8), "cash" money, "key" uuid,
  "count" positive, "matrix" int[], "words_of" tsvector, place address,
  twin int references kinds
);
create table keyed (
  a int,
  b text,
  "Some Column" text,
  made text generated always as (b || '!') stored,
  ident int generated always as identity,
  primary key (a, b)
);
create table members (id serial primary key, name text not null);
create table rooms (id serial primary key, name text not null);
create table lockers (
  id serial primary key,
  label text not null,
  member_id int not null references members,
  room_id int references rooms
);
create table shelf (
  id int primary key, tenant int not null, label text not null, code int unique, unique (label)
);
create table plain (id serial primary key, note text default 'none');

-- A count that a trigger keeps.
create table counted (id int primary key, books int not null default 0);
create function count_books() returns trigger language plpgsql as $$
begin
  update counted set books = books + 1 where id = new.author_id;
  return new;
end $$;
create trigger count_books after insert on books for each row execute function count_books();

-- Where the stored row is not what was sent.
create domain worded as text not null;
create table pages (
  id serial primary key, owner int not null, label worded default 'none', above int references pages
);
create table bids (id serial primary key, owner int not null, amount numeric(6, 2) not null);
create function take_over() returns trigger language plpgsql as $$
begin
  new.owner := 2;
  return new;
end $$;
create table takeovers (id serial primary key, owner int not null);
create trigger take_over before insert on takeovers for each row execute function take_over();
create table sections (id int, owner int, label text not null, primary key (id, owner)) partition by list (owner);
create table sections_1 partition of sections for values in (1);
insert into pages (owner, label) values (2, 'of another');

create view calm_authors as select id, name from authors;
create view joined as select a.id, b.title from authors a join books b on b.author_id = a.id;

create function rename_author(session json, author int, new_name text, suffix text default '')
  returns setof authors language sql volatile as $$
  update authors set name = new_name || suffix, bio = session->>'x-hasura-role' where id = author returning *
$$;
create function add_author(name text) returns authors language sql volatile as $$
  insert into authors (name) values (add_author.name) returning *
$$;
create function book_count(author_row authors) returns bigint language sql stable as $$
  select count(*) from books where author_id = author_row.id
$$;

insert into authors (name) values ('Ada'), ('Alan'), ('Grace');
insert into books (title, author_id, published, price) values
  ('Notes', 1, true, 10), ('Engines', 1, false, 20), ('Machines', 2, true, 30);
insert into reviews (book_id, stars, body) values (1, 5, 'good'), (1, 3, null), (3, 4, 'fine');
insert into counted values (1, 2), (2, 1);
insert into members (name) values ('Hedy'), ('Mary');
insert into rooms (name) values ('cellar');
insert into lockers (label, member_id, room_id) values ('a', 1, 1), ('b', 2, 1);
insert into shelf values (1, 1, 'a'), (2, 2, 'b');
insert into kinds (id, "docb", "numbers", "count", "cash", "exact") values (1, '{"a": [1, 2, 3], "b": {"c": 1}}', '{1,2}', 3, 10, 1.5);

alter table shelf enable row level security;
create policy own on shelf to app_user
  using (tenant = nullif(current_setting('app.tenant_id', true), '')::int);

grant usage on schema public to app_user;
grant all on all tables in schema public to app_user;
grant all on all sequences in schema public to app_user;
revoke insert, update on keyed from app_user;
grant insert (a, b, "Some Column"), update (b, "Some Column") on keyed to app_user;
