/* How a cluster begins (DESIGN section 4): every node is started with the same list of founders, there is no
 * first node and nothing to elect. Founders are 1..n in the order of names. Each tells the others its store's
 * id (FOUND); who knows all of them knows epoch 1, accepts it durably, and tells its hash. Epoch 1 is there
 * when every founder has accepted the same value with its own store id in it.
 *
 * A founder whose disk was lost is told of the ring by the other founders. They may all have left: then who
 * is a member now calls it, for its name is in the ring, and is asked.
 *
 * Invariants: an accepted value is on disk before it is told, and is never replaced by another; so at most
 * one epoch 1 can be accepted by all, whatever is wiped or restarted meanwhile. A store that has a ring never
 * founds. */
#include "node/internal.h"

#include <stdio.h>
#include <stdlib.h>

bool form_active(const struct node *n)
{
    return !n->ring && n->form.count > 0;
}

const struct founder *form_find(const struct node *n, const char *name)
{
    for (uint32_t i = 0; i < n->form.count; i++)
        if (strcmp(n->form.founders[i].name, name) == 0)
            return &n->form.founders[i];
    return NULL;
}

uint32_t form_id(const struct node *n, const struct founder *f)
{
    return (uint32_t)(f - n->form.founders) + 1;
}

/* ---- at create ---- */

static int compare_founders(const void *a, const void *b)
{
    return strcmp(((const struct founder *)a)->name, ((const struct founder *)b)->name);
}

static int check_founders(struct node *n, char error[256])
{
    struct form *f = &n->form;
    for (uint32_t i = 0; i < f->count; i++) {
        if (!name_ok(f->founders[i].name) || !addr_ok(&f->founders[i].addr)) {
            snprintf(error, 256, "a founder has no proper name or address: '%s'", f->founders[i].name);
            return KV_E_INVALID;
        }
        if (i > 0 && strcmp(f->founders[i - 1].name, f->founders[i].name) == 0) {
            snprintf(error, 256, "%s is twice among the founders", f->founders[i].name);
            return KV_E_INVALID;
        }
    }
    const struct founder *self = form_find(n, n->name);
    if (!self) {
        snprintf(error, 256, "%s is not among the founders", n->name);
        return KV_E_INVALID;
    }
    f->self = (uint32_t)(self - f->founders);
    return KV_OK;
}

int form_hash(struct node *n)
{
    struct buf b = {0};
    if (n->form.count == 0)
        return KV_OK;
    int rc = buf_printf(&b, "%s %u %u", n->cluster, n->partitions, n->replicas);
    for (uint32_t i = 0; rc == KV_OK && i < n->form.count; i++) {
        char text[ADDR_TEXT_MAX];
        const struct founder *f = &n->form.founders[i];
        rc = buf_printf(&b, " %s=%s", f->name, addr_format(&f->addr, text));
    }
    if (rc == KV_OK && n->hub[0])
        rc = buf_printf(&b, " %s %s", topology_name(n->topology), n->hub);
    n->form.initial_hash = hash64(buf_bytes(&b));
    buf_deinit(&b);
    return rc;
}

/* What this store accepted in an earlier life must be a first ring with this store in it. */
static int restore_accepted(struct node *n, struct bytes accepted, char error[256])
{
    struct ring_value v;
    int rc = ring_value_decode(accepted, &v);
    const struct member *self = rc == KV_OK ? ring_value_find_name(&v, n->name) : NULL;
    if (rc == KV_OK && (!self || self->store_id != n->store_id))
        rc = KV_E_CORRUPT;
    if (rc == KV_OK)
        n->form.accepted_hash = ring_value_hash(&v);
    ring_value_deinit(&v);
    if (rc == KV_E_NO_MEMORY)
        return rc;
    if (rc != KV_OK) {
        snprintf(error, 256, "the first ring that this store accepted cannot be read, or is not of %s",
                 n->name);
        return KV_E_CORRUPT;
    }
    n->form.accepted = blob_copy(accepted);
    n->form.durable = true;
    return n->form.accepted ? KV_OK : KV_E_NO_MEMORY;
}

