/* Violations: kept while there is room, counted always, told to people. */
#include "sim/check_history.h"

#include "base/assert.h"
#include "kv_error.h"
#include "sim/check_key.h"

static const char *const RULES[CHECK_RULES] = {
    [CHECK_LINEAR_NOBODY] = "a get returned a value that nobody put",
    [CHECK_LINEAR_REFUSED] = "a get returned the value of a put that was said to have done nothing",
    [CHECK_LINEAR_FUTURE] = "a get returned a value before its put began",
    [CHECK_LINEAR_ABSENT] =
        "a get found nothing, though a value was there and no delete can have come between",
    [CHECK_LINEAR_ORDER] = "no order of these operations explains what was read",
    [CHECK_OWN_OLDER] = "a client read something older than its own put",
    [CHECK_OWN_BACK] = "a client read something older than what it had read before",
    [CHECK_ABSENT_DELETED] = "a value came back after its delete was acknowledged",
    [CHECK_ABSENT_GONE] = "a value came back after it was seen to be gone",
    [CHECK_ABSENT_EXPIRED] = "a value was there after it had expired",
    [CHECK_DURABLE_ABSENT] = "an acknowledged put is lost: the key is absent in the end",
    [CHECK_DURABLE_OLDER] =
        "an acknowledged put is lost: in the end the key holds what had ended before it began",
    [CHECK_DURABLE_NOBODY] = "an acknowledged put is lost: in the end the key holds what nobody put",
};

const char *check_rule_text(enum check_rule rule)
{
    KV_ASSERT(rule < CHECK_RULES);
    return RULES[rule];
}

/* By start, then by end: the order in which the story is told. */
static bool is_before(const struct history_op *ops, uint32_t a, uint32_t b)
{
    if (ops[a].start_ns != ops[b].start_ns)
        return ops[a].start_ns < ops[b].start_ns;
    return ops[a].end_ns != ops[b].end_ns ? ops[a].end_ns < ops[b].end_ns : a < b;
}

void check_found(struct check_key *k, enum check_rule rule, const uint32_t *ops, uint32_t count)
{
    struct check_report *r = k->report;
    r->found++;
    if (r->shown_count == CHECK_SHOWN_MAX)
        return;
    struct check_violation *v = &r->shown[r->shown_count++];
    *v = (struct check_violation){.rule = (uint8_t)rule, .key = k->number};
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = 0;
        while (at < v->count && is_before(k->history->ops, v->ops[at], ops[i]))
            at++;
        if (ops[i] == CHECK_NONE || (at < v->count && v->ops[at] == ops[i]))
            continue;
        KV_ASSERT(v->count < CHECK_PROOF_MAX);
        for (uint32_t move = v->count++; move > at; move--)
            v->ops[move] = v->ops[move - 1];
        v->ops[at] = ops[i];
    }
}

int check_text(const struct history *h, const struct check_violation *v, struct buf *out)
{
    int rc = buf_printf(out, "key ");
    if (rc == KV_OK)
        rc = buf_append(out, history_names_text(&h->keys, v->key));
    if (rc == KV_OK)
        rc = buf_printf(out, ": %s\n", check_rule_text(v->rule));
    for (uint32_t i = 0; i < v->count && rc == KV_OK; i++) {
        rc = buf_printf(out, "    ");
        if (rc == KV_OK)
            rc = history_text(h, v->ops[i], out);
        if (rc == KV_OK)
            rc = buf_append_byte(out, '\n');
    }
    return rc;
}
