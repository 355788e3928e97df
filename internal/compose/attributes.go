package compose

import (
	"fmt"
	"strings"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/tree"
)

// supported returns the paths of all that conversion understands or names.
func supported() []tree.Path {
	paths := []tree.Path{
		"name", "version", "volumes", "volumes.*", "volumes.*.name", "volumes.*.external", "volumes.*.driver", "volumes.*.driver_opts", "volumes.*.driver_opts.*",
	}
	for _, p := range strings.Fields(`
		image build build.* build.*.* build.*.*.* build.*.*.*.* command command.[] entrypoint entrypoint.[]
		environment environment.* environment.[] env_file env_file.[] env_file.[].path env_file.[].required env_file.[].format
		ports ports.[] ports.[].target ports.[].published ports.[].protocol ports.[].mode ports.[].name ports.[].app_protocol ports.[].host_ip
		expose expose.[] volumes volumes.[] volumes.[].* volumes.[].*.* volumes.[].*.*.*
		healthcheck healthcheck.test healthcheck.test.[] healthcheck.interval healthcheck.timeout healthcheck.retries
		healthcheck.start_period healthcheck.start_interval healthcheck.disable
		deploy.replicas deploy.resources.limits.memory mem_limit scale cpu_shares
		depends_on depends_on.* depends_on.*.condition depends_on.*.required
		working_dir user privileged stop_grace_period profiles profiles.[]
		extends extends.file extends.service`) {
		paths = append(paths, tree.Path("services.*."+p))
	}
	return paths
}

// harmless says what Lattice does in place of an attribute, if it runs the
// service well without it.
func harmless(f loader.UnsupportedAttribute) (why string, ok bool) {
	if f.Path.Matches("services.*.deploy.mode") && fmt.Sprint(f.Value) != "replicated" {
		return "", false
	}
	for _, h := range []struct{ paths, why string }{
		{"container_name hostname domainname", "containers have names of their own"},
		{"restart deploy.restart_policy", "an app that ends is always started again"},
		{"networks networks.*", "all apps are on the same network"},
		{"labels labels.* annotations label_file deploy.labels", "apps have none"},
		{"logging logging.* log_driver log_opt attach", "'ltc logs' has the lines of all apps"},
		{"init tty stdin_open", "an app runs without a terminal"},
		{"pull_policy platform", "a cell pulls what it hasn't got, for its own kind of machine"},
		{"deploy.mode deploy.endpoint_mode deploy.update_config deploy.rollback_config", "instances change a few at a time, new before old"},
		{"deploy.resources.reservations mem_reservation", "what is reserved is the memory limit"},
		{"deploy.resources.limits.cpus cpus cpu_count cpu_percent cpu_quota cpu_period", "the CPU is shared by weight, not limited"},
		{"deploy.resources.limits.pids pids_limit", "an instance has at most 1024 processes and threads"},
		{"memswap_limit mem_swappiness oom_score_adj", "apps don't swap"},
		{"security_opt cap_drop userns_mode", "apps have a user namespace and few capabilities anyway"},
		{"develop", "it is for development"},
		{"depends_on.*.restart", "apps are not restarted with what they depend on"},
	} {
		for _, p := range strings.Fields(h.paths) {
			if f.Path.Matches(tree.Path("services.*." + p)) {
				return h.why, true
			}
		}
	}
	if top := f.Path.Parts()[0]; top == "networks" {
		return "all apps are on the same network", true
	} else if top == "secrets" || top == "configs" {
		return "it counts only where a service uses it", true
	}
	return "", false
}

// serviceOf returns the service that has the attribute, or "".
func serviceOf(f loader.UnsupportedAttribute) string {
	if parts := f.Path.Parts(); len(parts) > 1 && parts[0] == "services" {
		return strings.ReplaceAll(parts[1], "👻", ".") // which the loader writes for a dot in a name
	}
	return ""
}

// place returns where an attribute is and how it is called there.
func place(f loader.UnsupportedAttribute) (where, what string) {
	parts := f.Path.Parts()
	if name := serviceOf(f); name != "" {
		where, parts = "service "+name+": ", parts[2:]
	}
	return where, strings.ReplaceAll(strings.Join(parts, "."), "👻", ".")
}
