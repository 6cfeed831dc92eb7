/* What a node tells of itself and of the others: STATUS, the members as it sees them; STATS, its counters. */
#include "node/internal.h"

/* ---- STATUS ---- */

/* What a member is to the change that is under way. */
static enum ring_state ring_state(const struct ring_value *v, const struct member *m)
{
    if (v->phase == RING_STABLE)
        return RING_STATE_NORMAL;
    if (m->dead)
        return RING_STATE_REMOVED;
    if (m->weight == 0)
        return RING_STATE_LEAVING;
    return m->old_weight == 0 ? RING_STATE_JOINING : RING_STATE_NORMAL;
}

/* How far a member is with what it gains. */
static void add_progress(const struct node *n, const struct peer *p, struct status_member *s)
{
    struct msg_progress progress = {0};
    if (s->id == n->self)
        progress = change_own_progress(n);
    else if (p)
        progress = p->progress;
    s->epoch = s->id == n->self ? adopt_epoch(n) : p ? p->epoch : 0;
    if (n->ring->value.phase == RING_STABLE || progress.source_epoch != n->ring->value.source_epoch)
        return;
    s->partitions_done = progress.partitions_done;
    s->partitions_total = progress.partitions_total;
    s->moved_bytes = progress.bytes;
}

static struct status_member member_status(const struct node *n, const struct member *m)
{
    struct status_member s = {
        .id = m->id,
        .name = m->name,
        .zone = m->zone,
        .addr = m->addr,
        .state = MEMBER_DEAD,
        .in_ring = 1,
        .partitions = ring_owned(n->ring, m->id),
        .weight = m->weight ? m->weight : m->old_weight,
        .ring = (uint8_t)ring_state(&n->ring->value, m),
    };
    struct member_view view;
    const struct peer *p = peers_find(n, m->id);
    if (n->self)
        add_progress(n, p, &s);
    if (membership_lookup(n, m->id, &view) == KV_OK) {
        s.state = (uint8_t)view.state;
        s.generation = view.generation;
        s.incarnation = view.incarnation;
        if (view.addr.port)
            s.addr = view.addr;
        s.rtt_us = coord_rtt_us(n->coord, m->id);
        if (!s.rtt_us)
            s.rtt_us = view.rtt_us;
    } else if (p && p->up) {
        s.state = MEMBER_ALIVE;
        s.generation = p->generation;
    }
    if (m->id == n->self && n->stopping)
        s.state = MEMBER_LEFT;
    return s;
}

static struct status_member self_status(const struct node *n)
{
    return (struct status_member){
        .id = n->self,
        .name = n->name,
        .zone = n->zone,
        .addr = n->addr,
        .state = n->stopping ? MEMBER_LEFT : MEMBER_ALIVE,
        .generation = n->generation,
        .weight = n->weight,
        .ring = join_active(n) ? RING_STATE_JOINING : RING_STATE_NONE,
    };
}

static struct status_member founder_status(const struct node *n, uint32_t index)
{
    const struct founder *f = &n->form.founders[index];
    const struct peer *p = peers_find(n, index + 1);
    return (struct status_member){
        .id = index + 1,
        .name = f->name,
        .zone = f->zone,
        .addr = f->addr,
        .state = p && p->up ? MEMBER_ALIVE : MEMBER_DEAD,
        .generation = p && p->up ? p->generation : 0,
        .weight = f->weight,
    };
}

/* Whether it has become a member since. */
static bool has_joined(const struct node *n, const struct newcomer *it)
{
    const struct member *m = n->ring ? ring_value_find_name(&n->ring->value, it->name) : NULL;
    return m && m->store_id == it->store_id;
}

static uint32_t list_newcomers(const struct node *n, struct status_member *members)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < n->conns.newcomer_count; i++) {
        const struct newcomer *it = &n->conns.newcomers[i];
        if (n->now.mono_us < it->seen_us + NEWCOMER_KEEP_US && !has_joined(n, it))
            members[count++] = (struct status_member){
                .name = it->name,
                .zone = "",
                .addr = it->addr,
                .state = MEMBER_ALIVE,
                .generation = it->generation,
                .ring = RING_STATE_JOINING,
            };
    }
    return count;
}

