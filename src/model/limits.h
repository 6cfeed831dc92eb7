/* Every limit of the system, with its unit and the reason for its size (DESIGN section 10). Past a limit
 * there is a named error at once; no queue is without a bound. */
#ifndef MODEL_LIMITS_H
#define MODEL_LIMITS_H

#include <stdint.h>

/* Data. */
#define KEY_MAX_BYTES           4096u
#define VALUE_MAX_BYTES         (8u << 20)  /* default; `--value-max` raises it */
#define VALUE_MAX_CEILING_BYTES (64u << 20) /* never above this */
#define COMPRESS_MIN_BYTES      512u        /* shorter payloads stay raw */

/* Wire. */
#define FRAME_EXTRA_MAX_BYTES (64u << 10) /* what a frame may hold beside its largest value */
#define STRANGER_MAX_BYTES    (64u << 10) /* what a connection may send before a valid HELLO */
#define DATAGRAM_MAX_BYTES    1400u       /* below every common MTU, so never fragmented */
#define CLOCK_DRIFT_MAX_MS    500u        /* a stamp further ahead is refused */
#define CLOCK_WARN_MS         250u        /* a node this far ahead of its peers' median says so */
#define HLC_RESERVE_MS        1000u /* the clock's floor on disk runs this far ahead of the wall clock */
#define HLC_RESERVE_AHEAD_MS  50u   /* and of a clock that is itself ahead: shorter than any life of a node */
#define ROW_AGE_MAX_MS        60000u /* a row read longer ago than this is refused (purge, DESIGN 7) */

/* A node. */
#define REQUESTS_MAX       16384u       /* coordinated at once; a power of two */
#define CONN_REQUESTS_MAX  4096u        /* of one connection */
#define INFLIGHT_MAX_BYTES (256u << 20) /* keys and values of requests and queued answers */
#define RECEIVE_MAX_BYTES  (48u << 20)  /* half-received frames of all connections together */
#define CLIENTS_MAX        10000u
#define HINTS_MAX_BYTES    (UINT64_C(1) << 30)
#define OUT_MAX            8192u              /* effects of one step */
#define FRAME_STALL_MAX_US UINT64_C(10000000) /* a connection that ends no frame in this time is closed */

/* The ring. */
#define RING_PARTITIONS     4096u  /* Q: equal shares of the token space, fixed when a cluster is created */
#define RING_PARTITIONS_MAX 65536u /* of any cluster: bounds the table */
#define RING_POINTS         256u   /* points on the ring per unit of weight */
#define MEMBERS_MAX         1024u
#define REPLICAS_MAX        7u /* N */
#define REPLICAS_DEFAULT    3u
#define PREFERENCE_MAX      16u /* members kept of a preference list: the homes, then fallbacks */
#define HOLDERS_MAX         14u /* homes of a partition, before and after a change: 2 x REPLICAS_MAX */
#define WEIGHT_MAX          16u
#define RING_QUEUE_MAX      32u /* changes of the ring asked for and not made yet */
#define NAME_MAX_BYTES      31u /* of a node, zone or cluster, without the NUL */
#define HOST_MAX_BYTES      63u

/* Requests. */
#define TIMEOUT_DEFAULT_US  UINT64_C(2000000) /* plus TIMEOUT_PER_MIB_US for each MiB of value */
#define TIMEOUT_PER_MIB_US  UINT64_C(1000000)
#define TIMEOUT_MAX_US      UINT64_C(600000000)
#define TIMEOUT_PUT_MAX_US  (ROW_AGE_MAX_MS * UINT64_C(1000)) /* an older row is refused by every replica */
#define SCAN_PAGE_MAX       1000u                             /* rows read for one page of a scan */
#define SCAN_PAGE_MAX_BYTES (256u << 10)                      /* and their keys' bytes */
#define TRACE_MAX           32u                               /* lines of one request's story */

/* Anti-entropy, in one message. */
#define COMPARE_PARTITIONS_MAX 64u
#define COMPARE_DIGESTS_MAX    4096u

/* The store's port. */
#define ROWS_PAGE_MAX_BYTES (1u << 20) /* keys and payloads of one page of whole rows */
#define STORE_KEYS_MAX      256u       /* keys of one delete or query: other writes wait meanwhile */
#define TREE_LEAVES         64u        /* of a partition's hash tree; a power of two */

#endif
