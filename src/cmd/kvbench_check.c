/* Lost puts: an acknowledged put of a key is lost when the key is absent at the end, or holds a put that had
 * ended before the acknowledged one began.
 *
 * A put whose outcome is unknown may be applied after its end, but only under the stamp it was given at its
 * start, so it cannot hide a later one either. Sloppy puts of different clients within the clocks' skew are
 * not ordered (DESIGN section 3), so a put counts as later only when it began `skew` after the other ended;
 * strict ones, and those of one client, need no such margin. */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/map.h"
#include "cmd/common_lines.h"
#include "cmd/kvbench.h"
#include "cmd/kvbench_history.h"

#define CHECK_WINDOW 256u
#define SHOWN_MAX    20u

struct put {
    uint32_t client;
    bool acked, strict;
    char tag[HISTORY_TAG_MAX];
    uint64_t start_ns, end_ns;
    struct put *next; /* of the same key */
};

struct key {
    char *name;
    struct put *puts;
    bool read; /* the final value is known */
    bool present;
    char tag[HISTORY_TAG_MAX];
    struct key *next; /* all keys */
};

struct check {
    const struct bench_options *o;
    struct map keys;
    struct key *all, *next_to_read;
    struct kv *kv;
    uint32_t in_flight;
    uint64_t key_count, put_count, acked_count, lost, unreadable;
    int rc;
};

static struct key *key_of(struct check *c, const char *name)
{
    uint64_t hash = hash64(bytes_str(name));
    struct key *k = map_get(&c->keys, hash);
    if (k && strcmp(k->name, name) == 0)
        return k;
    k = calloc(1, sizeof *k);
    if (!k || !(k->name = strdup(name)) || map_set(&c->keys, hash, k) != KV_OK) {
        c->rc = KV_E_NO_MEMORY;
        return NULL;
    }
    k->next = c->all;
    c->all = k;
    c->key_count++;
    return k;
}

static void on_line(const struct history_line *l, void *arg)
{
    struct check *c = arg;
    struct key *k = l->op == HISTORY_PUT ? key_of(c, l->key) : NULL;
    struct put *p = k ? calloc(1, sizeof *p) : NULL;
    if (!p)
        return;
    *p = (struct put){l->client, l->status == KV_OK, l->strict, "", l->start_ns, l->end_ns, k->puts};
    snprintf(p->tag, sizeof p->tag, "%s", l->value ? l->value : "");
    k->puts = p;
    c->put_count++;
    c->acked_count += p->acked;
}

static void judge(struct check *c, struct key *k)
{
    const struct put *held = NULL, *later = NULL;
    for (const struct put *p = k->puts; p && k->present; p = p->next)
        if (strcmp(p->tag, k->tag) == 0)
            held = p;
    for (const struct put *p = k->puts; p; p = p->next) {
        if (!p->acked || p == held)
            continue;
        uint64_t margin = held && !(p->strict && held->strict) && p->client != held->client
                              ? (uint64_t)c->o->skew_ms * 1000000
                              : 0;
        if (!held || p->start_ns > held->end_ns + margin)
            later = !later || p->start_ns > later->start_ns ? p : later;
    }
    if (!later)
        return;
    if (c->lost++ >= SHOWN_MAX)
        return;
    printf("lost: key %s: put %s by client %u, acknowledged at %llu ns (began %llu), but the key ", k->name,
           later->tag, later->client, (unsigned long long)later->end_ns, (unsigned long long)later->start_ns);
    if (!k->present)
        printf("is absent\n");
    else if (held)
        printf("holds %s, which had ended at %llu ns\n", held->tag, (unsigned long long)held->end_ns);
    else
        printf("holds %s, which nobody put\n", k->tag);
}

/* ---- what the store holds now ---- */

static void read_more(struct check *c);

struct reading {
    struct check *check;
    struct key *key;
};

static void on_get(const struct kv_result *r, void *arg)
{
    struct reading *rd = arg;
    struct check *c = rd->check;
    struct key *k = rd->key;
    free(rd);
    c->in_flight--;
    if (r->status == KV_OK || r->status == KV_E_NOT_FOUND) {
        k->read = true;
        k->present = r->status == KV_OK;
        if (k->present)
            history_tag(r->value, r->value_len, k->tag);
    } else {
        if (c->unreadable++ < SHOWN_MAX)
            fprintf(stderr, "kvbench: cannot read %s: %s\n", k->name, r->message);
        c->rc = r->status;
    }
    read_more(c);
}

