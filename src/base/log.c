/* Formatting of log lines and the limit of one a minute; where lines go is the sink's business. */
#include "base/log.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum { LOG_LINE_MAX_BYTES = 2048 };

#define LOG_ALLOWED_EVERY_US UINT64_C(60000000)

static const char *const level_names[] = {
    [LOG_DEBUG] = "debug",
    [LOG_INFO] = "info",
    [LOG_WARN] = "warn",
    [LOG_ERROR] = "error",
};

enum { LEVEL_COUNT = sizeof level_names / sizeof level_names[0] };

const char *log_level_name(enum log_level level)
{
    return (unsigned)level < LEVEL_COUNT ? level_names[level] : "unknown";
}

int log_level_parse(const char *name, enum log_level *out)
{
    for (unsigned i = 0; i < LEVEL_COUNT; i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *out = (enum log_level)i;
            return 0;
        }
    }
    return -1;
}

/* One event stays one line, and a peer's name cannot write to the terminal of who reads the log. */
static void mask_control_bytes(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
}

void log_line(const struct log *log, enum log_level level, const char *format, ...)
{
    if (!log || !log->write || level < log->least)
        return;
    char text[LOG_LINE_MAX_BYTES];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (len < 0)
        return;
    if ((size_t)len >= sizeof text)
        memcpy(text + sizeof text - 4, "...", 4);
    mask_control_bytes(text);
    log->write(level, text, log->arg);
}

int log_allowed(uint64_t now_us, uint64_t *last_us, uint64_t *suppressed)
{
    if (*last_us != 0 && now_us < *last_us + LOG_ALLOWED_EVERY_US) {
        ++*suppressed;
        return 0;
    }
    *last_us = now_us ? now_us : 1; /* 0 means never */
    return 1;
}
