/* The client's idea of the cluster's clock, from which its writes get their stamps (DESIGN section 3). It is
 * made of what nodes say and of this machine's monotonic clock; this machine's date never enters.
 *
 *     mint = max(largest hlc seen or minted + 1, the cluster's wall clock carried forward << 16)
 *
 * Several nodes' wall clocks are known, one offset to the monotonic clock for each connection made. The lower
 * median of them is taken: a node whose clock is off does not carry the client's stamps to where the others
 * refuse them, and of two, the lower one is the safe one (a stamp that is too low is raised by what was
 * seen).
 *
 * Invariant: minted values strictly increase. */
#ifndef CLIENT_CLOCK_H
#define CLIENT_CLOCK_H

#include "model/clock.h"
#include "model/limits.h"

#define CLIENT_CLOCK_SOURCES 16u /* the newest ones are kept */

struct client_clock {
    uint64_t hlc; /* largest minted or seen */
    uint32_t count;
    uint32_t next; /* the source to be replaced next */
    struct {
        uint32_t source;   /* who said it: at most one offset each */
        int64_t offset_ms; /* its wall clock minus our monotonic clock */
    } offsets[CLIENT_CLOCK_SOURCES];
};

/* Node `source` says that its wall clock shows `wall_ms` now. */
void client_clock_set(struct client_clock *c, uint32_t source, uint64_t wall_ms, uint64_t now_us);

/* An hlc that some node or row carried. */
void client_clock_receive(struct client_clock *c, uint64_t hlc);

/* False until a node's wall clock is known: nothing can be minted before. */
bool client_clock_known(const struct client_clock *c);

/* A new stamp time, above all minted or seen. */
uint64_t client_clock_mint(struct client_clock *c, uint64_t now_us);

/* Now, without minting: what the time left of a row is reckoned from. */
uint64_t client_clock_peek(const struct client_clock *c, uint64_t now_us);

#endif
