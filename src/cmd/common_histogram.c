/* Cells: values below 2^7 have a cell each; above, the top 7 bits behind the leading one choose it. */
#include "cmd/common_histogram.h"

#include <string.h>

static unsigned cell_of(uint64_t value)
{
    if (value < (UINT64_C(1) << HISTOGRAM_SUB_BITS))
        return (unsigned)value;
    unsigned top = 63u - (unsigned)__builtin_clzll(value);
    unsigned shift = top - HISTOGRAM_SUB_BITS;
    unsigned sub = (unsigned)(value >> shift) & ((1u << HISTOGRAM_SUB_BITS) - 1);
    return ((shift + 1u) << HISTOGRAM_SUB_BITS) | sub;
}

/* The middle of a cell. */
static uint64_t value_of(unsigned cell)
{
    unsigned group = cell >> HISTOGRAM_SUB_BITS;
    uint64_t sub = cell & ((1u << HISTOGRAM_SUB_BITS) - 1);
    if (group == 0)
        return sub;
    unsigned shift = group - 1;
    uint64_t low = (sub | UINT64_C(1) << HISTOGRAM_SUB_BITS) << shift;
    return low + ((UINT64_C(1) << shift) >> 1);
}

void histogram_record(struct histogram *h, uint64_t value)
{
    h->count++;
    h->sum += value;
    if (value > h->max)
        h->max = value;
    h->cells[cell_of(value)]++;
}

void histogram_add(struct histogram *to, const struct histogram *from)
{
    to->count += from->count;
    to->sum += from->sum;
    if (from->max > to->max)
        to->max = from->max;
    for (unsigned i = 0; i < HISTOGRAM_CELLS; i++)
        to->cells[i] += from->cells[i];
}

void histogram_reset(struct histogram *h)
{
    memset(h, 0, sizeof *h);
}

uint64_t histogram_quantile(const struct histogram *h, double part)
{
    if (h->count == 0)
        return 0;
    uint64_t wanted = (uint64_t)(part * (double)h->count + 0.9999999), seen = 0;
    if (wanted < 1)
        wanted = 1;
    for (unsigned i = 0; i < HISTOGRAM_CELLS; i++) {
        seen += h->cells[i];
        if (seen >= wanted) {
            uint64_t v = value_of(i);
            return v < h->max ? v : h->max;
        }
    }
    return h->max;
}
