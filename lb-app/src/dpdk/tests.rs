//! Runs against the real DPDK, without huge pages, NICs or privileges. DPDK starts once per process, so this is one
//! test: a story in chapters.

use super::{
    eal::{self, EalError},
    lcore::LaunchError,
    memory::Heap,
    tx_work::tests::{what_a_port_cannot_do_is_done_before, what_a_port_is_asked_for_comes_to_the_same},
    *,
};
use lb_core::packet::{Burst, Checksum, Packet, PortId};
use std::{process, thread};

const SETTINGS: PortSettings = PortSettings {
    rx_queues: 2,
    tx_queues: 2,
    rx_descriptors: 256,
    tx_descriptors: 256,
    mtu: 1500,
    rss: RssWish::Flow,
    keys: None,
    why: String::new(),
    rx_checksum: true,
    tx: TxWish { checksums: Choice::Auto, sums_tunnels: false, tags: Choice::Auto, is_tagged: false },
    multicast: false,
};

#[test]
fn dpdk_in_one_life() {
    assert!(matches!(Mempool::create("early", 63, 0, 2048, None), Err(PoolError::Eal(EalError::NotRunning))));

    let prefix = format!("lb-app-test-{}", process::id());
    let arguments =
        ["--no-huge", "-m", "128", "--no-pci", "--no-telemetry", "--file-prefix", &prefix, "--lcores"];
    let mut arguments = arguments.map(str::to_owned).to_vec();
    // Two lcores, whatever CPUs the test may use: both on the first.
    arguments.push("(0,1)@0".to_owned());
    let eal = Eal::init(&arguments).expect("DPDK starts without huge pages");
    assert!(matches!(Eal::init(&arguments), Err(EalError::AlreadyStarted)));

    let pool = Mempool::create("packets", 1023, 32, 2048, None).expect("there is memory");
    assert_eq!((pool.size(), pool.in_use()), (1023, 0));
    let twice = Mempool::create("packets", 63, 0, 2048, None);
    assert!(matches!(twice, Err(PoolError::BadName(_))), "{twice:?}");
    let huge = Mempool::create("huge", 10_000_000, 0, 2048, None);
    assert!(matches!(huge, Err(PoolError::NoMemory(_))), "{huge:?}");
    memory_is_reckoned_as_dpdk_takes_it();

    a_buffer_keeps_the_contract_of_packets(&pool);
    bursts_are_filled_and_freed(&pool);
    a_ring_keeps_order_and_bounds(&pool);
    a_port_moves_packets(&pool);
    a_ring_port_returns_what_it_is_given(&pool);
    the_only_pool_stays_the_only_one(&pool);
    a_bond_is_made_of_others(&pool);
    what_a_port_is_asked_for_comes_to_the_same(&pool);
    what_a_port_cannot_do_is_done_before(&pool, SETTINGS);
    mistakes_are_explained(&pool);
    closures_run_on_lcores(&eal, &pool);

    assert_eq!(pool.in_use(), 0, "all buffers are back");
    assert!(matches!(eal::stop(), Err(EalError::StillInUse(1))), "the pool is in use");
    drop(pool);
    let runtime_dir = eal::runtime_dir().expect("DPDK has one");
    assert!(runtime_dir.ends_with(&prefix) && runtime_dir.exists(), "{runtime_dir:?}");
    eal.cleanup().expect("nothing is in use");
    assert!(matches!(Mempool::create("late", 63, 0, 2048, None), Err(PoolError::Eal(EalError::NotRunning))));
    assert!(matches!(Eal::init(&arguments), Err(EalError::AlreadyStarted)));
    assert!(!runtime_dir.exists(), "{runtime_dir:?}");
}

fn memory_is_reckoned_as_dpdk_takes_it() {
    // Frames of usual size, of which each has a page, and jumbo ones, of which each has three.
    for (count, frame_room) in [(8_191, 2_048_u16), (2_047, 9_022)] {
        let before = Heap::now().free_bytes;
        let pool = Mempool::create("measured", count, 0, frame_room, None).expect("there is memory");
        let taken = before - Heap::now().free_bytes;
        let data_room = frame_room + dpdk_sys::SHIM_HEADROOM;
        let reckoned = memory::pool_bytes(count, memory::buffer_bytes(data_room), memory::small_page_bytes());
        assert!(taken.abs_diff(reckoned) < reckoned / 50, "{taken} bytes taken, {reckoned} reckoned");
        drop(pool);
    }
}

