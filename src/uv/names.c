/* The table of host names; see names.h. An entry whose look-up runs belongs to libuv until its callback. */
#include "uv/names.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "kv_error.h"

struct name {
    struct names *names;
    char host[HOST_MAX_BYTES + 1];
    bool known;
    bool running;
    uint64_t asked_us;
    struct sockaddr_storage addr; /* without the port */
    uv_getaddrinfo_t request;
};

static const struct addrinfo ANY_STREAM = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};

static bool numeric(const struct addr *addr, struct sockaddr_storage *out)
{
    return uv_ip4_addr(addr->host, addr->port, (struct sockaddr_in *)out) == 0 ||
           uv_ip6_addr(addr->host, addr->port, (struct sockaddr_in6 *)out) == 0;
}

static void set_port(struct sockaddr_storage *a, uint16_t port)
{
    if (a->ss_family == AF_INET)
        ((struct sockaddr_in *)a)->sin_port = htons(port);
    else
        ((struct sockaddr_in6 *)a)->sin6_port = htons(port);
}

void names_init(struct names *n, uv_loop_t *loop)
{
    *n = (struct names){.loop = loop};
    map_init(&n->table);
}

static void on_found(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    struct name *it = request->data;
    it->running = false;
    if (status == 0) {
        memcpy(&it->addr, found->ai_addr, found->ai_addrlen);
        it->known = true;
    }
    uv_freeaddrinfo(found);
}

static void look_up(struct names *n, struct name *it)
{
    uint64_t now_us = uv_hrtime() / 1000;
    if (it->running || n->ended || (it->asked_us && now_us - it->asked_us < NAMES_REFRESH_US))
        return;
    it->asked_us = now_us;
    it->request.data = it;
    it->running = uv_getaddrinfo(n->loop, &it->request, on_found, it->host, NULL, &ANY_STREAM) == 0;
}

static struct name *name_add(struct names *n, uint64_t hash, const char *host)
{
    struct name *it = map_count(&n->table) < NAMES_MAX ? calloc(1, sizeof *it) : NULL;
    if (!it || map_set(&n->table, hash, it) != KV_OK) {
        free(it);
        return NULL;
    }
    it->names = n;
    memcpy(it->host, host, strlen(host));
    return it;
}

int names_resolve(struct names *n, const struct addr *addr, struct sockaddr_storage *out)
{
    if (numeric(addr, out))
        return KV_OK;
    uint64_t hash = hash64(bytes_str(addr->host));
    struct name *it = map_get(&n->table, hash);
    if (!it)
        it = name_add(n, hash, addr->host);
    if (!it || strcmp(it->host, addr->host) != 0)
        return KV_E_OVERLOADED;
    look_up(n, it);
    if (!it->known)
        return KV_E_AGAIN;
    *out = it->addr;
    set_port(out, addr->port);
    return KV_OK;
}

int names_resolve_now(uv_loop_t *loop, const struct addr *addr, struct sockaddr_storage *out)
{
    if (numeric(addr, out))
        return KV_OK;
    uv_getaddrinfo_t request;
    if (uv_getaddrinfo(loop, &request, NULL, addr->host, NULL, &ANY_STREAM) != 0)
        return KV_E_NO_NODE;
    memcpy(out, request.addrinfo->ai_addr, request.addrinfo->ai_addrlen);
    set_port(out, addr->port);
    uv_freeaddrinfo(request.addrinfo);
    return KV_OK;
}

static void cancel(uint64_t key, void *value, void *arg)
{
    (void)key;
    (void)arg;
    struct name *it = value;
    if (it->running)
        uv_cancel((uv_req_t *)&it->request); /* or it ends by itself */
}

void names_end(struct names *n)
{
    n->ended = true;
    map_each(&n->table, cancel, NULL);
}

static void free_name(uint64_t key, void *value, void *arg)
{
    (void)key;
    (void)arg;
    free(value);
}

void names_deinit(struct names *n)
{
    map_each(&n->table, free_name, NULL);
    map_deinit(&n->table);
}
