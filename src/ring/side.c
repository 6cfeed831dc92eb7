/* One side of a change: see side.h. */
#include "ring/side.h"

#include <stdlib.h>

#include "kv_error.h"

static uint32_t weight_of(const struct member *m, bool before)
{
    return before ? m->old_weight : m->weight;
}

void ring_side_index(const struct ring_value *v, bool before, uint16_t index[MEMBERS_MAX])
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < v->member_count; i++)
        if (weight_of(&v->members[i], before) > 0)
            index[count++] = (uint16_t)i;
}

/* As a value of their own. */
static int members_of(const struct ring_value *v, bool before, struct ring_value *out)
{
    *out = (struct ring_value){.partitions = v->partitions, .replicas = v->replicas};
    out->members = calloc(v->member_count, sizeof *out->members);
    if (!out->members)
        return KV_E_NO_MEMORY;
    for (uint32_t i = 0; i < v->member_count; i++) {
        const struct member *m = &v->members[i];
        if (weight_of(m, before) == 0)
            continue;
        struct member *to = &out->members[out->member_count++];
        to->id = m->id;
        to->weight = weight_of(m, before);
        memcpy(to->zone, before ? m->old_zone : m->zone, sizeof to->zone);
    }
    return KV_OK;
}

int ring_side_place(const struct ring_value *v, bool before, const struct ring *earlier,
                    struct ring_lists **out)
{
    struct ring_value of;
    *out = NULL;
    int status = members_of(v, before, &of);
    if (status != KV_OK)
        return status;
    struct ring_lists *const had[] = {earlier ? earlier->before : NULL, earlier ? earlier->after : NULL};
    for (size_t i = 0; i < sizeof had / sizeof *had; i++) {
        if (had[i] && ring_lists_fit(had[i], &of)) {
            ring_value_deinit(&of);
            *out = ring_lists_share(had[i]);
            return KV_OK;
        }
    }
    return ring_lists_create(&of, out);
}
