/* Notes of hinted handoff: which rows are kept here for whom (Dynamo section 4.6). The row itself is an
 * ordinary row; a note only names it, with the largest stamp that was written for that member.
 *
 * Everything here that changes notes runs on the writer's thread, which makes reading and then deleting one
 * step. */
#include "store/engine.h"

#include <stdlib.h>

#define PAGE_PAYLOAD_MAX_BYTES (1u << 20)

/* ---- who has notes: asked before a row is dropped, instead of looking through all notes for its key */

static size_t member_place(const struct member_set *set, uint32_t member)
{
    size_t low = 0;
    for (size_t high = set->count; low < high;) {
        size_t middle = low + (high - low) / 2;
        if (set->ids[middle] < member)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int members_add(struct member_set *set, uint32_t member)
{
    size_t at = member_place(set, member);
    if (at < set->count && set->ids[at] == member)
        return KV_OK;
    if (set->count == set->cap) {
        size_t cap = set->cap ? set->cap * 2 : 16;
        uint32_t *ids = realloc(set->ids, cap * sizeof *ids);
        if (!ids)
            return KV_E_NO_MEMORY;
        set->ids = ids;
        set->cap = cap;
    }
    memmove(set->ids + at + 1, set->ids + at, (set->count - at) * sizeof *set->ids);
    set->ids[at] = member;
    set->count++;
    return KV_OK;
}

/* One seek a member, however many notes there are. */
int members_load(struct store *s)
{
    struct walk w;
    struct bytes all = {NULL, 0};
    int status = KV_OK;
    walk_begin(&w, s, FAMILY_HINTS, all, all);
    while (walk_valid(&w) && status == KV_OK) {
        struct cursor at;
        struct bytes key = walk_key(&w);
        if (!engine_key_split(key, NOTE_PREFIX_BYTES, &at)) {
            status = KV_E_CORRUPT;
            break;
        }
        uint32_t member = be32_get(key.data);
        status = members_add(&s->members, member);
        if (member == UINT32_MAX)
            break;
        struct engine_key following;
        note_prefix(&following, member + 1);
        walk_seek(&w, engine_key_bytes(&following));
    }
    int walked = walk_end(&w);
    return status != KV_OK ? status : walked;
}

/* ---- pages */

/* Behind the last note of a member; empty for the last member there can be. */
static struct bytes notes_end(struct engine_key *k, uint32_t member)
{
    k->len = 0;
    if (member != UINT32_MAX)
        note_prefix(k, member + 1);
    return engine_key_bytes(k);
}

struct hint_page {
    struct page_entry *entries;
    uint32_t count;
    uint64_t payload_bytes;
};

/* The note that the walk stands on, with its row as it is now. The walk holds the gate. A damaged block that
 * the row lies in must not keep all others from being handed over. */
static int page_take(struct hint_page *p, const struct walk *w, struct arena *arena)
{
    struct cursor at;
    struct note note;
    if (!engine_key_split(walk_key(w), NOTE_PREFIX_BYTES, &at) || !note_decode(walk_value(w), &note))
        return KV_E_CORRUPT;
    struct page_entry *entry = &p->entries[p->count];
    *entry = (struct page_entry){.key = arena_copy(arena, at.key), .hint = note.stamp};
    if (!entry->key.data)
        return KV_E_NO_MEMORY;
    int status = engine_get_row(w->store, entry->key, w->store->read_any, false, &entry->row);
    entry->unreadable = status == KV_E_CORRUPT || status == KV_E_IO;
    if (entry->unreadable)
        entry->row = row_absent();
    else if (status != KV_OK)
        return status;
    p->count++;
    p->payload_bytes += blob_bytes(entry->row.payload).len;
    return KV_OK;
}

static void page_drop(struct hint_page *p)
{
    for (uint32_t i = 0; i < p->count; i++)
        row_release(&p->entries[i].row);
}

int store_hints(struct store *s, uint32_t member, struct cursor after, uint32_t limit, struct arena *arena,
                struct page_entry **entries, uint32_t *count, struct cursor *next, bool *done)
{
    *entries = NULL;
    *count = 0;
    *next = after;
    *done = false;
    if (after.key.len > KEY_MAX_BYTES)
        return KV_E_INVALID;
    if (limit == 0 || limit > SCAN_PAGE_MAX)
        limit = SCAN_PAGE_MAX;
    struct hint_page page = {.entries = arena_alloc(arena, limit * sizeof(struct page_entry))};
    if (!page.entries)
        return KV_E_NO_MEMORY;

    struct engine_key from, to;
    note_key(&from, member, after.token, after.key);
    engine_key_successor(&from);
    struct walk w;
    int status = KV_OK;
    walk_begin(&w, s, FAMILY_HINTS, engine_key_bytes(&from), notes_end(&to, member));
    for (; walk_valid(&w) && status == KV_OK && page.count < limit &&
           page.payload_bytes < PAGE_PAYLOAD_MAX_BYTES;
         walk_next(&w))
        status = page_take(&page, &w, arena);
    bool at_end = !walk_valid(&w);
    int walked = walk_end(&w);
    if (status == KV_OK && page.count == 0)
        status = walked; /* what was read before the damage is a page; the next begins with it */
    if (status != KV_OK) {
        page_drop(&page);
        return status;
    }
    if (page.count) {
        struct bytes last = page.entries[page.count - 1].key;
        *next = (struct cursor){key_token(last), last};
    }
    *entries = page.entries;
    *count = page.count;
    *done = at_end && walked == KV_OK;
    return KV_OK;
}

/* ---- done */

/* `*found` false: no such note. */
static int note_get(struct store *s, const struct engine_key *key, bool *found, struct note *out)
{
    rocksdb_pinnableslice_t *slice;
    int status = engine_get(s, FAMILY_HINTS, engine_key_bytes(key), s->read_any, &slice);
    *found = slice != NULL;
    if (status == KV_OK && slice && !note_decode(slice_bytes(slice), out))
        status = KV_E_CORRUPT;
    rocksdb_pinnableslice_destroy(slice);
    return status;
}

int noted(struct store *s, uint32_t except, uint64_t token, struct bytes key, bool *found)
{
    *found = false;
    for (size_t i = 0; i < s->members.count; i++) {
        if (s->members.ids[i] == except)
            continue;
        struct engine_key k;
        struct note note;
        note_key(&k, s->members.ids[i], token, key);
        int status = note_get(s, &k, found, &note);
        if (status != KV_OK || *found)
            return status;
    }
    return KV_OK;
}

/* KV_E_AGAIN: the row is newer than what was handed over. One that cannot be read is not known to be. */
static int unchanged(struct store *s, struct bytes key, struct stamp stamp)
{
    struct row row;
    int status = engine_get_row(s, key, s->read_any, true, &row);
    if (status == KV_OK && !row_is_absent(&row) && stamp_cmp(row.stamp, stamp) > 0)
        return KV_E_AGAIN;
    return status == KV_E_CORRUPT ? KV_OK : status;
}

int store_hint_done(struct store *s, uint32_t member, struct bytes key, struct stamp stamp, bool drop_row)
{
    if (!key_ok(key))
        return KV_E_INVALID;
    if (!s->db)
        return KV_E_FULL;
    uint64_t token = key_token(key);
    struct engine_key k;
    struct note note;
    bool found;
    note_key(&k, member, token, key);
    int status = note_get(s, &k, &found, &note);
    if (status != KV_OK || !found || stamp_cmp(note.stamp, stamp) > 0)
        return status;

    bool row_goes = false;
    if (drop_row)
        status = row_may_go(s, &(struct row_version){key, stamp}, token, true, member, &row_goes);
    if (status == KV_OK && drop_row && !row_goes)
        status = unchanged(s, key, stamp);
    if (status != KV_OK)
        return status;
    rocksdb_writebatch_delete_cf(s->batch, s->families[FAMILY_HINTS], (const char *)k.data, k.len);
    if (row_goes)
        batch_delete(s, token, key);
    /* Lost in a power cut, the row is handed over once more, to no harm. */
    status = engine_commit(s, false);
    tree_committed(s, status, &token, row_goes ? 1 : 0);
    return status;
}

/* ---- totals */

int store_hint_totals(struct store *s,
                      void (*visit)(uint32_t member, uint64_t count, uint64_t bytes, void *arg), void *arg)
{
    struct walk w;
    struct bytes all = {NULL, 0};
    uint32_t member = 0;
    uint64_t count = 0, bytes = 0;
    bool intact = true;
    for (walk_begin(&w, s, FAMILY_HINTS, all, all); walk_valid(&w) && intact; walk_next(&w)) {
        struct cursor at;
        struct note note = {0};
        struct bytes key = walk_key(&w);
        intact = engine_key_split(key, NOTE_PREFIX_BYTES, &at) && note_decode(walk_value(&w), &note);
        if (!intact)
            break;
        if (count && be32_get(key.data) != member) {
            visit(member, count, bytes, arg);
            count = bytes = 0;
        }
        member = be32_get(key.data);
        count++;
        bytes += note.size;
    }
    if (count)
        visit(member, count, bytes, arg);
    int walked = walk_end(&w);
    return intact ? walked : KV_E_CORRUPT;
}
