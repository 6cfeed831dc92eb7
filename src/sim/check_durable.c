/* Lost puts: an acknowledged put is lost when in the end the key holds a put that had ended before the
 * acknowledged one began, or nothing, and nothing later can have deleted it.
 *
 * A put whose outcome is unknown may be applied after its end, but only under the stamp it was given before,
 * so it cannot hide a later one either. A set whose members are keys written once each is a special case:
 * then every acknowledged member must be there (later writes would hide a lost one). One violation a key: its
 * latest lost put. */
#include <stdlib.h>

#include "kv_error.h"
#include "sim/check_key.h"

/* What the key was found to hold in the end; CHECK_NONE: nobody looked, or could. */
static uint32_t final_of(const struct check_key *k)
{
    uint32_t final = CHECK_NONE;
    for (uint32_t i = 0; i < k->count; i++) {
        const struct history_op *op = check_op(k, k->ops[i]);
        if (op->final && op->outcome == HISTORY_OK)
            final = k->ops[i];
    }
    return final;
}

static bool is_acked_put(const struct check_key *k, uint32_t op)
{
    return check_op(k, op)->kind == HISTORY_PUT && check_is_acked(check_op(k, op));
}

/* Whether some delete or expiry can have won against this put. The final get is later than all of them. */
static bool may_be_gone(const struct check_key *k, const struct check_gone *gone, uint32_t count,
                        uint32_t put)
{
    for (uint32_t i = 0; i < count; i++)
        if (!check_is_older(k, gone[i].op, put))
            return true;
    return false;
}

static int look_absent(struct check_key *k, uint32_t final)
{
    struct check_gone *gone;
    uint32_t count, last = CHECK_NONE;
    for (uint32_t i = 0; i < k->count; i++)
        if (is_acked_put(k, k->ops[i]))
            last = k->ops[i];
    if (last == CHECK_NONE)
        return KV_OK;
    int rc = check_gone_list(k, false, &gone, &count);
    if (rc != KV_OK)
        return rc;
    if (!may_be_gone(k, gone, check_gone_by(gone, count, check_op(k, final)->end_ns), last))
        check_found(k, CHECK_DURABLE_ABSENT, (uint32_t[]){last, final}, 2);
    free(gone);
    return KV_OK;
}

static int look(struct check_key *k, void *arg)
{
    (void)arg;
    uint32_t final = final_of(k), lost = CHECK_NONE;
    if (final == CHECK_NONE)
        return KV_OK;
    k->report->judged++;
    if (check_op(k, final)->value == HISTORY_ABSENT)
        return look_absent(k, final);
    uint32_t held = check_writer(k, check_op(k, final)->value);
    for (uint32_t i = 0; i < k->count; i++)
        if (is_acked_put(k, k->ops[i]) && check_is_older(k, held, k->ops[i]))
            lost = k->ops[i];
    if (lost != CHECK_NONE)
        check_found(k, held == CHECK_NONE ? CHECK_DURABLE_NOBODY : CHECK_DURABLE_OLDER,
                    (uint32_t[]){held, lost, final}, 3);
    return KV_OK;
}

int check_durable(const struct history *h, const struct check_options *o, struct check_report *out)
{
    return check_each_key(h, o, out, look, NULL);
}
