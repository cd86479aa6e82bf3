# Sourced by the scripts here. Everything can be set from outside.
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
: "${BENCH_DIR:=$HERE/../target/bench}"                  # tokens, results, log
: "${PGBIN:=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)}"
[ -n "$PGBIN" ] || PGBIN="$(pg_config --bindir)"
# The cluster's owner must reach its folder; root cannot run Postgres.
if [ "$(id -u)" = 0 ]; then : "${PGDATA:=/var/lib/ringfence-bench}"; else : "${PGDATA:=$BENCH_DIR/pg}"; fi
: "${PGHOST:=127.0.0.1}"
: "${PGPORT:=55433}"
: "${PGDATABASE:=bench}"
: "${BENCH_OS_USER:=postgres}"                           # runs the cluster when we are root
: "${BENCH_SUPERUSER:=bench_admin}"                      # superuser inside the cluster
: "${JWT_SECRET:=ringfence-bench-secret-of-at-least-32-bytes}"
: "${TOKENS:=$BENCH_DIR/tokens.tsv}"
: "${SHARED_BUFFERS:=4GB}"
: "${TENANTS:=200}" "${USERS:=100}" "${PROJECTS:=25}" "${TASKS:=200}" "${MAX_COMMENTS:=6}"
export BENCH_DIR PGBIN PGDATA PGHOST PGPORT PGDATABASE JWT_SECRET TOKENS TENANTS USERS PROJECTS TASKS
export DATABASE_URL="postgres://authenticator:bench@$PGHOST:$PGPORT/$PGDATABASE"
export ADMIN_URL="postgres://$BENCH_SUPERUSER@$PGHOST:$PGPORT/$PGDATABASE"
as_pg() {  # run a command as the cluster's owner
  if [ "$(id -u)" = 0 ]; then setpriv --reuid="$BENCH_OS_USER" --regid="$BENCH_OS_USER" --init-groups env HOME=/tmp "$@"; else "$@"; fi
}
admin() { "$PGBIN/psql" -X -q -v ON_ERROR_STOP=1 "$ADMIN_URL" "$@"; }
