/* Sorted arrays: rows by (token, key), notes by (member, token, key). A simulation holds a few thousand. */
#ifndef SIM_TABLE_H
#define SIM_TABLE_H

#include "model/message.h"

struct place {
    uint32_t member; /* of a note; 0: a row */
    uint64_t token;
    struct bytes key; /* the record's own, in `held` */
};

struct record {
    struct place at;
    uint8_t *held;
    struct row row;     /* a row's */
    struct stamp stamp; /* a note's */
    uint64_t bytes;     /* a note's */
};

struct table {
    struct record *records;
    size_t count;
    size_t cap;
};

/* Index of the first record at or behind `at`. */
size_t table_lower_bound(const struct table *t, const struct place *at);

/* Index of the first record behind a cursor; one without a key stands before its token. */
size_t table_behind(const struct table *t, uint32_t member, const struct cursor *after);

struct record *table_find(const struct table *t, uint32_t member, struct bytes key); /* NULL: none */
struct record *table_find_or_add(struct table *t, uint32_t member, struct bytes key);
void table_drop(struct table *t, struct record *r);
void table_deinit(struct table *t);

static inline struct cursor record_cursor(const struct record *r)
{
    return (struct cursor){.token = r->at.token, .key = r->at.key};
}

#endif