fn a_buffer_keeps_the_contract_of_packets(pool: &Mempool) {
    let mut packet = pool.allocate().expect("there are buffers");
    assert!(packet.is_single_segment());
    assert!(packet.bytes().is_empty());
    assert_eq!((packet.ipv4_checksum(), packet.l4_checksum()), (Checksum::Unknown, Checksum::Unknown));
    packet.set_port(PortId(7));
    assert_eq!(packet.port(), PortId(7));
    packet.prefetch();

    assert!(packet.set_len(2048) && !packet.set_len(2049) && !packet.set_len(usize::MAX));
    assert_eq!(packet.bytes().len(), 2048);
    assert!(packet.set_len(60));
    packet.bytes_mut().fill(0x11);

    assert!(packet.prepend(20), "there is room for a tunnel header");
    packet.bytes_mut()[..20].fill(0x22);
    assert_eq!(packet.bytes().len(), 80);
    assert!(!packet.prepend(109) && !packet.prepend(65_536 + 20));
    assert_eq!((packet.bytes()[19], packet.bytes()[20]), (0x22, 0x11));
    assert!(packet.prepend(108) && !packet.prepend(1));

    assert!(packet.trim_front(128) && packet.bytes() == [0x11; 60]);
    assert!(!packet.trim_front(61) && !packet.trim_front(65_536) && packet.trim_front(60));
    assert!(packet.bytes().is_empty());
    packet.free();
    assert_eq!(pool.in_use(), 0);
}

fn bursts_are_filled_and_freed(pool: &Mempool) {
    let mut burst = Burst::new();
    fill(&mut burst, pool, 64);
    assert_eq!(pool.in_use(), 64);
    free_bulk(&mut burst);
    free_bulk(&mut burst);
    assert_eq!((burst.len(), pool.in_use()), (0, 0));

    let small = Mempool::create("small", 15, 0, 256, None).expect("there is memory");
    fill(&mut burst, &small, 15);
    assert!(small.allocate().is_none() && small.in_use() == small.size());
    free_bulk(&mut burst);
}

/// Adds that many empty packets to a burst.
fn fill(burst: &mut Burst<Mbuf>, pool: &Mempool, count: usize) {
    burst.extend((0..count).map(|_| pool.allocate().expect("there are buffers")));
}

fn a_ring_keeps_order_and_bounds(pool: &Mempool) {
    let (mut producer, mut consumer) = ring("handover", 100, None).expect("there is memory");
    assert!(matches!(ring("handover", 100, None), Err(RingError::BadName(_))));
    assert!(matches!(ring("none", 0, None), Err(RingError::BadSize(0))));
    let mut burst = Burst::new();
    for (start, sent) in [(0, 64), (64, 36)] {
        let room = burst.remaining_capacity();
        fill(&mut burst, pool, room);
        for (packet, number) in burst.iter_mut().zip(start..) {
            packet.set_port(PortId(number));
        }
        assert_eq!(producer.send_burst(&mut burst), sent);
    }
    assert_eq!((burst.len(), producer.len()), (28, 100));
    assert_eq!(burst[0].port(), PortId(100), "the first that did not fit");
    assert_eq!((producer.send_burst(&mut burst), burst.len()), (0, 28), "the ring is full");
    free_bulk(&mut burst);

    assert_eq!(consumer.receive_burst(&mut burst, 3), 3);
    assert_eq!(consumer.receive_burst(&mut burst, usize::MAX), 61);
    assert!(burst.iter().zip(0..).all(|(packet, number)| packet.port() == PortId(number)));
    free_bulk(&mut burst);
    assert_eq!(pool.in_use(), 36);
    drop(consumer);
    drop(producer);
    assert_eq!(pool.in_use(), 0, "the ring gave back what was left in it");
    drop(ring("handover", 8, None).expect("the name is free again"));
}

