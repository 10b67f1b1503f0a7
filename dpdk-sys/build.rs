//! Finds DPDK, compiles the C shim and generates the bindings.
//!
//! DPDK is linked dynamically, and only the libraries that we call. Drivers, buses and mempool handlers are
//! plug-ins that EAL loads at start from the directory compiled into it, so none of them is named here.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// Debian 12's release; older ones lack parts of the API.
const OLDEST_DPDK: &str = "22.11";

/// The DPDK libraries that the shim and the bindings call. Logging became one of its own in 23.11.
const LIBRARIES: [&str; 8] =
    ["rte_eal", "rte_ethdev", "rte_log", "rte_mbuf", "rte_mempool", "rte_pdump", "rte_ring", "rte_telemetry"];

/// A driver with functions of its own, which pkg-config does not name and a DPDK may have been built without.
const BONDS: &str = "rte_net_bond";

/// Functions that are called as they are. Everything that DPDK has as `static inline`, as a macro, or with a
/// signature that differs between releases is in the shim instead.
const FUNCTIONS: &[&str] = &[
    "rte_dev_name",
    "rte_dev_probe",
    "rte_dev_remove",
    "rte_eal_cleanup",
    "rte_eal_get_lcore_state",
    "rte_eal_get_runtime_dir",
    "rte_eal_has_hugepages",
    "rte_eal_init",
    "rte_eal_remote_launch",
    "rte_eal_wait_lcore",
    "rte_eth_allmulticast_enable",
    "rte_eth_dev_adjust_nb_rx_tx_desc",
    "rte_eth_dev_close",
    "rte_eth_dev_get_mtu",
    "rte_eth_dev_get_name_by_port",
    "rte_eth_dev_get_port_by_name",
    "rte_eth_dev_info_get",
    "rte_eth_dev_mac_addr_add",
    "rte_eth_dev_mac_addr_remove",
    "rte_eth_dev_rss_reta_query",
    "rte_eth_dev_rss_reta_update",
    "rte_eth_dev_rx_offload_name",
    "rte_eth_dev_set_mtu",
    "rte_eth_dev_socket_id",
    "rte_eth_dev_start",
    "rte_eth_dev_stop",
    "rte_eth_dev_tx_offload_name",
    "rte_eth_find_next_owned_by",
    "rte_eth_macaddr_get",
    "rte_eth_promiscuous_enable",
    "rte_eth_promiscuous_get",
    "rte_eth_rx_queue_setup",
    "rte_eth_stats_get",
    "rte_eth_tx_queue_setup",
    "rte_eth_xstats_get",
    "rte_eth_xstats_get_names",
    "rte_get_main_lcore",
    "rte_get_next_lcore",
    "rte_get_tsc_hz",
    "rte_lcore_to_socket_id",
    "rte_mempool_free",
    "rte_mempool_in_use_count",
    "rte_pdump_init",
    "rte_pdump_uninit",
    "rte_pktmbuf_pool_create",
    "rte_ring_free",
    "rte_strerror",
    "rte_tel_data_add_dict_container",
    "rte_tel_data_add_dict_string",
    "rte_tel_data_alloc",
    "rte_tel_data_free",
    "rte_tel_data_start_dict",
    "rte_telemetry_register_cmd",
    "rte_version",
];

/// Types that Rust handles only by pointer, or carries inside another without looking.
const OPAQUE_TYPES: &[&str] = &[
    "rte_device",
    "rte_eth_desc_lim",
    "rte_eth_dev_portconf",
    "rte_eth_rxconf",
    "rte_eth_rxseg_capa",
    "rte_eth_switch_info",
    "rte_eth_txconf",
    "rte_mempool",
    "rte_ring",
    "rte_tel_data",
];

fn main() {
    for file in ["build.rs", "shim/shim.h", "shim/shim.c", "shim/spawn.h", "shim/spawn.c"] {
        println!("cargo:rerun-if-changed={file}");
    }
    for variable in ["PKG_CONFIG", "PKG_CONFIG_PATH", "PKG_CONFIG_SYSROOT_DIR", "LIBCLANG_PATH"] {
        println!("cargo:rerun-if-env-changed={variable}");
    }
    let flags = compiler_flags();
    compile_shim(&flags);
    // After the shim, because the linker resolves from left to right.
    link_dpdk();
    generate_bindings(&flags);
}

