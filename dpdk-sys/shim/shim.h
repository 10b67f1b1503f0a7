/* What Rust cannot call or see directly in DPDK: static inline functions, macros, bit fields, and structures
 * whose field paths differ between releases. Works with 22.11 LTS and 24.11 LTS. */

#ifndef SHIM_H
#define SHIM_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_pdump.h>
#include <rte_ring.h>
#include <rte_telemetry.h>
#include <rte_version.h>

#include "spawn.h"

/* The first cache line of struct rte_mbuf, with plain field names. shim.c refuses to compile when a field is not
 * where DPDK has it; Rust reads and writes packets through this view only. */
struct shim_mbuf {
	void *buf_addr;
	uint64_t buf_iova;
	uint16_t data_off;
	uint16_t refcnt;
	uint16_t nb_segs;
	uint16_t port;
	uint64_t ol_flags;
	uint32_t packet_type;
	uint32_t pkt_len;
	uint16_t data_len;
	uint16_t vlan_tci;
	uint32_t rss_hash;
	uint32_t hash_high;
	uint16_t vlan_tci_outer;
	uint16_t buf_len;
	struct rte_mempool *pool;
};

/* mbuf: verdicts of the receive checksum offloads */
static const uint64_t SHIM_RX_IP_CKSUM_MASK = RTE_MBUF_F_RX_IP_CKSUM_MASK;
static const uint64_t SHIM_RX_IP_CKSUM_GOOD = RTE_MBUF_F_RX_IP_CKSUM_GOOD;
static const uint64_t SHIM_RX_IP_CKSUM_BAD = RTE_MBUF_F_RX_IP_CKSUM_BAD;
static const uint64_t SHIM_RX_L4_CKSUM_MASK = RTE_MBUF_F_RX_L4_CKSUM_MASK;
static const uint64_t SHIM_RX_L4_CKSUM_GOOD = RTE_MBUF_F_RX_L4_CKSUM_GOOD;
static const uint64_t SHIM_RX_L4_CKSUM_BAD = RTE_MBUF_F_RX_L4_CKSUM_BAD;

/* mbuf: what a port is asked to do while it sends */
static const uint64_t SHIM_TX_ALL = RTE_MBUF_F_TX_OFFLOAD_MASK;
static const uint64_t SHIM_TX_L4_MASK = RTE_MBUF_F_TX_L4_MASK;
static const uint64_t SHIM_TX_TCP_CKSUM = RTE_MBUF_F_TX_TCP_CKSUM;
static const uint64_t SHIM_TX_SCTP_CKSUM = RTE_MBUF_F_TX_SCTP_CKSUM;
static const uint64_t SHIM_TX_UDP_CKSUM = RTE_MBUF_F_TX_UDP_CKSUM;
static const uint64_t SHIM_TX_IP_CKSUM = RTE_MBUF_F_TX_IP_CKSUM;
static const uint64_t SHIM_TX_IPV4 = RTE_MBUF_F_TX_IPV4;
static const uint64_t SHIM_TX_IPV6 = RTE_MBUF_F_TX_IPV6;
static const uint64_t SHIM_TX_OUTER_IP_CKSUM = RTE_MBUF_F_TX_OUTER_IP_CKSUM;
static const uint64_t SHIM_TX_OUTER_UDP_CKSUM = RTE_MBUF_F_TX_OUTER_UDP_CKSUM;
static const uint64_t SHIM_TX_OUTER_IPV4 = RTE_MBUF_F_TX_OUTER_IPV4;
static const uint64_t SHIM_TX_OUTER_IPV6 = RTE_MBUF_F_TX_OUTER_IPV6;
static const uint64_t SHIM_TX_TUNNEL_IPIP = RTE_MBUF_F_TX_TUNNEL_IPIP;
static const uint64_t SHIM_TX_TUNNEL_GRE = RTE_MBUF_F_TX_TUNNEL_GRE;
static const uint64_t SHIM_TX_TUNNEL_UDP = RTE_MBUF_F_TX_TUNNEL_UDP;
static const uint64_t SHIM_TX_VLAN = RTE_MBUF_F_TX_VLAN;
static const uint16_t SHIM_HEADROOM = RTE_PKTMBUF_HEADROOM;

