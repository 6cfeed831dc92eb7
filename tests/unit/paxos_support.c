/* See paxos_support.h. */
#include "unit/paxos_support.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"

struct blob *ring_blob(uint64_t epoch, uint32_t count, uint32_t tag)
{
    struct member members[WORLD_MEMBERS] = {0};
    struct ring_value v = {
        .epoch = epoch, .partitions = 16, .replicas = 3, .next_id = 100 + tag, .members = members};
    for (uint32_t id = 1; id <= count; id++) {
        struct member *m = &members[v.member_count++];
        *m = (struct member){.id = id, .store_id = id, .weight = 1};
        snprintf(m->name, sizeof m->name, "n%u", id);
    }
    struct buf b = {0};
    KV_ASSERT(ring_value_encode(&v, &b) == KV_OK);
    struct blob *blob = blob_copy(buf_bytes(&b));
    KV_ASSERT(blob);
    buf_deinit(&b);
    return blob;
}

static bool same(const struct blob *a, const struct blob *b)
{
    return bytes_eq(blob_bytes(a), blob_bytes(b));
}

struct world *world_create(uint64_t seed, uint32_t members)
{
    struct world *w = calloc(1, sizeof *w);
    KV_ASSERT(w && members <= WORLD_MEMBERS && outbox_init(&w->out) == KV_OK);
    prng_init(&w->prng, seed);
    w->now.mono_us = 1000000;
    w->newest = 1;
    w->chosen[1] = ring_blob(1, members, 0);
    for (uint32_t id = 1; id <= WORLD_MEMBERS; id++) {
        w->machines[id].epoch = 1;
        world_start(w, id);
    }
    return w;
}

void world_destroy(struct world *w)
{
    for (uint32_t id = 1; id <= WORLD_MEMBERS; id++) {
        paxos_destroy(w->machines[id].paxos);
        buf_deinit(&w->machines[id].disk);
        buf_deinit(&w->machines[id].unsynced);
    }
    for (uint32_t i = 0; i < w->mail_count; i++)
        message_release(&w->mail[i].message);
    for (uint32_t i = 0; i < w->acceptance_count; i++)
        blob_unref(w->acceptances[i].value);
    for (uint32_t i = 0; i < WORLD_EPOCHS; i++) {
        KV_ASSERT(!w->chosen[i] || w->chosen[i]->refs == 1);
        blob_unref(w->chosen[i]);
    }
    outbox_deinit(&w->out);
    free(w);
}

/* ---- what a machine says and writes */

static void post(struct world *w, uint32_t from, const struct effect *e)
{
    if (w->mail_count == WORLD_MAIL)
        return; /* a network may lose what it likes */
    bool answer = e->send.to.conn != 0;
    uint32_t to = answer ? (uint32_t)e->send.to.conn : e->send.to.peer;
    struct mail *mail = &w->mail[w->mail_count++];
    *mail = (struct mail){from, to, answer, e->send.message};
    if (mail->message.paxos.value)
        blob_ref(mail->message.paxos.value);
}

static void collect(struct world *w, uint32_t id)
{
    struct machine *m = &w->machines[id];
    for (uint32_t i = 0; i < w->out.count; i++) {
        const struct effect *e = &w->out.effects[i];
        if (e->type == EF_SEND) {
            post(w, id, e);
            continue;
        }
        KV_ASSERT(e->type == EF_STORE_META && m->op == 0);
        KV_ASSERT(id_owner(e->op) == ID_PAXOS && strcmp(e->meta.name, "paxos") == 0);
        m->op = e->op;
        KV_ASSERT(buf_set(&m->unsynced, e->meta.value) == KV_OK);
    }
    outbox_reset(&w->out);
    paxos_check(m->paxos);
    struct blob *decided = paxos_decided(m->paxos);
    KV_ASSERT(!decided || same(decided, w->chosen[m->epoch + 1]));
}

/* ---- the oracle: what a majority of the disks has ever accepted under one ballot is chosen */

static struct acceptance *find_ballot(struct world *w, const struct acceptor_state *s)
{
    for (uint32_t i = 0; i < w->acceptance_count; i++)
        if (w->acceptances[i].epoch == s->epoch && ballot_compare(w->acceptances[i].ballot, s->accepted) == 0)
            return &w->acceptances[i];
    KV_ASSERT(w->acceptance_count < WORLD_BALLOTS);
    struct acceptance *a = &w->acceptances[w->acceptance_count++];
    *a = (struct acceptance){.epoch = s->epoch, .ballot = s->accepted, .value = blob_ref(s->value)};
    return a;
}

static bool has_majority(const struct world *w, const struct acceptance *a)
{
    struct ring_value v;
    KV_ASSERT(ring_value_decode(blob_bytes(w->chosen[a->epoch - 1]), &v) == KV_OK);
    uint32_t voters = 0, count = 0;
    for (uint32_t i = 0; i < v.member_count; i++) {
        bool votes = ring_value_votes(&v, &v.members[i]);
        voters += votes;
        count += votes && a->by[v.members[i].id];
    }
    ring_value_deinit(&v);
    return count > voters / 2;
}

