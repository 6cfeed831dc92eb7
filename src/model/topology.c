/* See topology.h. */
#include <string.h>

#include "kv_error.h"
#include "model/topology.h"

static const char *const names[] = {
    [TOPOLOGY_RING] = "ring",
    [TOPOLOGY_CENTRAL] = "central",
    [TOPOLOGY_DIRECTORY] = "directory",
};

#define NAMES (sizeof names / sizeof names[0])

const char *topology_name(enum topology topology)
{
    return (unsigned)topology < NAMES ? names[topology] : "?";
}

int topology_parse(const char *text, enum topology *out)
{
    for (unsigned i = 0; i < NAMES; i++)
        if (strcmp(text, names[i]) == 0) {
            *out = (enum topology)i;
            return KV_OK;
        }
    return KV_E_INVALID;
}
