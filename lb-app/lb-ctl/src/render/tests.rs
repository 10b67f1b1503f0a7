//! What operators read, word for word, in `transcripts.txt`. With `UPDATE_SNAPSHOTS=1` in the environment it is written anew,
//! to be reviewed. The answers are as a director gave them.

use super::Renderer;
use crate::{
    command::{Step, parse},
    protocol::Reply,
};
use serde_json::{Value, json};
use std::{fmt::Write, fs, path::Path};

/// Commands, and the pages of their answers.
fn conversations() -> Vec<(&'static str, Vec<Value>)> {
    let connection = |port: u16, state: &str, worker: u32| {
        json!({
            "protocol": "tcp", "client": "192.0.2.10", "client_port": port, "vip": "192.0.2.100", "vip_port": 80,
            "server": "198.51.100.11", "server_port": 8080, "service": "web", "method": "nat", "state": state,
            "age_ms": 61_500, "idle_ms": 1_500, "remaining_ms": 898_500, "packets_in": 12, "packets_out": 9,
            "bytes_in": 1_024, "bytes_out": 1_048_576, "worker": worker,
        })
    };
    let page = |connections: Vec<Value>, looked_at: u64, next: Value| {
        json!({"connections": {
            "connections": connections, "looked_at": looked_at, "total": 70_000, "silent_workers": [], "next": next,
        }})
    };
    let mut silent = page(vec![], 0, Value::Null);
    silent["connections"]["silent_workers"] = json!([1]);
    vec![
        ("show services", vec![services()]),
        ("show services nameless", vec![services()]),
        ("show services stats", vec![services()]),
        ("show services rate", vec![services()]),
        (
            "show connections",
            vec![
                page(vec![connection(40_001, "ESTABLISHED", 0)], 1, json!({"of": 0, "at": 4_096})),
                page(vec![connection(40_002, "SYN_RECV", 1)], 3, Value::Null),
            ],
        ),
        (
            "show connections limit 1",
            vec![page(vec![connection(40_001, "ESTABLISHED", 0)], 1, json!({"of": 0, "at": 1}))],
        ),
        ("show connections worker 1", vec![silent]),
        (
            "show connection tcp 192.0.2.10:40001 192.0.2.100:80",
            vec![json!({"connection": connection(40_001, "ESTABLISHED", 0)})],
        ),
        (
            "count connections",
            vec![json!({"connection-count": {
                "total": 3, "capacity": 131_072, "active": 2, "by_worker": [1, 2],
                "tables": [
                    {"family": "IPv4", "connections": 2, "capacity": 65_536},
                    {"family": "IPv6", "connections": 1, "capacity": 65_536},
                ],
            }})],
        ),
        (
            "show host",
            vec![json!({"host": {
                "role": "follow",
                "sides": [
                    {"port": "wan", "interface": "lb-wan", "mac": "02:00:00:00:00:01",
                     "virtual_macs": ["00:00:5e:00:01:33"], "link_up": true, "to_kernel": 120, "from_kernel": 98,
                     "refused": 1, "lost": 0}],
                "addresses": [
                    {"address": "192.0.2.100", "active": true, "interface": "lb-wan", "mac": "00:00:5e:00:01:33"},
                    {"address": "2001:db8::101", "active": false}]}})],
        ),
        (
            "show interfaces",
            vec![json!({"interfaces": {"interfaces": [
                {
                    "name": "trunk", "port": "trunk", "vlan": [], "mac": "02:00:00:00:00:01", "mtu": 1_500,
                    "addresses": [], "up": true, "rx_packets": 3, "tx_packets": 0,
                },
                {
                    "name": "clients", "port": "trunk", "vlan": [100], "mac": "02:00:00:00:00:01",
                    "mtu": 1_500, "addresses": ["192.0.2.1/24", "2001:db8::1/64"], "up": true,
                    "rx_packets": 12, "rx_bytes": 1_234, "tx_packets": 10, "tx_bytes": 1_000,
                },
                {
                    "name": "servers", "port": "trunk", "vlan": [9, 200], "mac": "02:00:00:00:00:99",
                    "own_mac": true, "mtu": 1_400, "addresses": ["198.51.100.1/24"], "up": false,
                    "rx_packets": 0, "rx_bytes": 0, "tx_packets": 0, "tx_bytes": 0,
                },
            ]}})],
        ),
        (
            "show local-addresses",
            vec![json!({"local-addresses": {"addresses": [
                {
                    "address": "198.51.100.20", "services": ["dns", "web"], "servers": 2, "used": 1_234,
                    "capacity": 129_024, "each": 0,
                },
                {"address": "198.51.100.21", "services": [], "servers": 0, "used": 3, "capacity": 0, "each": 0},
                {
                    "address": "2001:db8:1::50", "services": ["outbound (snat)"], "servers": 0, "used": 70_000,
                    "capacity": 0, "each": 64_512,
                },
            ]}})],
        ),
        (
            "show snat",
            vec![json!({"snat": {
                "rules": [
                    {
                        "name": "outbound", "sources": ["198.51.100.0/24", "2001:db8:1::/64"], "interface": "wan",
                        "ports": ["20000-29999", "443"], "modules": [{"module": "ftp", "ports": ["21", "2100-2199"]}],
                        "addresses": [
                            {"address": "192.0.2.50", "used": 12, "each": 10_001},
                            {"address": "2001:db8:1::50", "used": 0, "each": 10_001},
                        ],
                        "active": 10, "inactive": 2, "connections": 1_234, "packets_sent": 70_000,
                        "packets_received": 140_000, "bytes_sent": 5_000_000, "bytes_received": 200_000_000,
                    },
                    {
                        "name": "others", "sources": ["10.0.0.0/8"], "interface": null, "ports": ["1024-65535"],
                        "modules": [], "addresses": [{"address": "192.0.2.51", "used": 0, "each": 64_512}],
                        "active": 0, "inactive": 0, "connections": 0, "packets_sent": 0, "packets_received": 0,
                        "bytes_sent": 0, "bytes_received": 0,
                    },
                ],
                "drops": [
                    {"reason": "no-snat", "meaning": "", "packets": 7, "packets_per_s": 1, "by_worker": [3, 4]},
                    {"reason": "ports-exhausted", "meaning": "", "packets": 0, "packets_per_s": 0, "by_worker": [0, 0]},
                ],
            }})],
        ),
        ("show snat", vec![json!({"snat": {"rules": [], "drops": []}})]),
        ("show sync", vec![peers()]),
        (
            "show sync",
            vec![json!({"peers": {
                "told": 0, "refused": 0, "held": 0, "capacity": 0, "tells_all": false, "adopted": 0, "strangers": 0,
                "look_ms": 0, "peers": [],
            }})],
        ),
        (
            "show sync",
            vec![json!({"peers": {
                "told": 0, "refused": 0, "held": 0, "capacity": 0, "tells_all": false, "adopted": 0, "strangers": 0,
                "look_ms": 0, "peers": [], "ipvs": {
                    "interface": "eth1", "group": "224.0.0.81:8848", "syncid": 7, "waits_for": "No such device",
                    "capacity": 131_072,
                    "backup": {
                        "senders": ["10.0.0.2"], "held": 30, "adopted": 3, "datagrams": 2, "connections": 30, "ended": 4,
                        "clients": 5, "clients_unknown": 1, "no_room": 0,
                        "unfit": [["protocol", 0], ["sequence-numbers", 2]], "refused": [["malformed", 1]],
                    },
                    "master": {
                        "told": 60, "no_room": 0, "untellable": 1, "clients": 7, "clients_no_room": 0,
                        "clients_untellable": 2, "datagrams": 5, "bytes": 2_200, "entries": 61, "look_ms": 2,
                    },
                },
            }})],
        ),
        ("show workers", vec![workers()]),
        ("show workers histogram", vec![workers()]),
        ("show port info all", vec![ports()]),
        ("show port summary all", vec![ports()]),
        (
            "show port stats 0",
            vec![json!({"port-stats": {"at_ns": 5_000_000_000_u64, "ports": [{
                "id": 0, "name": "wan", "rx_packets": 1_234_567, "rx_missed": 8, "rx_bytes": 98_765_432, "rx_errors": 1,
                "rx_nombuf": 2, "tx_packets": 1_234_000, "tx_errors": 3, "tx_bytes": 98_000_000,
            }]}})],
        ),
        (
            "show port xstats 0",
            vec![json!({"port-xstats": {"ports": [{
                "id": 0, "name": "wan", "counters": [{"name": "rx_good_packets", "value": 7}],
            }]}})],
        ),
        ("show port 0 rss reta", vec![rss()]),
        ("show port 0 rss-hash", vec![rss()]),
        (
            "show fwd stats all",
            vec![json!({"forward-stats": {"forwarding": true, "ports": [
                {"id": 0, "name": "wan", "rx_packets": 100, "rx_dropped": 1, "tx_packets": 90, "tx_dropped": 2},
                {"id": 1, "name": "lan", "rx_packets": 90, "rx_dropped": 0, "tx_packets": 98, "tx_dropped": 0},
            ]}})],
        ),
        (
            "show drops",
            vec![json!({"drops": {"received": 190, "reasons": [{
                "reason": "table-full", "meaning": "The connection table is full.", "packets": 4, "packets_per_s": 1,
                "by_worker": [4, 0],
            }]}})],
        ),
        ("show events", vec![events()]),
    ]
}

