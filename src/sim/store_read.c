/* What a store answers without changing a row; see store.h. */
#include "kv_error.h"
#include "model/key.h"
#include "sim/store_state.h"

static void read_row(const struct sim_store *st, const struct effect *e, struct event *out)
{
    const struct row *row = sim_store_row(st, e->read.key);
    out->type = EV_STORE_READ;
    out->read.op = e->op;
    out->read.status = KV_OK;
    out->read.row = row ? row_ref(row) : row_absent();
    if (e->read.stamp_only) {
        blob_unref(out->read.row.payload);
        out->read.row.payload = NULL;
    }
}

static void read_range(const struct sim_store *st, const struct effect *e, uint32_t limit,
                       struct page_entry *entries, struct event *out)
{
    size_t i = table_behind(&st->rows, 0, &e->range.after), bytes = 0;
    out->page.next = e->range.after;
    for (uint32_t looked = 0; looked < limit && bytes < SCAN_PAGE_MAX_BYTES && i < st->rows.count;
         looked++, i++) {
        const struct record *r = &st->rows.records[i];
        bytes += r->at.key.len;
        out->page.next = record_cursor(r);
        if (!bytes_starts_with(r->at.key, e->range.prefix))
            continue;
        entries[out->page.count] = (struct page_entry){.key = r->at.key, .row = r->row};
        entries[out->page.count++].row.payload = NULL;
    }
    out->page.done = i == st->rows.count;
}

static void read_hints(const struct sim_store *st, const struct effect *e, uint32_t limit,
                       struct page_entry *entries, struct event *out)
{
    size_t i = table_behind(&st->notes, e->hints.member, &e->hints.after);
    out->page.next = e->hints.after;
    for (; out->page.count < limit && i < st->notes.count; i++) {
        const struct record *note = &st->notes.records[i];
        if (note->at.member != e->hints.member)
            break;
        const struct row *row = sim_store_row(st, note->at.key);
        entries[out->page.count++] = (struct page_entry){
            .key = note->at.key, .row = row ? row_ref(row) : row_absent(), .hint = note->stamp};
        out->page.next = record_cursor(note);
    }
    out->page.done = i == st->notes.count || st->notes.records[i].at.member != e->hints.member;
}

static void read_rows(const struct sim_store *st, const struct effect *e, uint32_t limit,
                      struct page_entry *entries, struct event *out)
{
    size_t i = table_behind(&st->rows, 0, &e->rows.after), key_bytes = 0, bytes = 0;
    size_t limit_bytes = e->rows.limit_bytes && e->rows.limit_bytes < ROWS_PAGE_MAX_BYTES
                             ? e->rows.limit_bytes
                             : ROWS_PAGE_MAX_BYTES;
    uint64_t last = e->rows.until_token - 1; /* 0: the largest of all */
    out->page.next = e->rows.after;
    for (; out->page.count < limit && key_bytes < SCAN_PAGE_MAX_BYTES &&
           (e->rows.headers || bytes < limit_bytes) && i < st->rows.count &&
           st->rows.records[i].at.token <= last;
         i++) {
        const struct record *r = &st->rows.records[i];
        struct page_entry *entry = &entries[out->page.count++];
        *entry = (struct page_entry){.key = r->at.key, .row = r->row};
        entry->row.payload = e->rows.headers || !r->row.payload ? NULL : blob_ref(r->row.payload);
        key_bytes += r->at.key.len;
        bytes += r->at.key.len + ROW_HEADER_BYTES + blob_bytes(r->row.payload).len;
        out->page.next = record_cursor(r);
    }
    out->page.done = i == st->rows.count || st->rows.records[i].at.token > last;
}

static uint32_t page_limit(uint32_t asked)
{
    return asked && asked < SCAN_PAGE_MAX ? asked : SCAN_PAGE_MAX;
}

static void read_page(const struct sim_store *st, const struct effect *e, struct arena *arena,
                      struct event *out)
{
    uint32_t limit = page_limit(e->type == EF_STORE_RANGE   ? e->range.limit
                                : e->type == EF_STORE_HINTS ? e->hints.limit
                                                            : e->rows.limit);
    struct page_entry *entries = must(arena_alloc(arena, limit * sizeof *entries));
    out->type = EV_STORE_PAGE;
    out->page.op = e->op;
    out->page.entries = entries;
    if (e->type == EF_STORE_RANGE)
        read_range(st, e, limit, entries, out);
    else if (e->type == EF_STORE_HINTS)
        read_hints(st, e, limit, entries, out);
    else
        read_rows(st, e, limit, entries, out);
}

static void read_has(const struct sim_store *st, const struct effect *e, struct arena *arena,
                     struct event *out)
{
    struct store_has *has = must(arena_alloc(arena, e->has.count * sizeof *has));
    for (uint32_t i = 0; i < e->has.count; i++) {
        const struct row *row = sim_store_row(st, e->has.keys[i]);
        has[i] = (struct store_has){.row = row ? row->stamp : (struct stamp){0, 0},
                                    .noted = is_noted(st, e->has.keys[i])};
    }
    out->type = EV_STORE_HAS;
    out->has.op = e->op;
    out->has.count = e->has.count;
    out->has.keys = has;
}

/* The hashes are made anew from the rows each time, so no crash can make them wrong. As with the real store,
 * the first question only tells it Q. */
static void read_tree(struct sim_store *st, const struct effect *e, struct arena *arena, struct event *out)
{
    uint32_t partition = e->tree.partition, partitions = e->tree.partitions;
    uint64_t *hashes = must(arena_alloc(arena, TREE_LEAVES * sizeof *hashes));
    memset(hashes, 0, TREE_LEAVES * sizeof *hashes);
    struct cursor first = {.token = partition_first_token(partition, partitions)};
    for (size_t i = table_behind(&st->rows, 0, &first); i < st->rows.count; i++) {
        const struct record *r = &st->rows.records[i];
        if (token_partition(r->at.token, partitions) != partition)
            break;
        hashes[token_leaf(r->at.token, partitions)] += row_digest(r->at.key, r->row.stamp);
    }
    out->type = EV_STORE_TREE;
    out->tree.op = e->op;
    out->tree.status = st->partitions == partitions ? KV_OK : st->partitions ? KV_E_INVALID : KV_E_AGAIN;
    out->tree.partition = partition;
    out->tree.hashes = hashes;
    if (!st->partitions)
        st->partitions = partitions;
}

static void read_totals(const struct sim_store *st, const struct effect *e, struct arena *arena,
                        struct event *out)
{
    struct hint_total *totals = must(arena_alloc(arena, (st->notes.count + 1) * sizeof *totals));
    struct hint_total *t = NULL;
    for (size_t i = 0; i < st->notes.count; i++) {
        const struct record *note = &st->notes.records[i];
        if (!t || t->member != note->at.member) {
            t = &totals[out->totals.count++];
            *t = (struct hint_total){.member = note->at.member};
        }
        t->count++;
        t->bytes += note->bytes;
    }
    out->type = EV_STORE_TOTALS;
    out->totals.op = e->op;
    out->totals.members = totals;
}

void store_look(struct sim_store *st, const struct effect *e, struct arena *arena, struct event *out)
{
    switch (e->type) {
    case EF_STORE_READ: read_row(st, e, out); break;
    case EF_STORE_HAS: read_has(st, e, arena, out); break;
    case EF_STORE_TREE: read_tree(st, e, arena, out); break;
    case EF_STORE_TOTALS: read_totals(st, e, arena, out); break;
    default: read_page(st, e, arena, out);
    }
}