/* Members first, in order of id; then who is none: this node itself, founders before there is a ring, and
 * newcomers that were refused lately. */
static uint32_t list_members(const struct node *n, struct status_member *members)
{
    uint32_t count = 0;
    for (uint32_t i = 0; n->ring && i < n->ring->value.member_count; i++)
        members[count++] = member_status(n, &n->ring->value.members[i]);
    for (uint32_t i = 0; form_active(n) && i < n->form.count; i++)
        if (i != n->form.self)
            members[count++] = founder_status(n, i);
    if (!n->self)
        members[count++] = self_status(n);
    return count + list_newcomers(n, &members[count]);
}

static const char *const *list_queue(struct node *n, uint32_t *count)
{
    const struct ring_value *v = n->ring ? &n->ring->value : NULL;
    *count = v ? v->queue_count : 0;
    const char **queue = arena_alloc(&n->out->arena, *count * sizeof *queue);
    if (!queue)
        *count = 0;
    for (uint32_t i = 0; i < *count; i++)
        queue[i] = ask_text(n, &v->queue[i]);
    return queue;
}

void status_send(struct node *n, struct endpoint to, uint64_t id)
{
    uint32_t most = (n->ring ? n->ring->value.member_count : n->form.count) + 1 + NEWCOMERS_MAX;
    struct status_member *members = arena_alloc(&n->out->arena, most * sizeof *members);
    struct message *m = outbox_send(n->out, to, MSG_STATUS, id);
    m->status = (struct msg_status){
        .cluster = n->cluster,
        .seen_by = n->self,
        .seen_by_name = n->name,
        .ring_hash = n->ring ? n->ring->hash : 0,
        .ring_epoch = adopt_epoch(n),
        .phase = n->ring ? n->ring->value.phase : RING_STABLE,
        .topology = (uint8_t)n->topology,
        .hub = n->ring ? n->ring->value.hub : 0,
        .count = members ? list_members(n, members) : 0,
        .members = members,
    };
    m->status.queue = list_queue(n, &m->status.queue_count);
}

/* ---- STATS ---- */

#define STATS_MAX 192u

struct table {
    struct stat_value *stats;
    uint32_t count;
};

static void add(struct table *t, const char *name, uint64_t value)
{
    KV_ASSERT(t->count < STATS_MAX);
    t->stats[t->count++] = (struct stat_value){.name = name, .value = value};
}

static void add_coord(const struct node *n, struct table *t)
{
    static const char *const gets[] = {"ops_get_ok",      "ops_get_not_found",  "ops_get_unavailable",
                                       "ops_get_timeout", "ops_get_overloaded", "ops_get_refused"};
    static const char *const puts[] = {"ops_put_ok",      "ops_put_not_found",  "ops_put_unavailable",
                                       "ops_put_timeout", "ops_put_overloaded", "ops_put_refused"};
    struct coord_counters c = n->coord ? coord_counters(n->coord) : (struct coord_counters){0};
    for (uint32_t i = 0; i <= OUTCOME_REFUSED; i++)
        add(t, gets[i], c.gets[i]);
    for (uint32_t i = 0; i <= OUTCOME_REFUSED; i++)
        if (i != OUTCOME_NOT_FOUND)
            add(t, puts[i], c.puts[i]);
    add(t, "hedges", c.hedges);
    add(t, "write_backs", c.write_backs);
    add(t, "hinted", c.hinted);
    add(t, "replans", c.replans);
    add(t, "late_answers", c.late_answers);
    add(t, "requests_in_flight", n->coord ? coord_in_flight(n->coord) : 0);
    add(t, "requests_unanswered", n->coord ? coord_unanswered(n->coord) : 0);
    add(t, "scans_active", n->scans ? scans_active(n->scans) : 0);
    add(t, "hints_waiting", n->hints ? hints_waiting(n->hints, 0) : 0);
    add(t, "hints_bytes", n->hints ? hints_bytes(n->hints) : 0);
    add(t, "hints_handed_over", n->hints ? hints_handed_over(n->hints) : 0);
    add(t, "hints_unreadable", n->hints ? hints_unreadable(n->hints) : 0);
}

