#!/bin/bash
# What `make vagrant-test` does: `vagrant up` for a brain and a cell on real
# virtual machines without KVM, the sample app, an upgrade, `vagrant destroy`.
# test.sh FOLDER keeps the box there and all else for the time of the test.
# It starts a libvirtd where none runs, and leaves nothing behind but the box.
set -euo pipefail
cd "$(dirname "$0")"
mkdir -p "$1"
work=$(realpath "$1")
export VAGRANT_HOME=$work/home VAGRANT_DOTFILE_PATH=$work/state VAGRANT_DEFAULT_PROVIDER=libvirt VAGRANT_CHECKPOINT_DISABLE=1
export LATTICE_CELLS=1 LATTICE_MEMORY=768 LATTICE_IP=192.168.57.10 LATTICE_DOMAIN=lattice.test LATTICE_BOX=lattice-test
export LATTICE_CLI_HOME=$work/cli LATTICE_TEST_BOX=$work/box
bin=$(realpath "${LATTICE_BINARY:-../bin/lattice}")
export LATTICE_BINARY=$work/lattice

began=$SECONDS
step() { printf '\n=== %s (%d s)\n' "$*" $((SECONDS - began)); }
pids=()
domains=$work/domains

finish() {
	code=$?
	set +e
	if [ $code -ne 0 ]; then
		virsh list --all
		tail -n 20 "$work"/*.log
		"$work/lattice" explain hello
		"$work/lattice" events -n 40
		vagrant ssh cell-1 -c 'sudo journalctl -u lattice -n 60 --no-pager -o short-precise'
	fi
	step "clean up"
	vagrant destroy -f >/dev/null
	for net in $(virsh net-list --all --name); do
		grep -qx "net $net" "$domains" || { virsh -q net-destroy "$net"; virsh -q net-undefine "$net"; }
	done
	for pool in $(virsh pool-list --all --name); do
		grep -qx "pool $pool" "$domains" && continue
		for vol in $(virsh vol-list "$pool" | awk 'NR > 2 { print $1 }'); do virsh -q vol-delete "$vol" "$pool"; done
		virsh -q pool-destroy "$pool"
		virsh -q pool-undefine "$pool"
	done
	for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null; done
	wait
	rm -rf "$VAGRANT_HOME" "$VAGRANT_DOTFILE_PATH" "$LATTICE_CLI_HOME" "$work/lattice" "$work"/*.log "$domains" "$work/pool"
	step "done, exit code $code"
	exit $code
}

step "box"
./box.sh "$work/box"

if ! virsh -q list >/dev/null 2>&1; then
	virtlogd >"$work/virtlogd.log" 2>&1 &
	pids+=($!)
	libvirtd >"$work/libvirtd.log" 2>&1 &
	pids+=($!)
	for _ in $(seq 100); do virsh -q list >/dev/null 2>&1 && break; sleep 0.1; done
fi
{ virsh net-list --all --name | sed 's/^/net /'; virsh pool-list --all --name | sed 's/^/pool /'; } >"$domains"
trap finish EXIT

# What a run left that was killed.
for name in $(virsh list --all --name | grep '^lattice-test_'); do
	virsh -q destroy "$name" 2>/dev/null || true
	virsh -q undefine "$name"
done

cp "$bin" "$work/lattice"
vagrant box add --name lattice-test "$work/box/lattice-test.box" >/dev/null
step "vagrant up"
vagrant --no-tty up
vagrant status
step "the sample app"
ltc() { "$work/lattice" "$@"; }
ltc target "https://$LATTICE_IP:7443" --token-file "$work/state/lattice/token" --ca "$work/state/lattice/ca.crt"
ltc cells
ltc create hello lattice/hello --timeout 10m
ask() { curl -sS -m 30 --fail --resolve "hello.lattice.test:80:$LATTICE_IP" http://hello.lattice.test/index; }
ask
step "vagrant provision with a newer binary, under load"
before=$(ltc status hello -o json | grep guid)
failed=$work/failed.log
: >"$failed"
while [ -e "$work/state" ]; do ask >/dev/null 2>>"$failed" || echo failed >>"$failed"; sleep 0.5; done &
load=$!
pids+=("$load")
printf newer >>"$work/lattice"
vagrant provision
kill $load
[ "$before" = "$(ltc status hello -o json | grep guid)" ] || { echo "the containers are others now"; exit 1; }
[ ! -s "$failed" ] || { echo "requests failed:"; cat "$failed"; exit 1; }
step "vagrant destroy"
vagrant destroy -f
