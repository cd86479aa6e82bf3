#!/usr/bin/env python3
"""Interleaved rounds of LIMIT and of a server, as ratios. Called by ./run."""
import argparse, os, re, statistics, subprocess, sys

HERE = os.path.dirname(os.path.abspath(__file__))
ap = argparse.ArgumentParser()
ap.add_argument("--url", required=True)
ap.add_argument("--pid", type=int, required=True)
ap.add_argument("--workloads", default="w1,w2,w3")
ap.add_argument("--conns", default="1,8,32,128")
ap.add_argument("--seconds", type=int, default=4)
ap.add_argument("--rounds", type=int, default=3)
a = ap.parse_args()
if a.seconds > 15 or a.rounds > 15:
    sys.exit("each run is bounded: --seconds <= 15, --rounds <= 15")
TICK, PAGE = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")


def cpu(pid):
    """CPU seconds of a process and its threads."""
    with open(f"/proc/{pid}/stat") as f:
        return sum(map(int, f.read().rsplit(")", 1)[1].split()[11:13])) / TICK


def rss(pid):
    with open(f"/proc/{pid}/statm") as f:
        return int(f.read().split()[1]) * PAGE / 2**20


def parse(line):
    return {k: float(v) for k, v in re.findall(r"(\w+)=([\d.]+)", line)}


def run(*command):
    p = subprocess.run(command, capture_output=True, text=True)
    if p.returncode:
        sys.exit(f"{' '.join(command)}: {p.stderr.strip()}")
    return parse(p.stdout)


def limit(w, c):
    return run(f"{HERE}/limit", w, str(c), str(a.seconds))


def ours(w, c):
    before = cpu(a.pid)
    r = run(f"{HERE}/drive", a.url, os.environ["TOKENS"], f"{HERE}/workloads/graphql/{w}.graphql", str(c), str(a.seconds))
    # 20 requests are checked before the timed ones.
    r["cpu"] = (cpu(a.pid) - before) * 1000 / (r["rps"] * a.seconds + 20)
    r["rss"] = rss(a.pid)
    return r


print(f"load of the machine before: {os.getloadavg()[0]:.2f}; memory of the server, idle: {rss(a.pid):.0f} MB")
print(f"{'':3} {'conns':>5} {'LIMIT/s':>9} {'ours/s':>9} {'ratio':>6} {'worst':>6} {'p50 ms':>8} {'p99 ms':>8} {'LIMIT p99':>9} {'CPU ms':>7} {'MB':>4} {'errors':>6}")
for w in a.workloads.split(","):
    limit(w, 8), ours(w, 8)  # warm caches, not counted
    for c in map(int, a.conns.split(",")):
        base, mine = [], []
        for round in range(a.rounds):
            for f in (limit, ours) if round % 2 == 0 else (ours, limit):
                # pgbench is compared up to 32 clients only.
                if f is limit and c <= 32:
                    base.append(limit(w, c))
                elif f is ours:
                    mine.append(ours(w, c))
        med = lambda rows, key: statistics.median(r[key] for r in rows)
        ratios = [m["rps"] / b["rps"] for m, b in zip(mine, base)]
        shown = f"{med(base, 'rps'):9.0f} {med(mine, 'rps'):9.0f} {statistics.median(ratios):6.2f} {min(ratios):6.2f}" if base else f"{'':9} {med(mine, 'rps'):9.0f} {'':6} {'':6}"
        p99 = f"{max(r['p99'] for r in base):.3f}" if base else ""
        if w in ("w6", "w7"):
            subprocess.run([f"{HERE}/setup", "wipe"], check=True)
        print(f"{w:3} {c:5d} {shown} {med(mine, 'p50'):8.3f} {max(r['p99'] for r in mine):8.3f} {p99:>9} {med(mine, 'cpu'):7.4f} {max(r['rss'] for r in mine):4.0f} {sum(int(r['errors']) for r in mine):6d}", flush=True)
