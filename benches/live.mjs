#!/usr/bin/env node
// Live-query load: opens N graphql-transport-ws subscriptions over M sockets
// (one token per socket, tokens rotated over tenants), then writes K rows
// directly in Postgres and measures write->push latency.
//
//   node live.mjs --url ws://127.0.0.1:8080/v1/graphql [--subs 1000] [--sockets 200]
//     [--writes 200] [--rate 50] [--idle 5] [--settle 10] [--server-pid PID] [--noise 0]
//     [--query workloads/graphql/live.graphql] [--tokens FILE] [--db ADMIN_URL] [--json FILE]
//
// Modules `ws` and `pg` come from $LIVE_DIR/node_modules (default $BENCH_DIR/live):
//   mkdir -p "$LIVE_DIR" && cd "$LIVE_DIR" && npm init -y && npm install ws@8 pg@8
//
// Each subscription watches one project of its token's tenant. Every project has
// one "hot" task that nobody but this script changes: write i sets its title to
// "live <i>". A push answers all writes to that task up to the number it shows, so
// a server may merge writes; it must not lose the last one.
// Exit status 1: a subscription failed, a last write never came (missed), or a
// row of another tenant or project was delivered (wrong).
import { createRequire } from "node:module";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const here = dirname(fileURLToPath(import.meta.url));
const bench = process.env.BENCH_DIR ?? join(process.env.TMPDIR ?? "/tmp", "bench");
const { values: o } = parseArgs({ options: {
  url: { type: "string" }, subs: { type: "string", default: "1000" }, sockets: { type: "string", default: "200" },
  writes: { type: "string", default: "200" }, rate: { type: "string", default: "50" }, idle: { type: "string", default: "5" },
  settle: { type: "string", default: "10" }, "server-pid": { type: "string" }, noise: { type: "string", default: "0" },
  query: { type: "string", default: join(here, "workloads/graphql/live.graphql") },
  tokens: { type: "string", default: process.env.TOKENS ?? join(bench, "tokens.tsv") },
  db: { type: "string", default: process.env.ADMIN_URL ?? "postgres://bench_admin@127.0.0.1:55432/bench" }, json: { type: "string" },
} });
const num = (k, max) => { const n = Number(o[k]); if (!(n >= 0 && n <= max)) throw new Error(`--${k} must be 0..${max}`); return n; };
const N = num("subs", 5000), M = Math.min(num("sockets", 5000), N), K = num("writes", 20000), RATE = num("rate", 2000);
const IDLE = num("idle", 60), SETTLE = num("settle", 60), NOISE = num("noise", 2000);
if (!o.url) { console.error("--url is needed"); process.exit(2); }
const require = createRequire(join(resolve(process.env.LIVE_DIR ?? join(bench, "live")), "x.js"));
const WebSocket = require("ws");
const pg = require("pg");
const sleep = (ms) => new Promise((r) => setTimeout(r, ms));
const quantile = (xs, q) => xs.length ? xs.slice().sort((a, b) => a - b)[Math.min(xs.length - 1, Math.floor(xs.length * q))] : NaN;

// ---- what to watch
const query = readFileSync(o.query, "utf8");
const tokens = readFileSync(o.tokens, "utf8").trim().split("\n").map((l) => {
  const [token, tenant, user, , projects] = l.split("\t");
  return { token, tenant, user, projects: [...new Set(projects.split(","))] };
});
const db = new pg.Client({ connectionString: o.db });
await db.connect();
await db.query("SET search_path = app, public");
const writer = new pg.Client({ connectionString: o.db });
await writer.connect();
// The log is told of when it is on disk: as in production, a commit waits for that.
await writer.query("SET synchronous_commit = on");

