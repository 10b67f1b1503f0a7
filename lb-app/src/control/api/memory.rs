//! Memory and tables.

use crate::control::live::running::Running;
use lb_core::{
    conn::{
        connections::{BYTES_PER_CONNECTION, BYTES_PER_CONNECTION_V6},
        datagram::TABLES_BYTES,
    },
    counters::DropReason,
    limits::{MAX_DATAGRAMS, MAX_NEIGHBOURS, MAX_ROUTES, MAX_WAITING, MAX_WAITING_FRAGMENTS},
    sched::persistence::BYTES_PER_ENTRY as PERSISTENT_CLIENT_BYTES,
    service::footprint,
};
use lb_ctl::protocol::{
    Reply,
    memory::{Memory, Pool, Request, Table, Tables},
};
use std::fs;

pub(super) fn answer(running: &Running, request: &Request) -> Reply {
    match request {
        Request::Show => Reply::Memory(memory(running)),
        Request::Tables => Reply::Tables(tables(running)),
    }
}

fn memory(running: &Running) -> Memory {
    let pool = Pool {
        name: running.pool.name().to_owned(),
        size: u64::from(running.pool.size()),
        in_use: u64::from(running.pool.in_use()),
        buffer_bytes: u64::from(running.pool.frame_room()),
        cache: u64::from(running.pool.cache()),
    };
    let schedulers = footprint(&running.current().plan.services);
    let capacity = running.config.capacity;
    Memory {
        schedulers_bytes: schedulers.bytes(running.workers.len()),
        lookup_tables: schedulers.tables() as u64,
        resident_bytes: resident_bytes().unwrap_or(0),
        tables_bytes: ((capacity.v4 * BYTES_PER_CONNECTION + capacity.v6 * BYTES_PER_CONNECTION_V6)
            * running.workers.len()) as u64,
        persistence_bytes: (running.persistence.capacity() * PERSISTENT_CLIENT_BYTES) as u64,
        fragments_bytes: (TABLES_BYTES * running.workers.len()) as u64,
        connection_bytes: BYTES_PER_CONNECTION as u64,
        sync_bytes: running.config.sync.bytes() + running.config.ipvs_sync.bytes(),
        huge_pages: running.huge_pages,
        pools: vec![pool],
    }
}

/// The kernel's count of this process's memory.
fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib << 10)
}

fn tables(running: &Running) -> Tables {
    let current = running.current();
    let mut tables = Vec::new();
    let mut common = |name: &str, used: usize, size: usize| {
        tables.push(Table {
            name: name.to_owned(),
            worker: None,
            used: used as u64,
            size: size as u64,
            refused: 0,
        });
    };
    // Those that are gone keep their place until their connections have ended.
    let room = current.snapshot.room;
    common("services", current.plan.services.len(), room.services);
    common("servers", current.plan.services.iter().map(|service| service.servers.len()).sum(), room.servers);
    common("routes", current.plan.routes.len(), MAX_ROUTES);
    let (full, contended) = running.persistence.missed();
    tables.push(Table {
        name: "persistent clients".to_owned(),
        worker: None,
        used: running.persistence.iter(running.clock.now()).count() as u64,
        size: running.persistence.capacity() as u64,
        refused: full + contended,
    });
    for worker in &running.workers {
        let counters = &worker.counters;
        let refused = |reason: DropReason| counters.dropped[reason as usize].get();
        let mut own = |name: &str, used: u64, size: usize, refused: u64| {
            let worker = Some(u32::from(worker.id.0));
            tables.push(Table { name: name.to_owned(), worker, used, size: size as u64, refused });
        };
        let capacity = running.config.capacity;
        // Which table was full is not told apart.
        let full = refused(DropReason::TableFull);
        if let Ok((v4, v6)) = worker.connection_counts() {
            own("connections of IPv4", v4 as u64, capacity.v4, full);
            own("connections of IPv6", v6 as u64, capacity.v6, full);
        }
        if let Ok(neighbours) = worker.neighbours() {
            own("neighbours", neighbours.len() as u64, MAX_NEIGHBOURS, refused(DropReason::NeighboursFull));
        }
        own(
            "packets waiting for neighbours",
            counters.waiting.get(),
            MAX_WAITING,
            refused(DropReason::WaitingFull),
        );
        // Of each family, clients' and servers'.
        let (datagrams, fragments) = (counters.datagrams.get(), counters.waiting_fragments.get());
        own("fragmented datagrams", datagrams, 4 * MAX_DATAGRAMS, refused(DropReason::FragmentsFull));
        own(
            "fragments waiting for the first",
            fragments,
            4 * MAX_WAITING_FRAGMENTS,
            refused(DropReason::FragmentsWaiting),
        );
    }
    Tables { tables }
}
