/* The ring's way from one epoch to the next (DESIGN section 7): who has adopted what, and who holds what it
 * gains, is known from every header and from PROGRESS; ring/ says which step that allows; paxos/ decides it;
 * everybody adopts it.
 *
 * Any node may take the next step. That mostly one does is a courtesy: the others leave those of lower ids,
 * who live, a lead of LEAD_US each. So nothing depends on any one of them, least of all on whoever asked for
 * the change. */
#include "node/internal.h"

#define LOOK_US UINT64_C(100000) /* while something is to be done */
#define LEAD_US UINT64_C(300000)
/* A removal whose member lives by our word is not dropped sooner: whoever took it on saw that member dead,
 * and we may only not have heard of it yet. */
#define DROP_US UINT64_C(10000000)
#define ORPHAN_US \
    UINT64_C(1000000) /* what was accepted and not heard of again is proposed by others after this */
#define PROGRESS_US UINT64_C(500000)

/* ---- what is known of the members */

/* Under which source_epoch this node has done what the change asks of it: taken over what it gains; and, if
 * it leaves, handed over what it keeps for others, which is on no other disk maybe. 0: not yet. */
static uint64_t whole(const struct node *n)
{
    bool keeps = adopt_leaving(n) && (n->replica.noting || hints_waiting(n->hints, 0));
    return keeps ? 0 : transfer_whole(n->move.transfer);
}

static struct ring_word word_of(const struct node *n, uint32_t member)
{
    if (member == n->self)
        return (struct ring_word){
            .member = member, .epoch = adopt_epoch(n), .whole_epoch = whole(n), .alive = true};
    struct ring_word w = {.member = member, .alive = membership_alive(n, member)};
    const struct peer *p = peers_find(n, member);
    if (!p)
        return w;
    w.epoch = p->epoch;
    w.whole_epoch = p->progress.whole ? p->progress.source_epoch : 0;
    if (!w.alive && p->dead_since_us)
        w.dead_us = n->now.mono_us - p->dead_since_us;
    return w;
}

/* How many that live and vote come before this node. */
static uint32_t rank(const struct node *n)
{
    const struct ring_value *v = &n->ring->value;
    uint32_t before = 0;
    for (uint32_t i = 0; i < v->member_count && v->members[i].id < n->self; i++)
        before += ring_value_votes(v, &v->members[i]) && !v->members[i].dead &&
                  membership_alive(n, v->members[i].id);
    return before;
}

static bool votes(const struct node *n)
{
    const struct member *m = n->self ? ring_value_find(&n->ring->value, n->self) : NULL;
    return m && ring_value_votes(&n->ring->value, m);
}

/* ---- proposing */

int change_propose(struct node *n, const struct ring_value *next, const char *what)
{
    struct buf encoded = {0};
    int rc = ring_value_encode(next, &encoded);
    struct blob *value = rc == KV_OK ? blob_copy(buf_bytes(&encoded)) : NULL;
    buf_deinit(&encoded);
    if (!value)
        return KV_E_NO_MEMORY;
    rc = paxos_propose(n->paxos, n->now, value, n->out);
    blob_unref(value);
    outbox_log(n->out, rc == KV_OK ? LOG_INFO : LOG_WARN,
               "event=ring_proposed epoch=%llu what=\"%s\" status=%s", (unsigned long long)next->epoch, what,
               kv_error_word(rc));
    return rc;
}

/* Memory for the words, in the arena; NULL: none now. */
static struct ring_word *list_words(struct node *n)
{
    const struct ring_value *v = &n->ring->value;
    struct ring_word *words = arena_alloc(&n->out->arena, v->member_count * sizeof *words);
    for (uint32_t i = 0; words && i < v->member_count; i++)
        words[i] = word_of(n, v->members[i].id);
    return words;
}

/* The step that is next, once this node's time for it has come. */
static void propose_step(struct node *n)
{
    struct change *c = &n->change;
    struct ring_word *words = list_words(n);
    struct ring_value next;
    enum ring_step step = RING_WAIT;
    if (!words || ring_change_next(n->ring, words, n->ring->value.member_count, &step, &next) != KV_OK)
        return;
    if (step != c->step) {
        c->step = step;
        c->step_us = n->now.mono_us + rank(n) * LEAD_US + prng_below(&n->prng, LEAD_US / 3);
        if (step == RING_DROP && n->ring->value.queue[0].kind == RING_REMOVE)
            c->step_us += DROP_US;
    }
    if (step == RING_WAIT)
        return;
    if (c->step_us <= n->now.mono_us)
        (void)change_propose(n, &next, ring_step_name(step)); /* what fails is tried again */
    ring_value_deinit(&next);
}