static void add_swim(const struct node *n, struct table *t)
{
    const struct swim *swim = n->membership.swim;
    struct swim_counters s = swim ? swim_counters(swim) : (struct swim_counters){0};
    add(t, "swim_probes", s.probes);
    add(t, "swim_acks", s.acks);
    add(t, "swim_nacks", s.nacks);
    add(t, "swim_indirect_probes", s.indirect_probes);
    add(t, "swim_suspicions", s.suspicions);
    add(t, "swim_deaths", s.deaths);
    add(t, "swim_refutations", s.refutations);
    add(t, "swim_syncs", s.syncs);
    add(t, "swim_ignored", s.ignored);
    add(t, "swim_awareness", s.awareness);
}

static void add_hub(const struct node *n, struct table *t)
{
    const struct hub *hub = n->membership.hub;
    struct hub_counters h = hub ? hub_counters(hub) : (struct hub_counters){0};
    add(t, "hub_heartbeats", h.heartbeats);
    add(t, "hub_acks", h.acks);
    add(t, "hub_calls", h.calls);
    add(t, "hub_suspicions", h.suspicions);
    add(t, "hub_deaths", h.deaths);
    add(t, "hub_lists", h.lists);
    add(t, "hub_list_version", h.version);
    add(t, "hub_ignored", h.ignored);
    add(t, "hub_clients_sent_there", n->centre_refused);
}

static void add_move(const struct node *n, struct table *t)
{
    const struct move *mv = &n->move;
    struct transfer_counters c =
        mv->transfer ? transfer_counters(mv->transfer) : (struct transfer_counters){0};
    struct transfer_progress p =
        mv->transfer ? transfer_progress(mv->transfer) : (struct transfer_progress){0};
    add(t, "transfer_partitions_done", p.partitions_done);
    add(t, "transfer_partitions_total", p.partitions_total);
    add(t, "transfer_rate_bytes", p.rate_bytes);
    add(t, "transfer_pages", c.pages);
    add(t, "transfer_rows", c.rows);
    add(t, "transfer_bytes", c.bytes);
    add(t, "transfer_refused", c.refused);
    add(t, "transfer_timeouts", c.timeouts);
    add(t, "transfer_damaged", c.damaged);
    add(t, "transfer_partitions_lost", c.lost);
    add(t, "transfer_pages_given", mv->pages);
    add(t, "transfer_bytes_given", mv->bytes);
    add(t, "transfer_pulls_refused", mv->refused);
    add(t, "rows_dropped", mv->drop ? drop_rows(mv->drop) : 0);
}

static void add_own(const struct node *n, struct table *t)
{
    const struct replica *r = &n->replica;
    add(t, "rows_written", r->rows_written);
    add(t, "rows_read", r->reads);
    add(t, "pages_read", r->pages);
    add(t, "replica_refused", r->refused);
    add(t, "replica_stale", r->stale);
    add(t, "replica_wrong_ring", r->wrong_ring);
    add(t, "storage_ops_in_flight", r->active);
    add(t, "bytes_in_flight", front_bytes_in_flight(n));
    add(t, "disk_full", r->full);
    add(t, "requests_refused", n->front.refused);
    add(t, "requests_unavailable", n->front.unavailable);
    add(t, "stamps_refused", n->front.invalid_stamps);
    add(t, "gets_local", n->front.local_gets);
    add(t, "scan_pages", n->front.scans);
    add(t, "messages_misplaced", n->misplaced);
    add(t, "clients", n->conns.clients);
    add(t, "generation", n->generation);
    add(t, "ring_epoch", adopt_epoch(n));
    add(t, "ring_partitions_owned", n->ring && n->self ? ring_owned(n->ring, n->self) : 0);
    add(t, "clock_ahead_ms", n->hlc.ahead_ms > 0 ? (uint64_t)n->hlc.ahead_ms : 0);
    add(t, "clock_behind_ms", n->hlc.ahead_ms < 0 ? (uint64_t)-n->hlc.ahead_ms : 0);
    add(t, "clocks_refused", n->hlc.refused);
}

