/* A cut line on the client's side: what goes to a node beyond it, and what comes from there, is lost without
 * a word; connections that were cut are closed when the line is whole again, since bytes are missing in them.
 */
#include <stdlib.h>
#include <string.h>

#include "client/uv_handle.h"

static int parse_list(const char *text, struct addr **out, uint32_t *count)
{
    size_t cap = 1;
    for (const char *at = text; *at; at++)
        cap += *at == ',';
    struct addr *list = calloc(cap, sizeof *list);
    char *copy = strdup(text), *rest = NULL;
    int rc = list && copy ? KV_OK : KV_E_NO_MEMORY;
    *count = 0;
    if (rc == KV_OK)
        for (char *one = strtok_r(copy, ",", &rest); one && rc == KV_OK; one = strtok_r(NULL, ",", &rest))
            rc = addr_parse(one, &list[(*count)++]);
    free(copy);
    if (rc != KV_OK || *count == 0) {
        free(list);
        return rc ? rc : KV_E_INVALID;
    }
    *out = list;
    return KV_OK;
}

bool kv_reaches(const struct kv *kv, const struct addr *addr)
{
    for (uint32_t i = 0; i < kv->reach_count; i++)
        if (addr_eq(&kv->reach[i], addr))
            return true;
    return kv->reach == NULL;
}

int kv_reach(struct kv *kv, const char *nodes)
{
    struct addr *list = NULL;
    uint32_t count = 0;
    int rc = nodes ? parse_list(nodes, &list, &count) : KV_OK;
    if (rc != KV_OK)
        return rc;
    free(kv->reach);
    kv->reach = list;
    kv->reach_count = count;
    for (uint32_t peer = 0; peer < kv->conn_cap; peer++)
        kv_conn_reach(kv, peer);
    return KV_OK;
}