fn a_port_moves_packets(pool: &Mempool) {
    // An index other than DPDK's number, to see that packets get ours.
    let port = Port::open("net_null0,size=64", &[], PortId(5)).expect("the driver is installed");
    assert!(matches!(Port::open("net_null0", &[], PortId(6)), Err(PortError::InUse { .. })));
    assert!(matches!(Port::open("net_null0,size=128", &[], PortId(6)), Err(PortError::Exists { .. })));
    let settings = PortSettings { rx_queues: 1, tx_queues: 1, ..SETTINGS };
    let (port, mut rx, mut tx) = port.start(settings, pool).expect("the port starts");
    assert_eq!((rx.len(), tx.len(), port.spread()), (1, 1, Spread::Single));

    let mut burst = Burst::new();
    assert_eq!(rx[0].receive(&mut burst, 10), 10);
    assert_eq!(rx[0].receive(&mut burst, 1000), 54, "as many as the burst has room for");
    assert_eq!(rx[0].receive(&mut burst, 1), 0);
    assert!(burst.iter().all(|packet| packet.port() == PortId(5) && packet.bytes().len() == 64));
    assert_eq!(tx[0].transmit(&mut burst), 64);
    assert!(burst.is_empty());
    assert_eq!(tx[0].transmit(&mut burst), 0);
    let stats = port.stats();
    assert_eq!((stats.rx_packets, stats.tx_packets), (64, 64));
    let description = port.describe();
    for line in ["driver        net_null", "MTU           1500", "spread        one receive queue"] {
        assert!(description.contains(line), "{description}");
    }
    port.stop_and_close(rx, tx).expect("all queues are back");

    let gone = Port::open("net_null0", &[], PortId(5)).expect("it can be opened anew");
    drop(gone);
}

fn a_ring_port_returns_what_it_is_given(pool: &Mempool) {
    let port = Port::open("net_ring0", &[], PortId(0)).expect("the driver is installed");
    let (port, mut rx, mut tx) = port
        .start(PortSettings { rx_queues: 1, tx_queues: 1, ..SETTINGS }, pool)
        .unwrap_or_else(|error| panic!("{error}"));
    assert_ne!(port.mac(), lb_core::service::plan::Mac::default(), "the driver has no address");
    let mut burst = Burst::new();
    // The port's ring holds 1023, and so does the pool: seventeen bursts of 60 leave room for three.
    for taken in [60; 17].into_iter().chain([3]) {
        fill(&mut burst, pool, taken);
        for packet in &mut burst {
            assert!(packet.set_len(60));
        }
        assert_eq!(tx[0].transmit(&mut burst), taken);
    }
    assert_eq!(pool.in_use(), pool.size());
    assert_eq!(rx[0].receive(&mut burst, 8), 8);
    free_bulk(&mut burst);
    let mut received = 8;
    while rx[0].receive(&mut burst, 64) > 0 {
        received += burst.len();
        free_bulk(&mut burst);
    }
    assert_eq!((received, rx[0].discarded(), pool.in_use()), (1023, 0, 0));
    port.stop_and_close(rx, tx).expect("all queues are back");
}

fn a_bond_is_made_of_others(pool: &Mempool) {
    let members = ["net_null7,size=60", "net_null8,size=60"].map(str::to_owned);
    let open = |device: &str| Port::open(device, &members, PortId(4));
    let bond = open("net_bonding0,mode=1").unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(bond.info().member_drivers, ["net_null", "net_null"]);
    let taken = Port::open("net_null7", &[], PortId(5));
    assert!(matches!(taken, Err(PortError::InUse { .. })), "{taken:?}");
    let settings = PortSettings { rx_queues: 1, tx_queues: 1, ..SETTINGS };
    let (port, mut rx, mut tx) = bond.start(settings, pool).unwrap_or_else(|error| panic!("{error}"));
    assert!(port.mac() != lb_core::service::plan::Mac::default(), "{}", port.mac());
    // DPDK looks at links of members that nobody tells of by a timer.
    let is_up = || port.describe().contains("active-backup: net_null7 active");
    for _ in 0..200 {
        if is_up() {
            break;
        }
        thread::sleep(std::time::Duration::from_millis(10));
    }
    let line = "bond          active-backup: net_null7 active, net_null8 standby";
    assert!(port.describe().contains(line), "{}", port.describe());

    let mut burst = Burst::new();
    fill(&mut burst, pool, 32);
    for packet in &mut burst {
        assert!(packet.set_len(60));
    }
    assert_eq!(tx[0].transmit(&mut burst), 32);
    tx[0].let_bond_speak();
    assert_eq!(rx[0].receive(&mut burst, 32), 32);
    assert!(burst.iter().all(|packet| packet.port() == PortId(4)));
    free_bulk(&mut burst);
    port.stop_and_close(rx, tx).expect("all queues are back");

    let member = Port::open("net_null7", &[], PortId(4)).expect("members are free again");
    let taken = open("net_bonding0,mode=1");
    assert!(matches!(taken, Err(PortError::Exists { .. })), "{taken:?}");
    drop(member);
    let none = Port::open("net_bonding0,mode=4", &[], PortId(4));
    assert!(matches!(none, Err(PortError::Refused { .. } | PortError::NoMembers { .. })), "{none:?}");
    for mode in [2, 4] {
        drop(
            open(&format!("net_bonding0,mode={mode}")).unwrap_or_else(|error| panic!("mode {mode}: {error}")),
        );
    }
}

