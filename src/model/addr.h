/* Where a node listens: host and port. An address is only where a member lives now, never who it is. */
#ifndef MODEL_ADDR_H
#define MODEL_ADDR_H

#include "base/bytes.h"
#include "model/limits.h"

struct addr {
    char host[HOST_MAX_BYTES + 1]; /* "127.0.0.1", "::1" or a name */
    uint16_t port;
};

#define ADDR_TEXT_MAX (HOST_MAX_BYTES + 10)

/* "HOST:PORT" or "[V6]:PORT". KV_E_INVALID. */
int addr_parse(const char *text, struct addr *out);

/* Writes "HOST:PORT"; returns `out`. */
const char *addr_format(const struct addr *a, char out[ADDR_TEXT_MAX]);

/* Whether it is one that addr_parse can yield. */
bool addr_ok(const struct addr *a);

bool addr_eq(const struct addr *a, const struct addr *b);

/* 127.0.0.0/8, ::1 or "localhost". */
bool addr_is_loopback(const struct addr *a);

/* Node, zone and cluster names: 1..NAME_MAX_BYTES of [A-Za-z0-9._-]. */
bool name_ok(const char *name);

#endif
