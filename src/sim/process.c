/* A node as a process: what kvd's shell does, on virtual time. Effects become packets, storage jobs and
 * dialled connections; what they cause comes back as events, one step each. */
#include <stdio.h>
#include <stdlib.h>

#include "sim/internal.h"
#include "sim/rings.h"

/* A storage job that will be finished, or an attempt to dial. Void when the process has died meanwhile. */
struct job_done {
    struct sim_timer timer;
    uint32_t node;
    uint64_t serial;
    struct sim_job *job;
};

struct attempt {
    struct sim_timer timer;
    uint32_t node;
    uint64_t serial;
    uint32_t member;
    uint64_t attempt;
};

static bool lives(const struct sim *s, uint32_t node, uint64_t serial)
{
    return s->processes[node].node && s->processes[node].serial == serial;
}

bool process_defers(struct sim *s, uint32_t node, struct sim_timer *t, uint64_t ns)
{
    struct process *p = &s->processes[node];
    if (!p->paused)
        return p->node && thread_takes(s, &p->loop, t, ns);
    list_push_back(&p->backlog, &t->waiting);
    return true;
}

/* All that has waited happens now, in order. */
static void fire_backlog(struct sim *s, struct process *p)
{
    p->paused = false;
    list_each_safe (it, &p->backlog) {
        list_remove(it);
        sim_schedule(s, container_of(it, struct sim_timer, waiting), s->now_us);
    }
}

/* A newer belief of a member replaces an older one, never the other way round. */
static void watch_beliefs(struct sim *s, struct process *p)
{
    const struct ring *ring = node_ring(p->node);
    bool new_ring = ring && ring->value.epoch != p->epoch_believed;
    p->epoch_believed = ring ? ring->value.epoch : 0;
    for (uint32_t i = 0; ring && i < ring->value.member_count; i++) {
        uint32_t member = ring->value.members[i].id;
        struct belief_seen *seen = &p->believed[member], now;
        if (!sim_look_belief(p->node, member, &now.generation, &now.incarnation))
            continue;
        bool older = now.generation != seen->generation ? now.generation < seen->generation
                                                        : now.incarnation < seen->incarnation;
        bool met_again =
            new_ring && now.generation == 0; /* it was given up for a change, and is asked anew */
        if (older && !met_again && !s->gullible)
            s->gullible = p->index;
        *seen = now;
    }
}

static void fire_tick(struct sim *s, struct sim_timer *t)
{
    struct process *p = container_of(t, struct process, tick);
    if (process_defers(s, p->index, t, 0))
        return;
    struct event e = {.type = EV_TICK};
    watch_beliefs(s, p);
    process_step(s, p, &e);
}

static void fire_doom(struct sim *s, struct sim_timer *t)
{
    struct process *p = container_of(t, struct process, doom);
    if (p->doom_is_power)
        sim_power_cut(s, p->index);
    else
        sim_kill(s, p->index);
}

void process_init(struct sim *s, uint32_t index)
{
    struct process *p = &s->processes[index];
    p->index = index;
    list_init(&p->backlog);
    list_init(&p->cores.ready);
    p->cores.cores = 1;
    struct core_pool *cores = !service_is_on(&s->config.service) ? NULL
                              : s->config.service.cores          ? &s->cores
                                                                 : &p->cores;
    thread_init(&p->loop, cores);
    disk_init(&p->disk, cores);
    p->tick = (struct sim_timer){.fire = fire_tick, .embedded = true};
    p->doom = (struct sim_timer){.fire = fire_doom, .embedded = true};
    snprintf(p->setup.name, sizeof p->setup.name, "n%u", index);
    snprintf(p->setup.cluster, sizeof p->setup.cluster, "sim");
    snprintf(p->setup.addr.host, sizeof p->setup.addr.host, "127.0.0.1");
    p->setup.addr.port = (uint16_t)(7600 + index);
    p->setup.weight = 1;
    p->setup.partitions = s->config.partitions;
    p->setup.replicas = s->config.replicas;
    struct node_founder *f = &s->founders[index - 1];
    memcpy(f->name, p->setup.name, sizeof f->name);
    f->addr = p->setup.addr;
    s->join[index - 1] = p->setup.addr;
    process_new_store(s, p);
}

/* What waited for them happens now, and finds the process gone. */
static void stop_threads(struct sim *s, struct process *p)
{
    thread_stop(s, &p->loop);
    disk_stop(s, &p->disk);
    sim_cancel(s, &p->tick);
    sim_cancel(s, &p->doom);
}

