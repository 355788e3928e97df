#!/bin/sh
# Installs lattice on this Linux machine as a service of systemd, or upgrades it.
# Run again it changes nothing. `lattice uninstall` takes all away.
#
#   sudo ./install.sh up
#   sudo ./install.sh brain --domain apps.example.com --firewall
#   sudo ./install.sh cell --join 10.0.0.2 --token-file join-token
#
# What follows the role goes to `lattice install`; --help shows all there is.
#
#   LATTICE_BINARY      the program; else ./lattice beside this script, else the
#                       one that `make build` makes
#   LATTICE_URL         or where to fetch it,
#   LATTICE_SHA256      which must come with its checksum
#   LATTICE_TOKEN_ONCE  a file with a join token, deleted at the end; one that is
#                       missing or empty is for a cell that has joined before
set -eu

say() { printf '%s\n' "install.sh: $*" >&2; }
fail() { say "$*"; exit 1; }

cleanup() {
	[ -z "$tmp" ] || rm -rf "$tmp"
	[ -z "${LATTICE_TOKEN_ONCE:-}" ] || rm -f "$LATTICE_TOKEN_ONCE"
}

# fetch downloads the program to $tmp/lattice.
fetch() {
	[ -n "${LATTICE_SHA256:-}" ] || fail "give LATTICE_SHA256 together with LATTICE_URL, so that nobody can slip in another program"
	tmp=$(mktemp -d)
	say "fetching $LATTICE_URL"
	if command -v curl >/dev/null; then
		curl -fsSL -o "$tmp/lattice" "$LATTICE_URL"
	else
		wget -qO "$tmp/lattice" "$LATTICE_URL"
	fi
	echo "$LATTICE_SHA256  $tmp/lattice" | sha256sum -c - >/dev/null || fail "what came from $LATTICE_URL has another checksum"
	chmod 0755 "$tmp/lattice"
	binary=$tmp/lattice
}

# find_binary sets $binary to the program that shall be installed.
find_binary() {
	here=$(cd "$(dirname "$0")" && pwd)
	if [ -n "${LATTICE_URL:-}" ]; then
		fetch
		return
	fi
	for binary in "${LATTICE_BINARY:-}" "$here/lattice" "$here/../bin/lattice"; do
		[ -z "$binary" ] || [ ! -f "$binary" ] || return 0
	done
	fail "there is no program to install: give LATTICE_BINARY, or put lattice beside this script"
}

# need_nft installs nft where the firewall is wanted and it is missing.
need_nft() {
	case " $* " in *" --firewall "*) ;; *) return 0 ;; esac
	! command -v nft >/dev/null || return 0
	say "installing nftables"
	if command -v apt-get >/dev/null; then
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nftables >/dev/null
	elif command -v dnf >/dev/null; then
		dnf install -y -q nftables
	elif command -v zypper >/dev/null; then
		zypper --non-interactive --quiet install nftables
	else
		fail "--firewall needs nft: install nftables"
	fi
}

[ $# -gt 0 ] || fail "say what this machine shall be: brain, cell or up"
[ "$(id -u)" -eq 0 ] || fail "a service of the machine needs root: use sudo"
tmp=
trap cleanup EXIT
find_binary
chmod 0755 "$binary"
"$binary" --version >/dev/null || fail "$binary does not run here: is it built for this machine ($(uname -m))?"
need_nft "$@"
if [ -n "${LATTICE_TOKEN_ONCE:-}" ] && [ -s "$LATTICE_TOKEN_ONCE" ]; then
	set -- "$@" --token-file "$LATTICE_TOKEN_ONCE"
fi
"$binary" install "$@"