/// DPDK's include paths, its forced include of `rte_config.h` and the instruction set it was built for.
fn compiler_flags() -> Vec<String> {
    let version = pkg_config(&["--modversion"]);
    let Some(version) = version else {
        panic!(
            "\n\nDPDK was not found by pkg-config.\n\
             On Debian or Ubuntu: apt install libdpdk-dev libclang-dev pkg-config\n\
             If it is installed elsewhere, set PKG_CONFIG_PATH to the directory of libdpdk.pc.\n"
        )
    };
    if pkg_config(&[&format!("--atleast-version={OLDEST_DPDK}")]).is_none() {
        panic!("\n\nDPDK {version} is too old: {OLDEST_DPDK} or later is needed (Debian 12: libdpdk-dev).\n");
    }
    let flags = pkg_config(&["--cflags"]).expect("pkg-config that answered --modversion answers --cflags");
    flags.split_whitespace().map(str::to_owned).collect()
}

fn compile_shim(flags: &[String]) {
    let mut build = cc::Build::new();
    build.files(["shim/shim.c", "shim/spawn.c"]).std("gnu11").warnings(true).extra_warnings(true);
    if has_bonds() {
        build.define("HAS_BONDS", "1");
    }
    for flag in flags {
        // DPDK's own headers need not pass our warnings.
        match flag.strip_prefix("-I") {
            Some(directory) => build.flag("-isystem").flag(directory),
            None => build.flag(flag),
        };
    }
    // A debug build of a wrapper that is called once per burst would only hide what the benchmarks look for.
    build.opt_level(2).compile("lb_dpdk_shim");
}

/// Where DPDK's libraries are, unless it is where the linker looks anyway.
fn library_directory() -> Option<String> {
    pkg_config(&["--variable=libdir"]).filter(|directory| !directory.is_empty())
}

fn has_bonds() -> bool {
    let library = |directory| Path::new(&directory).join(format!("lib{BONDS}.so"));
    library_directory().is_some_and(|directory| library(directory).exists())
}

fn link_dpdk() {
    if let Some(directory) = library_directory() {
        println!("cargo:rustc-link-search=native={directory}");
    }
    if has_bonds() {
        println!("cargo:rustc-link-lib=dylib={BONDS}");
    }
    let installed = pkg_config(&["--libs"]).expect("pkg-config that answered --modversion answers --libs");
    let installed: Vec<&str> =
        installed.split_whitespace().filter_map(|flag| flag.strip_prefix("-l")).collect();
    for library in LIBRARIES.into_iter().filter(|library| installed.contains(library)) {
        println!("cargo:rustc-link-lib=dylib={library}");
    }
}

fn generate_bindings(flags: &[String]) {
    let mut builder = bindgen::Builder::default()
        .header("shim/shim.h")
        .clang_args(flags)
        .rust_target(bindgen::RustTarget::stable(88, 0).expect("bindgen knows this release of Rust"))
        .rust_edition(bindgen::RustEdition::Edition2024)
        .allowlist_item("shim_.*|SHIM_.*")
        .derive_default(true)
        .generate_comments(false)
        .layout_tests(true)
        .prepend_enum_name(false)
        .formatter(bindgen::Formatter::Prettyplease);
    for function in FUNCTIONS {
        builder = builder.allowlist_function(function);
    }
    for opaque in OPAQUE_TYPES {
        builder = builder.opaque_type(opaque);
    }
    let bindings = builder.generate().unwrap_or_else(|error| {
        panic!(
            "\n\nThe bindings to DPDK could not be generated: {error}\n\
             bindgen needs libclang; on Debian or Ubuntu: apt install libclang-dev\n\
             If it is installed elsewhere, set LIBCLANG_PATH to the directory of libclang.so.\n"
        )
    });
    let path = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("bindings.rs");
    bindings.write_to_file(&path).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
}

/// What `pkg-config ARGUMENTS libdpdk` prints, or `None` when it fails.
fn pkg_config(arguments: &[&str]) -> Option<String> {
    let program = env::var_os("PKG_CONFIG").unwrap_or_else(|| "pkg-config".into());
    let output = Command::new(&program).args(arguments).arg("libdpdk").output().unwrap_or_else(|error| {
        panic!(
            "\n\n{} cannot be run: {error}\n\
             On Debian or Ubuntu: apt install libdpdk-dev libclang-dev pkg-config\n",
            program.display()
        )
    });
    let printed = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    output.status.success().then_some(printed)
}