fn peers() -> Value {
    let peer = |address: &str, up: bool| {
        json!({
            "address": address, "up": up, "heard_ms_ago": if up { 200 } else { 61_000 }, "complete": up, "held": 1_234,
            "missing": 0, "unacknowledged": 5, "same_tables": up, "sent": 100, "sent_bytes": 9_000, "received": 90,
            "received_bytes": 8_000, "changes_sent": 700, "changes_received": 600, "no_room": 0, "gaps": 1, "resent": 2,
            "tellings": 1, "wrong_key": 0, "replayed": 3, "malformed": 0, "other_version": 0,
        })
    };
    json!({"peers": {
        "listen": "10.0.0.11:4789", "told": 700, "refused": 0, "held": 2_468, "capacity": 131_072, "tells_all": false,
        "adopted": 40, "strangers": 2, "look_ms": 31, "clients_told": 12, "clients_taken": 30, "clients_not_taken": 1,
        "peers": [peer("10.0.0.12:4789", true), peer("10.0.0.13:4789", false)],
    }})
}

fn events() -> Value {
    json!({"events": {"run": 7, "missed": 0, "after": 3, "more": false, "events": [
        {
            "seq": 1, "at_ms": 1_795_964_645_000_u64, "kind": "server-down", "severity": "warning", "text": "server is down",
            "service": "web", "server": "198.51.100.11:8080", "reason": "it refused the connection",
        },
        {
            "seq": 2, "at_ms": 1_795_964_646_000_u64, "kind": "link-up", "severity": "info",
            "text": "the link of port wan is up",
        },
        {
            "seq": 3, "at_ms": 1_795_964_647_000_u64, "kind": "reloaded", "severity": "info",
            "text": "reload: configuration 4 is in effect", "by": "uid 0 (root)",
            "details": ["~ service tcp 192.0.2.100:80: scheduler rr -> wlc"],
        },
    ]}})
}

