/* What the fake nodes of client_support.c answer; included there. */
#ifndef TESTS_UNIT_CLIENT_NODES_H
#define TESTS_UNIT_CLIENT_NODES_H

static struct row *find_row(struct world *w, struct bytes key, bool make)
{
    for (uint32_t i = 0; i < w->rows; i++)
        if (bytes_eq(w->keys[i], key))
            return &w->row[i];
    if (!make)
        return NULL;
    assert_true(w->rows < KEYS_MAX);
    uint8_t *copy = malloc(key.len);
    memcpy(copy, key.data, key.len);
    w->keys[w->rows] = bytes_of(copy, key.len);
    w->row[w->rows] = row_absent();
    return &w->row[w->rows++];
}

const struct row *world_row(const struct world *w, const char *key)
{
    return find_row((struct world *)w, bytes_str(key), false);
}

static uint64_t wall_ms(const struct world *w, const struct fake_node *n)
{
    return (uint64_t)((int64_t)(FAKE_WALL_MS + w->now_us / 1000) + n->skew_ms);
}

static struct message *answer(struct world *w, uint32_t node, enum message_type type, uint64_t id)
{
    struct fake_node *n = &w->nodes[node];
    struct message *m = &new_event(w, TO_CLIENT, node, LINK_US + n->delay_us)->message;
    m->type = type;
    m->id = id;
    m->cluster = hash64(bytes_str(n->cluster));
    m->ring_epoch = n->no_ring ? 0 : w->ring.epoch;
    m->hlc = n->hlc;
    return m;
}

static void put_row(struct world *w, const struct msg_request *q)
{
    struct row *row = find_row(w, q->key, true);
    if (!row_wins(&q->row, row))
        return;
    row_release(row);
    *row = row_ref(&q->row);
}

/* As a node that is not the hub does. */
static bool sends_to_the_hub(struct world *w, uint32_t node, const struct message *q)
{
    if (!w->hub || node == w->hub)
        return false;
    if (q->type == MSG_RING_GET || q->type == MSG_STATUS_GET)
        answer(w, node, MSG_REFUSED, q->id)->refused =
            (struct msg_refused){KV_E_NOT_COORDINATOR, "somebody else"};
    else if (q->type == MSG_REQUEST && (w->topology == TOPOLOGY_CENTRAL || q->ring_epoch == 0))
        answer(w, node, MSG_RESPONSE, q->id)->response.status = KV_E_NOT_COORDINATOR;
    else
        return false;
    return true;
}

static void answer_request(struct world *w, uint32_t node, const struct message *question)
{
    struct fake_node *n = &w->nodes[node];
    const struct msg_request *q = &question->request;
    n->requests++;
    int say = n->say;
    if (say && n->say_times && --n->say_times == 0)
        n->say = 0;
    bool applied = q->op == OP_PUT && (say == 0 || n->say_applied);
    if (applied)
        put_row(w, q);
    if (w->seen_count < SEEN_MAX)
        w->seen[w->seen_count++] =
            (struct seen){node, q->op, q->flags, q->r, q->w, q->timeout_us, w->now_us, q->row.stamp, applied};
    if (say == ANSWER_NOTHING)
        return;
    struct msg_response *r = &answer(w, node, MSG_RESPONSE, question->id)->response;
    r->coordinator = node;
    r->needed = 2;
    r->us = 50;
    if (say) {
        r->status = say;
        r->asked = n->say_asked;
        return;
    }
    r->asked = 3;
    r->acked = 2;
    const struct row *row = find_row(w, q->key, false);
    bool dead = !row || row_is_dead(row, hlc_from_ms(wall_ms(w, n)));
    if (q->op == OP_GET && dead) {
        r->status = KV_E_NOT_FOUND;
        r->proven = 1;
    } else if (q->op == OP_GET) {
        r->row = row_ref(row);
    } else if (q->op == OP_STAMP && row) {
        r->row.stamp = row->stamp;
    }
    if (q->flags & REQ_EXPLAIN) {
        static const struct trace_line lines[] = {{.at_us = 5, .kind = TRACE_ASK, .member = 2},
                                                  {.at_us = 30, .kind = TRACE_ANSWER, .member = 2},
                                                  {.at_us = 31, .kind = TRACE_HINT, .member = 4, .other = 3}};
        r->trace_count = 3;
        r->trace = lines;
    }
}

