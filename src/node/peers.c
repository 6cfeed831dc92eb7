/* The connections that this node dials, one to every other member (before there is a ring: to every other
 * founder), and who can be reached: a member that answered our HELLO as who it should be, and that is not
 * seen dead. What coord, scans, hints and transfer are told of a member is exactly that, once per change.
 *
 * A member lives where membership says it lives; the ring's address is only where to look first. */
#include "base/mutant.h"
#include "node/internal.h"

#include <stdlib.h>

static struct peer *find_in(const struct peers *peers, uint32_t member)
{
    uint32_t low = 0, high = peers->count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (peers->items[mid].id < member)
            low = mid + 1;
        else
            high = mid;
    }
    return low < peers->count && peers->items[low].id == member ? &peers->items[low] : NULL;
}

struct peer *peers_find(const struct node *n, uint32_t member)
{
    return find_in(&n->peers, member);
}

const char *peers_name(const struct node *n, uint32_t member)
{
    if (n->ring) {
        const struct member *m = ring_value_find(&n->ring->value, member);
        return m ? m->name : "?";
    }
    if (member && member == form_caller_id(n))
        return n->form.caller.name;
    return member >= 1 && member <= n->form.count ? n->form.founders[member - 1].name : "?";
}

/* ---- reachability ---- */

static void update_reachable(struct node *n, struct peer *p)
{
    bool dead = !membership_alive(n, p->id);
    bool reachable = p->up && !dead;
    if (!dead)
        p->dead_since_us = 0;
    else if (!p->dead_since_us)
        p->dead_since_us = n->now.mono_us;
    if (reachable == p->reachable)
        return;
    p->reachable = reachable;
    if (!n->coord)
        return;
    coord_peer_set(n->coord, n->now, p->id, reachable, n->out);
    scans_peer_set(n->scans, n->now, hlc_now(n), p->id, reachable, n->out);
    hints_peer_set(n->hints, n->now, p->id, reachable);
    move_peer_set(n, p->id, reachable);
    entropy_peer_set(n->heal.entropy, n->now, p->id, reachable);
    sweep_peer_set(n, p->id, reachable);
}

/* NULL: no longer. */
static void dial(struct node *n, struct peer *p, const struct addr *addr)
{
    struct effect *e = outbox_add(n->out, EF_PEER);
    e->peer.member = p->id;
    if (addr) {
        e->peer.addr = *addr;
        p->addr = *addr;
    }
    p->retry_us = UINT64_MAX;
}

static void set_down(struct node *n, struct peer *p)
{
    p->connected = false;
    p->guest = false;
    p->up = false;
    update_reachable(n, p);
}

void peers_leave_alone(struct node *n, struct peer *p, uint64_t delay_us)
{
    set_down(n, p);
    struct addr addr = p->addr;
    dial(n, p, NULL);
    p->addr = addr;
    p->retry_us = n->now.mono_us + delay_us + prng_below(&n->prng, delay_us / 4);
}

void peers_dial_now(struct node *n, struct peer *p)
{
    if (!p->connected)
        dial(n, p, &p->addr);
}

/* Membership learned that a member lives elsewhere. A connection to the very process that moved stays: the
 * two addresses are then only two names. */
static void follow_address(struct node *n, struct peer *p)
{
    struct member_view view;
    if (membership_lookup(n, p->id, &view) != KV_OK || view.addr.port == 0)
        return;
    if (addr_eq(&view.addr, &p->addr) || (p->up && p->generation == view.generation))
        return;
    set_down(n, p);
    dial(n, p, &view.addr);
}

/* ---- the table ---- */

static int compare_peers(const void *a, const void *b)
{
    uint32_t x = ((const struct peer *)a)->id, y = ((const struct peer *)b)->id;
    return (x > y) - (x < y);
}

/* Everyone but us and those that are given up, with fresh state. Who has our name is us, or was in our place
 * before.
 */