void process_deinit(struct sim *s, struct process *p)
{
    fire_backlog(s, p);
    stop_threads(s, p);
    if (p->node)
        node_destroy(p->node);
    sim_store_destroy(p->store);
    buf_deinit(&p->log);
}

struct process *process_at(struct sim *s, const struct addr *addr)
{
    for (uint32_t i = 1; i <= s->config.nodes; i++)
        if (s->processes[i].node && addr_eq(&s->processes[i].setup.addr, addr))
            return &s->processes[i];
    return NULL;
}

static uint64_t wall_ms(struct sim *s, const struct process *p)
{
    int64_t since_us = (int64_t)(s->now_us - p->setup.drift_us);
    int64_t skew_ms = p->setup.skew_ms + since_us / 1000 * p->setup.drift_ppm / 1000000;
    s->skew_min_ms = skew_ms < s->skew_min_ms ? skew_ms : s->skew_min_ms;
    s->skew_max_ms = skew_ms > s->skew_max_ms ? skew_ms : s->skew_max_ms;
    return (uint64_t)((int64_t)(SIM_WALL_MS + s->now_us / 1000) + skew_ms);
}

/* ---- dialling ---- */

static void fire_attempt(struct sim *s, struct sim_timer *t);

static void dial_later(struct sim *s, struct process *p, uint32_t member, uint64_t delay_us)
{
    struct attempt *a = sim_must(calloc(1, sizeof *a));
    a->timer.fire = fire_attempt;
    a->node = p->index;
    a->serial = p->serial;
    a->member = member;
    a->attempt = ++p->dials[member].attempt;
    sim_schedule(s, &a->timer, s->now_us + delay_us);
}

static void dial_again(struct sim *s, struct process *p, uint32_t member)
{
    struct dial *d = &p->dials[member];
    dial_later(s, p, member, d->backoff_us);
    d->backoff_us = 2 * d->backoff_us < SIM_BACKOFF_MAX_US ? 2 * d->backoff_us : SIM_BACKOFF_MAX_US;
}

static void tell_peer(struct sim *s, struct process *p, enum event_type type, uint32_t member)
{
    struct event e = {.type = type};
    e.peer = member;
    process_step(s, p, &e);
}

static void fire_attempt(struct sim *s, struct sim_timer *t)
{
    struct attempt a = *(struct attempt *)t;
    if (process_defers(s, a.node, t, 0))
        return;
    free(t);
    struct process *p = &s->processes[a.node];
    struct dial *d = &p->dials[a.member];
    if (!lives(s, a.node, a.serial) || d->attempt != a.attempt || !d->wanted || d->conn)
        return;
    struct process *to = process_at(s, &d->addr);
    bool cut = to && (net_stalls(s, p->index, to->index) || net_stalls(s, to->index, p->index));
    if (!to || cut) {
        dial_again(s, p, a.member);
        if (cut)
            dial_later(s, p, a.member, SIM_DIAL_LIMIT_US + d->backoff_us);
        tell_peer(s, p, EV_PEER_LOST, a.member);
        return;
    }
    d->conn =
        net_connect(s, (struct end){.node = p->index, .serial = p->serial, .member = a.member}, to->index);
    d->backoff_us = SIM_BACKOFF_MIN_US;
    sim_note(s, p->index, to->index);
    tell_peer(s, p, EV_PEER_CONNECTED, a.member);
}

static void want_peer(struct sim *s, struct process *p, uint32_t member, const struct addr *addr)
{
    KV_ASSERT(member >= 1 && member <= SIM_MEMBERS_MAX);
    struct dial *d = &p->dials[member];
    bool same = addr_eq(&d->addr, addr);
    d->wanted = addr->port != 0;
    d->addr = *addr;
    d->backoff_us = SIM_BACKOFF_MIN_US;
    if (d->conn && (!same || !d->wanted))
        net_close(s, d->conn, 0); /* dialled again when it is gone */
    else if (!d->conn && d->wanted)
        dial_later(s, p, member, sim_between(s, s->config.delay_min_us, s->config.delay_max_us));
}

void process_conn_lost(struct sim *s, struct sim_conn *c, int end)
{
    struct process *p = &s->processes[c->ends[end].node];
    if (end == 1) {
        struct event e = {.type = EV_CONN_CLOSED};
        e.conn = c->id;
        process_step(s, p, &e);
        return;
    }
    uint32_t member = c->ends[0].member;
    struct dial *d = &p->dials[member];
    if (d->conn != c)
        return;
    d->conn = NULL;
    if (d->wanted)
        dial_again(s, p, member);
    tell_peer(s, p, EV_PEER_LOST, member);
}

