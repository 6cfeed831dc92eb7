/* Numbers for texts: the keys and values of a history, each stored once, numbered from 0 in the order in
 * which they were first seen. {0} is an empty table. */
#ifndef SIM_HISTORY_NAMES_H
#define SIM_HISTORY_NAMES_H

#include "base/buf.h"

#define HISTORY_NO_NAME UINT32_MAX

struct history_names {
    struct buf text;   /* all of them, one after the other */
    uint64_t *ends;    /* of name i in `text`; it begins where the one before ends */
    uint32_t *slots;   /* open addressing: number + 1; 0: empty */
    size_t count;      /* of names */
    size_t cap;        /* of `ends` */
    size_t slot_count; /* a power of two, at least twice `count` */
};

void history_names_deinit(struct history_names *n);

/* The number of a text, a new one when it is new. KV_E_NO_MEMORY. */
int history_names_add(struct history_names *n, struct bytes text, uint32_t *out);

/* HISTORY_NO_NAME when it was never added. */
uint32_t history_names_find(const struct history_names *n, struct bytes text);

/* Borrowed until the next addition. */
struct bytes history_names_text(const struct history_names *n, uint32_t number);

#endif
