#!/bin/sh
# Makes a small Debian box for vagrant-libvirt out of Debian's packages, for
# `make vagrant-test`: box.sh FOLDER. Its kernel is Debian's for clouds, which
# qemu starts directly; without KVM, as not every machine has it.
set -eu
out=$1
[ ! -f "$out/lattice-test.box" ] || exit 0
tree=$out/tree
rm -rf "$out" && mkdir -p "$tree"
trap 'umount -q "$tree/proc" "$tree/sys" || :; rm -rf "$tree"' EXIT

debootstrap --variant=minbase \
	--include=systemd,systemd-sysv,systemd-resolved,dbus,linux-image-cloud-amd64,openssh-server,sudo,rsync,iproute2,iputils-ping,nftables,ca-certificates,curl,procps,kmod \
	bookworm "$tree" >"$out/log"
chroot "$tree" useradd --create-home --shell /bin/bash vagrant
echo 'vagrant ALL=(ALL) NOPASSWD: ALL' >"$tree/etc/sudoers.d/vagrant"
echo box >"$tree/etc/hostname"
echo '/dev/vda / ext4 defaults 0 1' >"$tree/etc/fstab"
printf 'UseDNS no\n' >>"$tree/etc/ssh/sshd_config"
# Each machine makes a key of its own: one that an emulated processor makes fast.
rm -f "$tree"/etc/ssh/ssh_host_*
cat >"$tree/etc/systemd/system/ssh-keys.service" <<'UNIT'
[Unit]
Before=ssh.service
[Service]
Type=oneshot
ExecStart=/bin/sh -c "[ -f /etc/ssh/ssh_host_ecdsa_key ] || /usr/bin/ssh-keygen -q -t ecdsa -N '' -f /etc/ssh/ssh_host_ecdsa_key"
[Install]
WantedBy=ssh.service
UNIT
# The first interface is vagrant-libvirt's own; the others are set by Vagrant.
cat >"$tree/etc/systemd/network/10-eth0.network" <<'UNIT'
[Match]
Name=eth0
[Network]
DHCP=ipv4
[DHCPv4]
ClientIdentifier=mac
UNIT
: >"$tree/etc/machine-id"
chroot "$tree" systemctl --quiet enable systemd-networkd systemd-resolved ssh ssh-keys
# The key that every box has.
install -d -m 0700 "$tree/home/vagrant/.ssh"
cat /usr/share/rubygems-integration/all/gems/vagrant-*/keys/vagrant.pub >"$tree/home/vagrant/.ssh/authorized_keys"
chroot "$tree" chown -R vagrant:vagrant /home/vagrant/.ssh

cp "$tree"/boot/vmlinuz-* "$out/vmlinuz"
cp "$tree"/boot/initrd.img-* "$out/initrd"
chroot "$tree" sh -c "rm -rf /boot/* /var/cache/apt/archives/*.deb /var/lib/apt/lists/*"
truncate -s 4G "$out/disk.raw"
mkfs.ext4 -q -d "$tree" "$out/disk.raw"
qemu-img convert -O qcow2 "$out/disk.raw" "$out/box.img"
rm "$out/disk.raw"

echo '{"provider": "libvirt", "format": "qcow2", "virtual_size": 4}' >"$out/metadata.json"
cat >"$out/Vagrantfile" <<'RUBY'
Vagrant.configure("2") do |config|
  config.vm.boot_timeout = 600
  config.ssh.connect_timeout = 120
  config.ssh.insert_key = false
  config.vm.provider "libvirt" do |v|
    v.default_prefix = "lattice-test_"
    v.driver, v.cpu_mode, v.cpu_model = "qemu", "custom", "Westmere"
    v.kernel, v.initrd = ENV["LATTICE_TEST_BOX"] + "/vmlinuz", ENV["LATTICE_TEST_BOX"] + "/initrd"
    v.cmd_line = "root=/dev/vda rw net.ifnames=0 console=ttyS0"
    v.video_type, v.graphics_type = "none", "none"
  end
end
RUBY
tar -C "$out" -czf "$out/lattice-test.box.new" metadata.json Vagrantfile box.img
mv "$out/lattice-test.box.new" "$out/lattice-test.box"
rm "$out/box.img"