static void judge(struct world *w, uint32_t id)
{
    struct acceptor acceptor = {0};
    KV_ASSERT(acceptor_restore(&acceptor, buf_bytes(&w->machines[id].disk)) == KV_OK);
    const struct acceptor_state *s = &acceptor.state;
    if (s->value) {
        struct acceptance *a = find_ballot(w, s);
        KV_ASSERT(same(a->value, s->value)); /* one value for one ballot */
        a->by[id] = true;
        if (has_majority(w, a)) {
            KV_ASSERT(!w->chosen[s->epoch] || same(w->chosen[s->epoch], s->value));
            if (!w->chosen[s->epoch])
                w->chosen[s->epoch] = blob_copy(blob_bytes(s->value));
            w->newest = s->epoch > w->newest ? s->epoch : w->newest;
        }
    }
    acceptor_deinit(&acceptor);
}

/* ---- events */

static void ring_set(struct world *w, struct machine *m)
{
    struct ring_value v;
    KV_ASSERT(ring_value_decode(blob_bytes(w->chosen[m->epoch]), &v) == KV_OK);
    KV_ASSERT(paxos_ring_set(m->paxos, &v) == KV_OK);
    ring_value_deinit(&v);
}

void world_start(struct world *w, uint32_t id)
{
    struct machine *m = &w->machines[id];
    KV_ASSERT(!m->paxos);
    KV_ASSERT(paxos_create(id, 1000 * ++w->started + id, "paxos", &m->paxos) == KV_OK);
    if (m->disk.len)
        KV_ASSERT(paxos_restore(m->paxos, buf_bytes(&m->disk)) == KV_OK);
    ring_set(w, m);
    paxos_check(m->paxos);
}

static void to_disk(struct world *w, uint32_t id)
{
    struct machine *m = &w->machines[id];
    KV_ASSERT(buf_set(&m->disk, buf_bytes(&m->unsynced)) == KV_OK);
    judge(w, id);
}

void world_crash(struct world *w, uint32_t id)
{
    struct machine *m = &w->machines[id];
    paxos_destroy(m->paxos);
    m->paxos = NULL;
    if (m->op && prng_below(&w->prng, 2))
        to_disk(w, id);
    m->op = 0;
}

void world_sync(struct world *w, uint32_t id, int status)
{
    struct machine *m = &w->machines[id];
    if (!m->op || !m->paxos)
        return;
    if (status == KV_OK)
        to_disk(w, id);
    struct event in = {.type = EV_STORE_WRITTEN, .written = {.op = m->op, .status = status}};
    m->op = 0;
    paxos_written(m->paxos, &in, &w->out);
    collect(w, id);
}

int world_propose(struct world *w, uint32_t id, struct blob *value)
{
    int rc = paxos_propose(w->machines[id].paxos, w->now, value, &w->out);
    collect(w, id);
    return rc;
}

void world_withdraw(struct world *w, uint32_t id)
{
    paxos_withdraw(w->machines[id].paxos);
    collect(w, id);
}

bool world_deliver(struct world *w, uint32_t index)
{
    if (index >= w->mail_count)
        return false;
    struct mail mail = w->mail[index];
    if (prng_below(&w->prng, 100) >= w->double_percent)
        w->mail[index] = w->mail[--w->mail_count];
    else if (mail.message.paxos.value)
        blob_ref(mail.message.paxos.value); /* it stays, to come once more */
    struct machine *m = &w->machines[mail.to];
    if (m->paxos && prng_below(&w->prng, 100) >= w->loss_percent) {
        mail.message.from = mail.from;
        paxos_message(m->paxos, w->now, mail.answer ? to_peer(mail.from) : to_conn(mail.from), &mail.message,
                      &w->out);
        collect(w, mail.to);
    }
    message_release(&mail.message);
    return true;
}

void world_tick(struct world *w, uint32_t id)
{
    if (!w->machines[id].paxos)
        return;
    paxos_tick(w->machines[id].paxos, w->now, &w->out);
    collect(w, id);
}

void world_adopt(struct world *w, uint32_t id, uint64_t epoch)
{
    struct machine *m = &w->machines[id];
    if (!m->paxos || epoch <= m->epoch || !w->chosen[epoch])
        return;
    m->epoch = epoch;
    ring_set(w, m);
    paxos_check(m->paxos);
}

void world_settle(struct world *w)
{
    bool busy = true;
    while (busy) {
        busy = world_deliver(w, 0);
        for (uint32_t id = 1; id <= WORLD_MEMBERS; id++) {
            busy = busy || (w->machines[id].op && w->machines[id].paxos);
            world_sync(w, id, KV_OK);
        }
    }
}