const subs = []; // { socket, id, tenant, project, hot, seen, last, first, errors }
const sockets = [];
for (let m = 0; m < M; m++) sockets.push({ ...tokens[m % tokens.length], subs: [] });
for (let i = 0; i < N; i++) {
  const s = sockets[i % M];
  const sub = { socket: s, id: `s${i}`, tenant: s.tenant, project: s.projects[Math.floor(i / M) % s.projects.length], pushes: 0, seen: -1 };
  s.subs.push(sub);
  subs.push(sub);
}
const projects = [...new Set(subs.map((s) => s.project))];
const { rows: hotRows } = await db.query(
  `SELECT DISTINCT ON (project_id) id, project_id, tenant_id, title, updated_at::text
     FROM tasks WHERE project_id = ANY($1::uuid[]) AND NOT is_private ORDER BY project_id, id`, [projects]);
const hot = new Map(hotRows.map((r) => [r.project_id, { ...r, last: -1 }]));
const hotById = new Map(hotRows.map((r) => [r.id, hot.get(r.project_id)]));
const watchers = new Map(projects.map((p) => [p, []]));
for (const s of subs) { s.hot = hot.get(s.project); watchers.get(s.project).push(s); }

// ---- counters
const writes = []; // { sent, acked, task, waiting:Set(sub) }
let wrong = 0, failed = 0, pushes = 0, received = 0, closed = 0, initial = 0, resolveInitial;
const wrongSamples = [], failures = [], latSend = [], latAck = [];
const allInitial = new Promise((r) => (resolveInitial = r));

function onNext(sub, payload, at) {
  received++;
  if (payload.errors?.length) { failed++; if (failures.length < 3) failures.push(JSON.stringify(payload.errors).slice(0, 300)); return; }
  let seq = -1;
  for (const field of Object.values(payload.data ?? {})) {
    for (const row of Array.isArray(field) ? field : field ? [field] : []) {
      if (row.tenant_id !== undefined && row.tenant_id !== sub.tenant) {
        wrong++;
        if (wrongSamples.length < 3) wrongSamples.push({ sub: sub.id, own: sub.tenant, got: row.tenant_id, row: row.id });
      } else if (hotById.has(row.id) && hotById.get(row.id) !== sub.hot) {
        wrong++; // a hot task of another project
        if (wrongSamples.length < 3) wrongSamples.push({ sub: sub.id, project: sub.project, row: row.id });
      }
      if (row.id === sub.hot?.id) { const m = /^live (\d+)$/.exec(row.title); if (m) seq = Number(m[1]); }
    }
  }
  if (sub.pushes++ === 0) { if (++initial === N) resolveInitial(); return; }
  pushes++;
  for (let i = sub.pending?.length - 1; i >= 0; i--) {
    const w = sub.pending[i];
    if (w.seq <= seq) {
      latSend.push(at - w.sent);
      if (w.acked !== undefined) latAck.push(Math.max(0, at - w.acked)); else (w.early ??= []).push(at);
      sub.pending.splice(i, 1);
    }
  }
  if (seq > sub.seen) sub.seen = seq;
}

function open(s) {
  return new Promise((ok, no) => {
    const ws = new WebSocket(o.url, "graphql-transport-ws", { perMessageDeflate: false });
    s.ws = ws;
    ws.on("error", (e) => no(new Error(`socket: ${e.message}`)));
    ws.on("close", (code, reason) => { if (!s.done) { closed++; no(new Error(`closed ${code} ${reason}`)); } });
    ws.on("open", () => ws.send(JSON.stringify({ type: "connection_init", payload: { Authorization: `Bearer ${s.token}`, headers: { Authorization: `Bearer ${s.token}` } } })));
    ws.on("message", (data) => {
      const at = performance.now();
      const m = JSON.parse(data);
      switch (m.type) {
        case "connection_ack":
          for (const sub of s.subs) {
            s.byId ??= new Map();
            s.byId.set(sub.id, sub);
            ws.send(JSON.stringify({ id: sub.id, type: "subscribe", payload: { query, variables: { project: sub.project } } }));
          }
          ok();
          break;
        case "next": onNext(s.byId.get(m.id), m.payload, at); break;
        case "error": failed++; if (failures.length < 3) failures.push(JSON.stringify(m.payload).slice(0, 300)); break;
        case "complete": failed++; if (failures.length < 3) failures.push(`completed by server: ${m.id}`); break;
        case "ping": ws.send('{"type":"pong"}'); break;
      }
    });
  });
}