/* ---- effects ---- */

static struct sim_conn *conn_of(struct sim *s, struct process *p, struct endpoint at, int *end)
{
    *end = at.conn ? 1 : 0;
    struct sim_conn *c = at.conn                      ? net_find(s, at.conn)
                         : at.peer <= SIM_MEMBERS_MAX ? p->dials[at.peer].conn
                                                      : NULL;
    return c && c->ends[*end].open ? c : NULL;
}

static void fire_job(struct sim *s, struct sim_timer *t)
{
    struct job_done j = *(struct job_done *)t;
    if (process_defers(s, j.node, t, 0))
        return;
    free(t);
    if (!lives(s, j.node, j.serial))
        return; /* the crash took care of it */
    struct process *p = &s->processes[j.node];
    struct event e;
    arena_reset(&s->arena);
    if (s->now_us >= p->synced_us + (s->config.sync == SIM_SYNC_NONE ? SIM_WRITEBACK_US : SIM_SYNC_US)) {
        sim_store_sync(p->store);
        p->synced_us = s->now_us;
    }
    sim_store_finish(p->store, j.job, &s->arena, &e);
    if (e.type == EV_STORE_WRITTEN && e.written.status == KV_E_FULL)
        s->tally.counts[TALLY_DISK_FULL]++;
    process_step(s, p, &e);
    sim_job_release(j.job, &e);
}

static void submit(struct sim *s, struct process *p, struct effect *e)
{
    struct job_done *j = sim_must(calloc(1, sizeof *j));
    j->timer.fire = fire_job;
    j->node = p->index;
    j->serial = p->serial;
    bool is_read = e->type == EF_STORE_READ;
    j->job = sim_store_submit(p->store, e);
    if (p->loop.pool && sim_job_is_write(j->job)) {
        disk_takes(s, &p->disk, &j->timer);
        return;
    }
    uint64_t at = s->now_us + sim_between(s, s->config.disk_min_us, s->config.disk_max_us);
    if (is_read)
        at += thread_owes(s, &p->loop, s->config.service.read_ns);
    if (p->setup.disk_extra_us) {
        s->tally.counts[TALLY_DISK_SLOW]++;
        at += sim_between(s, 0, p->setup.disk_extra_us);
    }
    if (sim_job_is_write(j->job)) {
        at = at > p->last_write_us ? at : p->last_write_us;
        p->last_write_us = at;
        if (heap_contains(&p->doom.at))
            sim_schedule(s, &p->doom, sim_between(s, s->now_us, at));
    }
    sim_schedule(s, &j->timer, at);
}

static void log_line_of(struct sim *s, struct process *p, const char *text)
{
    KV_ASSERT(buf_printf(&p->log, "%s\n", text) == KV_OK);
    if (s->config.log)
        s->config.log(p->index, s->now_us, text);
}

/* Whether the ring that its disk knows has given it up: for the change that is under way, or for good, when
 * it has missed what it would need and its place is left to whoever comes under its name. */
static bool is_given_up(const struct process *p)
{
    struct ring_value v;
    if (ring_value_decode(sim_store_meta(p->store, META_RING), &v) != KV_OK)
        return false;
    const struct member *m = ring_value_find_name(&v, p->setup.name);
    bool given_up = m && (m->dead || m->store_id == 0);
    ring_value_deinit(&v);
    return given_up;
}

/* A node that must not go on as it is leaves, and is started again by whoever looks after it; or it has left
 * the ring, died before it could say so, and finds out at its next start. */
static bool leaves_rightly(const struct sim *s, const struct process *p, int status)
{
    bool is_out = is_given_up(p) || (sim_ring(s) && !sim_member(s, p->index));
    return status == KV_OK || (status == KV_E_STALE_STORE && p->put_back) ||
           (status == KV_E_NOT_MEMBER && is_out);
}