int form_init(struct node *n, const struct node_config *config, char error[256])
{
    struct form *f = &n->form;
    f->retry_us = UINT64_MAX;
    if (config->founder_count == 0)
        return KV_OK;
    if (config->founder_count > MEMBERS_MAX) {
        snprintf(error, 256, "at most %u founders", MEMBERS_MAX);
        return KV_E_INVALID;
    }
    f->founders = calloc(config->founder_count, sizeof *f->founders);
    if (!f->founders)
        return KV_E_NO_MEMORY;
    f->count = config->founder_count;
    for (uint32_t i = 0; i < f->count; i++) {
        memcpy(f->founders[i].name, config->founders[i].name, sizeof f->founders[i].name);
        f->founders[i].addr = config->founders[i].addr;
    }
    qsort(f->founders, f->count, sizeof *f->founders, compare_founders);
    int rc = check_founders(n, error);
    if (rc != KV_OK)
        return rc;
    struct founder *self = &f->founders[f->self];
    self->store_id = n->store_id;
    self->weight = n->weight;
    memcpy(self->zone, n->zone, sizeof self->zone);
    return config->accepted.len ? restore_accepted(n, config->accepted, error) : KV_OK;
}

/* ---- telling ---- */

static void say_found(struct node *n, struct endpoint to, uint64_t id, bool wants_reply)
{
    struct message *m = outbox_send(n->out, to, MSG_FOUND, id);
    m->found = (struct msg_found){
        .name = n->name,
        .store_id = n->store_id,
        .initial_hash = n->form.initial_hash,
        .accepted_hash = n->form.durable ? n->form.accepted_hash : 0,
        .zone = n->zone,
        .weight = n->weight,
        .wants_reply = wants_reply,
    };
}

static void say_found_to_all(struct node *n)
{
    for (uint32_t i = 0; i < n->peers.count; i++)
        if (n->peers.items[i].up)
            say_found(n, to_peer(n->peers.items[i].id), id_make(ID_NODE, 0), true);
    n->form.retry_us = n->now.mono_us + FOUND_RETRY_US / 2 + prng_below(&n->prng, FOUND_RETRY_US);
}

uint32_t form_caller_id(const struct node *n)
{
    return n->form.caller.name[0] ? n->form.count + 1 : 0;
}

/* One after another: it is dialled like a founder, and as a member tells whoever is none its ring. */
void form_called(struct node *n, const struct message *hello)
{
    const struct msg_hello *h = &hello->hello;
    const struct peer *known = peers_find(n, form_caller_id(n));
    if (!form_active(n) || hello->ring_epoch == 0 || (known && known->connected))
        return;
    n->form.caller = (struct founder){.addr = h->addr};
    memcpy(n->form.caller.name, h->name, strlen(h->name));
    if (peers_set(n) != KV_OK)
        node_exit(n, KV_E_NO_MEMORY, "no memory for who calls");
}

void form_welcomed(struct node *n, const struct peer *p)
{
    if (form_active(n))
        say_found(n, to_peer(p->id), id_make(ID_NODE, 0), true);
}

/* ---- agreeing ---- */

static void write_accepted(struct node *n)
{
    struct effect *e = outbox_add(n->out, EF_STORE_META);
    e->op = id_make(ID_NODE, OP_ACCEPTED);
    e->meta.name = META_ACCEPTED;
    e->meta.value = arena_copy(&n->out->arena, blob_bytes(n->form.accepted));
    n->form.writing = true;
}

/* Epoch 1 as it follows from what the founders said: a pure function of the list and their answers, so all
 * come to the same. */
static int first_ring(const struct node *n, struct ring_value *v)
{
    const struct form *f = &n->form;
    *v = (struct ring_value){
        .epoch = 1,
        .partitions = n->partitions,
        .replicas = n->replicas,
        .topology = (uint8_t)n->topology,
        .hub = n->hub[0] ? form_id(n, form_find(n, n->hub)) : 0,
        .next_id = f->count + 1,
        .phase = RING_STABLE,
        .member_count = f->count,
        .members = calloc(f->count, sizeof *v->members),
    };
    if (!v->members)
        return KV_E_NO_MEMORY;
    for (uint32_t i = 0; i < f->count; i++) {
        struct member *m = &v->members[i];
        m->id = i + 1;
        m->store_id = f->founders[i].store_id;
        m->weight = f->founders[i].weight;
        m->addr = f->founders[i].addr;
        memcpy(m->name, f->founders[i].name, sizeof m->name);
        memcpy(m->zone, f->founders[i].zone, sizeof m->zone);
    }
    return ring_value_check(v);
}

