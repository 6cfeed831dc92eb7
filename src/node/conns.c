/* Connections that others made to us. Nothing is heard before a HELLO, and a HELLO is refused, with one clear
 * line on both sides, when it is of another cluster, of no member, or of a second process with a member's id.
 *
 * A member's HELLO is first-hand proof that this generation of it is alive. A newcomer (our cluster's name,
 * but no member: a wiped founder, a node that would like to join) is given the ring before it is refused, so
 * that it knows where it stands, and may stay as a guest: to ask for a place in the ring, and to say HELLO
 * again. */
#include "base/mutant.h"
#include "node/internal.h"

#include <stdio.h>
#include <stdlib.h>

struct inbound *conns_find(const struct node *n, uint64_t id)
{
    return map_get(&n->conns.map, id);
}

static void say_refused(struct node *n, struct endpoint at, int status, const char *text)
{
    struct message *m = outbox_send(n->out, at, MSG_REFUSED, 0);
    m->refused.status = status;
    m->refused.text = text;
}

void conns_refuse(struct node *n, struct endpoint at, int status, const char *text)
{
    say_refused(n, at, status, text);
    outbox_add(n->out, EF_CLOSE)->conn.at = at;
}

/* ---- newcomers, for `status` ---- */

static struct newcomer *newcomer_place(struct conns *c, uint64_t store_id)
{
    struct newcomer *oldest = &c->newcomers[0];
    for (uint32_t i = 0; i < c->newcomer_count; i++) {
        struct newcomer *it = &c->newcomers[i];
        if (it->store_id == store_id)
            return it;
        if (it->seen_us < oldest->seen_us)
            oldest = it;
    }
    return c->newcomer_count < NEWCOMERS_MAX ? &c->newcomers[c->newcomer_count++] : oldest;
}

static void remember_newcomer(struct node *n, const struct msg_hello *h)
{
    struct newcomer *it = newcomer_place(&n->conns, h->store_id);
    *it = (struct newcomer){
        .addr = h->addr, .store_id = h->store_id, .generation = h->generation, .seen_us = n->now.mono_us};
    memcpy(it->name, h->name, strlen(h->name));
}

/* ---- a member's HELLO ---- */

/* What a HELLO is answered with, if not WELCOME. */
struct verdict {
    int status;
    const char *text;
};

/* Whether the member that this HELLO names runs already, as another process. What was heard from that process
 * itself is compared first: the address by which we dialled it may be another name for the same place. */
static bool looks_like_a_twin(const struct node *n, const struct peer *p, const struct msg_hello *h)
{
    struct member_view view;
    if (!p->up)
        return false;
    if (membership_there(n) && (membership_lookup(n, p->id, &view) != KV_OK || view.state != MEMBER_ALIVE))
        return false;
    if (p->advertised.port && p->advertised_generation == p->generation)
        return !addr_eq(&p->advertised, &h->addr);
    return h->generation != p->generation && !addr_eq(&p->addr, &h->addr);
}

/* A member that moved may say HELLO before the end of its former life has been noticed. So a twin is told to
 * come again, and is one when the other process is still there after a while. */
static struct verdict judge_twin(struct node *n, struct peer *p, const struct msg_hello *h)
{
    uint64_t now_us = n->now.mono_us;
    bool seen = p->twin_generation == h->generation && now_us - p->twin_since_us < 10 * TWIN_WATCH_US;
    if (!seen) {
        p->twin_generation = h->generation;
        p->twin_since_us = now_us;
    }
    if (now_us - p->twin_since_us < TWIN_WATCH_US)
        return (struct verdict){KV_E_AGAIN, "another process of this member is connected; come again"};
    char text[ADDR_TEXT_MAX];
    return (struct verdict){KV_E_DUPLICATE_ID,
                            arena_printf(&n->out->arena, "%s lives at %s, in generation %llu", h->name,
                                         addr_format(&p->addr, text), (unsigned long long)p->generation)};
}

static const struct verdict welcome = {KV_OK, ""};

static struct verdict judge_by_ring(struct node *n, const struct msg_hello *h, uint32_t *member)
{
    const struct member *m = ring_value_find_name(&n->ring->value, h->name);
    if (m && m->dead && m->store_id == h->store_id)
        return (struct verdict){KV_E_NOT_MEMBER, "this member is given up for the change that is under way"};
    if (!m || MUTANT(wrong_store, m->store_id != h->store_id, false) ||
        (h->member_id && h->member_id != m->id)) {
        if (m || !h->member_id) /* else it was a member, and has left: it does not want to come */
            remember_newcomer(n, h);
        return (struct verdict){
            KV_E_NOT_MEMBER,
            arena_printf(&n->out->arena, "%s with store %016llx is no member of ring %llu", h->name,
                         (unsigned long long)h->store_id, (unsigned long long)adopt_epoch(n))};
    }
    *member = m->id;
    return welcome;
}