/* ethdev: offloads */
static const uint64_t SHIM_RX_OFFLOAD_IPV4_CKSUM = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM;
static const uint64_t SHIM_RX_OFFLOAD_UDP_CKSUM = RTE_ETH_RX_OFFLOAD_UDP_CKSUM;
static const uint64_t SHIM_RX_OFFLOAD_TCP_CKSUM = RTE_ETH_RX_OFFLOAD_TCP_CKSUM;
static const uint64_t SHIM_TX_OFFLOAD_IPV4_CKSUM = RTE_ETH_TX_OFFLOAD_IPV4_CKSUM;
static const uint64_t SHIM_TX_OFFLOAD_TCP_CKSUM = RTE_ETH_TX_OFFLOAD_TCP_CKSUM;
static const uint64_t SHIM_TX_OFFLOAD_UDP_CKSUM = RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
static const uint64_t SHIM_TX_OFFLOAD_SCTP_CKSUM = RTE_ETH_TX_OFFLOAD_SCTP_CKSUM;
static const uint64_t SHIM_TX_OFFLOAD_OUTER_IPV4_CKSUM = RTE_ETH_TX_OFFLOAD_OUTER_IPV4_CKSUM;
static const uint64_t SHIM_TX_OFFLOAD_OUTER_UDP_CKSUM = RTE_ETH_TX_OFFLOAD_OUTER_UDP_CKSUM;
static const uint64_t SHIM_TX_OFFLOAD_VLAN_INSERT = RTE_ETH_TX_OFFLOAD_VLAN_INSERT;
static const uint64_t SHIM_TX_OFFLOAD_MBUF_FAST_FREE = RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;

/* ethdev: what RSS hashes */
static const uint64_t SHIM_RSS_IPV4 = RTE_ETH_RSS_IPV4;
static const uint64_t SHIM_RSS_IPV4_TCP = RTE_ETH_RSS_NONFRAG_IPV4_TCP;
static const uint64_t SHIM_RSS_IPV4_UDP = RTE_ETH_RSS_NONFRAG_IPV4_UDP;
static const uint64_t SHIM_RSS_IPV6 = RTE_ETH_RSS_IPV6;
static const uint64_t SHIM_RSS_IPV6_TCP = RTE_ETH_RSS_NONFRAG_IPV6_TCP;
static const uint64_t SHIM_RSS_IPV6_UDP = RTE_ETH_RSS_NONFRAG_IPV6_UDP;
static const uint64_t SHIM_RSS_IPV6_EX = RTE_ETH_RSS_IPV6_TCP_EX | RTE_ETH_RSS_IPV6_UDP_EX;
/* The upper halves of these, because bindgen makes no constant of a number with bit 63 set. */
static const uint32_t SHIM_RSS_SOURCE_ONLY_HIGH = (RTE_ETH_RSS_L3_SRC_ONLY | RTE_ETH_RSS_L4_SRC_ONLY) >> 32;
static const uint32_t SHIM_RSS_DESTINATION_ONLY_HIGH = (RTE_ETH_RSS_L3_DST_ONLY | RTE_ETH_RSS_L4_DST_ONLY) >> 32;

/* ethdev: sizes and marks */
static const uint16_t SHIM_MAX_PORTS = RTE_MAX_ETHPORTS;
static const uint64_t SHIM_NO_OWNER = RTE_ETH_DEV_NO_OWNER;
static const uint16_t SHIM_RETA_GROUP = RTE_ETH_RETA_GROUP_SIZE;
static const uint32_t SHIM_NAME_SIZE = RTE_ETH_NAME_MAX_LEN;
static const uint32_t SHIM_SPEED_UNKNOWN = RTE_ETH_SPEED_NUM_UNKNOWN;
static const uint32_t SHIM_MAX_LCORE = RTE_MAX_LCORE;
static const uint32_t SHIM_MAX_POOL_CACHE = RTE_MEMPOOL_CACHE_MAX_SIZE;