fn services() -> Value {
    let traffic = |scale: u64| {
        json!({
            "connections": scale, "packets_in": 1_500 * scale, "packets_out": 1_400 * scale,
            "bytes_in": 90_000 * scale, "bytes_out": 2_000_000 * scale,
        })
    };
    let rate = |scale: u64| {
        json!({
            "connections_per_s": scale, "packets_in_per_s": 15 * scale, "packets_out_per_s": 14 * scale,
            "bytes_in_per_s": 900 * scale, "bytes_out_per_s": 20_000 * scale,
        })
    };
    let server = |address: &str, weight: u32, state: &str, health: &str| {
        json!({
            "address": address, "port": 8080, "weight": weight, "configured_weight": 3, "state": state, "health": health,
            "active": 12, "inactive": 34, "traffic": traffic(7), "rate": rate(7),
            "description": if weight == 0 { "rack 7" } else { "" },
        })
    };
    json!({"services": {"director": "0.1.0", "capacity": 131_072, "services": [
        {
            "name": "web", "protocol": "tcp", "vip": "192.0.2.100", "port": 80, "method": "nat", "scheduler": "wlc",
            "flags": [], "adopt": true, "description": "the shop's front end",
            "options": { "scheduler": "wlc", "hash_port": false, "adopt": true, "slow_start": "30s" },
            "traffic": traffic(14), "rate": rate(14), "servers": [
                server("198.51.100.11", 3, "enabled", "up"), server("198.51.100.12", 0, "drain", "down"),
            ],
        },
        {
            "name": "dns", "protocol": "udp", "vip": "192.0.2.101", "port": 53, "method": "tun", "scheduler": "mh",
            "flags": ["mh-port"], "adopt": false, "traffic": traffic(1), "rate": rate(0), "servers": [],
        },
    ]}})
}