static void carry_out(struct sim *s, struct process *p, struct effect *e)
{
    int end;
    struct sim_conn *c;
    switch (e->type) {
    case EF_NONE:
    case EF_ACCEPT: break;
    case EF_SEND:
        c = conn_of(s, p, e->send.to, &end);
        if (c)
            net_send(s, c, end, &e->send.message);
        break;
    case EF_DATAGRAM: net_datagram(s, p->index, &e->datagram.to, &e->datagram.message); break;
    case EF_PEER: want_peer(s, p, e->peer.member, &e->peer.addr); break;
    case EF_CLOSE:
        c = conn_of(s, p, e->conn.at, &end);
        if (c)
            net_close(s, c, end);
        break;
    case EF_STORE_WRITE:
    case EF_STORE_MERGE:
    case EF_STORE_READ:
    case EF_STORE_META:
    case EF_STORE_RANGE:
    case EF_STORE_HINTS:
    case EF_STORE_HINT_DONE:
    case EF_STORE_ROWS:
    case EF_STORE_DELETE:
    case EF_STORE_HAS:
    case EF_STORE_TREE:
    case EF_STORE_TOTALS: submit(s, p, e); break;
    case EF_LOG: log_line_of(s, p, e->log.text); break;
    case EF_EXIT:
        p->exiting = true;
        p->exit_status = e->exit.status;
        if (!s->failed && !leaves_rightly(s, p, e->exit.status)) {
            s->failed = p->index;
            snprintf(s->failure, sizeof s->failure, "%s", e->exit.text);
        }
        log_line_of(s, p, e->exit.text);
        break;
    }
}

static void end_process(struct sim *s, struct process *p)
{
    net_process_gone(s, p->index, p->serial);
    s->tally.counts[TALLY_WRITE_TORN] += sim_store_crash(p->store, &s->prng);
    fire_backlog(s, p);
    stop_threads(s, p);
    sim_look_counters(p->node, &s->tally);
    node_destroy(p->node);
    p->node = NULL;
    memset(p->dials, 0, sizeof p->dials);
    memset(p->believed, 0, sizeof p->believed);
    p->epoch_seen = 0;
    p->epoch_believed = 0;
    sim_note(s, p->index, UINT64_MAX);
}

void process_step(struct sim *s, struct process *p, const struct event *e)
{
    KV_ASSERT(p->node && !s->stepping && !p->paused);
    s->stepping = true;
    sim_note(s, p->index, e->type);
    struct now now = {.mono_us = 1000000 + s->now_us, .wall_ms = wall_ms(s, p)};
    node_step(p->node, now, e, &s->out);
    if (p->steps++ % (s->config.check_steps ? s->config.check_steps : SIM_CHECK_STEPS) == 0)
        node_check(p->node);
    sim_rings_watch(s, p->index);
    for (uint32_t i = 0; i < s->out.count; i++)
        carry_out(s, p, &s->out.effects[i]);
    outbox_reset(&s->out);
    s->stepping = false;
    if (p->exiting) {
        p->exiting = false;
        p->exited = true;
        end_process(s, p);
        return;
    }
    uint64_t deadline_us = node_deadline_us(p->node);
    if (deadline_us == UINT64_MAX)
        sim_cancel(s, &p->tick);
    else
        sim_schedule(s, &p->tick, deadline_us > now.mono_us ? deadline_us - 1000000 : s->now_us + 1);
}

/* ---- lives ---- */

struct sim_setup *sim_setup(struct sim *s, uint32_t node)
{
    return &s->processes[node].setup;
}

struct sim_usage sim_usage(const struct sim *s, uint32_t node)
{
    const struct process *p = &s->processes[node];
    struct sim_usage u = s->net.sent[node];
    u.core_us = thread_busy_us(s, &p->loop) + thread_busy_us(s, &p->disk.thread);
    u.disk_us = disk_busy_us(s, &p->disk);
    u.syncs = p->disk.syncs;
    u.rows = p->disk.rows;
    return u;
}

struct node *sim_node(struct sim *s, uint32_t node)
{
    return s->processes[node].node;
}

static uint64_t meta_u64(const struct process *p, const char *name)
{
    struct bytes value = sim_store_meta(p->store, name);
    return value.len == 8 ? be64_get(value.data) : 0;
}

static uint64_t next_generation(struct process *p)
{
    uint64_t generation = meta_u64(p, META_GENERATION) + 1;
    uint8_t value[8];
    be64_put(value, generation);
    sim_store_meta_put(p->store, META_GENERATION, bytes_of(value, 8));
    return generation;
}