/* Asked last: a life that is refused must not count as the store's newest. */
static struct verdict judge_store(struct node *n, const struct msg_hello *h)
{
    if (!n->ring || stores_began(n, h->store_id, h->generation, h->sequence))
        return welcome;
    return (struct verdict){KV_E_STALE_STORE,
                            arena_printf(&n->out->arena,
                                         "the store of %s begins generation %llu at sequence %llu, and was "
                                         "further already",
                                         h->name, (unsigned long long)h->generation,
                                         (unsigned long long)h->sequence)};
}

static struct verdict judge_member(struct node *n, const struct message *m, uint32_t *member)
{
    const struct msg_hello *h = &m->hello;
    const char *hub = h->hub ? h->hub : "";
    if (h->topology != (uint8_t)n->topology || strcmp(hub, n->hub) != 0)
        return (struct verdict){
            KV_E_WRONG_CLUSTER,
            arena_printf(&n->out->arena, "this is a cluster of topology %s%s%s; %s was started as %s%s%s",
                         topology_name(n->topology), n->hub[0] ? " with hub " : "", n->hub, h->name,
                         topology_name((enum topology)h->topology), hub[0] ? " with hub " : "", hub)};
    if (m->cluster != n->cluster_hash || strcmp(h->cluster, n->cluster) != 0) {
        const char *what =
            strcmp(h->cluster, n->cluster) != 0 ? "another cluster" : "another number of partitions";
        return (struct verdict){KV_E_WRONG_CLUSTER,
                                arena_printf(&n->out->arena,
                                             "this is cluster %s of %u partitions; %s of %s has %s",
                                             n->cluster, n->partitions, h->name, h->cluster, what)};
    }
    if (!name_ok(h->name) || h->addr.port == 0)
        return (struct verdict){KV_E_INVALID, "a member's HELLO has a name and an address"};
    if (strcmp(h->name, n->name) == 0 && h->store_id == n->store_id)
        return (struct verdict){KV_E_DUPLICATE_ID, "this process is that node"};
    if (n->ring)
        return judge_by_ring(n, h, member);
    const struct founder *f = form_find(n, h->name);
    if (!f) {
        form_called(n, m);
        return (struct verdict){KV_E_NOT_MEMBER,
                                arena_printf(&n->out->arena, "%s is not among the founders", h->name)};
    }
    *member = form_id(n, f);
    return welcome;
}

static void heard_member(struct node *n, const struct message *m, uint32_t member)
{
    const struct msg_hello *h = &m->hello;
    hlc_handshake(n, m->hlc);
    struct peer *p = peers_find(n, member);
    if (!p)
        return;
    p->advertised = h->addr;
    p->advertised_generation = h->generation;
    membership_heard(n, member, h->generation, &h->addr);
    peers_dial_now(n, p); /* it is there: no need to wait for the next attempt */
}

static struct verdict judge(struct node *n, const struct message *m, uint32_t *member)
{
    const struct msg_hello *h = &m->hello;
    *member = 0;
    if (h->role == ROLE_CLIENT) {
        if ((m->cluster && m->cluster != n->cluster_hash) ||
            (h->cluster[0] && strcmp(h->cluster, n->cluster) != 0))
            return (struct verdict){KV_E_WRONG_CLUSTER,
                                    arena_printf(&n->out->arena, "this is cluster %s", n->cluster)};
        if (n->stopping)
            return (struct verdict){KV_E_UNAVAILABLE, "this node is stopping"};
        if (n->conns.clients >= CLIENTS_MAX)
            return (struct verdict){KV_E_OVERLOADED, "too many clients"};
        return welcome;
    }
    struct verdict v = judge_member(n, m, member);
    if (v.status != KV_OK)
        return v;
    struct peer *p = peers_find(n, *member);
    return p && looks_like_a_twin(n, p, h) ? judge_twin(n, p, h) : judge_store(n, h);
}