static uint32_t list_members(const struct node *n, struct peer *items)
{
    uint32_t count = 0;
    const struct ring_value *v = &n->ring->value;
    for (uint32_t i = 0; i < v->member_count; i++)
        if (strcmp(v->members[i].name, n->name) != 0 && !v->members[i].dead)
            items[count++] = (struct peer){.id = v->members[i].id, .addr = v->members[i].addr};
    qsort(items, count, sizeof *items, compare_peers);
    return count;
}

/* Before a ring is there: the other founders, and who says that there is one; or where its members may be,
 * whoever they are. */
static uint32_t list_hoped(const struct node *n, struct peer *items)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < n->form.count; i++)
        if (i != n->form.self)
            items[count++] = (struct peer){.id = i + 1, .addr = n->form.founders[i].addr};
    if (form_caller_id(n))
        items[count++] = (struct peer){.id = form_caller_id(n), .addr = n->form.caller.addr};
    for (uint32_t i = 0; n->form.count == 0 && i < n->join.count; i++)
        if (!addr_eq(&n->join.addrs[i], &n->addr))
            items[count++] = (struct peer){.id = i + 1, .addr = n->join.addrs[i]};
    return count;
}

/* One that was known before: keeps its connection, unless it turns out to be somebody else's. */
static void carry_over(struct node *n, const struct peer *old, struct peer *p)
{
    struct addr addr = p->addr;
    *p = *old;
    const struct member *m = n->ring ? ring_value_find(&n->ring->value, p->id) : NULL;
    if (p->up && m && m->store_id != p->store_id) {
        p->addr = addr;
        peers_leave_alone(n, p, REFUSED_RETRY_US);
    } else if (!p->up && !membership_there(n) && !addr_eq(&addr, &p->addr)) {
        set_down(n, p);
        dial(n, p, &addr); /* else membership says where it lives */
    } else if (p->guest && n->self) {
        peers_say_hello(n, p); /* it knows us by now, or will when it hears of our ring */
    } else if (n->self && p->retry_us != UINT64_MAX) {
        dial(n, p, &p->addr);
    }
}

int peers_set(struct node *n)
{
    uint32_t most = n->ring ? n->ring->value.member_count : n->form.count + 1 + n->join.count;
    struct peer *items = calloc(most ? most : 1, sizeof *items);
    if (!items)
        return KV_E_NO_MEMORY;
    struct peers old = n->peers;
    n->peers.items = items;
    n->peers.count = n->ring ? list_members(n, items) : list_hoped(n, items);
    for (uint32_t i = 0; i < n->peers.count; i++) {
        items[i].retry_us = UINT64_MAX;
        items[i].dead_since_us = n->now.mono_us;
    }
    for (uint32_t i = 0; i < old.count; i++) {
        if (peers_find(n, old.items[i].id))
            continue;
        set_down(n, &old.items[i]);
        dial(n, &old.items[i], NULL);
    }
    for (uint32_t i = 0; i < n->peers.count; i++) {
        const struct peer *known = find_in(&old, items[i].id);
        if (known)
            carry_over(n, known, &items[i]);
        else
            dial(n, &items[i], &items[i].addr);
    }
    free(old.items);
    return KV_OK;
}

/* ---- HELLO, and what is answered to it ---- */

void peers_say_hello(struct node *n, struct peer *p)
{
    p->hello_us = n->now.mono_us;
    struct message *m = outbox_send(n->out, to_peer(p->id), MSG_HELLO, id_make(ID_PEERS, p->id));
    m->hello = (struct msg_hello){
        .role = ROLE_MEMBER,
        .cluster = n->cluster,
        .name = n->name,
        .member_id = n->self,
        .store_id = n->store_id,
        .generation = n->generation,
        .addr = n->addr,
        .sequence = n->sequence,
        .topology = (uint8_t)n->topology,
        .hub = n->hub,
    };
}

void peers_connected(struct node *n, uint32_t member)
{
    struct peer *p = peers_find(n, member);
    if (!p)
        return; /* no member any more; the shell has been told */
    set_down(n, p);
    p->connected = true;
    peers_say_hello(n, p);
}