static void add_paxos(const struct node *n, struct table *t)
{
    struct paxos_counters c = n->paxos ? paxos_counters(n->paxos) : (struct paxos_counters){0};
    add(t, "paxos_rounds", c.rounds);
    add(t, "paxos_promises", c.promises);
    add(t, "paxos_acceptances", c.acceptances);
    add(t, "paxos_preempted", c.preempted);
    add(t, "paxos_decisions", c.decisions);
}

/* What an operator's order could not compare, as numbers: whom with, the error's, how many partitions, and
 * the first of them. */
static void add_missed(const struct node *n, struct table *t)
{
    const struct entropy_missed *missed = NULL;
    uint32_t count = n->heal.entropy ? entropy_missed(n->heal.entropy, &missed) : 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct {
            const char *name;
            uint64_t value;
        } figures[] = {{"node", missed[i].member},
                       {"error", (uint64_t)-missed[i].status},
                       {"partitions", missed[i].partitions},
                       {"first", missed[i].first}};
        for (uint32_t f = 0; f < 4; f++) {
            const char *name = arena_printf(&n->out->arena, "entropy_missed_%u_%s", i + 1, figures[f].name);
            if (*name)
                add(t, name, figures[f].value);
        }
    }
}

static void add_heal(const struct node *n, struct table *t)
{
    struct entropy_counters c =
        n->heal.entropy ? entropy_counters(n->heal.entropy) : (struct entropy_counters){0};
    add(t, "entropy_rounds", c.rounds);
    add(t, "entropy_last_round_us", c.last_round_us);
    add(t, "entropy_partitions_compared", c.compared);
    add(t, "entropy_partitions_differed", c.differed);
    add(t, "entropy_partitions_scrubbed", c.scrubbed);
    add(t, "entropy_sessions", c.sessions);
    add(t, "entropy_sessions_failed", c.sessions_failed);
    add(t, "entropy_questions", c.served);
    add(t, "entropy_questions_refused", c.refused);
    add(t, "entropy_malformed", c.malformed);
    add(t, "entropy_rows_sent", c.rows_sent);
    add(t, "entropy_rows_received", c.rows_received);
    add(t, "entropy_rows_young", c.rows_young);
    add(t, "entropy_bytes_sent", c.bytes_sent);
    add(t, "entropy_bytes_received", c.bytes_received);
    add(t, "entropy_repair_left", c.repair_left);
    add(t, "entropy_repair_missed", c.repair_missed);
    add_missed(n, t);
}

static void add_sweep(const struct node *n, struct table *t)
{
    struct purge_counters c = n->purge ? purge_counters(n->purge) : (struct purge_counters){0};
    uint64_t stopped = 0;
    for (uint32_t i = PURGE_EMPTY + 1; i < PURGE_ENDS; i++)
        stopped += c.ends[i];
    add(t, "purge_rounds", c.rounds);
    add(t, "purge_rounds_done", c.ends[PURGE_DONE]);
    add(t, "purge_rounds_stopped", stopped);
    add(t, "purge_rows_seen", c.seen);
    add(t, "purge_rows_purged", c.purged);
    add(t, "purge_keys_differed", c.differed);
    add(t, "purge_keys_found_elsewhere", c.found);
    add(t, "purge_keys_watched", c.watched);
    add(t, "purge_partitions_marked", c.marked);
}

void stats_send(struct node *n, struct endpoint to, uint64_t id)
{
    struct table t = {.stats = arena_alloc(&n->out->arena, STATS_MAX * sizeof *t.stats)};
    if (t.stats) {
        add_own(n, &t);
        add_coord(n, &t);
        if (n->hub[0])
            add_hub(n, &t);
        else
            add_swim(n, &t);
        add_paxos(n, &t);
        add_move(n, &t);
        add_heal(n, &t);
        add_sweep(n, &t);
    }
    struct message *m = outbox_send(n->out, to, MSG_STATS, id);
    m->stats = (struct msg_stats){.count = t.count, .stats = t.stats};
}
