/* How far a transfer is, as the store keeps it (big-endian):
 *
 *     0     1              9     13
 *     | 1 | source_epoch | Q   | Q bits: partitions taken over | streams | stream ... |
 *     stream: | partition (4) | member (4) | read to its end (1) | token (8) |
 *
 * A hint, but for its bits: a stream that is left out, or whose token is too low, is read again. */
#include "repair/transfer_internal.h"

#include "base/assert.h"
#include "kv_error.h"

#define NOTE_VERSION      1u
#define NOTE_STREAMS_MAX  1024u
#define NOTE_STREAM_BYTES 17u

static bool is_worth_noting(const struct plan *p, const struct stream *s)
{
    const struct part *part = &p->parts[s->part];
    return !part->done && (s->done || s->token > partition_first_token(part->partition, p->partitions));
}

static void put_bits(const struct plan *p, uint8_t *bits)
{
    memset(bits, 0, p->partitions / 8 + 1);
    for (uint32_t i = 0; i < p->part_count; i++) {
        uint32_t partition = p->parts[i].partition;
        if (p->parts[i].done)
            bits[partition / 8] |= (uint8_t)(1u << partition % 8);
    }
}

static void put_stream(const struct plan *p, const struct stream *s, uint8_t *at)
{
    be32_put(at, p->parts[s->part].partition);
    be32_put(at + 4, p->lanes[s->lane].member);
    at[8] = s->done;
    be64_put(at + 9, s->token);
}

int transfer_note_encode(const struct plan *p, uint64_t source_epoch, struct buf *out)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < p->stream_count && count < NOTE_STREAMS_MAX; i++)
        count += is_worth_noting(p, &p->streams[i]);
    size_t bits = p->partitions / 8 + 1;
    int rc = buf_reserve(out, 1 + 8 + 4 + bits + 4 + (size_t)count * NOTE_STREAM_BYTES);
    if (rc != KV_OK)
        return rc;
    uint8_t *at = out->data + out->len;
    at[0] = NOTE_VERSION;
    be64_put(at + 1, source_epoch);
    be32_put(at + 9, p->partitions);
    put_bits(p, at + 13);
    at += 13 + bits;
    be32_put(at, count);
    at += 4;
    for (uint32_t i = 0; i < p->stream_count && count > 0; i++) {
        if (!is_worth_noting(p, &p->streams[i]))
            continue;
        put_stream(p, &p->streams[i], at);
        at += NOTE_STREAM_BYTES;
        count--;
    }
    out->len = (size_t)(at - out->data);
    return KV_OK;
}

uint64_t transfer_note_epoch(struct bytes note)
{
    return note.len >= 13 && note.data[0] == NOTE_VERSION ? be64_get(note.data + 1) : 0;
}

static struct part *find_part(struct plan *p, uint32_t partition)
{
    uint32_t low = 0, high = p->part_count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (p->parts[mid].partition < partition)
            low = mid + 1;
        else
            high = mid;
    }
    return low < p->part_count && p->parts[low].partition == partition ? &p->parts[low] : NULL;
}

static struct stream *find_stream(struct plan *p, uint32_t partition, uint32_t member)
{
    const struct part *part = find_part(p, partition);
    for (uint32_t i = 0; part && i < part->stream_count; i++) {
        struct stream *s = &p->streams[part->first_stream + i];
        if (p->lanes[s->lane].member == member)
            return s;
    }
    return NULL;
}

static void apply_bits(const uint8_t *bits, struct plan *p)
{
    for (uint32_t i = 0; i < p->part_count; i++) {
        struct part *part = &p->parts[i];
        bool done = bits[part->partition / 8] >> part->partition % 8 & 1;
        p->parts_done += done && !part->done;
        part->done |= done;
    }
}

static void apply_stream(const uint8_t *at, struct plan *p)
{
    uint32_t partition = be32_get(at);
    uint64_t token = be64_get(at + 9);
    struct stream *s = find_stream(p, partition, be32_get(at + 4));
    if (!s || s->done || token_partition(token, p->partitions) != partition)
        return;
    s->begun = true;
    s->token = token;
    if (at[8])
        (void)transfer_stream_done(p, s);
}

void transfer_note_apply(struct bytes note, struct plan *p)
{
    size_t bits = p->partitions / 8 + 1;
    if (note.len < 13 + bits + 4 || be32_get(note.data + 9) != p->partitions)
        return;
    apply_bits(note.data + 13, p);
    uint32_t count = be32_get(note.data + 13 + bits);
    struct bytes rest = bytes_of(note.data + 13 + bits + 4, note.len - (13 + bits + 4));
    struct bytes one;
    for (uint32_t i = 0; i < count && bytes_take(&rest, NOTE_STREAM_BYTES, &one) == KV_OK; i++)
        apply_stream(one.data, p);
}
