/* Reading leaf by leaf: see span.h. */
#include "repair/span.h"

#include "kv_error.h"

int place_set(struct place *p, struct cursor at)
{
    int rc = buf_set(&p->key, at.key);
    if (rc == KV_OK)
        p->token = at.token;
    return rc;
}

int cursor_cmp(const struct cursor *a, const struct cursor *b)
{
    if (a->token != b->token)
        return a->token < b->token ? -1 : 1;
    return bytes_cmp(a->key, b->key);
}

bool span_sets_ok(uint32_t partitions, const struct partition_leaf_set *sets, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (sets[i].partition >= partitions || (i > 0 && sets[i - 1].partition >= sets[i].partition))
            return false;
    return count <= COMPARE_PARTITIONS_MAX;
}

int span_set(struct span *s, uint32_t partitions, const struct partition_leaf_set *sets, uint32_t count,
             struct cursor after, struct cursor upto)
{
    s->partitions = partitions;
    s->count = count;
    if (count)
        memcpy(s->sets, sets, count * sizeof *sets);
    s->over = false;
    int rc = place_set(&s->after, after);
    return rc ? rc : place_set(&s->upto, upto);
}

void span_deinit(struct span *s)
{
    buf_deinit(&s->after.key);
    buf_deinit(&s->upto.key);
}

static const struct partition_leaf_set *set_of(const struct span *s, uint32_t partition)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (s->sets[i].partition == partition)
            return &s->sets[i];
    return NULL;
}

bool span_touches(const struct span *s, uint32_t partition)
{
    return set_of(s, partition) != NULL;
}

bool span_has(const struct span *s, uint64_t token)
{
    const struct partition_leaf_set *set = set_of(s, token_partition(token, s->partitions));
    return set && (set->leaves >> token_leaf(token, s->partitions) & 1);
}

/* The tokens of adjacent leaves: from `first` on, before `until`; 0: to the end of all. */
struct run {
    uint64_t first, until;
};

/* The run that begins at the leaf or, in this set, behind it. */
static bool run_in(const struct span *s, const struct partition_leaf_set *set, uint32_t *leaf,
                   struct run *out)
{
    uint32_t first = *leaf;
    while (first < TREE_LEAVES && !(set->leaves >> first & 1))
        first++;
    uint32_t end = first;
    while (end < TREE_LEAVES && (set->leaves >> end & 1))
        end++;
    *leaf = end;
    *out = (struct run){leaf_first_token(set->partition, first, s->partitions),
                        leaf_first_token(set->partition, end, s->partitions)};
    return first < TREE_LEAVES;
}

/* The first run that is not wholly behind us. */
static bool next_run(const struct span *s, struct run *out)
{
    for (uint32_t i = 0; i < s->count; i++) {
        uint32_t leaf = 0;
        while (run_in(s, &s->sets[i], &leaf, out))
            if (out->until == 0 || out->until > s->after.token)
                return true;
    }
    return false;
}

static bool has_end(const struct span *s)
{
    struct cursor upto = place_at(&s->upto);
    return !cursor_is_zero(&upto);
}

bool span_ask(struct span *s, uint64_t op, uint32_t limit_bytes, bool headers, struct outbox *out)
{
    struct run run;
    if (s->over || !next_run(s, &run) || (has_end(s) && run.first > s->upto.token)) {
        s->over = true;
        return false;
    }
    struct cursor after = {.token = run.first};
    if (s->after.token >= run.first) {
        after.token = s->after.token;
        after.key = arena_copy(&out->arena, buf_bytes(&s->after.key)); /* no memory: rows are read again */
    }
    if (has_end(s) && (run.until == 0 || run.until > s->upto.token) && s->upto.token < UINT64_MAX)
        run.until = s->upto.token + 1;
    s->asked_until = run.until;
    struct effect *e = outbox_add(out, EF_STORE_ROWS);
    e->op = op;
    e->rows.after = after;
    e->rows.until_token = run.until;
    e->rows.limit_bytes = limit_bytes;
    e->rows.headers = headers;
    return true;
}

/* Whether the span has no row behind this one. */
static bool is_beyond(const struct span *s, struct bytes key)
{
    struct cursor upto = place_at(&s->upto), row = {.token = key_token(key), .key = key};
    return has_end(s) && cursor_cmp(&row, &upto) > 0;
}

uint32_t span_count(const struct span *s, const struct event *page)
{
    uint32_t count = page->page.count;
    while (count > 0 && is_beyond(s, page->page.entries[count - 1].key))
        count--;
    return count;
}

int span_next(struct span *s, const struct event *page)
{
    if (span_count(s, page) < page->page.count)
        s->over = true;
    if (!page->page.done)
        return place_set(&s->after, page->page.next);
    s->over |= s->asked_until == 0 || (has_end(s) && s->asked_until > s->upto.token);
    return place_set(&s->after, (struct cursor){.token = s->asked_until});
}

int span_behind(struct span *s, struct bytes key)
{
    return place_set(&s->after, (struct cursor){.token = key_token(key), .key = key});
}
