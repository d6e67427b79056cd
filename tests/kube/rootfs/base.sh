#!/bin/sh
# base.sh DIRECTORY: the root filesystem below every image of ours: C library, certificate authorities, time
# zones, and a user. No shell, no package manager, nothing to log in with.
#
# Needs apt with the lists of Debian trixie. `cargo xtask image` runs it through mmdebstrap, the Dockerfiles run it
# in a build stage, so that both ways give the same content.
set -eu
root=$1
packages='base-files ca-certificates libc6 libgcc-s1 netbase tzdata'

work=$(mktemp -d)
chmod 755 "$work" # apt drops its privileges before it writes here
(cd "$work" && apt-get -qq -o APT::Sandbox::User=root download $packages)
mkdir -p "$root/usr/bin" "$root/usr/lib" "$root/usr/lib64" "$root/usr/sbin"
for package in "$work"/*.deb; do
  dpkg-deb --extract "$package" "$root"
done
rm -rf "$work"

cat "$root"/usr/share/ca-certificates/mozilla/*.crt > "$root/etc/ssl/certs/ca-certificates.crt"
printf 'root:x:0:0:root:/root:/sbin/nologin\nmedical:x:10001:10001:medical:/nonexistent:/sbin/nologin\n' > "$root/etc/passwd"
printf 'root:x:0:\nmedical:x:10001:\n' > "$root/etc/group"
printf 'hosts: files dns\n' > "$root/etc/nsswitch.conf"

# Encodings other than UTF-8, manuals and translations; the licences stay.
rm -rf "$root"/usr/lib/*/gconv "$root/usr/share/man" "$root/usr/share/locale" "$root/usr/share/lintian" \
  "$root/usr/share/ca-certificates" "$root"/usr/sbin/* "$root"/usr/bin/*
find "$root/usr/share/doc" -type f ! -name copyright -delete
