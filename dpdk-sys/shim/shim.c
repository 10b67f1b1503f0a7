/* See shim.h. Each function is one call into DPDK; anything longer says why. */

/* For fopencookie. */
#define _GNU_SOURCE

#include "shim.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>

#include <rte_alarm.h>
#include <rte_cycles.h>
#ifdef HAS_BONDS
#include <rte_eth_bond.h>
#include <rte_eth_bond_8023ad.h>
#endif

/* The view of an mbuf. This is the only place where Rust's idea of an mbuf meets DPDK's. */
#define SAME_PLACE(ours, theirs)                                                                               \
	_Static_assert(offsetof(struct shim_mbuf, ours) == offsetof(struct rte_mbuf, theirs),                  \
		       "struct shim_mbuf: " #ours " is not where this DPDK has it");                           \
	_Static_assert(sizeof(((struct shim_mbuf *)0)->ours) == sizeof(((struct rte_mbuf *)0)->theirs),        \
		       "struct shim_mbuf: " #ours " is not as large as in this DPDK")

SAME_PLACE(buf_addr, buf_addr);
#if RTE_IOVA_AS_PA
SAME_PLACE(buf_iova, buf_iova);
#endif
SAME_PLACE(data_off, data_off);
SAME_PLACE(refcnt, refcnt);
SAME_PLACE(nb_segs, nb_segs);
SAME_PLACE(port, port);
SAME_PLACE(ol_flags, ol_flags);
SAME_PLACE(packet_type, packet_type);
SAME_PLACE(pkt_len, pkt_len);
SAME_PLACE(data_len, data_len);
SAME_PLACE(vlan_tci, vlan_tci);
SAME_PLACE(rss_hash, hash.rss);
SAME_PLACE(hash_high, hash.fdir.hi);
SAME_PLACE(vlan_tci_outer, vlan_tci_outer);
SAME_PLACE(buf_len, buf_len);
SAME_PLACE(pool, pool);
_Static_assert(sizeof(struct shim_mbuf) == RTE_CACHE_LINE_MIN_SIZE, "struct shim_mbuf is one cache line");
_Static_assert(_Alignof(struct shim_mbuf) <= _Alignof(struct rte_mbuf), "an mbuf is aligned for its view");

_Static_assert((uint32_t)(RTE_ETH_RSS_L3_SRC_ONLY | RTE_ETH_RSS_L4_SRC_ONLY) == 0, "bits of the upper half");
_Static_assert((uint32_t)(RTE_ETH_RSS_L3_DST_ONLY | RTE_ETH_RSS_L4_DST_ONLY) == 0, "bits of the upper half");

static inline struct rte_mbuf **
mbufs_of(struct shim_mbuf **mbufs)
{
	return (struct rte_mbuf **)mbufs;
}

int
shim_errno(void)
{
	return rte_errno;
}

/* 22.11 logs to stdout, which belongs to our own output. */
static void (*log_sink)(uint32_t level, const char *text, size_t length);

static ssize_t
log_write(void *cookie, const char *text, size_t length)
{
	(void)cookie;
	/* The stream holds no line back, so this is called while DPDK logs the line. */
	log_sink((uint32_t)rte_log_cur_msg_loglevel(), text, length);
	return (ssize_t)length;
}

void
shim_log_to(void (*sink)(uint32_t level, const char *text, size_t length))
{
	/* A stream of the C library whose bytes go to a function. It is never closed. */
	FILE *stream;

	log_sink = sink;
	stream = fopencookie(NULL, "w", (cookie_io_functions_t){.write = log_write});
	if (stream == NULL)
		return;
	setvbuf(stream, NULL, _IOLBF, 4096);
	rte_openlog_stream(stream);
}

int
shim_tel_add_number(struct rte_tel_data *dict, const char *name, uint64_t value)
{
#if RTE_VERSION >= RTE_VERSION_NUM(23, 3, 0, 0)
	return rte_tel_data_add_dict_uint(dict, name, value);
#else
	return rte_tel_data_add_dict_u64(dict, name, value);
#endif
}

uint64_t
shim_rdtsc(void)
{
	return rte_rdtsc();
}

/* Lengths of headers are bit fields. */
void
shim_mbuf_ask(struct shim_mbuf *mbuf, const struct shim_request *request)
{
	struct rte_mbuf *asked = (struct rte_mbuf *)mbuf;

	asked->ol_flags = (asked->ol_flags & ~RTE_MBUF_F_TX_OFFLOAD_MASK) | request->flags;
	asked->vlan_tci = request->vlan_tci;
	asked->tx_offload = 0;
	asked->l2_len = request->l2_len;
	asked->l3_len = request->l3_len;
	asked->outer_l2_len = request->outer_l2_len;
	asked->outer_l3_len = request->outer_l3_len;
}

struct shim_mbuf *
shim_mbuf_alloc(struct rte_mempool *pool)
{
	return (struct shim_mbuf *)rte_pktmbuf_alloc(pool);
}

void
shim_mbuf_free_bulk(struct shim_mbuf **mbufs, unsigned count)
{
	rte_pktmbuf_free_bulk(mbufs_of(mbufs), count);
}

uint32_t
shim_pool_size(const struct rte_mempool *pool)
{
	return pool->size;
}

uint32_t
shim_pool_buffer_bytes(uint16_t data_room)
{
	return rte_mempool_calc_obj_size(sizeof(struct rte_mbuf) + data_room, 0, NULL);
}

void
shim_heap(uint64_t *total_bytes, uint64_t *free_bytes)
{
	struct rte_malloc_socket_stats stats;
	unsigned i;

	*total_bytes = 0;
	*free_bytes = 0;
	for (i = 0; i < rte_socket_count(); i++) {
		if (rte_malloc_get_socket_stats(rte_socket_id_by_idx(i), &stats) != 0)
			continue;
		*total_bytes += stats.heap_totalsz_bytes;
		*free_bytes += stats.heap_freesz_bytes;
	}
}

/* Here rather than in Rust because struct rte_eth_conf grows and changes with every release, and all of it but
 * these fields stays zero. */
int
shim_port_configure(uint16_t port, uint16_t rx_queues, uint16_t tx_queues, uint64_t rx_offloads, uint64_t tx_offloads,
		    uint64_t rss_types, uint8_t *rss_key, uint8_t rss_key_size)
{
	struct rte_eth_conf conf;

	memset(&conf, 0, sizeof(conf));
	conf.rxmode.offloads = rx_offloads;
	conf.txmode.offloads = tx_offloads;
	if (rss_types != 0) {
		conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		conf.rx_adv_conf.rss_conf.rss_hf = rss_types;
		conf.rx_adv_conf.rss_conf.rss_key = rss_key;
		conf.rx_adv_conf.rss_conf.rss_key_len = rss_key_size;
	}
	return rte_eth_dev_configure(port, rx_queues, tx_queues, &conf);
}

/* The key is copied to rss_key, which has room for rss_key_size bytes. */
int
shim_port_rss(uint16_t port, uint64_t *rss_types, uint8_t *rss_key, uint8_t rss_key_size)
{
	struct rte_eth_rss_conf conf;
	int error;

	memset(&conf, 0, sizeof(conf));
	conf.rss_key = rss_key;
	conf.rss_key_len = rss_key_size;
	error = rte_eth_dev_rss_hash_conf_get(port, &conf);
	*rss_types = conf.rss_hf;
	return error;
}

int
shim_port_link(uint16_t port, struct shim_link *link)
{
	struct rte_eth_link now;
	int error;

	memset(&now, 0, sizeof(now));
	error = rte_eth_link_get_nowait(port, &now);
	link->speed_mbps = now.link_speed;
	link->up = now.link_status == RTE_ETH_LINK_UP;
	link->full_duplex = now.link_duplex == RTE_ETH_LINK_FULL_DUPLEX;
	return error;
}

#ifdef HAS_BONDS
/* Numbers that Rust knows modes by. */
_Static_assert(BONDING_MODE_ACTIVE_BACKUP == 1 && BONDING_MODE_BALANCE == 2 && BONDING_MODE_8023AD == 4, "modes");
#if RTE_VERSION < RTE_VERSION_NUM(23, 11, 0, 0)
#define rte_eth_bond_members_get rte_eth_bond_slaves_get
#define rte_eth_bond_active_members_get rte_eth_bond_active_slaves_get
/* A function and a structure. */
#define rte_eth_bond_8023ad_member_info rte_eth_bond_8023ad_slave_info
#endif
/* For drivers, whose headers are not installed. */
struct rte_eth_dev *rte_eth_dev_allocated(const char *name);
int rte_eth_dev_callback_process(struct rte_eth_dev *device, enum rte_eth_event_type event, void *ret_param);
#endif

const char *
shim_bond_member_key(void)
{
	return RTE_VERSION < RTE_VERSION_NUM(23, 11, 0, 0) ? "slave" : "member";
}

int
shim_bond_mode(uint16_t port)
{
#ifdef HAS_BONDS
	return rte_eth_bond_mode_get(port);
#else
	(void)port;
	return -1;
#endif
}

int
shim_bond_members(uint16_t port, bool up, uint16_t *members, uint16_t most)
{
#ifdef HAS_BONDS
	return up ? rte_eth_bond_active_members_get(port, members, most)
		  : rte_eth_bond_members_get(port, members, most);
#else
	(void)port;
	(void)up;
	(void)members;
	(void)most;
	return -1;
#endif
}

int
shim_bond_primary(uint16_t port)
{
#ifdef HAS_BONDS
	return rte_eth_bond_primary_get(port);
#else
	(void)port;
	return -1;
#endif
}

int
shim_bond_set_primary(uint16_t port, uint16_t member)
{
#ifdef HAS_BONDS
	return rte_eth_bond_primary_set(port, member);
#else
	(void)port;
	(void)member;
	return -1;
#endif
}

#ifdef HAS_BONDS
static void
bond_look(void *member)
{
	char name[RTE_ETH_NAME_MAX_LEN];
	struct rte_eth_dev *device = NULL;

	if (rte_eth_dev_get_name_by_port((uint16_t)(uintptr_t)member, name) == 0)
		device = rte_eth_dev_allocated(name);
	if (device != NULL)
		rte_eth_dev_callback_process(device, RTE_ETH_EVENT_INTR_LSC, NULL);
}
#endif

int
shim_bond_look(uint16_t member)
{
#ifdef HAS_BONDS
	/* The thread in which drivers tell of links and bonds do what they do from time to time, so that neither meets the
	 * other. */
	return rte_eal_alarm_set(1, bond_look, (void *)(uintptr_t)member);
#else
	(void)member;
	return -1;
#endif
}

int
shim_bond_distributes(uint16_t port, uint16_t member)
{
#ifdef HAS_BONDS
	struct rte_eth_bond_8023ad_member_info info;
	int error;

	memset(&info, 0, sizeof(info));
	error = rte_eth_bond_8023ad_member_info(port, member, &info);
	return error < 0 ? error : (info.actor_state & STATE_DISTRIBUTING) != 0;
#else
	(void)port;
	(void)member;
	return -1;
#endif
}

uint16_t
shim_rx_burst(uint16_t port, uint16_t queue, struct shim_mbuf **mbufs, uint16_t most)
{
	return rte_eth_rx_burst(port, queue, mbufs_of(mbufs), most);
}

uint16_t
shim_tx_prepare(uint16_t port, uint16_t queue, struct shim_mbuf **mbufs, uint16_t count)
{
	return rte_eth_tx_prepare(port, queue, mbufs_of(mbufs), count);
}

uint16_t
shim_tx_burst(uint16_t port, uint16_t queue, struct shim_mbuf **mbufs, uint16_t count)
{
	return rte_eth_tx_burst(port, queue, mbufs_of(mbufs), count);
}

struct rte_ring *
shim_ring_create(const char *name, unsigned capacity, int socket)
{
	/* Exact size: without it a ring of 512 holds 511. */
	return rte_ring_create(name, capacity, socket, RING_F_SP_ENQ | RING_F_SC_DEQ | RING_F_EXACT_SZ);
}

unsigned
shim_ring_enqueue(struct rte_ring *ring, struct shim_mbuf *const *mbufs, unsigned count)
{
	return rte_ring_sp_enqueue_burst(ring, (void *const *)mbufs, count, NULL);
}

unsigned
shim_ring_dequeue(struct rte_ring *ring, struct shim_mbuf **mbufs, unsigned most)
{
	return rte_ring_sc_dequeue_burst(ring, (void **)mbufs, most, NULL);
}

unsigned
shim_ring_count(const struct rte_ring *ring)
{
	return rte_ring_count(ring);
}
