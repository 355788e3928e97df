package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A contender is one proxy.
type contender struct {
	name string
	conf func(dir, addr, backend string, routes int) (string, error)
	args func(file, addr, backend string, routes int) []string

	addr string
	cmd  *exec.Cmd
}

func contenders(only string) []*contender {
	all := []*contender{
		{name: "lattice", conf: none, args: self("lattice")},
		{name: "nginx", conf: nginx, args: func(file, _, _ string, _ int) []string { return []string{"nginx", "-c", file} }},
		{name: "haproxy", conf: haproxy, args: func(file, _, _ string, _ int) []string { return []string{"haproxy", "-db", "-f", file} }},
		{name: "caddy", conf: caddy, args: func(file, _, _ string, _ int) []string {
			return []string{"caddy", "run", "--config", file, "--adapter", ""}
		}},
		{name: "stdlib", conf: none, args: self("stdlib")},
	}
	if only == "" {
		return all
	}
	return slices.DeleteFunc(all, func(c *contender) bool { return !slices.Contains(strings.Split(only, ","), c.name) })
}

func none(string, string, string, int) (string, error) { return "", nil }

// self returns the command line of the benchmark as one of the proxies.
func self(part string) func(string, string, string, int) []string {
	return func(_, addr, backend string, routes int) []string {
		return []string{"/proc/self/exe", "-part", part, "-listen", addr, "-backend", backend, "-routes", strconv.Itoa(routes)}
	}
}

func hostName(i int) string { return "app-" + strconv.Itoa(i) + ".lab" }

const nginxFrame = `
worker_processes auto;
worker_rlimit_nofile 20000;
daemon off;
pid %s;
error_log stderr error;
events { worker_connections 8192; }
http {
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 300s;
%s
}
`

func nginx(dir, addr, backend string, routes int) (string, error) {
	var table strings.Builder
	for i := range routes {
		fmt.Fprintf(&table, "      %s app;\n", hostName(i))
	}
	http := fmt.Sprintf(`
    map_hash_max_size 262144;
    map_hash_bucket_size 128;
    upstream app { server %s; keepalive 512; keepalive_requests 1000000000; }
    map $host $to {
      default "";
%s    }
    server {
      listen %s backlog=4096;
      location / {
        if ($to = "") { return 404; }
        proxy_pass http://$to;
        proxy_http_version 1.1;
        proxy_buffers 16 8k;
        proxy_set_header Connection "";
        proxy_set_header Host $host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      }
    }`, backend, table.String(), addr)
	return fmt.Sprintf(nginxFrame, filepath.Join(dir, "nginx.pid"), http), nil
}

func haproxy(dir, addr, backend string, routes int) (string, error) {
	var table strings.Builder
	for i := range routes {
		fmt.Fprintf(&table, "%s app\n", hostName(i))
	}
	file := filepath.Join(dir, "hosts.map")
	if err := os.WriteFile(file, []byte(table.String()), 0o644); err != nil {
		return "", err
	}
	return fmt.Sprintf(`
global
    maxconn 8000
defaults
    mode http
    timeout connect 2s
    timeout client 300s
    timeout server 300s
    http-reuse always
frontend in
    bind %s backlog 4096
    option forwardfor
    use_backend %%[req.hdr(host),lower,map(%s,nobody)]
backend app
    server one %s
backend nobody
    http-request return status 404
`, addr, file, backend), nil
}

func caddy(_, addr, backend string, routes int) (string, error) {
	names := make([]string, routes)
	for i := range names {
		names[i] = hostName(i)
	}
	type m map[string]any
	conf, err := json.Marshal(m{
		"admin":   m{"disabled": true},
		"logging": m{"logs": m{"default": m{"level": "ERROR"}}},
		"apps": m{"http": m{"servers": m{"in": m{
			"listen":          []string{addr},
			"automatic_https": m{"disable": true},
			"routes": []m{{
				"match": []m{{"host": names}},
				"handle": []m{{
					"handler":   "reverse_proxy",
					"upstreams": []m{{"dial": backend}},
					"transport": m{"protocol": "http", "keep_alive": m{"enabled": true, "max_idle_conns_per_host": 1024}},
				}},
			}},
		}}}},
	})
	return string(conf), err
}
