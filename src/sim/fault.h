/* Faults: what the seed does to a cluster, class by class. While faults are on, now and then one begins,
 * somewhere, and lasts a while; several at a time, and of any classes that are enabled. What is in force is
 * always made anew from the list of active faults, so that the end of one never undoes another. */
#ifndef SIM_FAULT_H
#define SIM_FAULT_H

#include "sim/cluster.h"

/* name, word, text, what shows that it had an effect (tally.h) */
#define FAULT_TABLE(X)                                                                                \
    X(DELAY, "delay", "a link's messages take long, a few very long", DELAYED)                        \
    X(LOSS, "loss", "a link loses datagrams", LOST)                                                   \
    X(DUPLICATE, "duplicate", "a link delivers datagrams twice", DUPLICATED)                          \
    X(REORDER, "reorder", "a link's datagrams overtake each other", REORDERED)                        \
    X(ONE_WAY, "one_way", "a link is cut in one direction", CUT_DATAGRAM)                             \
    X(CUT, "cut", "a link is cut in both directions", CUT_STREAM)                                     \
    X(PARTITION, "partition", "two groups cannot reach each other", CUT_DATAGRAM)                     \
    X(PARTIAL, "partial", "a node cannot reach some of the others, who reach each other", CUT_STREAM) \
    X(RING, "ring", "every node reaches its two neighbours only", CUT_DATAGRAM)                       \
    X(CLOG, "clog", "a link's streams stall while datagrams pass", CLOGGED)                           \
    X(SLOW_DISK, "slow_disk", "a disk takes up to 200 ms an operation", DISK_SLOW)                    \
    X(FULL_DISK, "full_disk", "a disk takes no writes", DISK_FULL)                                    \
    X(REFUSED_DISK, "refused_disk", "a crash, and the store does not open for a while", DISK_REFUSED) \
    X(WIPE, "wipe", "a crash, and the disk is blank; one disk a run", STORE_WIPED)                    \
    X(OFFSET, "offset", "a wall clock is up to 5 s off", CLOCK_OFFSET)                                \
    X(DRIFT, "drift", "a wall clock is up to 5 % too fast or slow", CLOCK_DRIFT)                      \
    X(JUMP, "jump", "a wall clock jumps up to a minute and stays there", CLOCK_JUMP)                  \
    X(CRASH, "crash", "a process is killed; writes under way are torn", CRASH)                        \
    X(POWER, "power", "a machine loses power, and what was not synced", POWER_CUT)                    \
    X(STOP, "stop", "a process is stopped gracefully", STOP)                                          \
    X(PAUSE, "pause", "a process stands still, then finds what came meanwhile", PAUSE)                \
    X(JOIN, "join", "a new node joins", JOIN)                                                         \
    X(LEAVE, "leave", "a member is told to leave", LEAVE)                                             \
    X(REMOVE, "remove", "a machine is lost, and removed; one disk a run", REMOVE)                     \
    X(WEIGHT, "weight", "a member is given another weight", WEIGHT)                                   \
    X(RESTORE, "restore", "a crash, and the disk holds an older copy of itself; one disk a run", RESTORED)

enum fault_class {
#define FAULT_ENUM(name, word, text, shows) FAULT_##name,
    FAULT_TABLE(FAULT_ENUM)
#undef FAULT_ENUM
        FAULT_CLASSES
};
#define FAULT_BIT(name) (UINT32_C(1) << FAULT_##name)
#define FAULT_ALL       ((UINT32_C(1) << FAULT_CLASSES) - 1)

const char *fault_word(enum fault_class c);
const char *fault_text(enum fault_class c);
enum tally_item fault_shows(enum fault_class c);

struct faults;

/* `classes`: bits of the enabled ones. Quiet until faults_on. `gap_us`: the mean time between beginnings. */
struct faults *faults_create(struct sim *s, uint32_t classes, uint64_t gap_us);
void faults_destroy(struct faults *f);
void faults_on(struct faults *f);

/* All ends: links, disks and clocks are as in the beginning, and every node is started. */
void faults_heal(struct faults *f);

/* Begins one now, for `us`. A scenario's way; `b` is for classes that concern a link. */
void faults_begin(struct faults *f, enum fault_class c, uint32_t a, uint32_t b, uint64_t us);

/* Whether a process has its place in the cluster: not one that waits to be started to join, nor one that is
 * lost or has left the ring. */
bool faults_present(const struct faults *f, uint32_t node);

/* Who asks for changes of the ring: scenarios may, too. */
struct ring_operator *faults_operator(struct faults *f);

/* Starts a process that should run and does not. */
void faults_revive(struct faults *f, uint32_t node);

/* A process that was not there yet, started so that it joins; 0: there is none left. */
uint32_t faults_join(struct faults *f);

/* A machine is lost for ever, with its disk; the operator has it removed. */
void faults_lose(struct faults *f, uint32_t node);

#endif
