#include <stdlib.h>

#include "cmd/kvsim_number.h"

bool take_part(const char **text, char end_char, uint64_t min, uint64_t max, uint64_t *out)
{
    char *end;
    if (**text < '0' || **text > '9')
        return false;
    *out = strtoull(*text, &end, 10);
    if (*end != end_char || *out < min || *out > max)
        return false;
    *text = *end ? end + 1 : end;
    return true;
}

bool take_u64(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
    return take_part(&text, '\0', min, max, out);
}

bool take_u32(const char *text, uint32_t min, uint32_t max, uint32_t *out)
{
    uint64_t v;
    if (!take_u64(text, min, max, &v))
        return false;
    *out = (uint32_t)v;
    return true;
}