// ---- measuring server and database
const tick = 100; // clock ticks per second on Linux
function tree(root) {
  const kids = new Map();
  for (const d of readdirSync("/proc")) {
    if (!/^\d+$/.test(d)) continue;
    try { const p = readFileSync(`/proc/${d}/stat`, "utf8").split(") ").at(-1).split(" "); kids.set(+p[1], [...(kids.get(+p[1]) ?? []), +d]); } catch { /* ended */ }
  }
  const all = [root];
  for (let i = 0; i < all.length; i++) all.push(...(kids.get(all[i]) ?? []));
  return all;
}
function server() {
  if (!o["server-pid"]) return { rss: NaN, cpu: NaN };
  let rss = 0, cpu = 0;
  for (const p of tree(+o["server-pid"])) {
    try {
      rss += Number(readFileSync(`/proc/${p}/statm`, "utf8").split(" ")[1]) * 4096 / 2 ** 20;
      const f = readFileSync(`/proc/${p}/stat`, "utf8").split(") ").at(-1).split(" ");
      cpu += (Number(f[11]) + Number(f[12])) / tick;
    } catch { /* ended */ }
  }
  return { rss, cpu };
}
const hasPss = (await db.query("SELECT 1 FROM pg_extension WHERE extname = 'pg_stat_statements'")).rowCount > 0;
async function database() {
  // Own queries of this script are few and left in; statistics arrive late.
  const a = (await db.query("SELECT xact_commit + xact_rollback AS x, tup_returned AS t FROM pg_stat_database WHERE datname = current_database()")).rows[0];
  const c = hasPss ? (await db.query("SELECT coalesce(sum(calls), 0) AS c, coalesce(sum(total_exec_time), 0) AS ms FROM pg_stat_statements WHERE userid <> (SELECT oid FROM pg_roles WHERE rolname = current_user)")).rows[0] : { c: NaN, ms: NaN };
  const n = (await db.query("SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()")).rows[0];
  return { x: +a.x, t: +a.t, calls: +c.c, ms: +c.ms, conns: +n.n - 1, at: performance.now(), ...server() };
}
function rates(a, b) {
  const s = (b.at - a.at) / 1000;
  return { seconds: +s.toFixed(2), pg_transactions_per_s: +((b.x - a.x) / s).toFixed(1), pg_statements_per_s: +((b.calls - a.calls) / s).toFixed(1),
    pg_exec_ms_per_s: +((b.ms - a.ms) / s).toFixed(1), pg_connections: b.conns, server_cpu: +((b.cpu - a.cpu) / s).toFixed(3), server_rss_mb: +b.rss.toFixed(1) };
}

