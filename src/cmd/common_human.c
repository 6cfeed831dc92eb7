#include "cmd/common_human.h"

#include <math.h>
#include <stdio.h>

const char *human_count(double v, char out[HUMAN_MAX])
{
    static const char UNITS[] = "kMGTPE";
    if (!(v > 0))
        v = 0;
    if (v < 9.95 && fabs(v - round(v)) > 0.05) {
        snprintf(out, HUMAN_MAX, "%.1f", v);
        return out;
    }
    if (v < 9999.5) {
        snprintf(out, HUMAN_MAX, "%.0f", v);
        return out;
    }
    int unit = 0;
    for (v /= 1000; v >= 999.5 && UNITS[unit + 1]; unit++)
        v /= 1000;
    snprintf(out, HUMAN_MAX, v < 99.95 ? "%.1f%c" : "%.0f%c", v < 999.5 ? v : 999.0, UNITS[unit]);
    return out;
}

const char *human_bytes(double v, char out[HUMAN_MAX])
{
    static const char *const UNITS[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    int unit = 0;
    if (!(v > 0))
        v = 0;
    for (; v >= 999.5 && unit < 6; unit++)
        v /= 1024;
    snprintf(out, HUMAN_MAX, unit && v < 9.95 ? "%.1f %s" : "%.0f %s", v < 999.5 ? v : 999.0, UNITS[unit]);
    return out;
}

const char *human_seconds(double v, char out[HUMAN_MAX])
{
    unsigned long s = v > 0 ? (v < 1e8 ? (unsigned long)(v + 0.5) : 100000000ul) : 0;
    if (s < 3600)
        snprintf(out, HUMAN_MAX, "%lu:%02lu", s / 60, s % 60);
    else
        snprintf(out, HUMAN_MAX, "%lu:%02lu:%02lu", s / 3600, s / 60 % 60, s % 60);
    return out;
}

const char *human_percent(uint64_t part, uint64_t whole, char out[HUMAN_MAX])
{
    double percent = whole ? 100.0 * (double)part / (double)whole : 0;
    if (part >= whole || part == 0)
        snprintf(out, HUMAN_MAX, "%s %%", whole && part ? "100" : "0");
    else
        snprintf(out, HUMAN_MAX, "%.*f %%", percent > 99 || percent < 1 ? 2 : 1,
                 percent > 99.99  ? 99.99
                 : percent < 0.01 ? 0.01
                                  : percent);
    return out;
}
