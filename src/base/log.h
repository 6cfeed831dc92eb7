/* Log lines: one event a line, `level=info event=... key=value ...`. Pure code does not write them: it emits
 * an effect that carries the finished text, and the shell hands it to a `struct log`. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

const char *log_level_name(enum log_level level);

/* -1 when `name` is none of debug, info, warn, error. */
int log_level_parse(const char *name, enum log_level *out);

struct log {
    enum log_level least;                                             /* lines below it are dropped */
    void (*write)(enum log_level level, const char *text, void *arg); /* the sink; adds time and newline */
    void *arg;
};

void log_line(const struct log *log, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* At most one line a minute per subject: returns 1 when the caller may log now. `*last_us` is the subject's
 * own memory, 0 at first; `*suppressed` counts what was held back and is to be reset by the caller when it
 * logs. */
int log_allowed(uint64_t now_us, uint64_t *last_us, uint64_t *suppressed);

#endif