const result = { subs: N, sockets: M, projects: projects.length, writes: K, rate: RATE };
let status = 0;
try {
  const before = await database();
  result.rss_before_mb = +before.rss.toFixed(1);
  const t0 = performance.now();
  for (let i = 0; i < sockets.length; i += 50) await Promise.all(sockets.slice(i, i + 50).map(open));
  result.connect_ms = Math.round(performance.now() - t0);
  if (N) await Promise.race([allInitial, sleep(30000)]);
  result.initial_results = initial;
  result.all_initial_ms = Math.round(performance.now() - t0);
  if (initial < N) throw new Error(`only ${initial} of ${N} subscriptions got a first result in 30 s (${failures.join("; ")})`);

  // idle: nothing that is watched changes
  // A connection that idles reports what it did up to 10 s later.
  await sleep(11000);
  const i0 = await database(), p0 = pushes;
  if (NOISE) {
    const end = performance.now() + IDLE * 1000;
    let n = 0;
    // Rows that no subscription watches: tag colours, set to what they are.
    while (performance.now() < end) {
      await writer.query("UPDATE app.tags SET color = color WHERE id = (SELECT id FROM app.tags OFFSET $1 LIMIT 1)", [n++ % 1000]);
      await sleep(1000 / NOISE);
    }
    result.noise_writes = n;
  } else await sleep(IDLE * 1000);
  const i1 = await database();
  result.idle = { ...rates(i0, i1), pushes: pushes - p0 };

  // writes
  const w0 = await database(), start = performance.now();
  const keys = projects;
  for (let seq = 0; seq < K; seq++) {
    const due = start + (seq * 1000) / RATE;
    const now = performance.now();
    if (due > now) await sleep(due - now);
    const project = keys[Math.floor(Math.random() * keys.length)], h = hot.get(project);
    const w = { seq, sent: performance.now() };
    for (const s of watchers.get(project)) (s.pending ??= []).push(w);
    h.last = seq;
    writes.push(w);
    await writer.query({ name: "w", text: "UPDATE app.tasks SET title = 'live ' || $1::text, updated_at = clock_timestamp() WHERE id = $2", values: [String(seq), h.id] });
    w.acked = performance.now();
    for (const _ of w.early ?? []) latAck.push(0);
  }
  result.write_phase_ms = Math.round(performance.now() - start);
  const settleEnd = performance.now() + SETTLE * 1000;
  const lost = () => subs.filter((s) => s.hot.last >= 0 && s.seen < s.hot.last);
  while (performance.now() < settleEnd && lost().length) await sleep(20);
  const w1 = await database();
  const missed = lost();
  Object.assign(result, { busy: rates(w0, w1), pushes: pushes - p0 - result.idle.pushes, deliveries: latSend.length,
    ack_to_push_ms: { p50: +quantile(latAck, 0.5).toFixed(2), p99: +quantile(latAck, 0.99).toFixed(2), max: +quantile(latAck, 1).toFixed(2) },
    send_to_push_ms: { p50: +quantile(latSend, 0.5).toFixed(2), p99: +quantile(latSend, 0.99).toFixed(2), max: +quantile(latSend, 1).toFixed(2) },
    missed: missed.length });
  if (missed.length) { result.missed_samples = missed.slice(0, 3).map((s) => ({ sub: s.id, project: s.project, seen: s.seen, last: s.hot.last })); status = 1; }
} catch (e) {
  result.error = e.message;
  status = 1;
} finally {
  for (const s of sockets) { s.done = true; try { s.ws?.close(1000); } catch { /* closing */ } }
  const touched = hotRows.filter((r) => hot.get(r.project_id).last >= 0);
  if (touched.length) {
    await writer.query("UPDATE app.tasks t SET title = x.title, updated_at = x.u FROM unnest($1::uuid[], $2::text[], $3::timestamptz[]) AS x(id, title, u) WHERE t.id = x.id",
      [touched.map((r) => r.id), touched.map((r) => r.title), touched.map((r) => r.updated_at)]);
  }
  await Promise.all([db.end(), writer.end()]);
}
Object.assign(result, { wrong, failed, closed });
if (wrong) { result.wrong_samples = wrongSamples; status = 1; }
if (failed || closed) { result.failures = failures; status = 1; }
console.log(JSON.stringify(result, null, 2));
if (o.json) writeFileSync(o.json, JSON.stringify(result) + "\n");
console.log(`RESULT subs=${N} p50=${result.ack_to_push_ms?.p50} p99=${result.ack_to_push_ms?.p99} missed=${result.missed ?? "?"} wrong=${wrong} failed=${failed} ` +
  `idle_tps=${result.idle?.pg_transactions_per_s} idle_stmts=${result.idle?.pg_statements_per_s} rss_mb=${result.busy?.server_rss_mb}`);
setTimeout(() => process.exit(status), 300);
