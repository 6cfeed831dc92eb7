/* Reading and writing key<TAB>value lines. */
#include "cmd/common_lines.h"

#include <stdlib.h>

#include "kv_error.h"

void lines_init(struct lines *l, FILE *file)
{
    *l = (struct lines){.file = file};
}

void lines_deinit(struct lines *l)
{
    free(l->line);
    buf_deinit(&l->key);
    buf_deinit(&l->value);
}

static int hex(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int lines_unescape(struct bytes field, struct buf *out)
{
    int rc = buf_reserve(out, field.len);
    for (size_t i = 0; i < field.len && rc == KV_OK; i++) {
        uint8_t c = field.data[i];
        if (c == '\\') {
            uint8_t e = i + 1 < field.len ? field.data[i + 1] : 0;
            i++;
            if (e == 't' || e == 'n' || e == '\\') {
                c = e == 't' ? '\t' : e == 'n' ? '\n' : '\\';
            } else if (e == 'x' && i + 2 < field.len && hex(field.data[i + 1]) >= 0 &&
                       hex(field.data[i + 2]) >= 0) {
                c = (uint8_t)(hex(field.data[i + 1]) << 4 | hex(field.data[i + 2]));
                i += 2;
            } else {
                return KV_E_MALFORMED;
            }
        }
        rc = buf_append_byte(out, c);
    }
    return rc;
}

int lines_escape(struct bytes field, struct buf *out)
{
    int rc = KV_OK;
    for (size_t i = 0; i < field.len && rc == KV_OK; i++) {
        uint8_t c = field.data[i];
        if (c == '\t')
            rc = buf_append(out, bytes_str("\\t"));
        else if (c == '\n')
            rc = buf_append(out, bytes_str("\\n"));
        else if (c == '\\')
            rc = buf_append(out, bytes_str("\\\\"));
        else if (c < 0x20 || c == 0x7f)
            rc = buf_printf(out, "\\x%02x", c);
        else
            rc = buf_append_byte(out, c);
    }
    return rc;
}

int lines_next(struct lines *l)
{
    ssize_t n;
    do {
        n = getline(&l->line, &l->cap, l->file);
        if (n < 0)
            return ferror(l->file) ? KV_E_IO : 0;
        l->number++;
        l->bytes += (uint64_t)n;
        if (l->line[n - 1] == '\n')
            n--;
    } while (n == 0);
    struct bytes line = bytes_of(l->line, (size_t)n);
    const uint8_t *tab = memchr(line.data, '\t', line.len);
    if (!tab || tab == line.data)
        return KV_E_MALFORMED;
    size_t at = (size_t)(tab - line.data);
    buf_clear(&l->key);
    buf_clear(&l->value);
    int rc = lines_unescape(bytes_of(line.data, at), &l->key);
    if (rc == KV_OK)
        rc = lines_unescape(bytes_of(tab + 1, line.len - at - 1), &l->value);
    return rc == KV_OK ? 1 : rc;
}