static void read_more(struct check *c)
{
    struct kv_request request = {.r = c->o->r, .timeout_ms = c->o->timeout_ms ? c->o->timeout_ms : 5000};
    while (c->next_to_read && c->in_flight < CHECK_WINDOW) {
        struct key *k = c->next_to_read;
        struct reading *rd = malloc(sizeof *rd);
        c->next_to_read = k->next;
        if (!rd)
            return;
        *rd = (struct reading){c, k};
        if (kv_get(c->kv, k->name, strlen(k->name), &request, on_get, rd) == KV_OK)
            c->in_flight++;
        else
            free(rd);
    }
}

static int read_live(struct check *c)
{
    struct kv_options options = {.nodes = c->o->nodes};
    int rc = kv_connect(&options, &c->kv);
    if (rc != KV_OK)
        return rc;
    c->next_to_read = c->all;
    read_more(c);
    while (c->in_flight)
        kv_wait(c->kv);
    kv_disconnect(c->kv);
    return c->rc;
}

static int read_final(struct check *c)
{
    FILE *f = fopen(c->o->final, "rb");
    if (!f) {
        fprintf(stderr, "kvbench: cannot read %s: %m\n", c->o->final);
        return KV_E_IO;
    }
    for (struct key *k = c->all; k; k = k->next)
        k->read = true;
    struct lines l;
    lines_init(&l, f);
    int rc;
    while ((rc = lines_next(&l)) == 1) {
        if (buf_append_byte(&l.key, 0) != KV_OK)
            break;
        struct key *k = map_get(&c->keys, hash64(bytes_str((const char *)l.key.data)));
        if (k) {
            k->present = true;
            history_tag(l.value.data, l.value.len, k->tag);
        }
    }
    lines_deinit(&l);
    fclose(f);
    return rc;
}

static int read_histories(struct check *c)
{
    for (int i = 1; i < c->o->file_count; i++) {
        FILE *f = fopen(c->o->files[i], "rb");
        uint64_t bad = 0;
        if (!f) {
            fprintf(stderr, "kvbench: cannot read %s: %m\n", c->o->files[i]);
            return KV_E_IO;
        }
        int rc = history_read(f, on_line, c, &bad);
        fclose(f);
        if (rc == KV_E_MALFORMED)
            fprintf(stderr, "kvbench: %s:%llu is no line of a history\n", c->o->files[i],
                    (unsigned long long)bad);
        if (rc != KV_OK || c->rc != KV_OK)
            return rc != KV_OK ? rc : c->rc;
    }
    return KV_OK;
}

static void check_free(struct check *c)
{
    while (c->all) {
        struct key *k = c->all;
        c->all = k->next;
        while (k->puts) {
            struct put *p = k->puts;
            k->puts = p->next;
            free(p);
        }
        free(k->name);
        free(k);
    }
    map_deinit(&c->keys);
}

int bench_check(const struct bench_options *o)
{
    struct check c = {.o = o};
    map_init(&c.keys);
    int rc = read_histories(&c);
    int status = 2;
    if (rc == KV_OK) {
        rc = o->final ? read_final(&c) : read_live(&c);
        if (rc != KV_OK && rc != KV_E_IO)
            fprintf(stderr, "kvbench: the final values could not be read: %s\n", kv_error_text(rc));
        status = rc == KV_E_NO_NODE ? 7 : rc == KV_OK ? 0 : 2;
    }
    if (status == 0) {
        for (struct key *k = c.all; k; k = k->next)
            if (k->read)
                judge(&c, k);
        printf("%llu keys, %llu puts, %llu acknowledged: %llu lost\n", (unsigned long long)c.key_count,
               (unsigned long long)c.put_count, (unsigned long long)c.acked_count,
               (unsigned long long)c.lost);
        status = c.lost ? 1 : 0;
    }
    check_free(&c);
    return status;
}