void peers_lost(struct node *n, uint32_t member)
{
    struct peer *p = peers_find(n, member);
    if (!p)
        return;
    if (p->up)
        membership_lost(n, member);
    set_down(n, p);
    follow_address(n, p);
}

/* Whether the process that answered is the one that should live there. */
static bool is_who_it_should_be(const struct node *n, const struct peer *p, const struct msg_welcome *w)
{
    if (!n->ring)
        return strcmp(w->name, peers_name(n, p->id)) == 0;
    const struct member *m = ring_value_find(&n->ring->value, p->id);
    return m && !m->dead && strcmp(w->name, m->name) == 0 &&
           MUTANT(wrong_store, w->store_id == m->store_id, true);
}

/* What was on its way for long, or was found waiting by a process that had stood still, says what time it
 * was; and no clock shows more than a stamp can hold. */
static void learn_clock(const struct node *n, struct peer *p, const struct msg_welcome *w)
{
    if (n->now.mono_us - p->hello_us > CLOCK_ROUND_TRIP_US || w->wall_ms > hlc_to_ms(UINT64_MAX))
        return;
    p->wall_offset_ms = (int64_t)w->wall_ms - (int64_t)(n->now.mono_us / 1000);
    p->offset_known = true;
}

static void welcomed(struct node *n, struct peer *p, const struct message *m)
{
    const struct msg_welcome *w = &m->welcome;
    if (m->cluster != n->cluster_hash || !is_who_it_should_be(n, p, w)) {
        if (log_may(n, &p->refused)) {
            char text[ADDR_TEXT_MAX];
            outbox_log(n->out, LOG_WARN,
                       "event=wrong_peer expected=%s addr=%s found=%s cluster=%s store=%016llx "
                       "text=\"another node or another store answers at a member's address\"",
                       peers_name(n, p->id), addr_format(&p->addr, text), w->name, w->cluster,
                       (unsigned long long)w->store_id);
        }
        peers_leave_alone(n, p, REFUSED_RETRY_US);
        return;
    }
    if (!stores_began(n, w->store_id, w->generation, w->sequence)) {
        if (log_may(n, &p->refused))
            outbox_log(n->out, LOG_ERROR,
                       "event=stale_store peer=%s store=%016llx generation=%llu sequence=%llu "
                       "text=\"its store is older than it was: it is not heard\"",
                       peers_name(n, p->id), (unsigned long long)w->store_id,
                       (unsigned long long)w->generation, (unsigned long long)w->sequence);
        peers_leave_alone(n, p, REFUSED_RETRY_US);
        return;
    }
    p->up = true;
    p->guest = false;
    p->store_id = w->store_id;
    p->generation = w->generation;
    learn_clock(n, p, w);
    n->peers.introduced = true;
    hlc_handshake(n, m->hlc);
    hlc_look(n);
    membership_heard(n, p->id, p->generation, &p->addr);
    update_reachable(n, p);
    form_welcomed(n, p);
}

static void refused(struct node *n, struct peer *p, const struct message *m)
{
    const struct msg_refused *r = &m->refused;
    if (r->status == KV_E_NOT_MEMBER && join_active(n) && m->cluster == n->cluster_hash) {
        join_refused(n, p);
        return;
    }
    if (log_may(n, &p->refused)) {
        char text[ADDR_TEXT_MAX];
        outbox_log(n->out, LOG_WARN, "event=refused_by peer=%s addr=%s status=%s text=\"%s\"",
                   peers_name(n, p->id), addr_format(&p->addr, text), kv_error_word(r->status), r->text);
    }
    if (r->status == KV_E_DUPLICATE_ID && m->cluster == n->cluster_hash) {
        node_exit(n, KV_E_DUPLICATE_ID,
                  arena_printf(&n->out->arena,
                               "another live process is %s: %s says so; this one, which came later, leaves",
                               n->name, peers_name(n, p->id)));
        return;
    }
    if (r->status == KV_E_STALE_STORE && m->cluster == n->cluster_hash) {
        node_exit(
            n, KV_E_STALE_STORE,
            arena_printf(&n->out->arena,
                         "this store is older than it was, %s says: it was restored from a backup, or lost "
                         "writes. Start with a blank store, to join as new",
                         peers_name(n, p->id)));
        return;
    }
    peers_leave_alone(n, p, r->status == KV_E_AGAIN ? AGAIN_RETRY_US : REFUSED_RETRY_US);
}