static void accept(struct node *n)
{
    struct ring_value v;
    struct buf encoded = {0};
    int rc = first_ring(n, &v);
    if (rc == KV_OK)
        rc = ring_value_encode(&v, &encoded);
    if (rc == KV_OK) {
        n->form.accepted = blob_copy(buf_bytes(&encoded));
        n->form.accepted_hash = ring_value_hash(&v);
    }
    ring_value_deinit(&v);
    buf_deinit(&encoded);
    if (n->form.accepted)
        write_accepted(n);
    else if (log_may(n, &n->form.stuck))
        outbox_log(n->out, LOG_ERROR, "event=founding_failed status=%s", kv_error_word(rc));
}

static bool all_known(const struct node *n)
{
    for (uint32_t i = 0; i < n->form.count; i++)
        if (!n->form.founders[i].store_id)
            return false;
    return true;
}

/* Everybody else has accepted what we have. */
static bool all_agree(struct node *n)
{
    for (uint32_t i = 0; i < n->form.count; i++) {
        const struct founder *f = &n->form.founders[i];
        if (i == n->form.self || f->accepted_hash == n->form.accepted_hash)
            continue;
        if (f->accepted_hash && log_may(n, &n->form.stuck))
            outbox_log(n->out, LOG_ERROR,
                       "event=founding_stuck founder=%s text=\"it accepted another first ring than this "
                       "node: a store "
                       "was wiped while the cluster was founded; wipe all and start again\"",
                       f->name);
        return false;
    }
    return true;
}

static void advance(struct node *n)
{
    if (!form_active(n))
        return;
    if (!n->form.accepted && all_known(n))
        accept(n);
    else if (n->form.durable && all_agree(n))
        adopt_begin(n, blob_bytes(n->form.accepted));
}

/* ---- events ---- */

void form_start(struct node *n)
{
    if (!form_active(n))
        return;
    outbox_log(n->out, LOG_INFO, "event=founding founders=%u initial=%016llx", n->form.count,
               (unsigned long long)n->form.initial_hash);
    if (peers_set(n) != KV_OK) {
        node_exit(n, KV_E_NO_MEMORY, "no memory for the founders");
        return;
    }
    n->form.retry_us = n->now.mono_us;
    advance(n);
}

static void take_word(struct founder *f, const struct msg_found *m)
{
    f->store_id = m->store_id;
    f->accepted_hash = m->accepted_hash;
    f->weight = m->weight;
    memset(f->zone, 0, sizeof f->zone);
    memcpy(f->zone, m->zone, strlen(m->zone));
}

void form_message(struct node *n, struct endpoint from, uint32_t member, const struct message *m)
{
    const struct msg_found *found = &m->found;
    if (n->ring) {
        adopt_send(n, from, m->id); /* too late to found */
        return;
    }
    if (!form_active(n) || member == 0 || member > n->form.count)
        return;
    struct founder *f = &n->form.founders[member - 1];
    bool sane = strcmp(found->name, f->name) == 0 && found->store_id && found->weight >= 1 &&
                found->weight <= WEIGHT_MAX && (!found->zone[0] || name_ok(found->zone));
    if (found->initial_hash != n->form.initial_hash || !sane) {
        if (log_may(n, &n->form.mismatch))
            outbox_log(
                n->out, LOG_ERROR,
                "event=founding_mismatch founder=%s text=\"it was started with another list of founders, or "
                "other replicas or partitions: all must be the same on every node\"",
                f->name);
        /* It hears what it would hear from an equal, so that it can say the same in its own log. */
        if (found->wants_reply)
            say_found(n, from, m->id, false);
        return;
    }
    take_word(f, found);
    if (found->wants_reply)
        say_found(n, from, m->id, false);
    advance(n);
}

void form_written(struct node *n, int status)
{
    KV_ASSERT(n->form.writing);
    n->form.writing = false;
    if (status != KV_OK)
        return; /* the next tick writes it again */
    n->form.durable = true;
    if (!form_active(n))
        return;
    say_found_to_all(n);
    advance(n);
}

void form_tick(struct node *n)
{
    if (n->form.retry_us > n->now.mono_us)
        return;
    if (!form_active(n)) {
        n->form.retry_us = UINT64_MAX;
        return;
    }
    say_found_to_all(n);
    if (n->form.accepted && !n->form.durable && !n->form.writing)
        write_accepted(n);
    advance(n);
}

uint64_t form_deadline_us(const struct node *n)
{
    return n->form.retry_us;
}

void form_deinit(struct node *n)
{
    blob_unref(n->form.accepted);
    free(n->form.founders);
}
