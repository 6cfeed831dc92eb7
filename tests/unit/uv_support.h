/* For the tests of uv/: a whole node of a cluster of one, its shell on a loop that the test turns itself, and
 * raw connections to it that say whatever the test wants. One thread, so the test may look into the shell. */
#ifndef UNIT_UV_SUPPORT_H
#define UNIT_UV_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "kv_error.h"
#include "uv/boot.h"
#include "uv/shell.h"

struct world {
    uv_loop_t loop;
    struct shell shell;
    struct node *node;
    struct store *store;
    char dir[64];
    char log[64 << 10]; /* every line that the node logged */
    size_t log_len;
};

struct world_options {
    uint32_t clients_max;
    uint32_t value_max_bytes;
    uint64_t stall_us;
    enum sync_mode sync;
};

/* Founds a cluster of one and waits until it serves. */
void world_start(struct world *w, const struct world_options *options);

/* Ends it the hard way, waits until nothing runs, and deletes its data. */
void world_stop(struct world *w);

/* cmocka fixtures: `*state` is a world with default options. */
int world_setup(void **state);
int world_teardown(void **state);

/* Turns the loop until the condition holds; fails the test after 20 s. */
#define pump_until(w, condition)                             \
    do {                                                     \
        uint64_t end_us_ = shell_now_us() + 20000000;        \
        while (!(condition)) {                               \
            world_turn(w);                                   \
            if (shell_now_us() > end_us_)                    \
                fail_msg("not within 20 s: %s", #condition); \
        }                                                    \
    } while (0)

void world_turn(struct world *w);
void pump_ms(struct world *w, uint32_t ms);
bool world_logged(const struct world *w, const char *text);
uint32_t world_logged_count(const struct world *w, const char *text);

/* ---- a raw connection ---- */

struct raw {
    int fd;
    struct buf in;       /* received, not taken yet */
    bool closed;         /* the node closed it */
    struct message last; /* what raw_next gave out */
    struct arena arena;  /* its */
    uint64_t next_id;
};

void raw_open(struct world *w, struct raw *r);
void raw_close(struct raw *r);

/* Sends all of it, turning the loop as long as the socket is full; false when the node closed first. */
bool raw_send(struct world *w, struct raw *r, struct bytes bytes);

/* Sends what the socket takes without turning the loop; returns how much. */
size_t raw_send_some(struct raw *r, struct bytes bytes);

/* Receives what is there. */
void raw_receive(struct raw *r);

/* The next whole message, good until the next call; false: the connection was closed without one. */
bool raw_next(struct world *w, struct raw *r, struct message *out);

/* HELLO as a client; waits for the WELCOME. */
void raw_hello(struct world *w, struct raw *r);

bool raw_closed(struct raw *r);

/* ---- frames ---- */

/* Appends the frame of a message, payloads included. */
void frame_append(struct buf *out, const struct message *m);
void hello_append(struct world *w, struct buf *out);
void put_append(struct world *w, struct buf *out, uint64_t id, const char *key, struct bytes value);
void get_append(struct world *w, struct buf *out, uint64_t id, const char *key);

/* A put and a get that go well. */
void raw_put(struct world *w, struct raw *r, const char *key, struct bytes value);
void raw_get(struct world *w, struct raw *r, const char *key, struct bytes expected);

/* ---- the storage by itself ---- */

#define STORAGE_TEST_JOBS_MAX 4096

/* A store in a directory of its own, and what came back from the storage around it, in order. */
struct storage_test {
    uv_loop_t loop;
    char dir[64];
    struct store *store;
    struct storage *storage;
    uint32_t count;
    uint64_t ops[STORAGE_TEST_JOBS_MAX];
    int status[STORAGE_TEST_JOBS_MAX];
    struct row row; /* of the last read */
    uint32_t page_count;
    uint64_t page_bytes;  /* payloads of pages */
    uint32_t deleted;     /* of the last delete */
    uint64_t notes;       /* of the last count */
    uint64_t sequence;    /* of the last write */
    struct store_has has; /* of the last key of the last query */
    uint64_t hashes[TREE_LEAVES];
    uint32_t most; /* how many `done` wants in one turn; 0: all */
};

extern struct storage_test t;

/* cmocka fixtures: open, with SYNC_ALWAYS. */
int storage_setup(void **state);
int storage_teardown(void **state);

void open_storage(enum sync_mode mode);
void close_storage(void);

/* Row number `op`, of stamp {op + 1, 1}. */
struct bytes key_of(uint64_t op, char text[32]);
void write_row(uint64_t op, size_t value_bytes);
void read_row(uint64_t op);

void storage_turn(void);

/* Turns the loop until exactly so many completions came. */
void wait_for(uint32_t count);

/* Whether what came back came in the order of the numbers. */
bool in_order(void);

/* Bytes that do not compress, freed by the caller. */
struct bytes noise(size_t len, uint64_t seed);

/* Memory in use by this process, and the most there ever was. */
size_t resident_bytes(void);
size_t resident_peak_bytes(void);

#endif
