/* JSON for scripts: one object a line. */
#include <stdlib.h>
#include <string.h>

#include "cmd/kvcli.h"

static char *base64(const uint8_t *data, size_t len)
{
    static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *out = malloc((len + 2) / 3 * 4 + 1), *p = out;
    if (!out)
        return NULL;
    for (size_t i = 0; i < len; i += 3) {
        unsigned v = (unsigned)data[i] << 16;
        v |= i + 1 < len ? (unsigned)data[i + 1] << 8 : 0;
        v |= i + 2 < len ? data[i + 2] : 0;
        *p++ = DIGITS[v >> 18 & 63];
        *p++ = DIGITS[v >> 12 & 63];
        *p++ = i + 1 < len ? DIGITS[v >> 6 & 63] : '=';
        *p++ = i + 2 < len ? DIGITS[v & 63] : '=';
    }
    *p = 0;
    return out;
}

json_t *json_bytes(const void *data, size_t len)
{
    json_t *s = json_stringn(data, len);
    if (s)
        return s;
    char *text = base64(data, len);
    json_t *o = text ? json_pack("{s:s}", "base64", text) : json_null();
    free(text);
    return o;
}

void json_print(json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT);
    if (text)
        puts(text);
    free(text);
    json_decref(object);
}

const char *stamp_text(struct kv_stamp s, char out[40])
{
    snprintf(out, 40, "%016llx-%016llx", (unsigned long long)s.hlc, (unsigned long long)s.origin);
    return out;
}

json_t *json_result(const char *key, const struct kv_result *r, bool with_value)
{
    char stamp[40];
    json_t *o =
        json_pack("{s:s, s:o}", "status", kv_error_word(r->status), "key", json_bytes(key, strlen(key)));
    if (with_value)
        json_object_set_new(o, "value", json_bytes(r->value, r->value_len));
    json_object_set_new(o, "coordinator", json_string(r->coordinator));
    json_object_set_new(o, "asked", json_integer(r->asked));
    json_object_set_new(o, "acked", json_integer(r->acked));
    json_object_set_new(o, "needed", json_integer(r->needed));
    json_object_set_new(o, "hinted", json_integer(r->hinted));
    if (r->status == KV_E_NOT_FOUND)
        json_object_set_new(o, "proven", json_boolean(r->proven));
    if (r->stamp.hlc)
        json_object_set_new(o, "stamp", json_string(stamp_text(r->stamp, stamp)));
    if (r->ttl_ms)
        json_object_set_new(o, "ttl_ms", json_integer((json_int_t)r->ttl_ms));
    json_object_set_new(o, "us", json_integer(r->us));
    return o;
}
