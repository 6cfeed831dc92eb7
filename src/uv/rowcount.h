/* How many rows a node holds. The engine's own estimate is far off with merges, so rows are counted: in the
 * pool, and so rarely that counting takes at most a hundredth of one core. */
#ifndef UV_ROWCOUNT_H
#define UV_ROWCOUNT_H

#include <uv.h>

#include "base/list.h"
#include "store/store.h"

#define ROWCOUNT_DUTY 100u /* a count that cost t is followed by at least 100 t of rest */

struct rowcount {
    uv_work_t work;
    struct store *store;
    bool running;
    bool counted;
    int status;
    uint64_t next;    /* result of the count that runs */
    uint64_t rows;    /* of the last one that is finished */
    uint64_t cost_us; /* processor time of the last one: waiting for a thread or a core is none */
    uint64_t ended_us;
    uint64_t rows_written; /* of the store, when the last count began */
};

void rowcount_init(struct rowcount *r, struct store *store);

/* Called about once a second: counts again if something was written since and it is time. */
void rowcount_poll(struct rowcount *r, uv_loop_t *loop, uint64_t rows_written);

#endif