int sim_start(struct sim *s, uint32_t node)
{
    struct process *p = &s->processes[node];
    KV_ASSERT(!p->node);
    if (p->setup.disk_refuses) {
        s->tally.counts[TALLY_DISK_REFUSED]++;
        return KV_E_IO;
    }
    if (p->serial)
        s->tally.counts[TALLY_RESTART]++;
    struct node_config config = {
        .name = p->setup.name,
        .cluster = p->setup.cluster,
        .zone = p->setup.zone,
        .weight = p->setup.weight,
        .addr = p->setup.addr,
        .replicas = p->setup.replicas,
        .partitions = p->setup.partitions,
        .value_max_bytes = VALUE_MAX_BYTES,
        .seed = prng_u64(&s->prng),
        .topology = &s->config.topology,
        .hub = s->config.topology != TOPOLOGY_RING ? s->processes[SIM_HUB].setup.name : NULL,
        .swim = swim_config_default(),
        .repair_round_us = s->config.repair_round_us ? s->config.repair_round_us : SIM_REPAIR_ROUND_US,
        .purge_interval_us = s->config.purge_us,
        .row_age_max_ms = s->config.row_age_max_ms,
        .hints_max_bytes = s->config.hints_max_bytes,
        .founders = s->founders,
        .founder_count = node <= s->config.founders ? s->config.founders : 0,
        .join = s->join,
        .join_count = node <= s->config.founders ? 0 : s->config.founders,
        .store_id = sim_store_id(p->store),
        .generation = next_generation(p),
        .hlc_floor = meta_u64(p, META_FLOOR),
        .ring = sim_store_meta(p->store, META_RING),
        .accepted = sim_store_meta(p->store, META_ACCEPTED),
        .transfer = sim_store_meta(p->store, META_TRANSFER),
        .sequence = sim_store_sequence(p->store),
        .member = meta_u64(p, META_MEMBER),
        .paxos = sim_store_meta(p->store, META_PAXOS),
        .stores = sim_store_meta(p->store, META_STORES),
    };
    char error[256];
    int rc = node_create(&config, &p->node, error);
    if (rc != KV_OK)
        fprintf(stderr, "node %u: %s: %s\n", node, kv_error_word(rc), error);
    KV_ASSERT(rc == KV_OK);
    p->serial = ++s->next_serial;
    p->exited = false;
    p->last_write_us = s->now_us;
    for (uint32_t member = 1; member <= SIM_MEMBERS_MAX; member++) {
        uint64_t bytes;
        uint32_t count = sim_store_notes(p->store, member, &bytes);
        if (count)
            KV_ASSERT(node_hint_total(p->node, member, count, bytes) == KV_OK);
    }
    struct event e = {.type = EV_START};
    process_step(s, p, &e);
    return KV_OK;
}

void sim_kill(struct sim *s, uint32_t node)
{
    if (s->processes[node].node)
        end_process(s, &s->processes[node]);
}

void sim_power_cut(struct sim *s, uint32_t node)
{
    sim_kill(s, node);
    s->tally.counts[TALLY_WRITE_LOST] += sim_store_power_cut(s->processes[node].store, &s->prng);
}

void sim_doom(struct sim *s, uint32_t node, bool power, uint64_t us)
{
    struct process *p = &s->processes[node];
    KV_ASSERT(p->node);
    p->doom_is_power = power;
    sim_schedule(s, &p->doom, s->now_us + us);
}

void sim_spare(struct sim *s, uint32_t node)
{
    sim_cancel(s, &s->processes[node].doom);
}

void sim_stop(struct sim *s, uint32_t node)
{
    struct event e = {.type = EV_STOP};
    process_step(s, &s->processes[node], &e);
}

void sim_pause(struct sim *s, uint32_t node)
{
    KV_ASSERT(s->processes[node].node);
    s->processes[node].paused = true;
}

void sim_resume(struct sim *s, uint32_t node)
{
    if (s->processes[node].paused)
        fire_backlog(s, &s->processes[node]);
}

bool sim_paused(const struct sim *s, uint32_t node)
{
    return s->processes[node].paused;
}

bool sim_exited(const struct sim *s, uint32_t node, int *status)
{
    *status = s->processes[node].exit_status;
    return s->processes[node].exited;
}

uint32_t sim_failed(const struct sim *s, const char **why)
{
    *why = s->failure;
    return s->failed;
}

uint32_t sim_backwards(const struct sim *s)
{
    return s->backwards;
}

uint32_t sim_crossed(const struct sim *s)
{
    return s->crossed;
}

uint32_t sim_gullible(const struct sim *s)
{
    return s->gullible;
}

uint32_t sim_logged(const struct sim *s, uint32_t node, const char *text)
{
    uint32_t count = 0;
    const struct buf *log = &s->processes[node].log;
    for (const char *at = log->len ? (const char *)log->data : ""; (at = strstr(at, text));
         at += strlen(text))
        count++;
    return count;
}