/* A proposer that died may have had its value chosen, or nearly: whoever accepted it brings it to an end. */
static void propose_orphan(struct node *n)
{
    struct blob *value = paxos_accepted(n->paxos);
    struct change *c = &n->change;
    if (!value) {
        c->orphan_us = 0;
        return;
    }
    if (!c->orphan_us)
        c->orphan_us = n->now.mono_us + ORPHAN_US + rank(n) * LEAD_US + prng_below(&n->prng, LEAD_US);
    if (c->orphan_us <= n->now.mono_us)
        (void)paxos_propose(n->paxos, n->now, value, n->out);
}

/* ---- decided */

static void tell_decided(struct node *n, struct blob *value)
{
    for (uint32_t i = 0; i < n->peers.count && outbox_room(n->out) > OUT_MAX / 4; i++)
        if (n->peers.items[i].up)
            outbox_send(n->out, to_peer(n->peers.items[i].id), MSG_RING, 0)->ring.value = blob_ref(value);
}

static void take_decided(struct node *n)
{
    struct blob *value = paxos_decided(n->paxos);
    if (!value)
        return;
    if (n->change.announced != adopt_epoch(n) + 1) {
        n->change.announced = adopt_epoch(n) + 1;
        outbox_log(n->out, LOG_INFO, "event=ring_decided epoch=%llu",
                   (unsigned long long)n->change.announced);
        tell_decided(n, value);
    }
    adopt_begin(n, blob_bytes(value)); /* again and again, in case there was no memory */
}

/* ---- the look */

static bool restless(const struct node *n)
{
    const struct ring_value *v = &n->ring->value;
    return v->phase != RING_STABLE || v->queue_count || n->asks.count || paxos_accepted(n->paxos) ||
           paxos_decided(n->paxos);
}

static void say_progress(struct node *n)
{
    struct change *c = &n->change;
    struct msg_progress now = change_own_progress(n);
    bool news = now.source_epoch != c->said.source_epoch || now.whole != c->said.whole ||
                c->said_epoch != adopt_epoch(n);
    if (!news && (n->ring->value.phase == RING_STABLE || n->now.mono_us < c->progress_us))
        return;
    c->said = now;
    c->said_epoch = adopt_epoch(n);
    c->progress_us = n->now.mono_us + PROGRESS_US;
    for (uint32_t i = 0; i < n->peers.count && outbox_room(n->out) > OUT_MAX / 4; i++)
        if (n->peers.items[i].up)
            outbox_send(n->out, to_peer(n->peers.items[i].id), MSG_PROGRESS, id_make(ID_CHANGE, 0))
                ->progress = now;
}

void change_look(struct node *n)
{
    if (!n->self || n->exited)
        return;
    say_progress(n);
    take_decided(n);
    ask_look(n);
    if (votes(n) && !n->stopping && !paxos_proposing(n->paxos) && !paxos_decided(n->paxos) &&
        !ask_propose(n)) {
        propose_step(n);
        if (!paxos_proposing(n->paxos))
            propose_orphan(n);
    }
    n->change.due_us = restless(n) ? n->now.mono_us + LOOK_US : UINT64_MAX;
}

/* ---- events */

void change_question(struct node *n, struct endpoint from, const struct message *m)
{
    if (n->paxos && m->paxos.epoch > adopt_epoch(n)) {
        paxos_message(n->paxos, n->now, from, m, n->out);
        if (n->change.due_us == UINT64_MAX)
            n->change.due_us = n->now.mono_us + LOOK_US; /* it may become an orphan */
    } else if (n->ring && (from.conn || from.peer != n->self)) {
        adopt_send(n, from, 0); /* that is decided: by its ring */
    }
}

void change_answer(struct node *n, const struct message *m)
{
    if (!n->paxos)
        return;
    paxos_message(n->paxos, n->now, to_peer(m->from), m, n->out);
    if (paxos_decided(n->paxos))
        change_look(n);
}

void change_progress(struct node *n, const struct message *m)
{
    struct peer *p = peers_find(n, m->from);
    if (!p || m->progress.source_epoch < p->progress.source_epoch)
        return;
    p->progress = m->progress;
    if (n->ring && n->ring->value.phase != RING_STABLE)
        change_look(n);
}

void change_ring_changed(struct node *n)
{
    n->change.step = RING_WAIT;
    n->change.orphan_us = 0;
    n->asks.proposed = false;
    change_look(n);
}

struct msg_progress change_own_progress(const struct node *n)
{
    struct transfer_progress t = transfer_progress(n->move.transfer);
    uint64_t since = whole(n);
    return (struct msg_progress){.source_epoch = t.source_epoch,
                                 .whole = since && since == t.source_epoch,
                                 .partitions_done = t.partitions_done,
                                 .partitions_total = t.partitions_total,
                                 .bytes = t.bytes};
}

void change_tick(struct node *n)
{
    if (change_deadline_us(n) <= n->now.mono_us)
        change_look(n);
}

uint64_t change_deadline_us(const struct node *n)
{
    uint64_t asked_us = ask_deadline_us(n);
    return asked_us < n->change.due_us ? asked_us : n->change.due_us;
}
