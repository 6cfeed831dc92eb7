/* The words and sentences of include/kv_error.h, generated from its table. */
#include "kv_error.h"

const char *kv_error_word(int code)
{
    switch (code) {
#define KV_ERROR_WORD(name, value, word, text) \
    case name: return word;
        KV_ERROR_TABLE(KV_ERROR_WORD)
#undef KV_ERROR_WORD
    }
    return "unknown";
}

const char *kv_error_text(int code)
{
    switch (code) {
#define KV_ERROR_TEXT(name, value, word, text) \
    case name: return text;
        KV_ERROR_TABLE(KV_ERROR_TEXT)
#undef KV_ERROR_TEXT
    }
    return "an error without a name";
}
