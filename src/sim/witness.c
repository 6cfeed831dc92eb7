#include "sim/witness.h"

void witness_deinit(struct witness *w)
{
    table_deinit(&w->purged);
    table_deinit(&w->risen);
    table_deinit(&w->stamped);
    table_deinit(&w->twins);
}

static void look_for_twin(struct witness *w, struct bytes key, const struct row *row)
{
    struct bytes value = blob_bytes(row->payload);
    if (!w->unique || value.len == 0)
        return;
    struct record *first = table_find(&w->stamped, 0, value);
    if (!first)
        table_find_or_add(&w->stamped, 0, value)->stamp = row->stamp;
    else if (stamp_cmp(first->stamp, row->stamp) != 0)
        table_find_or_add(&w->twins, 0, key)->stamp = row->stamp;
}

void witness_written(struct witness *w, struct bytes key, const struct row *row)
{
    const struct record *grave = table_find(&w->purged, 0, key);
    if (grave && stamp_cmp(row->stamp, grave->stamp) < 0 && !table_find(&w->risen, 0, key))
        table_find_or_add(&w->risen, 0, key)->stamp = row->stamp;
    look_for_twin(w, key, row);
}

void witness_purged(struct witness *w, struct bytes key, struct stamp stamp)
{
    struct record *grave = table_find_or_add(&w->purged, 0, key);
    if (stamp_cmp(stamp, grave->stamp) > 0)
        grave->stamp = stamp;
}

bool witness_may_be_purged(const struct witness *w, struct bytes key, struct stamp stamp)
{
    const struct record *grave = table_find(&w->purged, 0, key);
    return grave && stamp_cmp(stamp, grave->stamp) <= 0;
}
