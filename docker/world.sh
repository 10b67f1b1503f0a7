# A client, a director and a real server in network namespaces of their own, for the scripts that test packages and
# containers; read by them.
#
#   client 192.0.2.10 ── wan 192.0.2.1 [director] 198.51.100.1 lan ── 198.51.100.11 server (nginx)
#
# The director's interfaces, wan and lan, have no address of the kernel's: they are lb-app's.
# Scripts set `work`, a directory for logs, and end with world_ends.

world=lbt$$
vip=192.0.2.100
nginx=

# check WHAT COMMAND...: says what is checked; if the command fails, shows what it said, and the logs, and ends.
check() {
    echo "  $1"
    shift
    "$@" >"$work/output" 2>&1 || {
        { echo "FAILED: $*"; tail -n 40 "$work/output"; fails_with_log; } >&2
        exit 1
    }
}

# Waits for a command to succeed, half a minute at most.
eventually() {
    limit=$(($(date +%s) + 30))
    while [ "$(date +%s)" -le $limit ]; do
        ! "$@" || return 0
        sleep 0.2
    done
    return 1
}

world_begins() {
    for role in client director server; do
        ip netns add "$world-$role"
        ip -n "$world-$role" link set lo up
    done
    wire wan client 192.0.2.10/24 192.0.2.1
    wire lan server 198.51.100.11/24 198.51.100.1
    printf 'hello from the server\n' >"$work/index.html"
    cat >"$work/nginx.conf" <<NGINX
daemon off; user root; pid $work/nginx.pid; error_log $work/nginx.log;
events { worker_connections 64; }
http { access_log off; client_body_temp_path $work/t1; proxy_temp_path $work/t2; fastcgi_temp_path $work/t3;
  uwsgi_temp_path $work/t4; scgi_temp_path $work/t5;
  server { listen 80; root $work; } }
NGINX
    ip netns exec "$world-server" nginx -e "$work/nginx.log" -c "$work/nginx.conf" >/dev/null 2>&1 &
    nginx=$!
}

world_ends() {
    if [ -n "$nginx" ]; then
        kill "$nginx" 2>/dev/null || true
        wait "$nginx" 2>/dev/null || true
    fi
    for role in client director server; do ip netns delete "$world-$role" 2>/dev/null || true; done
}

# wire INTERFACE ROLE ADDRESS GATEWAY: from the director's interface to eth0 of somebody else. Neither end makes packets
# that were never on a wire.
wire() {
    ip -n "$world-director" link add "$1" type veth peer name eth0 netns "$world-$2"
    ip netns exec "$world-director" ethtool -K "$1" tx off tso off gso off gro off >/dev/null
    ip netns exec "$world-$2" ethtool -K eth0 tx off tso off gso off gro off >/dev/null
    ip -n "$world-director" link set "$1" up
    ip -n "$world-$2" link set eth0 up
    ip -n "$world-$2" addr add "$3" dev eth0
    ip -n "$world-$2" route add default via "$4"
}

# configuration DRIVER: an lb.toml for this world, with ports of net_af_packet or net_af_xdp.
configuration() {
    cat <<TOML
[workers]
connections = 65536
idle = "adaptive"
[[ports]]
name = "wan"
device = "${1}0,iface=wan"
addresses = ["192.0.2.1/24"]
[[ports]]
name = "lan"
device = "${1}1,iface=lan"
addresses = ["198.51.100.1/24"]
[[services]]
name = "web"
vip = "$vip"
port = 80
protocol = "tcp"
method = "nat"
  [[services.servers]]
  address = "198.51.100.11"
TOML
}

# What the client gets from an address by HTTP.
fetch() { ip netns exec "$world-client" curl -sS --max-time 5 --noproxy '*' "http://$1/"; }

# capability_mask CAP_...: as /proc/PID/status has it, of the names in their file.
capability_mask() {
    mask=0
    for name in "$@"; do
        case $name in
        CAP_CHOWN) bit=0 ;; CAP_KILL) bit=5 ;; CAP_SETGID) bit=6 ;; CAP_SETUID) bit=7 ;; CAP_NET_ADMIN) bit=12 ;;
        CAP_NET_RAW) bit=13 ;; CAP_IPC_LOCK) bit=14 ;; CAP_SYS_RAWIO) bit=17 ;;
        CAP_SYS_ADMIN) bit=21 ;; CAP_SYS_NICE) bit=23 ;; CAP_SYS_RESOURCE) bit=24 ;; CAP_PERFMON) bit=38 ;; CAP_BPF) bit=39 ;;
        *) echo "capability_mask: $name?" >&2; return 1 ;;
        esac
        mask=$((mask | 1 << bit))
    done
    printf '%016x\n' "$mask"
}
