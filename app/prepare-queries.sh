#!/bin/sh
# Writes .sqlx: descriptions of all checked queries, so that no build needs a database. Run it after a change of a
# query or a migration. It starts a PostgreSQL of its own below a temporary directory, from the installed binaries.
set -eu
cd "$(dirname "$0")"
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
if [ -z "$bin" ]; then
    echo "PostgreSQL is not installed: apt-get install --no-install-recommends postgresql" >&2
    exit 1
fi
work=$(mktemp -d)
port=$((20000 + $$ % 20000))
if [ "$(id -u)" = 0 ]; then
    as_user="setpriv --reuid=postgres --regid=postgres --clear-groups --"
    chown postgres "$work"
else
    as_user=
fi
finish() {
    $as_user "$bin/pg_ctl" --silent -D "$work/data" -m immediate stop || true
    rm -rf "$work"
}
trap finish EXIT
$as_user "$bin/initdb" -D "$work/data" -U postgres --auth=trust --no-sync >"$work/log"
$as_user "$bin/pg_ctl" --silent -D "$work/data" -l "$work/data/log" -w \
    -o "-c listen_addresses=127.0.0.1 -c port=$port -c unix_socket_directories= -c fsync=off" start
sql() { "$bin/psql" --no-psqlrc --quiet --set ON_ERROR_STOP=1 -h 127.0.0.1 -p "$port" -U postgres "$@"; }
sql -c 'CREATE ROLE medical_owner LOGIN' -c 'CREATE ROLE medical_app LOGIN' -c 'CREATE DATABASE app OWNER medical_owner'
# The table that sqlx makes by itself before the first migration.
sql -d app -c 'SET ROLE medical_owner' -c 'CREATE TABLE _sqlx_migrations (version bigint PRIMARY KEY,
    description text NOT NULL, installed_on timestamptz NOT NULL DEFAULT now(), success boolean NOT NULL,
    checksum bytea NOT NULL, execution_time bigint NOT NULL)'
for migration in migrations/*.sql; do
    sql -d app -c 'SET ROLE medical_owner' -f "$migration"
done
mkdir -p .sqlx
rm -f .sqlx/query-*.json
# The macros run again only when a source file changed.
find src -name '*.rs' -exec touch {} +
SQLX_OFFLINE=false SQLX_OFFLINE_DIR="$PWD/.sqlx" \
    DATABASE_URL="postgres://medical_owner@127.0.0.1:$port/app" cargo check --quiet --package medical-app --lib
echo "$(ls .sqlx | wc -l) queries described"