/* EAL: levels of its log; the lower, the worse */
static const uint32_t SHIM_LOG_ERR = RTE_LOG_ERR;
static const uint32_t SHIM_LOG_WARNING = RTE_LOG_WARNING;
static const uint32_t SHIM_LOG_NOTICE = RTE_LOG_NOTICE;
static const uint32_t SHIM_LOG_INFO = RTE_LOG_INFO;

/* EAL */
int shim_errno(void);
/* EAL's log goes to `sink`, piece by piece: a line, mostly. Levels are RTE_LOG_*. */
void shim_log_to(void (*sink)(uint32_t level, const char *text, size_t length));
/* Has another name in each release. */
int shim_tel_add_number(struct rte_tel_data *dict, const char *name, uint64_t value);
uint64_t shim_rdtsc(void);

/* mbufs */
/* What a port is asked to do to a packet while it sends it: RTE_MBUF_F_TX_*, and where headers are. */
struct shim_request {
	uint64_t flags;
	uint16_t vlan_tci;
	uint16_t l2_len;
	uint16_t l3_len;
	uint16_t outer_l2_len;
	uint16_t outer_l3_len;
};

/* Instead of what was asked before. */
void shim_mbuf_ask(struct shim_mbuf *mbuf, const struct shim_request *request);
struct shim_mbuf *shim_mbuf_alloc(struct rte_mempool *pool);
void shim_mbuf_free_bulk(struct shim_mbuf **mbufs, unsigned count);
uint32_t shim_pool_size(const struct rte_mempool *pool);
/* Bytes that one mbuf takes in a pool, with the pool's own header and what DPDK fills up. */
uint32_t shim_pool_buffer_bytes(uint16_t data_room);

/* memory: what all heaps of DPDK's own have, and what of it is free */
void shim_heap(uint64_t *total_bytes, uint64_t *free_bytes);

/* ports */
struct shim_link {
	uint32_t speed_mbps;
	bool up;
	bool full_duplex;
};

int shim_port_configure(uint16_t port, uint16_t rx_queues, uint16_t tx_queues, uint64_t rx_offloads,
			uint64_t tx_offloads, uint64_t rss_types, uint8_t *rss_key,
			uint8_t rss_key_size);
int shim_port_rss(uint16_t port, uint64_t *rss_types, uint8_t *rss_key, uint8_t rss_key_size);
int shim_port_link(uint16_t port, struct shim_link *link);

/* bonds: ports made of others, their members */
/* What a member is called in a bond's arguments: since 23.11 no longer a slave. */
const char *shim_bond_member_key(void);
/* The mode's number, as in the bond's arguments; negative when the port is no bond, or this DPDK was built without them. */
int shim_bond_mode(uint16_t port);
/* Writes the ports of all members, or of those whose links are up; returns how many, negative on failure. */
int shim_bond_members(uint16_t port, bool up, uint16_t *members, uint16_t most);
/* The member that packets leave by in active-backup; negative when there is none. */
int shim_bond_primary(uint16_t port);
int shim_bond_set_primary(uint16_t port, uint16_t member);
/* Has the bond of a member look at its link soon, as when a driver tells that it has changed. Negative on failure. */
int shim_bond_look(uint16_t member);
/* Whether a member of a bond with LACP has a partner that takes packets; negative on failure. */
int shim_bond_distributes(uint16_t port, uint16_t member);

uint16_t shim_rx_burst(uint16_t port, uint16_t queue, struct shim_mbuf **mbufs, uint16_t most);
/* Has the driver look at what its packets ask for. Returns how many from the first on it can send. */
uint16_t shim_tx_prepare(uint16_t port, uint16_t queue, struct shim_mbuf **mbufs, uint16_t count);
uint16_t shim_tx_burst(uint16_t port, uint16_t queue, struct shim_mbuf **mbufs, uint16_t count);

/* rings between two threads */
struct rte_ring *shim_ring_create(const char *name, unsigned capacity, int socket);
unsigned shim_ring_enqueue(struct rte_ring *ring, struct shim_mbuf *const *mbufs, unsigned count);
unsigned shim_ring_dequeue(struct rte_ring *ring, struct shim_mbuf **mbufs, unsigned most);
unsigned shim_ring_count(const struct rte_ring *ring);

#endif
