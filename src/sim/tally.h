/* How often what has happened in a run, or in many: a fault that never fired has tested nothing. */
#ifndef SIM_TALLY_H
#define SIM_TALLY_H

#include <stdint.h>

/* name, word, text. First what the faults did, then the rare branches of the product. */
#define TALLY_TABLE(X)                                                                  \
    X(DELAYED, "delayed", "messages far later than usual")                              \
    X(LOST, "lost", "datagrams lost")                                                   \
    X(DUPLICATED, "duplicated", "datagrams delivered twice")                            \
    X(REORDERED, "reordered", "datagrams that overtook an earlier one")                 \
    X(CUT_DATAGRAM, "cut_datagrams", "datagrams that met a cut link")                   \
    X(CUT_STREAM, "cut_streams", "packets of streams that met a cut link")              \
    X(CLOGGED, "clogged", "packets of streams that met a clogged link")                 \
    X(STREAM_BROKEN, "streams_broken", "streams that broke after being held back")      \
    X(DISK_SLOW, "disk_slow", "storage operations on a slow disk")                      \
    X(DISK_FULL, "disk_full", "writes refused by a full disk")                          \
    X(DISK_REFUSED, "disk_refused", "starts refused because the store did not open")    \
    X(WRITE_TORN, "writes_torn", "writes cut short by a crash")                         \
    X(WRITE_LOST, "writes_lost", "acknowledged writes lost because they were unsynced") \
    X(STORE_WIPED, "stores_wiped", "stores lost")                                       \
    X(CLOCK_OFFSET, "clock_offsets", "wall clocks set apart")                           \
    X(CLOCK_DRIFT, "clock_drifts", "wall clocks that ran too fast or slow")             \
    X(CLOCK_JUMP, "clock_jumps", "wall clocks that jumped, also backwards")             \
    X(CRASH, "crashes", "processes killed")                                             \
    X(POWER_CUT, "power_cuts", "machines that lost power")                              \
    X(STOP, "stops", "processes stopped gracefully")                                    \
    X(PAUSE, "pauses", "processes paused")                                              \
    X(RESTART, "restarts", "processes started again")                                   \
    X(HEDGE, "hedges", "reads hedged")                                                  \
    X(WRITE_BACK, "write_backs", "newest rows written back by a get")                   \
    X(HINT, "hints", "hints given")                                                     \
    X(HANDED_OVER, "handed_over", "hinted rows handed over")                            \
    X(LATE_ANSWER, "late_answers", "answers that came after the request was over")      \
    X(PUT_UNAVAILABLE, "unavailable", "requests answered unavailable")                  \
    X(TIMEOUT, "timeouts", "requests answered timeout")                                 \
    X(OVERLOADED, "overloaded", "requests refused as too much")                         \
    X(RETRY, "retries", "client's requests sent to more than one node")                 \
    X(STAMP_REFUSED, "stamps_refused", "stamps too far ahead")                          \
    X(CLOCK_REFUSED, "clocks_refused", "clocks too far ahead, not followed")            \
    X(SUSPICION, "suspicions", "members suspected")                                     \
    X(DEATH, "deaths", "members called dead")                                           \
    X(REFUTATION, "refutations", "suspicions refuted")                                  \
    X(INDIRECT, "indirect_probes", "indirect probes")                                   \
    X(SYNC, "syncs", "push-pulls of the member table")                                  \
    X(RING, "rings", "epochs of the ring")                                              \
    X(JOIN, "joins", "nodes that were started to join")                                 \
    X(LEAVE, "leaves", "members told to leave")                                         \
    X(REMOVE, "removals", "dead members told to be removed")                            \
    X(WEIGHT, "weights", "members given another weight")                                \
    X(RESTORED, "restores", "stores put back to an older copy")                         \
    X(PURGED, "purged", "dead rows purged")                                             \
    X(PURGE_SPARED, "purges_spared", "dead rows that stayed since somebody had another")

enum tally_item {
#define TALLY_ENUM(name, word, text) TALLY_##name,
    TALLY_TABLE(TALLY_ENUM)
#undef TALLY_ENUM
        TALLY_COUNT
};

struct tally {
    uint64_t counts[TALLY_COUNT];
};

void tally_add(struct tally *sum, const struct tally *t);
const char *tally_word(enum tally_item item);
const char *tally_text(enum tally_item item);

#endif
