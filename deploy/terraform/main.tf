# Lattice on machines that are there already and that you reach by ssh as root,
# wherever they come from: give their addresses, or those that your provider's
# resources have. `terraform apply` installs, and upgrades when the binary or a
# list changes; apps go on. Join tokens go from the brain to the cell through a
# pipe and are never in the state.

terraform {
  required_version = ">= 1.4"
}

variable "brain" {
  description = "address of the brain, for ssh and for the cells"
  type        = string
}

variable "cells" {
  description = "name of each cell and its address"
  type        = map(string)
  default     = {}
}

variable "domain" {
  description = "apps are at NAME.domain; *.domain must lead to the brain"
  type        = string
}

variable "nodes" {
  description = "range of addresses in which all machines are"
  type        = string
}

variable "binary" {
  description = "the lattice to install"
  type        = string
  default     = "../../bin/lattice"
}

locals {
  script  = "${path.module}/../install.sh"
  version = filesha256(var.binary)
  copy    = "scp -q ${local.script} ${var.binary} root@$HOST:/root/"
  wall    = "--firewall --nodes ${var.nodes}"
}

resource "terraform_data" "brain" {
  triggers_replace = [local.version, var.brain, var.domain, var.nodes]

  provisioner "local-exec" {
    environment = { HOST = var.brain }
    command     = "${local.copy} && ssh root@$HOST sh /root/install.sh brain --domain ${var.domain} ${local.wall}"
  }
}

resource "terraform_data" "cell" {
  for_each         = var.cells
  depends_on       = [terraform_data.brain]
  triggers_replace = [local.version, each.value, var.brain, var.nodes]

  provisioner "local-exec" {
    environment = { HOST = each.value, BRAIN = var.brain }
    command     = <<-SH
      set -e
      ${local.copy}
      ssh root@$BRAIN ltc token create --ttl 10m --uses 1 --quiet |
        ssh root@$HOST 'umask 077; cat >/root/join-token'
      ssh root@$HOST LATTICE_TOKEN_ONCE=/root/join-token \
        sh /root/install.sh cell --cell-id ${each.key} --join $BRAIN ${local.wall}
    SH
  }
}

output "target" {
  value = "scp root@${var.brain}:/etc/lattice/{token,ca.crt} . && ltc target https://${var.brain}:7443 --token-file token --ca ca.crt"
}