static void say_welcome(struct node *n, uint64_t conn, uint64_t id, bool client)
{
    struct message *m = outbox_send(n->out, to_conn(conn), MSG_WELCOME, id);
    m->welcome = (struct msg_welcome){
        .cluster = n->cluster,
        .name = n->name,
        .member_id = n->self,
        .store_id = n->store_id,
        .generation = n->generation,
        /* Members compare real wall clocks; clients carry ours forward as their own. */
        .wall_ms = client ? n->now.wall_ms : n->hlc.raw_wall_ms,
        .ring_hash = n->ring ? n->ring->hash : 0,
        .value_max_bytes = n->value_max_bytes,
        .sequence = n->sequence,
    };
    centre_welcome(n, &m->welcome);
}

void conns_tell_time(struct node *n, uint64_t conn, uint64_t id)
{
    say_welcome(n, conn, id, false);
}

/* NULL: no memory. */
static struct inbound *remember(struct node *n, uint64_t id, const struct msg_hello *h)
{
    struct inbound *c = calloc(1, sizeof *c);
    if (!c || map_set(&n->conns.map, id, c) != KV_OK) {
        free(c);
        return NULL;
    }
    c->id = id;
    c->store_id = h->store_id;
    return c;
}

/* Refused, but not shown the door: it may ask to become a member. The shell goes on to treat the connection
 * as a stranger's. */
static bool keep_guest(struct node *n, uint64_t id, const struct msg_hello *h)
{
    if (!n->self || n->stopping || n->conns.guests >= GUESTS_MAX)
        return false;
    struct inbound *c = remember(n, id, h);
    if (!c)
        return false;
    c->guest = true;
    memcpy(c->name, h->name, strlen(h->name));
    n->conns.guests++;
    return true;
}

static void refuse_hello(struct node *n, struct endpoint at, const struct message *m, struct verdict v)
{
    if (log_may(n, &n->conns.refused[(uint32_t)-v.status % CONN_REFUSALS])) {
        char text[ADDR_TEXT_MAX];
        outbox_log(n->out, LOG_WARN, "event=refused name=%s addr=%s status=%s text=\"%s\"", m->hello.name,
                   addr_format(&m->hello.addr, text), kv_error_word(v.status), v.text);
    }
    if (v.status == KV_E_NOT_MEMBER && n->ring)
        adopt_send(n, at, 0);
    say_refused(n, at, v.status, v.text);
    if (v.status != KV_E_NOT_MEMBER || !keep_guest(n, at.conn, &m->hello))
        outbox_add(n->out, EF_CLOSE)->conn.at = at;
}

void conns_hello(struct node *n, uint64_t id, const struct message *m)
{
    uint32_t member;
    conns_closed(n, id); /* a guest says it again */
    struct verdict v = judge(n, m, &member);
    struct inbound *c = v.status == KV_OK ? remember(n, id, &m->hello) : NULL;
    if (v.status == KV_OK && !c)
        v = (struct verdict){KV_E_NO_MEMORY, "out of memory"};
    if (v.status != KV_OK) {
        refuse_hello(n, to_conn(id), m, v);
        return;
    }
    c->member = member;
    n->conns.clients += member == 0;
    struct effect *e = outbox_add(n->out, EF_ACCEPT);
    e->conn.at = to_conn(id);
    e->conn.member = member;
    say_welcome(n, id, m->id, member == 0);
    if (member) {
        heard_member(n, m, member);
        adopt_heard(n, to_conn(id), m->ring_epoch);
    } else {
        hlc_heard(n, m->hlc);
    }
}

void conns_closed(struct node *n, uint64_t id)
{
    struct inbound *c = map_remove(&n->conns.map, id);
    if (!c)
        return; /* it never was accepted */
    if (c->guest)
        n->conns.guests--;
    else if (!c->member)
        n->conns.clients--;
    free(c);
}

void conns_answered(struct node *n, uint64_t id)
{
    struct inbound *c = conns_find(n, id);
    if (c && c->requests)
        c->requests--;
}

static void close_if_no_member(uint64_t id, void *value, void *arg)
{
    struct node *n = arg;
    const struct inbound *c = value;
    const struct member *m = c->member ? ring_value_find(&n->ring->value, c->member) : NULL;
    if (!c->member || (m && m->store_id == c->store_id && !m->dead) || outbox_room(n->out) < 2)
        return;
    conns_refuse(n, to_conn(id), KV_E_NOT_MEMBER, "this store is no member of the new ring");
}

void conns_ring_changed(struct node *n)
{
    map_each(&n->conns.map, close_if_no_member, n);
}

static void free_conn(uint64_t id, void *value, void *arg)
{
    (void)id;
    (void)arg;
    free(value);
}

void conns_deinit(struct node *n)
{
    map_each(&n->conns.map, free_conn, NULL);
    map_deinit(&n->conns.map);
}