void peers_message(struct node *n, struct peer *p, struct message *m)
{
    if (!p->connected)
        return; /* of a connection that is given up */
    if (m->type == MSG_CHANGE_REPLY) {
        join_message(n, p, m);
        return;
    }
    if (p->up) {
        if (m->type == MSG_WELCOME)
            learn_clock(n, p, &m->welcome); /* as it was asked to by ask_time */
        return;
    }
    if (m->type == MSG_WELCOME)
        welcomed(n, p, m);
    else
        refused(n, p, m);
}

/* ---- what membership says ---- */

static void log_change(struct node *n, const struct member_change *c)
{
    static const enum log_level levels[] = {LOG_INFO, LOG_INFO, LOG_WARN, LOG_INFO};
    if (c->before == c->now.state)
        return;
    char text[ADDR_TEXT_MAX];
    outbox_log(
        n->out, levels[c->now.state], "event=member_%s member=%u name=%s addr=%s generation=%llu was=%s",
        member_state_name(c->now.state), c->member, peers_name(n, c->member), addr_format(&c->now.addr, text),
        (unsigned long long)c->now.generation, member_state_name(c->before));
}

void peers_member_changes(struct node *n)
{
    struct member_change c;
    while (membership_next_change(n, &c)) {
        log_change(n, &c);
        struct peer *p = peers_find(n, c.member);
        if (!p)
            continue;
        follow_address(n, p);
        update_reachable(n, p);
    }
}

/* ---- time ---- */

/* One member a second says HELLO again, in turn, and so hears what time it is there: connections live for
 * long, and the clocks at their ends are set meanwhile. */
static void ask_time(struct node *n)
{
    struct peers *all = &n->peers;
    if (!all->count || n->now.mono_us < all->asked_us + CLOCK_ASK_US || outbox_room(n->out) < OUT_MAX / 2)
        return;
    all->asked_us = n->now.mono_us;
    struct peer *p = &all->items[all->asked++ % all->count];
    if (p->up)
        peers_say_hello(n, p);
}

void peers_tick(struct node *n)
{
    ask_time(n);
    for (uint32_t i = 0; i < n->peers.count; i++)
        if (n->peers.items[i].retry_us <= n->now.mono_us)
            peers_dial_now(n, &n->peers.items[i]);
}

uint64_t peers_deadline_us(const struct node *n)
{
    uint64_t at = UINT64_MAX;
    for (uint32_t i = 0; i < n->peers.count; i++)
        if (n->peers.items[i].retry_us < at)
            at = n->peers.items[i].retry_us;
    return at;
}

void peers_check(const struct node *n)
{
    for (uint32_t i = 0; i < n->peers.count; i++) {
        const struct peer *p = &n->peers.items[i];
        KV_ASSERT(i == 0 || n->peers.items[i - 1].id < p->id);
        KV_ASSERT(!p->up || p->connected);
        KV_ASSERT(!p->guest || (p->connected && !p->up));
        KV_ASSERT(!p->reachable || p->up);
        KV_ASSERT(p->retry_us == UINT64_MAX || !p->connected);
        KV_ASSERT(!n->coord || coord_peer_reachable(n->coord, p->id) == p->reachable);
        KV_ASSERT(p->reachable == (p->up && membership_alive(n, p->id)));
    }
}

void peers_deinit(struct node *n)
{
    free(n->peers.items);
}
