/* Pages of rows in token order: SCAN and SCAN_PAGE with clients, RANGE and RANGE_PAGE between nodes. */
#include "wire/codec.h"

static void entries_encode(struct encoder *e, const struct scan_entry *entries, uint32_t count)
{
    if (!wire_put_list(e, count, SCAN_PAGE_MAX))
        return;
    for (uint32_t i = 0; i < count; i++) {
        struct row header = entries[i].row;
        header.payload = NULL; /* pages carry no values */
        Gureum__Row row;
        Gureum__Entry item = GUREUM__ENTRY__INIT;
        item.key = wire_key(e, entries[i].key);
        item.row = wire_row(&header, &row);
        wire_put_item(e, &item);
    }
}

static struct scan_entry *entries_decode(struct decoder *d, Gureum__Entry *const *items, size_t count)
{
    struct scan_entry *entries = wire_take_list(d, count, SCAN_PAGE_MAX, sizeof *entries);
    for (size_t i = 0; entries && i < count; i++)
        entries[i] = (struct scan_entry){
            .key = wire_take_key(d, items[i]->key),
            .row = wire_take_row(d, items[i]->row, WIRE_ROW_HEADER),
        };
    return entries;
}

static void scan_encode(struct encoder *e, const struct message *m)
{
    const struct msg_scan *scan = &m->scan;
    Gureum__Cursor after = wire_cursor(e, &scan->after);
    Gureum__Scan body = GUREUM__SCAN__INIT;
    body.after = &after;
    body.prefix = wire_key(e, scan->prefix);
    body.limit = scan->limit;
    body.strict_complete = scan->strict_complete;
    body.timeout_us = scan->timeout_us;
    wire_put_body(e, &body);
}

static void scan_decode(struct decoder *d, const void *body, struct message *m)
{
    const Gureum__Scan *b = body;
    m->scan = (struct msg_scan){
        .after = wire_take_cursor(d, b->after),
        .prefix = wire_take_prefix(d, b->prefix),
        .limit = b->limit,
        .strict_complete = b->strict_complete != 0,
        .timeout_us = b->timeout_us,
    };
}

static void scan_page_encode(struct encoder *e, const struct message *m)
{
    const struct msg_scan_page *page = &m->scan_page;
    Gureum__Cursor next = wire_cursor(e, &page->next);
    Gureum__ScanPage body = GUREUM__SCAN_PAGE__INIT;
    body.status = page->status;
    body.done = page->done;
    body.complete = page->complete;
    body.next = &next;
    wire_put_body(e, &body);
    entries_encode(e, page->entries, page->count);
}

static void scan_page_decode(struct decoder *d, const void *body, struct message *m)
{
    const Gureum__ScanPage *b = body;
    struct scan_entry *entries = entries_decode(d, b->entries, b->n_entries);
    m->scan_page = (struct msg_scan_page){
        .status = wire_take_status(d, b->status),
        .done = b->done != 0,
        .complete = b->complete != 0,
        .next = wire_take_cursor(d, b->next),
        .count = entries ? (uint32_t)b->n_entries : 0,
        .entries = entries,
    };
}

static void range_encode(struct encoder *e, const struct message *m)
{
    const struct msg_range *range = &m->range;
    Gureum__Cursor after = wire_cursor(e, &range->after);
    Gureum__Range body = GUREUM__RANGE__INIT;
    body.after = &after;
    body.prefix = wire_key(e, range->prefix);
    body.limit = range->limit;
    wire_put_body(e, &body);
}

static void range_decode(struct decoder *d, const void *body, struct message *m)
{
    const Gureum__Range *b = body;
    m->range = (struct msg_range){
        .after = wire_take_cursor(d, b->after),
        .prefix = wire_take_prefix(d, b->prefix),
        .limit = b->limit,
    };
}

static void range_page_encode(struct encoder *e, const struct message *m)
{
    const struct msg_range_page *page = &m->range_page;
    Gureum__Cursor next = wire_cursor(e, &page->next);
    Gureum__RangePage body = GUREUM__RANGE_PAGE__INIT;
    body.status = page->status;
    body.done = page->done;
    body.next = &next;
    wire_put_body(e, &body);
    entries_encode(e, page->entries, page->count);
}

static void range_page_decode(struct decoder *d, const void *body, struct message *m)
{
    const Gureum__RangePage *b = body;
    struct scan_entry *entries = entries_decode(d, b->entries, b->n_entries);
    m->range_page = (struct msg_range_page){
        .status = wire_take_status(d, b->status),
        .done = b->done != 0,
        .next = wire_take_cursor(d, b->next),
        .count = entries ? (uint32_t)b->n_entries : 0,
        .entries = entries,
    };
}

const struct codec codec_scan = {&gureum__scan__descriptor, scan_encode, scan_decode};
const struct codec codec_scan_page = {&gureum__scan_page__descriptor, scan_page_encode, scan_page_decode};
const struct codec codec_range = {&gureum__range__descriptor, range_encode, range_decode};
const struct codec codec_range_page = {&gureum__range_page__descriptor, range_page_encode, range_page_decode};
