# Runs PostgreSQL until standard input ends, which it does with the program that holds the other end, however that ends;
# then takes its directory away. What ended by itself leaves its log for that program.
set -eu
trap '' INT HUP TERM
umask 077
cd "$1"
"$2/initdb" -D data -U postgres --encoding=UTF8 --no-locale --auth=scram-sha-256 --pwfile=password --no-sync \
    >initdb.log 2>&1
rm password
printf 'hostssl all all 127.0.0.1/32 scram-sha-256\nhostssl all all ::1/128 scram-sha-256\n' >data/pg_hba.conf
"$2/postgres" -D data -c listen_addresses=localhost -c "port=$3" -c unix_socket_directories= -c ssl=on \
    -c "ssl_cert_file=$1/server.crt" -c "ssl_key_file=$1/server.key" -c ssl_min_protocol_version=TLSv1.3 \
    -c fsync=off >postgres.log 2>&1 &
postgres=$!
# The shell gives what runs in the background no standard input.
exec 3<&0
(
    read -r _ <&3 || true
    : >ended
    # One that has just begun ignores it.
    while kill -QUIT "$postgres" 2>/dev/null; do sleep 0.1; done
) &
watcher=$!
wait "$postgres" || true
if [ -e ended ]; then
    cd /
    rm -rf "$1"
else
    kill -KILL "$watcher"
    exit 1
fi
