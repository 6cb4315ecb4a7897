#!/usr/bin/env bash
# install.sh FOLDER: installs the programs built in FOLDER, stripped, below $DESTDIR$PREFIX (default /usr/local).
set -euo pipefail
cd "$(dirname "$0")/.."
built=$1
prefix=${PREFIX:-/usr/local}
root=${DESTDIR:-}$prefix
libexec=$root/libexec/skala

install -d "$root/bin" "$libexec" "$root/share/doc/skala"
for program in skala-daemon skala-warden skala-init skala-checkpoint; do
    # A program that runs cannot be overwritten, but its name can be given to another file.
    install -m 755 -s "$built/$program" "$libexec/$program.new"
    mv "$libexec/$program.new" "$libexec/$program"
done
ln -sf skala-warden "$libexec/skala-runtime"
install -m 755 -s "$built/skala" "$root/bin/skala.new"
mv "$root/bin/skala.new" "$root/bin/skala"
install -m 644 LICENSE "$root/share/doc/skala/copyright"
# What `skala lab` measures.
install -d "$root/share/skala"
rm -rf "$root/share/skala/experiments"
cp -r experiments "$root/share/skala/"

completions() { # SHELL FILE
    install -d "$(dirname "$root/share/$2")"
    "$root/bin/skala" completion "$1" >"$root/share/$2"
    chmod 644 "$root/share/$2"
}
completions bash bash-completion/completions/skala
completions zsh zsh/vendor-completions/_skala
completions fish fish/vendor_completions.d/skala.fish

# systemd looks for units in /lib, not below a prefix of one's own.
unit=${DESTDIR:-}$([ "$prefix" = /usr ] && echo /lib/systemd/system || echo /etc/systemd/system)
install -d "$unit"
sed "s|@LIBEXEC@|$prefix/libexec/skala|" packaging/systemd/skala.service >"$unit/skala.service"
chmod 644 "$unit/skala.service"
