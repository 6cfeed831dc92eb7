/* The one table of errors: code, word, sentence.
 *
 * Every function of libkv and of the node returns 0 (KV_OK) or one of these negative codes. The word is what
 * `--json` prints as "status" and what travels in logs; the sentence is for people. The numbers travel on the
 * wire and never change their meaning; new ones are added at the end. */
#ifndef KV_ERROR_H
#define KV_ERROR_H

#define KV_ERROR_TABLE(X)                                                                                   \
    X(KV_OK, 0, "ok", "done")                                                                               \
    /* What a client may be told of a request (DESIGN section 6). */                                        \
    X(KV_E_NOT_FOUND, -1, "not_found", "no such key")                                                       \
    X(KV_E_UNAVAILABLE, -2, "unavailable", "too few nodes can be reached; nothing was tried")               \
    X(KV_E_TIMEOUT, -3, "timeout", "no answer in time; the outcome is unknown and it may still be applied") \
    X(KV_E_OVERLOADED, -4, "overloaded", "a limit is reached or a disk is full; try again later")           \
    X(KV_E_TOO_LARGE, -5, "too_large", "key, value or message is above its limit")                          \
    X(KV_E_INVALID, -6, "invalid",                                                                          \
      "the request makes no sense (R or W above the replicas?) or its stamp is too far ahead")              \
    X(KV_E_NOT_PERMITTED, -7, "not_permitted", "this node does not allow that")                             \
    X(KV_E_NO_NODE, -8, "no_node", "no node could be reached")                                              \
    /* Between nodes. */                                                                                    \
    X(KV_E_WRONG_RING, -20, "wrong_ring", "the sender's ring is not the one in force")                      \
    X(KV_E_WRONG_CLUSTER, -21, "wrong_cluster", "that node belongs to another cluster")                     \
    X(KV_E_VERSION, -22, "version", "that protocol version is not spoken here")                             \
    X(KV_E_DUPLICATE_ID, -23, "duplicate_id", "another live process has this node's id")                    \
    X(KV_E_NOT_MEMBER, -24, "not_member", "this store is not a member of the ring")                         \
    X(KV_E_STALE, -25, "stale", "the message is older than may be applied")                                 \
    X(KV_E_STALE_STORE, -26, "stale_store", "the store is older than it was: it must join as new")          \
    X(KV_E_NOT_COORDINATOR, -27, "not_coordinator", "in this cluster the hub answers that, not this node")  \
    /* Inside a node. */                                                                                    \
    X(KV_E_NO_MEMORY, -40, "no_memory", "out of memory")                                                    \
    X(KV_E_IO, -41, "io", "the disk failed")                                                                \
    X(KV_E_CORRUPT, -42, "corrupt", "bytes that cannot be what was written")                                \
    X(KV_E_FULL, -43, "full", "no space left on the disk")                                                  \
    X(KV_E_BUSY, -44, "busy", "in use by another process")                                                  \
    X(KV_E_AGAIN, -45, "again", "not possible right now")                                                   \
    X(KV_E_CLOSED, -46, "closed", "the connection or handle is closed")                                     \
    X(KV_E_MALFORMED, -47, "malformed", "bytes that are no message")

enum kv_error {
#define KV_ERROR_ENUM(name, value, word, text) name = (value),
    KV_ERROR_TABLE(KV_ERROR_ENUM)
#undef KV_ERROR_ENUM
};

/* The word of a code ("timeout"); "unknown" for a number that is not in the table. Never NULL, static. */
const char *kv_error_word(int code);

/* The sentence of a code, for people. Never NULL, static. */
const char *kv_error_text(int code);

#endif
