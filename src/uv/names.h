/* Host names to addresses, without ever blocking the loop: numeric ones at once, others from a table that is
 * filled, and refreshed when used, by look-ups in libuv's pool. A name that cannot be looked up any more
 * keeps its last address. */
#ifndef UV_NAMES_H
#define UV_NAMES_H

#include <uv.h>

#include "base/map.h"
#include "model/addr.h"

#define NAMES_MAX        1024u
#define NAMES_REFRESH_US UINT64_C(5000000)

struct names {
    uv_loop_t *loop;
    struct map table; /* hash of the host -> struct name */
    bool ended;
};

void names_init(struct names *n, uv_loop_t *loop);

/* KV_E_AGAIN: the first look-up runs or failed; ask again. KV_E_OVERLOADED: the table is full. */
int names_resolve(struct names *n, const struct addr *addr, struct sockaddr_storage *out);

/* Waits for the resolver: at start only. KV_E_NO_NODE. */
int names_resolve_now(uv_loop_t *loop, const struct addr *addr, struct sockaddr_storage *out);

/* Cancels what runs; the loop returns when that has ended. Then names_deinit. */
void names_end(struct names *n);
void names_deinit(struct names *n);

#endif
