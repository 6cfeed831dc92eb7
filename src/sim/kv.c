#include "sim/kv.h"

#include <stdio.h>
#include <stdlib.h>

#include "sim/internal.h"

#define KV_SLOTS (SIM_NODES_MAX + 64u) /* nodes, and their aliases */

struct sim_kv {
    struct sim *sim;
    struct client *core;
    struct sim_timer tick;
    uint64_t steps;
    struct core_pool cores; /* of its own machine */
    struct thread own;
    struct thread *thread; /* its own, or that of all clients */
    struct sim_conn *conns[KV_SLOTS];
    uint64_t dials[KV_SLOTS]; /* of several attempts only the latest counts */
};

struct dialling {
    struct sim_timer timer;
    struct sim_kv *kv;
    uint32_t slot;
    uint64_t dial;
    struct addr addr;
};

static void pump(struct sim_kv *kv);

static void fire_dial(struct sim *s, struct sim_timer *t)
{
    struct dialling d = *(struct dialling *)t;
    free(t);
    struct sim_kv *kv = d.kv;
    if (kv->dials[d.slot] != d.dial)
        return;
    struct process *to = process_at(s, &d.addr);
    if (!to || net_stalls(s, 0, to->index) || net_stalls(s, to->index, 0)) {
        client_lost(kv->core, s->now_us, d.slot, "refused");
    } else {
        kv->conns[d.slot] = net_connect(s, (struct end){.kv = kv, .member = d.slot}, to->index);
        client_connected(kv->core, s->now_us, d.slot);
    }
    pump(kv);
}

static void dial(struct sim_kv *kv, uint32_t slot, const struct addr *addr)
{
    KV_ASSERT(slot < KV_SLOTS);
    struct dialling *d = sim_must(calloc(1, sizeof *d));
    d->timer.fire = fire_dial;
    d->kv = kv;
    d->slot = slot;
    d->dial = ++kv->dials[slot];
    d->addr = *addr;
    sim_schedule(kv->sim, &d->timer,
                 kv->sim->now_us +
                     sim_between(kv->sim, kv->sim->config.delay_min_us, kv->sim->config.delay_max_us));
}

static void hang_up(struct sim_kv *kv, uint32_t slot)
{
    struct sim_conn *c = kv->conns[slot];
    kv->dials[slot]++;
    kv->conns[slot] = NULL;
    if (c)
        net_close(kv->sim, c, 0);
}

static void carry_out(struct sim_kv *kv)
{
    struct client_effect e;
    while (client_next_effect(kv->core, &e)) {
        switch (e.type) {
        case CLIENT_DIAL: dial(kv, e.peer, &e.addr); break;
        case CLIENT_CLOSE: hang_up(kv, e.peer); break;
        case CLIENT_SEND:
            if (kv->conns[e.peer])
                net_send(kv->sim, kv->conns[e.peer], 0, &e.message);
            break;
        case CLIENT_LOG: break;
        }
    }
}

static void call_back(const struct client_done *done)
{
    if (done->op == CLIENT_GET || done->op == CLIENT_PUT || done->op == CLIENT_DEL)
        done->callback.result(&done->result, done->arg);
    else if (done->op == CLIENT_SCAN)
        done->callback.scan(&done->scan, done->arg);
}

/* After each call into the core. */
static void pump(struct sim_kv *kv)
{
    struct client_done *done;
    carry_out(kv);
    while ((done = client_next_done(kv->core))) {
        call_back(done);
        client_done_release(kv->core, done);
        carry_out(kv);
    }
    if (!kv->sim->config.check_steps || kv->steps++ % kv->sim->config.check_steps == 0)
        client_check(kv->core);
    uint64_t deadline_us = client_deadline_us(kv->core);
    if (deadline_us == UINT64_MAX)
        sim_cancel(kv->sim, &kv->tick);
    else
        sim_schedule(kv->sim, &kv->tick, deadline_us > kv->sim->now_us ? deadline_us : kv->sim->now_us + 1);
}

static void fire_tick(struct sim *s, struct sim_timer *t)
{
    struct sim_kv *kv = container_of(t, struct sim_kv, tick);
    client_tick(kv->core, s->now_us);
    pump(kv);
}

bool sim_kv_defers(struct sim *s, struct sim_kv *kv, struct sim_timer *t)
{
    return s->config.service.client_ns && thread_takes(s, kv->thread, t, s->config.service.client_ns);
}

void sim_kv_message(struct sim *s, struct sim_conn *c, struct message *m)
{
    struct sim_kv *kv = c->ends[0].kv;
    client_message(kv->core, s->now_us, c->ends[0].member, m);
    pump(kv);
}

void sim_kv_conn_lost(struct sim *s, struct sim_conn *c)
{
    struct sim_kv *kv = c->ends[0].kv;
    uint32_t slot = c->ends[0].member;
    if (kv->conns[slot] != c)
        return;
    kv->conns[slot] = NULL;
    client_lost(kv->core, s->now_us, slot, "closed by the node");
    pump(kv);
}

struct sim_kv *sim_kv_create(struct sim *s)
{
    struct sim_kv *kv = sim_must(calloc(1, sizeof *kv));
    char nodes[SIM_NODES_MAX * 24] = "";
    size_t len = 0;
    for (uint32_t i = 1; i <= s->config.nodes; i++)
        len += (size_t)snprintf(nodes + len, sizeof nodes - len, "%s%s:%u", i > 1 ? "," : "",
                                s->processes[i].setup.addr.host, s->processes[i].setup.addr.port);
    kv->sim = s;
    list_init(&kv->cores.ready);
    kv->cores.cores = 1;
    thread_init(&kv->own, &kv->cores);
    kv->thread = s->config.service.cores ? &s->client_thread : &kv->own;
    kv->tick = (struct sim_timer){.fire = fire_tick, .embedded = true};
    struct kv_options options = {.nodes = nodes};
    KV_ASSERT(client_create(&options, prng_u64(&s->prng), &kv->core) == KV_OK);
    return kv;
}

void sim_kv_destroy(struct sim_kv *kv)
{
    struct client_done *done;
    if (!kv)
        return;
    sim_cancel(kv->sim, &kv->tick);
    client_shutdown(kv->core, kv->sim->now_us);
    carry_out(kv);
    while ((done = client_next_done(kv->core)))
        client_done_release(kv->core, done);
    client_destroy(kv->core);
    thread_stop(kv->sim, &kv->own);
    free(kv);
}

int sim_kv_submit(struct sim_kv *kv, const struct client_order *order)
{
    int rc = client_submit(kv->core, kv->sim->now_us, order);
    pump(kv);
    return rc;
}

uint32_t sim_kv_pending(const struct sim_kv *kv)
{
    return client_pending(kv->core);
}