fn workers() -> Value {
    json!({"workers": {"cycles_per_s": 2_000_000_000_u64, "workers": [{
        "id": 0, "lcore": 1, "busy_cycles": 500, "idle_cycles": 1_500, "busy_percent": 25.0, "received": 1_000,
        "received_per_s": 10, "taken_over": 5, "originated": 2, "sent": 990, "dropped": 7, "host": 1, "handed_over": 9,
        "hand_overs": [{"reason": "client", "packets": 9}], "waiting": 0, "connections": 3, "created": 20, "ended": 17,
        "evicted": 0, "resets": 1, "icmp_errors": 0, "fragmented": 2, "made_fragments": 5,
        "bursts": [{"from": 0, "to": 0, "polls": 900}, {"from": 1, "to": 1, "polls": 75}, {"from": 2, "to": 3, "polls": 25}],
    }]}})
}

fn ports() -> Value {
    json!({"port-info": {"ports": [{
        "id": 0, "name": "wan", "device": "0000:3b:00.0", "driver": "net_ice", "mac": "02:00:00:00:00:01", "node": 0,
        "started": true, "link_up": true, "link_mbps": 100_000, "full_duplex": true, "promiscuous": false, "mtu": 1500,
        "min_mtu": 68, "max_mtu": 9702, "rx_queues": 4, "max_rx_queues": 256, "tx_queues": 4, "max_tx_queues": 256,
        "rx_descriptors": 1024, "tx_descriptors": 1024, "hash_key_bytes": 52, "reta_entries": 512,
        "spread": "by the client's address and port (RSS)",
        "spread_reason": "its key lets net_ice see the source only, by 7 bits", "addresses": ["192.0.2.1/24"],
        "checksums": "the port (IPv4), workers (TCP, UDP)",
        "checksums_computed": "the port (UDP of tunnels), workers (others)",
        "tags_inserted": "workers",
        "rx_offloads": ["RX_IPV4_CKSUM"], "rx_offload_capabilities": ["RX_IPV4_CKSUM", "RX_SCATTER"],
        "tx_offloads": [], "tx_offload_capabilities": ["TX_MBUF_FAST_FREE"],
    }]}})
}

fn rss() -> Value {
    json!({"port-rss": {
        "id": 0, "name": "wan", "spread": "by addresses and ports (RSS)", "hash_types": ["ipv4-tcp", "ipv4-udp"],
        "key": "6D5A6D5A", "reta": [0, 1, 0, 1],
    }})
}

#[test]
fn answers_read_as_they_should() {
    let mut text = String::new();
    for (line, pages) in conversations() {
        let command = parse(line).unwrap_or_else(|error| panic!("{line}: {error}")).expect("a command");
        let Step::Ask(_, view) = command.step() else { panic!("{line} asks nothing") };
        let _ = writeln!(text, "lbctl> {line}");
        let mut renderer = Renderer::default();
        renderer.begin();
        for (at, page) in pages.iter().enumerate() {
            let reply: Reply =
                serde_json::from_value(page.clone()).unwrap_or_else(|error| panic!("{line}: {error}"));
            text += &renderer.page(&reply, view, at + 1 == pages.len());
        }
        text.push('\n');
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/render/transcripts.txt");
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(&file, &text).unwrap();
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(text, expected, "it differs: write it anew with UPDATE_SNAPSHOTS=1 and review it");
}
