/* The effects of one step: see outbox.h. */
#include "model/outbox.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "kv_error.h"

/* A key of the largest size for every effect, twice: what one step can need at most. */
#define OUTBOX_ARENA_MAX_BYTES (2ull * OUT_MAX * KEY_MAX_BYTES)
#define LOG_TEXT_MAX           1024

int outbox_init(struct outbox *out)
{
    *out = (struct outbox){0};
    out->effects = calloc(OUT_MAX, sizeof *out->effects);
    if (!out->effects)
        return KV_E_NO_MEMORY;
    arena_init(&out->arena, OUTBOX_ARENA_MAX_BYTES);
    return KV_OK;
}

static void release_effect(struct effect *e)
{
    switch (e->type) {
    case EF_SEND: message_release(&e->send.message); break;
    case EF_DATAGRAM: message_release(&e->datagram.message); break;
    case EF_STORE_WRITE: row_release(&e->write.row); break;
    case EF_STORE_MERGE: blob_unref(e->merge.pack); break;
    default: break;
    }
    e->type = EF_NONE;
}

void outbox_reset(struct outbox *out)
{
    for (uint32_t i = 0; i < out->count; i++)
        release_effect(&out->effects[i]);
    out->count = 0;
    arena_reset(&out->arena);
}

void outbox_deinit(struct outbox *out)
{
    if (!out->effects)
        return;
    outbox_reset(out);
    free(out->effects);
    arena_deinit(&out->arena);
    *out = (struct outbox){0};
}

struct effect *outbox_add(struct outbox *out, enum effect_type type)
{
    KV_ASSERT(outbox_room(out) > 0);
    struct effect *e = &out->effects[out->count++];
    *e = (struct effect){.type = type};
    return e;
}

struct message *outbox_send(struct outbox *out, struct endpoint to, enum message_type type, uint64_t id)
{
    struct effect *e = outbox_add(out, EF_SEND);
    e->send.to = to;
    e->send.message.type = type;
    e->send.message.id = id;
    return &e->send.message;
}

struct message *outbox_datagram(struct outbox *out, const struct addr *to, enum message_type type)
{
    struct effect *e = outbox_add(out, EF_DATAGRAM);
    e->datagram.to = *to;
    e->datagram.message.type = type;
    return &e->datagram.message;
}

void outbox_log(struct outbox *out, enum log_level level, const char *format, ...)
{
    if (outbox_room(out) == 0)
        return;
    char text[LOG_TEXT_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    struct effect *e = outbox_add(out, EF_LOG);
    e->log.level = level;
    e->log.text = arena_printf(&out->arena, "%s", text);
}