fn the_only_pool_stays_the_only_one(pool: &Mempool) {
    let port = Port::open("net_null1", &[], PortId(0)).expect("the driver is installed");
    let settings = PortSettings { rx_queues: 1, tx_queues: 1, ..SETTINGS };
    let (port, rx, tx) = port.start(settings, pool).expect("the port starts");
    let description = port.describe();
    let (used, not_used) = description.split_once("not used").expect("both are described");
    assert!(!not_used.contains("FAST_FREE"), "{description}");
    if used.contains("FAST_FREE") {
        let second = Mempool::create("second", 63, 0, 2048, None);
        assert!(matches!(second, Err(PoolError::TooLate)), "{second:?}");
    }
    port.stop_and_close(rx, tx).expect("all queues are back");
    drop(Mempool::create("second", 63, 0, 2048, None).expect("now there may be two"));
}

fn mistakes_are_explained(pool: &Mempool) {
    let error = |device: &str| Port::open(device, &[], PortId(0)).expect_err(device);
    let failure = error("no-such-port");
    assert!(matches!(failure, PortError::NoSuchDevice { .. }), "{failure}");
    let failure = error("lo");
    assert!(failure.to_string().contains("net_af_packet0,iface=lo"), "{failure}");
    let failure = error("net_af_packet0,iface=nowhere0");
    assert!(matches!(failure, PortError::NoInterface { .. }), "{failure}");
    let failure = error("net_bogus0,x=1");
    assert!(matches!(failure, PortError::NoDriver { .. }), "{failure}");
    let failure = error("ff:1f.7");
    assert!(matches!(failure, PortError::NoSuchDevice { .. }), "{failure}");
    let failure = error("net_null0,bogus=1");
    assert!(matches!(failure, PortError::Refused { .. }), "{failure}");

    let start = |settings| {
        let port = Port::open("net_null2", &[], PortId(0)).expect("the driver is installed");
        port.start(settings, pool).map(|_| ()).expect_err("it must not start")
    };
    let failure = start(PortSettings { rx_queues: 9999, ..SETTINGS });
    assert!(matches!(failure, PortError::TooFewQueues { wanted: 9999, .. }), "{failure}");
    let failure = start(PortSettings { mtu: 9000, ..SETTINGS });
    assert!(matches!(failure, PortError::BuffersTooSmall { needed: 9018, .. }), "{failure}");
}

fn closures_run_on_lcores(eal: &Eal, pool: &Mempool) {
    let lcores = eal.lcores();
    assert_eq!((eal.main_lcore(), &lcores[..]), (LcoreId(0), &[LcoreId(1)][..]));
    assert!(matches!(launch(eal, LcoreId(0), || ()), Err(LaunchError::NotAWorker(_))));
    assert!(matches!(launch(eal, LcoreId(9999), || ()), Err(LaunchError::NotAWorker(_))));

    let (mut producer, mut consumer) = ring("lcore", 64, None).expect("there is memory");
    let own_pool = pool.clone();
    let work = move || {
        let (mut sent, mut burst) = (0, Burst::new());
        while sent < 1000 {
            if burst.is_empty() {
                burst.extend(own_pool.allocate());
            }
            match producer.send_burst(&mut burst) {
                0 => thread::yield_now(),
                count => sent += count,
            }
        }
        sent
    };
    let handle = launch(eal, lcores[0], work).expect("the lcore waits");
    let mut burst = Burst::new();
    let mut received = 0;
    while received < 1000 {
        received += consumer.receive_burst(&mut burst, 64);
        free_bulk(&mut burst);
        thread::yield_now();
    }
    assert_eq!(handle.join().expect("it does not panic"), 1000);

    let handle = launch(eal, lcores[0], || -> u32 { panic!("on purpose, {}", 42) }).expect("the lcore waits");
    let panic = handle.join().expect_err("it panics");
    assert_eq!(panic.to_string(), "lcore 1 panicked: on purpose, 42");
    let handle =
        launch(eal, lcores[0], || thread::sleep(std::time::Duration::from_millis(50))).expect("it waits");
    assert!(matches!(launch(eal, lcores[0], || ()), Err(LaunchError::Busy(_))));
    assert!(!handle.is_finished());
    handle.join().expect("it does not panic");

    assert!(tsc_hz() > 1_000_000);
    assert!(tsc() < tsc());
}