static void answer_status(struct world *w, uint32_t node, const struct message *q)
{
    const struct fake_node *n = &w->nodes[node];
    static struct status_member members[2] = {
        {.id = 1, .name = "n1", .zone = "", .addr = {"127.0.0.1", 7601}, .in_ring = 1, .partitions = 30},
        {.id = 2,
         .name = "n2",
         .zone = "z",
         .addr = {"127.0.0.1", 7602},
         .state = MEMBER_DEAD,
         .ring = RING_STATE_REMOVED,
         .partitions = 10,
         .partitions_done = 3,
         .partitions_total = 7}};
    static const char *const queue[] = {"remove n2", "leave n1"};
    struct message *m = answer(w, node, MSG_STATUS, q->id);
    m->status = (struct msg_status){.cluster = n->cluster,
                                    .seen_by = node,
                                    .seen_by_name = name_of(node),
                                    .ring_epoch = FAKE_EPOCH,
                                    .phase = RING_PENDING,
                                    .queue_count = 2,
                                    .queue = queue,
                                    .count = 2,
                                    .members = members};
}

static void answer_change(struct world *w, uint32_t node, const struct message *q)
{
    struct fake_node *n = &w->nodes[node];
    n->change = q->change;
    if (n->say == ANSWER_NOTHING)
        return;
    struct message *m = answer(w, node, MSG_CHANGE_REPLY, q->id);
    m->change_reply = (struct msg_change_reply){.status = n->say,
                                                .text = n->say ? "no, not so" : "queued",
                                                .epoch = FAKE_EPOCH + 1,
                                                .moved = 30,
                                                .least = 28,
                                                .total = 768,
                                                .max_over_mean_milli = 1040};
}

static void answer_other(struct world *w, uint32_t node, const struct message *q)
{
    struct fake_node *n = &w->nodes[node];
    struct message *m;
    n->others += q->type != MSG_HELLO && q->type != MSG_RING_GET;
    switch (q->type) {
    case MSG_HELLO:
        m = answer(w, node, MSG_WELCOME, q->id);
        m->welcome = (struct msg_welcome){.cluster = n->cluster,
                                          .name = name_of(node),
                                          .member_id = node,
                                          .wall_ms = wall_ms(w, n),
                                          .value_max_bytes = n->value_max_bytes,
                                          .topology = (uint8_t)w->topology,
                                          .hub = w->hub,
                                          .hub_name = w->hub ? name_of(w->hub) : "",
                                          .hub_addr = w->hub ? w->ring.members[w->hub - 1].addr
                                                             : (struct addr){.port = 0}};
        break;
    case MSG_RING_GET:
        answer(w, node, MSG_RING, q->id)->ring.value = n->no_ring ? NULL : blob_ref(w->ring_blob);
        break;
    case MSG_SCAN: {
        static const struct scan_entry entries[] = {
            {{(const uint8_t *)"a\0b", 3}, {.raw_size = 5, .stamp = {77, 1}, .kind = ROW_REGISTER}}};
        m = answer(w, node, MSG_SCAN_PAGE, q->id);
        m->scan_page = (struct msg_scan_page){.status = n->say,
                                              .done = 1,
                                              .complete = 1,
                                              .next = {9, bytes_str("a")},
                                              .count = 1,
                                              .entries = entries};
        break;
    }
    case MSG_STATUS_GET: answer_status(w, node, q); break;
    case MSG_STATS_GET: {
        static const struct stat_value stats[] = {{"rows", 12}, {"ops_get_ok", 3}};
        m = answer(w, node, MSG_STATS, q->id);
        m->stats = (struct msg_stats){.count = 2, .stats = stats};
        break;
    }
    case MSG_FAULT: {
        static struct msg_fault rules[1];
        rules[0] = q->fault;
        m = answer(w, node, MSG_FAULT_REPLY, q->id);
        m->fault_reply = (struct msg_fault_reply){.status = n->say, .count = 1, .rules = rules};
        break;
    }
    case MSG_REPAIR:
        m = answer(w, node, MSG_REPAIR_REPLY, q->id);
        m->repair_reply = (struct msg_repair_reply){.status = n->say, .partitions = 60, .peers = 4};
        break;
    case MSG_CHANGE: answer_change(w, node, q); break;
    default: fail_msg("a node was sent %s", message_name(q->type));
    }
}

static void node_message(struct world *w, struct fake_event *e)
{
    struct fake_node *n = &w->nodes[e->node];
    if (e->message.hlc > n->hlc)
        n->hlc = e->message.hlc;
    if (sends_to_the_hub(w, e->node, &e->message))
        return;
    if (e->message.type == MSG_REQUEST)
        answer_request(w, e->node, &e->message);
    else
        answer_other(w, e->node, &e->message);
}

#endif
