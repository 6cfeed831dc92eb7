/* Whose an id is. Request and storage-operation ids are 64 bits: the top byte names the part of the node that
 * made it, so that an answer finds its way back without a table; the rest is that part's own serial. */
#ifndef MODEL_ID_H
#define MODEL_ID_H

#include <stdint.h>

enum id_owner {
    ID_NODE = 1, /* ring, formation, clock floor */
    ID_COORD,    /* gets and puts */
    ID_SCAN,
    ID_REPLICA,
    ID_HINTS,
    ID_SWIM,
    ID_PEERS, /* HELLO */
    ID_PAXOS,
    ID_CHANGE,
    ID_TRANSFER,
    ID_ENTROPY,
    ID_PURGE,
    ID_PULL, /* pages read for a new home */
    ID_DROP, /* rows that are no longer held */
    ID_HUB,  /* lists of members */
};

#define ID_SERIAL_BITS 56

static inline uint64_t id_make(enum id_owner owner, uint64_t serial)
{
    return (uint64_t)owner << ID_SERIAL_BITS | (serial & ((UINT64_C(1) << ID_SERIAL_BITS) - 1));
}

static inline enum id_owner id_owner(uint64_t id)
{
    return (enum id_owner)(id >> ID_SERIAL_BITS);
}

static inline uint64_t id_serial(uint64_t id)
{
    return id & ((UINT64_C(1) << ID_SERIAL_BITS) - 1);
}

#endif
