/* Service times: work takes time of a processor, and a sync time of a disk, so that a cluster has a
 * throughput. Inside the simulation; what is configured is struct sim_service (cluster.h).
 *
 *     packets, ticks, finished jobs --> inbox --> a turn of the node's loop --> what it sends leaves
 *     writes --> gathered --> a batch of the storage thread --> one sync --> finished jobs
 *
 * A thread runs on a core of its pool, one turn at a time, and then goes behind the others that are ready. A
 * turn takes up all that waits, as kvd's does: what costs something once a turn (a socket that is read or
 * written) costs the less a message the more there are. While one batch syncs, the next gathers.
 *
 * Costs are in nanoseconds, time passes in microseconds: what is left of a turn is owed to the next.
 *
 * Invariants: `running` of a pool never exceeds its cores; a thread is ready, or running, or has nothing in
 * its inbox; of a node one batch at most is on its way. Without a pool nothing takes time. */
#ifndef SIM_SERVICE_H
#define SIM_SERVICE_H

#include "base/heap.h"
#include "base/list.h"
#include "sim/cluster.h"

/* Something that will happen. Heap-allocated ones begin their struct and are freed with free(). */
struct sim_timer {
    struct heap_node at;
    void (*fire)(struct sim *s, struct sim_timer *t);
    struct list waiting; /* in the backlog of a paused process, or for a thread */
    bool embedded;       /* part of a longer-lived struct */
};

struct core_pool {
    uint32_t cores;
    uint32_t running;
    struct list ready; /* threads, the first is next */
};

struct thread {
    struct core_pool *pool; /* NULL: takes no time */
    struct list ready;
    struct list inbox;      /* timers that wait for the next turn */
    struct list turn;       /* those that fire when this one ends */
    struct sim_timer slice; /* its time on the core ends */
    uint64_t inbox_ns;      /* what the inbox will cost */
    uint64_t owed_ns;       /* what was sent costs, and is not paid yet */
    uint64_t turns;
    uint64_t busy_us; /* this turn included, to its end */
    bool running;
    bool firing;
};

/* The storage thread of a node, and its disk. */
struct disk {
    struct thread thread;
    struct list gathered; /* writes for the next batch */
    struct list batch;
    uint32_t gathered_rows;
    struct sim_timer written; /* the batch is in the log */
    struct sim_timer synced;
    bool busy;
    uint64_t busy_us; /* of the disk, in syncs, this one included */
    uint64_t syncs;
    uint64_t rows;
};

bool service_is_on(const struct sim_service *config);

void thread_init(struct thread *t, struct core_pool *pool);

/* The process is gone: what waited happens now, without it. */
void thread_stop(struct sim *s, struct thread *t);

/* Whether `timer` waits for the thread, for a turn in which it costs `ns`. Then it fires again. */
bool thread_takes(struct sim *s, struct thread *t, struct sim_timer *timer, uint64_t ns);

/* Something costs `ns`, in this turn or in one of its own. Returns µs from now until it is done, if the
 * thread goes on at once. */
uint64_t thread_owes(struct sim *s, struct thread *t, uint64_t ns);

/* How long it has been on a core. */
uint64_t thread_busy_us(const struct sim *s, const struct thread *t);

void disk_init(struct disk *d, struct core_pool *pool);
void disk_stop(struct sim *s, struct disk *d);
uint64_t disk_busy_us(const struct sim *s, const struct disk *d); /* in syncs */

/* A write is finished with its batch: `timer` then fires. */
void disk_takes(struct sim *s, struct disk *d, struct sim_timer *timer);

#endif
